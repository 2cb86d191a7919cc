"""A Flyte deployment for the examples that list projects: `AdminService/ListProjects` behind the sandbox's tokens.

    target/debug/flyte-auth sandbox --exit-with-stdin           # prints {"grpc": "127.0.0.1:…", …}
    .venv/bin/python tests/e2e/programs/admin_service.py 127.0.0.1:…

The argument is the `grpc` of the sandbox's first line; this one's first line is

    {"endpoint": "http://127.0.0.1:…", "header": "flyte-authorization", "control": "http://127.0.0.1:…"}

`endpoint` is what a client is given: gRPC without TLS. `AuthMetadataService` answers there what the sandbox answers;
`AdminService` takes what `flyte_auth.Verifier` takes, in the header `header`. It runs until its standard input ends.

Tests in any language (Python, Node, the JVM) look on at `control`: GET gives every call so far, in order,
`[{"tokens": [SHA-256 of each value of the header], "subject": …, "refused": a status or null}]`; a POST of
`{"revoked": SHA-256}` refuses that token from now on, of `{"code": "UNAVAILABLE", "count": 1}` the next calls.
"""

import argparse
import json
import sys
from concurrent import futures
from pathlib import Path

import grpc
from flyte_auth import Verifier
from flyteidl.admin import project_pb2
from flyteidl.service import admin_pb2_grpc, auth_pb2, auth_pb2_grpc

# Started as a program, from wherever a test of another language is.
sys.path.insert(0, str(Path(__file__).parents[1]))
from harness import admin  # noqa: E402

PROJECTS = [
    ("flytesnacks", "Examples"),
    ("flyteexamples", "More examples"),
    ("payments", "Payments"),
    ("search", "Search"),
]
# As in a real deployment the server has the last word on how long a page is: nobody sees all by asking for many.
LONGEST_PAGE = 3


class Projects(admin_pb2_grpc.AdminServiceServicer):
    """`token` is where the page begins; a page that has a next one names it."""

    def ListProjects(self, request, context):
        if request.token not in ("", *map(str, range(1, len(PROJECTS)))):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the token is none of this service")
        begin = int(request.token or 0)
        end = begin + min(request.limit or LONGEST_PAGE, LONGEST_PAGE)
        page = [project_pb2.Project(id=id, name=name) for id, name in PROJECTS[begin:end]]
        return project_pb2.Projects(projects=page, token=str(end) if end < len(PROJECTS) else "")


def main(sandbox: str):
    metadata = admin.Metadata(sandbox)
    issuer = metadata.GetOAuth2Metadata(auth_pb2.OAuth2MetadataRequest(), None).issuer
    header = metadata.GetPublicClientConfig(auth_pb2.PublicClientAuthConfigRequest(), None).authorization_metadata_key
    # The sandbox issues tokens for itself.
    verifier = Verifier(issuer=issuer, audience=issuer, required_scopes=["all"])
    guard = admin.Guard(verifier, header)
    server = grpc.server(futures.ThreadPoolExecutor(4), interceptors=[guard])
    auth_pb2_grpc.add_AuthMetadataServiceServicer_to_server(metadata, server)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(Projects(), server)
    endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    control = f"http://127.0.0.1:{admin.control(guard).server_port}"
    print(json.dumps({"endpoint": endpoint, "header": header, "control": control}), flush=True)
    sys.stdin.read()
    server.stop(grace=None).wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("sandbox", metavar="HOST:PORT", help="the sandbox's gRPC address")
    main(arguments.parse_args().sandbox)
