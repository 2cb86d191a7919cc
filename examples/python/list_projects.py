"""The projects of a Flyte deployment, with your login: what pyflyte does, by grpcio and Flyte's own protocol.

    pip install flyte-auth flyteidl
    python list_projects.py dns:///flyte.example.org

Without an argument the endpoint is the one of pyflyte's configuration. The first run signs you in; machine credentials
work too: FLYTE_AUTH_CLIENT_ID and FLYTE_AUTH_CLIENT_SECRET.
"""

import sys
from collections.abc import Iterator

import flyte_auth
import flyte_auth.grpc
import grpc
from flyteidl.admin.project_pb2 import Project, ProjectListRequest
from flyteidl.service.admin_pb2_grpc import AdminServiceStub


def signed_in(endpoint: str | None) -> flyte_auth.Session:
    session = flyte_auth.Session.from_config(endpoint=endpoint)
    try:
        session.token()
    except flyte_auth.LoginRequiredError:
        # Asks whoever sits there; in CI and cron nobody does, and the error says what to do.
        if not sys.stderr.isatty():
            raise
        session.login()
    return session


def projects(flyte: AdminServiceStub) -> Iterator[Project]:
    request = ProjectListRequest(limit=100)
    while True:
        page = flyte.ListProjects(request, timeout=30)
        yield from page.projects
        if not page.token:
            return
        request.token = page.token


def main(endpoint: str | None = None) -> None:
    # Each call of this channel has the token, refreshed when it is due; one that the server rejects is replaced once.
    with signed_in(endpoint) as session, flyte_auth.grpc.channel(session) as channel:
        for project in projects(AdminServiceStub(channel)):
            print(f"{project.id}  {project.name}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except flyte_auth.FlyteAuthError as error:
        sys.exit(f"list_projects: {error}")
    except grpc.RpcError as error:
        sys.exit(f"list_projects: {error.code().name}: {error.details()}")
