"""A small real Flyte 2 control plane: flyteidl2's own Connect services over TLS, tokens checked at their issuer.

flyte turns its authentication off without TLS, so this one has a certificate of a private authority.
"""

import asyncio
import socket
import ssl
import threading
from pathlib import Path

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.auth import auth_service_connect, auth_service_pb2, identity_connect, identity_pb2
from flyteidl2.project import project_service_connect, project_service_pb2
from hypercorn.asyncio import serve
from hypercorn.config import Config

from harness.certificates import Leaf
from harness.gate import Gate
from harness.issuer import Issuer


class _RefuseWithoutToken:
    def __init__(self, gate: Gate):
        self._gate = gate

    async def intercept_unary(self, call_next, request, context):
        method = f"/{context.method().service_name}/{context.method().name}"
        value = context.request_headers().get(self._gate.header)
        # The check may fetch keys: not on the loop that serves.
        subject = await asyncio.to_thread(self._gate.subject, method, value)
        if not subject:
            raise ConnectError(Code.UNAUTHENTICATED, "no valid token")
        return await call_next(request, context)


class _Metadata(auth_service_connect.AuthMetadataService):
    def __init__(self, issuer: Issuer, header: str, client: dict):
        self._issuer, self._header, self._client = issuer, header, client

    async def get_o_auth2_metadata(self, request, ctx):
        answer = auth_service_pb2.GetOAuth2MetadataResponse
        metadata = await asyncio.to_thread(lambda: self._issuer.metadata)
        return answer(**{k: v for k, v in metadata.items() if k in answer.DESCRIPTOR.fields_by_name})

    async def get_public_client_config(self, request, ctx):
        return auth_service_pb2.GetPublicClientConfigResponse(authorization_metadata_key=self._header, **self._client)


class _Identity(identity_connect.IdentityService):
    def __init__(self, gate: Gate):
        self._gate = gate

    async def user_info(self, request, ctx):
        return identity_pb2.UserInfoResponse(subject=self._gate.calls[-1].subject)


class _Projects(project_service_connect.ProjectService):
    async def list_projects(self, request, ctx):
        answer = project_service_pb2.ListProjectsResponse()
        answer.projects.projects.add(id="flytesnacks", name="flytesnacks")
        return answer


class Flyte2:
    """Listens on a free loopback port with TLS; `endpoint` is its Flyte name.

    With `client_authority` it asks every client for a certificate of that authority.
    """

    def __init__(
        self,
        issuer: Issuer,
        leaf: Leaf,
        header="authorization",
        client_id="flytectl",
        scopes=("openid", "all", "offline"),
        client_authority: Path | None = None,
    ):
        self.gate = Gate(issuer, header)
        public = {"client_id": client_id, "redirect_uri": "http://localhost:53593/callback", "scopes": list(scopes)}
        guarded = {"interceptors": [_RefuseWithoutToken(self.gate)]}
        applications = [
            auth_service_connect.AuthMetadataServiceASGIApplication(_Metadata(issuer, header, public)),
            identity_connect.IdentityServiceASGIApplication(_Identity(self.gate), **guarded),
            project_service_connect.ProjectServiceASGIApplication(_Projects(), **guarded),
        ]
        by_path = {application.path: application for application in applications}

        async def route(scope, receive, send):
            if scope["type"] == "lifespan":
                return
            application = next((by_path[path] for path in by_path if scope["path"].startswith(path)), None)
            if application:
                await application(scope, receive, send)
            else:
                await send({"type": "http.response.start", "status": 404, "headers": []})
                await send({"type": "http.response.body", "body": b""})

        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        config = Config()
        config.bind = [f"127.0.0.1:{self.port}"]
        config.certfile, config.keyfile = str(leaf.certificate), str(leaf.key)
        if client_authority:
            config.ca_certs, config.verify_mode = str(client_authority), ssl.CERT_REQUIRED
        config.accesslog = None
        config.errorlog = None
        self.host = f"localhost:{self.port}"
        self.endpoint = f"dns:///{self.host}"
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, args=(route, config), daemon=True)
        self._thread.start()
        self._wait_until_it_listens()

    def _serve(self, route, config):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(serve(route, config, shutdown_trigger=self._stop.wait))

    def _wait_until_it_listens(self):
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            self._thread.join(timeout=0.05)
        raise AssertionError("the Flyte 2 peer does not listen")

    def end(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=5)
