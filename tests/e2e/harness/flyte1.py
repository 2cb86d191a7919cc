"""A small real Flyte 1 control plane: flyteidl's own services on grpcio, tokens checked at their issuer."""

import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from flyteidl.admin import execution_pb2, project_pb2, task_pb2, version_pb2
from flyteidl.core import compiler_pb2, identifier_pb2
from flyteidl.service import (
    admin_pb2_grpc,
    auth_pb2,
    auth_pb2_grpc,
    dataproxy_pb2,
    dataproxy_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
    signal_pb2_grpc,
)

from harness.gate import Gate
from harness.issuer import Issuer

# flyteadmin's default (flyteadmin/auth/config/config.go).
HEADER = "flyte-authorization"
_ANONYMOUS = "/flyteidl.service.AuthMetadataService/"


class _RefuseWithoutToken(grpc.ServerInterceptor):
    def __init__(self, gate: Gate):
        self._gate = gate

        def refuse(_request, context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "token parse error")

        self._refusal = grpc.unary_unary_rpc_method_handler(refuse)

    def intercept_service(self, continuation, details):
        if details.method.startswith(_ANONYMOUS):
            return continuation(details)
        metadata = dict(details.invocation_metadata)
        subject = self._gate.subject(details.method, metadata.get(self._gate.header))
        return continuation(details) if subject else self._refusal


class _Metadata(auth_pb2_grpc.AuthMetadataServiceServicer):
    """flyteadmin's external mode: hands the issuer's own metadata on."""

    def __init__(self, issuer: Issuer, header: str, client: dict):
        self._issuer, self._header, self._client = issuer, header, client

    def GetOAuth2Metadata(self, _request, _context):
        fields = auth_pb2.OAuth2MetadataResponse.DESCRIPTOR.fields_by_name
        return auth_pb2.OAuth2MetadataResponse(**{k: v for k, v in self._issuer.metadata.items() if k in fields})

    def GetPublicClientConfig(self, _request, _context):
        return auth_pb2.PublicClientAuthConfigResponse(authorization_metadata_key=self._header, **self._client)


class _Identity(identity_pb2_grpc.IdentityServiceServicer):
    def __init__(self, gate: Gate):
        self._gate = gate

    def UserInfo(self, _request, _context):
        return identity_pb2.UserInfoResponse(subject=self._gate.calls[-1].subject)


class _Admin(admin_pb2_grpc.AdminServiceServicer):
    """What `pyflyte run --remote` and listing projects need; the rest is UNIMPLEMENTED."""

    def __init__(self):
        self.executions = 0
        self.templates = {}

    def GetVersion(self, _request, _context):
        return version_pb2.GetVersionResponse(control_plane_version=version_pb2.Version(Version="v1.16.8"))

    def ListProjects(self, _request, _context):
        return project_pb2.Projects(projects=[project_pb2.Project(id="flytesnacks", name="flytesnacks")])

    def CreateTask(self, request, _context):
        self.templates[request.id.name] = request.spec.template
        return task_pb2.TaskCreateResponse()

    def GetTask(self, request, context):
        if request.id.name not in self.templates:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such task")
        compiled = compiler_pb2.CompiledTask(template=self.templates[request.id.name])
        return task_pb2.Task(id=request.id, closure=task_pb2.TaskClosure(compiled_task=compiled))

    def CreateExecution(self, request, _context):
        self.executions += 1
        name = identifier_pb2.WorkflowExecutionIdentifier(project=request.project, domain=request.domain, name="e1")
        return execution_pb2.ExecutionCreateResponse(id=name)

    def GetExecution(self, request, _context):
        return execution_pb2.Execution(id=request.id)


class _Bucket(BaseHTTPRequestHandler):
    """The object store behind a signed URL: takes everything and keeps nothing."""

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        pass


class _DataProxy(dataproxy_pb2_grpc.DataProxyServiceServicer):
    def __init__(self, bucket: str):
        self._bucket = bucket

    def CreateUploadLocation(self, request, _context):
        url = f"{self._bucket}/{request.filename}"
        return dataproxy_pb2.CreateUploadLocationResponse(signed_url=url, native_url=f"s3://bucket/{request.filename}")


class Flyte1:
    """Listens on a free loopback port, plaintext; `endpoint` is its Flyte name."""

    def __init__(
        self, issuer: Issuer, header=HEADER, client_id="flytectl", scopes=("openid", "all", "offline"), **client
    ):
        self.gate = Gate(issuer, header)
        public = {
            "client_id": client_id,
            "redirect_uri": "http://localhost:53593/callback",
            "scopes": list(scopes),
            **client,
        }
        self._server = grpc.server(futures.ThreadPoolExecutor(8), interceptors=[_RefuseWithoutToken(self.gate)])
        self.admin = _Admin()
        admin_pb2_grpc.add_AdminServiceServicer_to_server(self.admin, self._server)
        auth_pb2_grpc.add_AuthMetadataServiceServicer_to_server(_Metadata(issuer, header, public), self._server)
        identity_pb2_grpc.add_IdentityServiceServicer_to_server(_Identity(self.gate), self._server)
        self._bucket = ThreadingHTTPServer(("127.0.0.1", 0), _Bucket)
        threading.Thread(target=self._bucket.serve_forever, daemon=True).start()
        proxy = _DataProxy(f"http://127.0.0.1:{self._bucket.server_port}")
        dataproxy_pb2_grpc.add_DataProxyServiceServicer_to_server(proxy, self._server)
        signal_pb2_grpc.add_SignalServiceServicer_to_server(signal_pb2_grpc.SignalServiceServicer(), self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.host = f"localhost:{self.port}"
        self.endpoint = f"dns:///{self.host}"

    def end(self):
        self._server.stop(grace=None).wait()
        self._bucket.shutdown()
        self._bucket.server_close()
