"""What an interceptor costs a unary gRPC call.

    grpc_interceptor.py ENDPOINT CLIENT_ID CLIENT_SECRET [--quick]

CPU time of 20,000 calls on a stub continuation, the best of the rounds, beyond an interceptor that does nothing; then
wall time against a real server, call by call in turn. The subjects take turns, so that none has the quiet minute.
Prints JSON lines: {"case", "subject", "value", "unit"}.
"""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

CALLS = 20_000


class Reply(grpc.Call, grpc.Future):
    """A blocking call's outcome, as grpc hands it to an interceptor."""

    def _nothing(self, *_arguments):
        return None

    initial_metadata = trailing_metadata = details = time_remaining = add_callback = _nothing
    traceback = exception = add_done_callback = _nothing
    cancel = cancelled = running = is_active = lambda self: False

    def code(self):
        return grpc.StatusCode.OK

    def done(self):
        return True

    def result(self, timeout=None):
        return b"response"


class Empty(grpc.UnaryUnaryClientInterceptor):
    def intercept_unary_unary(self, continuation, client_call_details, request):
        return continuation(client_call_details, request)


def details():
    from grpc._interceptor import _ClientCallDetails

    return _ClientCallDetails("/flyteidl.service.AdminService/ListProjects", None, None, None, None, None)


def calls(interceptor) -> float:
    """Microseconds of CPU for one call."""
    reply, call, continued = Reply(), details(), interceptor.intercept_unary_unary

    def continuation(_details, _request):
        return reply

    started = time.process_time()
    for _ in range(CALLS):
        continued(continuation, call, b"request")
    return (time.process_time() - started) / CALLS * 1e6


def async_calls(interceptor) -> float:
    from connectrpc.request import Headers, RequestContext

    async def call_next(_request, _ctx):
        return b"response"

    async def run() -> float:
        ctx = RequestContext(method=None, http_method="POST", request_headers=Headers())
        started = time.process_time()
        for _ in range(CALLS):
            await interceptor.intercept_unary(call_next, b"request", ctx)
        return (time.process_time() - started) / CALLS * 1e6

    return asyncio.run(run())


class EmptyConnect:
    async def intercept_unary(self, call_next, request, ctx):
        return await call_next(request, ctx)


@contextlib.contextmanager
def server():
    """A gRPC server of its own process that answers every unary call with its request; its address."""
    argv = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def serve():
    class Echo(grpc.GenericRpcHandler):
        def service(self, _details):
            return grpc.unary_unary_rpc_method_handler(lambda request, _context: request)

    echo = grpc.server(ThreadPoolExecutor(2), handlers=[Echo()])
    port = echo.add_insecure_port("127.0.0.1:0")
    echo.start()
    print(f"127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    echo.stop(None)


def wall(stubs: dict, count: int) -> dict[str, float]:
    """Microseconds of one call of each, the median of `count`. Call by call they take turns, each first as often as
    last: the machine's moods are longer than a call.
    """
    taken: dict[str, list[float]] = {name: [] for name in stubs}
    order = list(stubs.items())
    for _ in range(count):
        order.append(order.pop(0))
        for name, stub in order:
            started = time.perf_counter()
            stub(b"request")
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(calls) * 1e6 for name, calls in taken.items()}


def flytekit(token: str):
    from flytekit.clients.auth.authenticator import Authenticator
    from flytekit.clients.auth.keyring import Credentials
    from flytekit.clients.grpc_utils.auth_interceptor import AuthUnaryInterceptor

    class Known(Authenticator):
        def refresh_credentials(self):
            raise AssertionError("nothing to refresh")

    authenticator = Known("localhost", "authorization", credentials=Credentials(access_token=token))
    return AuthUnaryInterceptor(lambda: authenticator)


def flyte(token: str):
    from flyte.remote._client.auth._authenticators.base import AuthHeaders
    from flyte.remote._client.auth._interceptors.auth import AuthUnaryInterceptor

    class Known:
        async def get_auth_headers(self):
            return AuthHeaders(creds_id="1", headers={"authorization": f"Bearer {token}"})

    authenticator = Known()
    return AuthUnaryInterceptor(lambda: authenticator)


def row(case: str, subject: str, value: float, unit: str):
    print(json.dumps({"case": case, "subject": subject, "value": round(value, 3), "unit": unit}))


def main():
    import flyte_auth
    import flyte_auth.connect
    import flyte_auth.grpc

    endpoint, client_id, secret = sys.argv[1:4]
    rounds = 5 if "--quick" in sys.argv else 9
    session = flyte_auth.Session.for_endpoint(endpoint, client_id=client_id, client_secret=secret, store="memory")
    token = session.token().value
    subjects = {
        "empty": (calls, Empty()),
        "flyte-auth": (calls, flyte_auth.grpc.AuthInterceptor(session)),
        "flytekit": (calls, flytekit(token)),
        "empty (connect)": (async_calls, EmptyConnect()),
        "flyte-auth (connect)": (async_calls, flyte_auth.connect.AuthInterceptor(session)),
        "flyte": (async_calls, flyte(token)),
    }
    measured: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, (measure, interceptor) in subjects.items():
            measured[name].append(measure(interceptor))
    best = {name: min(all_of_it) for name, all_of_it in measured.items()}
    for name in subjects:
        if not name.startswith("empty"):
            empty = best["empty (connect)" if subjects[name][0] is async_calls else "empty"]
            row("unary gRPC call, beyond an empty interceptor", name, best[name] - empty, "us CPU")
    with server() as address, grpc.insecure_channel(address) as channel:
        stubs = {
            name: grpc.intercept_channel(channel, interceptor).unary_unary("/bench.Echo/Say")
            for name, (measure, interceptor) in subjects.items()
            if measure is calls
        }
        wall(stubs, 200)
        walls = wall(stubs, 1_000 * rounds)
        beyond = {name: taken - walls["empty"] for name, taken in walls.items() if name != "empty"}
        # The limit is the peer's own figure of this run.
        for name, value in [*beyond.items(), ("limit", beyond["flytekit"])]:
            row("unary gRPC call to a real server, beyond an empty interceptor", name, value, "us")


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
