"""A small real Flyte 1 control plane in a process of its own, which checks tokens with the package's own `Verifier`.

It lists projects, refuses calls when a test says so, and hands on the sandbox's own answers of `AuthMetadataService`.
"""

import hashlib
import json
import os
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import requests
from flyteidl.admin import project_pb2
from flyteidl.service import admin_pb2_grpc, auth_pb2, auth_pb2_grpc

from harness.cli import VENV
from harness.peers import Sandbox
from harness.service import Service

_GUARDED = "/flyteidl.service.AdminService/"


class Admin:
    """Starts it; without a sandbox it has no auth at all."""

    def __init__(self, folder: Path, sandbox: Sandbox | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"grpc": sandbox.grpc, "issuer": sandbox.metadata["issuer"]} if sandbox else {}
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        argv = [VENV / "python", "-m", "harness.admin", json.dumps(settings)]
        self.service = Service(argv, env, folder / "admin.log")
        self._control = f"http://127.0.0.1:{self.service.ready['control']}"
        # The header that takes the token.
        self.header: str = self.service.ready["header"]
        self.host = f"localhost:{self.service.ready['port']}"
        self.endpoint = f"dns:///{self.host}"

    def refuses(self, code: str, count: int):
        """The next `count` calls end with this gRPC status, whatever their token."""
        self._asks(code=code, count=count)

    def revokes(self, digest: str):
        """From now on no call passes whose token has this SHA-256."""
        self._asks(revoked=digest)

    def _asks(self, **wish):
        requests.post(self._control, json=wish, timeout=10).raise_for_status()

    @property
    def calls(self) -> list[dict]:
        """Every call: `tokens` (SHA-256 of each value of the header), `subject`, `refused` (a status or None)."""
        return requests.get(self._control, timeout=10).json()

    def end(self):
        self.service.end()


class Guard(grpc.ServerInterceptor):
    """Lets a call pass whose token verifies, unless the test wants it refused."""

    def __init__(self, verifier, header: str):
        self._verifier, self._header = verifier, header
        self._refusals: list[grpc.StatusCode] = []
        self._revoked: set[str] = set()
        self._lock = threading.Lock()
        self.calls: list[dict] = []

    def hear(self, code="UNKNOWN", count=0, revoked: str | None = None):
        with self._lock:
            self._refusals = [grpc.StatusCode[code]] * count
            self._revoked |= {revoked} - {None}

    def intercept_service(self, continuation, details):
        if not details.method.startswith(_GUARDED):
            return continuation(details)
        metadata = details.invocation_metadata
        tokens = [value.removeprefix("Bearer ") for name, value in metadata if name == self._header]
        hashes = [hashlib.sha256(token.encode()).hexdigest() for token in tokens]
        subject = None if self._revoked.intersection(hashes) else self._subject(tokens)
        with self._lock:
            code = self._refusals.pop(0) if self._refusals else None
            if code is None and self._verifier is not None and subject is None:
                code = grpc.StatusCode.UNAUTHENTICATED
            self.calls.append({"tokens": hashes, "subject": subject, "refused": code and code.name})
        return continuation(details) if code is None else _refusal(code)

    def _subject(self, tokens: list[str]) -> str | None:
        from flyte_auth import AccessDeniedError

        if self._verifier is None or len(tokens) != 1:
            return None
        try:
            return self._verifier.verify(tokens[0]).subject
        except AccessDeniedError:
            return None


def _refusal(code: grpc.StatusCode):
    return grpc.unary_unary_rpc_method_handler(lambda _request, context: context.abort(code, "as the test wants it"))


class Metadata(auth_pb2_grpc.AuthMetadataServiceServicer):
    def __init__(self, sandbox: str):
        self._sandbox = auth_pb2_grpc.AuthMetadataServiceStub(grpc.insecure_channel(sandbox))

    def GetOAuth2Metadata(self, request, _context):
        return self._sandbox.GetOAuth2Metadata(request, timeout=10)

    def GetPublicClientConfig(self, request, _context):
        return self._sandbox.GetPublicClientConfig(request, timeout=10)


class _Projects(admin_pb2_grpc.AdminServiceServicer):
    def ListProjects(self, _request, _context):
        return project_pb2.Projects(projects=[project_pb2.Project(id="flytesnacks", name="flytesnacks")])


def control(guard: Guard) -> ThreadingHTTPServer:
    class Control(BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer(json.dumps(guard.calls).encode())

        def do_POST(self):
            guard.hear(**json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self._answer(b"{}")

        def _answer(self, body: bytes):
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Control)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _serve(settings: dict):
    verifier = metadata = None
    header = "authorization"
    if settings:
        from flyte_auth import Verifier

        verifier = Verifier(issuer=settings["issuer"], any_audience=True)
        metadata = Metadata(settings["grpc"])
        client = metadata.GetPublicClientConfig(auth_pb2.PublicClientAuthConfigRequest(), None)
        header = client.authorization_metadata_key or header
    guard = Guard(verifier, header)
    server = grpc.server(futures.ThreadPoolExecutor(16), interceptors=[guard])
    admin_pb2_grpc.add_AdminServiceServicer_to_server(_Projects(), server)
    if metadata:
        auth_pb2_grpc.add_AuthMetadataServiceServicer_to_server(metadata, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"port": port, "header": header, "control": control(guard).server_port}), flush=True)
    # Ends with whoever started it.
    sys.stdin.read()
    server.stop(grace=None).wait()


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
