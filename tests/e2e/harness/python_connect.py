"""A Connect service of all four kinds of call (connectrpc on hypercorn, plaintext) that checks its callers' tokens."""

import asyncio
import threading

from connectrpc.client import ConnectClient, ConnectClientSync
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo
from connectrpc.server import ConnectASGIApplication, Endpoint
from google.protobuf.wrappers_pb2 import StringValue
from hypercorn.asyncio import serve
from hypercorn.config import Config

from harness.issuer import Issuer
from harness.ports import closed_port
from harness.python_services import SERVICE, Admission


def _method(name: str) -> MethodInfo:
    return MethodInfo(
        name=name,
        service_name=SERVICE,
        input=StringValue,
        output=StringValue,
        idempotency_level=IdempotencyLevel.UNKNOWN,
    )


UNARY, MANY, COLLECT, CHAT = map(_method, ("Unary", "Many", "Collect", "Chat"))


class _Service:
    """What a call asks for is its (first) request: `deny`, or `then-reject`: a message, then that it is not known."""

    def __init__(self, admission: Admission):
        self._admission = admission

    async def _admit(self, ctx):
        metadata = list(ctx.request_headers().allitems())
        remaining = ctx.timeout_ms()
        remaining = None if remaining is None else remaining / 1000
        # The check may fetch keys: not on the loop that serves.
        if not await asyncio.to_thread(self._admission.admits, ctx.method().name, metadata, remaining):
            raise ConnectError(Code.UNAUTHENTICATED, "token not accepted")

    async def unary(self, request, ctx):
        await self._admit(ctx)
        if request.value == "deny":
            raise ConnectError(Code.PERMISSION_DENIED, "not yours")
        return request

    async def many(self, request, ctx):
        await self._admit(ctx)
        yield StringValue(value=f"{request.value}0")
        if request.value == "then-reject":
            raise ConnectError(Code.UNAUTHENTICATED, "expired meanwhile")
        yield StringValue(value=f"{request.value}1")

    async def collect(self, requests, ctx):
        await self._admit(ctx)
        return StringValue(value="".join([request.value async for request in requests]))

    async def chat(self, requests, ctx):
        await self._admit(ctx)
        async for request in requests:
            yield request


class _Application(ConnectASGIApplication):
    path = f"/{SERVICE}"


class ConnectEcho:
    """`page`: a status and a text that a proxy in front answers with, for as many calls as `pages` says."""

    def __init__(self, issuer: Issuer):
        self.admission = Admission(issuer)
        self.page: tuple[int, str] | None = None
        self.pages = 0
        service = _Service(self.admission)
        application = _Application(
            service=service,
            endpoints=lambda service: {
                f"/{SERVICE}/Unary": Endpoint.unary(UNARY, service.unary),
                f"/{SERVICE}/Many": Endpoint.server_stream(MANY, service.many),
                f"/{SERVICE}/Collect": Endpoint.client_stream(COLLECT, service.collect),
                f"/{SERVICE}/Chat": Endpoint.bidi_stream(CHAT, service.chat),
            },
        )

        async def route(scope, receive, send):
            if scope["type"] == "lifespan":
                return
            if self.pages:
                self.pages -= 1
                status, text = self.page
                headers = [(b"content-type", b"text/html")]
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": text.encode()})
                return
            await application(scope, receive, send)

        port = closed_port()
        config = Config()
        config.bind = [f"127.0.0.1:{port}"]
        config.accesslog = config.errorlog = None
        self.url = f"http://127.0.0.1:{port}"
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        up = threading.Event()

        async def main():
            server = asyncio.ensure_future(serve(route, config, shutdown_trigger=self._stop.wait))
            while not server.done():
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                except OSError:
                    await asyncio.sleep(0.01)
            up.set()
            await server

        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(main(),), daemon=True)
        self._thread.start()
        assert up.wait(10), "the Connect service does not listen"

    def answers(self, status: int, text: str, times: int):
        self.page, self.pages = (status, text), times

    def end(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=10)


class Client:
    """What a generated client is. Answers are strings."""

    def __init__(self, url: str, *interceptors, **options):
        self._client = ConnectClientSync(url, interceptors=interceptors, **options)

    def unary(self, value: str, **options) -> str:
        return self._client.execute_unary(request=StringValue(value=value), method=UNARY, **options).value

    def many(self, value: str, **options):
        for message in self._client.execute_server_stream(request=StringValue(value=value), method=MANY, **options):
            yield message.value

    def collect(self, *values: str, **options) -> str:
        requests = (StringValue(value=value) for value in values)
        return self._client.execute_client_stream(request=requests, method=COLLECT, **options).value

    def chat(self, *values: str, **options):
        requests = (StringValue(value=value) for value in values)
        for message in self._client.execute_bidi_stream(request=requests, method=CHAT, **options):
            yield message.value


class AsyncClient:
    """The same, async; with the methods of `Client`, each run to its end by itself."""

    def __init__(self, url: str, *interceptors, **options):
        self._settings = (url, interceptors, options)

    def _run(self, call):
        async def main():
            url, interceptors, options = self._settings
            async with ConnectClient(url, interceptors=interceptors, **options) as client:
                return await call(client)

        return asyncio.run(asyncio.wait_for(main(), 20))

    @staticmethod
    async def _requests(values):
        for value in values:
            yield StringValue(value=value)

    def unary(self, value: str, **options) -> str:
        request = StringValue(value=value)
        return self._run(lambda client: client.execute_unary(request=request, method=UNARY, **options)).value

    def many(self, value: str, **options):
        return self._stream("execute_server_stream", lambda: StringValue(value=value), MANY, options)

    def collect(self, *values: str, **options) -> str:
        async def call(client):
            return await client.execute_client_stream(request=self._requests(values), method=COLLECT, **options)

        return self._run(call).value

    def chat(self, *values: str, **options):
        return self._stream("execute_bidi_stream", lambda: self._requests(values), CHAT, options)

    def _stream(self, kind, request, method, options):
        messages, failure = [], []

        async def call(client):
            try:
                async for message in getattr(client, kind)(request=request(), method=method, **options):
                    messages.append(message.value)
            except Exception as error:
                failure.append(error)

        self._run(call)
        yield from messages
        if failure:
            raise failure[0]
