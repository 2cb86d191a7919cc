"""Small services for what the Python package plugs into: each checks its callers' tokens and keeps what it was sent."""

import threading
import time
from concurrent import futures
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import grpc

from harness import witness
from harness.issuer import Issuer
from harness.peers import Sandbox

CLIENT = "ci"
SECRET = "s3cret-of-the-machine"
SERVICE = "test.Echo"


def machines_sandbox(start, *flags) -> Sandbox:
    """A sandbox that knows one machine."""
    witness.current.knows(SECRET, kind="client_secret")
    return start(Sandbox, "--client", f"id={CLIENT},secret={SECRET}", *flags)


def machine_session(endpoint: str, **options):
    """A session of that machine, in memory."""
    import flyte_auth

    machine = {"client_id": CLIENT, "client_secret": SECRET, "store": "memory"}
    return flyte_auth.Session.for_endpoint(endpoint, **{**machine, **options})


def digest(value: str) -> str:
    """A name for a token that may be shown."""
    return sha256(value.encode()).hexdigest()[:12]


@dataclass
class Arrived:
    """One call: its tokens' digests (each value of the header), and the seconds that it had left."""

    method: str
    tokens: list[str]
    remaining: float | None
    metadata: dict[str, str]


@dataclass
class Admission:
    """Takes tokens that the issuer signed and no test refused, after `delay` seconds."""

    issuer: Issuer
    header: str = "authorization"
    refused: set[str] = field(default_factory=set)
    refuses_all: bool = False
    delay: float = 0.0
    arrived: list[Arrived] = field(default_factory=list)
    hangs: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    _taken: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refuse(self, *tokens):
        self.refused.update(digest(token.value) for token in tokens)

    def admits(self, method: str, metadata: list[tuple[str, str]], remaining: float | None) -> bool:
        values = [value for name, value in metadata if name == self.header]
        tokens = [value.removeprefix("Bearer ") for value in values]
        names = [digest(token) for token in tokens]
        others = {name: value for name, value in metadata if name != self.header}
        with self._lock:
            self.arrived.append(Arrived(method, names, remaining, others))
        time.sleep(self.delay)
        if self.refuses_all or len(names) != 1 or names[0] in self.refused:
            return False
        if names[0] not in self._taken and self.issuer.accepts(tokens[0]):
            self._taken.add(names[0])
        return names[0] in self._taken

    @property
    def tokens(self) -> list[list[str]]:
        """Of each call, in order."""
        return [call.tokens for call in self.arrived]


class Echo:
    """A gRPC service of all four kinds of call, on bytes. What a call asks for is its (first) request:

    `deny`, `unavailable`: that status. `hang`: nothing until it is cancelled. `then-hang`, `then-reject`: a message,
    then nothing or status 16.
    """

    def __init__(self, issuer: Issuer, header="authorization", leaf=None):
        self.admission = Admission(issuer, header)
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "Many": grpc.unary_stream_rpc_method_handler(self._many),
            "Collect": grpc.stream_unary_rpc_method_handler(self._collect),
            "Chat": grpc.stream_stream_rpc_method_handler(self._chat),
        }
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        if leaf is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            pair = (Path(leaf.key).read_bytes(), Path(leaf.certificate).read_bytes())
            self.port = self._server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        self.target = f"{'127.0.0.1' if leaf is None else 'localhost'}:{self.port}"
        self._server.start()

    def _admit(self, method: str, context):
        remaining = context.time_remaining()
        # gRPC's own word for "no deadline" is a very long one.
        remaining = None if remaining is None or remaining > 1e6 else remaining
        metadata = [(name, value) for name, value in context.invocation_metadata() if isinstance(value, str)]
        if not self.admission.admits(method, metadata, remaining):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "token not accepted")
        context.send_initial_metadata((("served", method.lower()),))
        context.set_trailing_metadata((("calls", str(len(self.admission.arrived))),))

    def _obey(self, request: bytes, context):
        if request == b"deny":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not yours")
        if request == b"unavailable":
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if request == b"hang":
            self._watch(context)
            self.admission.cancelled.wait(30)

    def _watch(self, context):
        if not context.add_callback(self.admission.cancelled.set):
            self.admission.cancelled.set()
        self.admission.hangs.set()

    def _unary(self, request, context):
        self._admit("Unary", context)
        self._obey(request, context)
        return request

    def _many(self, request, context):
        self._admit("Many", context)
        if request == b"then-hang":
            # gRPC does not come back here once the call is cancelled.
            self._watch(context)
        if request in (b"then-reject", b"then-hang"):
            yield b"first"
        if request == b"then-reject":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "expired meanwhile")
        self._obey(b"hang" if request == b"then-hang" else request, context)
        for number in range(3):
            yield request + str(number).encode()

    def _collect(self, requests, context):
        self._admit("Collect", context)
        return b"".join(requests)

    def _chat(self, requests, context):
        self._admit("Chat", context)
        yield from requests

    def end(self):
        self.admission.cancelled.set()
        self._server.stop(grace=None).wait(10)


class Methods:
    """What a generated stub is, of a channel of `grpc` or `grpc.aio`."""

    def __init__(self, channel):
        self.unary = channel.unary_unary(f"/{SERVICE}/Unary")
        self.many = channel.unary_stream(f"/{SERVICE}/Many")
        self.collect = channel.stream_unary(f"/{SERVICE}/Collect")
        self.chat = channel.stream_stream(f"/{SERVICE}/Chat")
