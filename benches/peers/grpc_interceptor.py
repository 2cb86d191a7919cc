"""What an interceptor costs a unary gRPC call: 20,000 calls on a stub continuation, CPU time of this process.

Prints one JSON line per subject: `cpu_us` is the best of the rounds, `over_empty_us` what is more than an interceptor
that does nothing. The subjects take turns, so that none has the quiet minute.
"""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import grpc

CALLS, ROUNDS = 20_000, 9
REPOSITORY = Path(__file__).resolve().parents[2]


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
def sandbox():
    command = [
        REPOSITORY / "target/debug/flyte-auth",
        "sandbox",
        "--exit-with-stdin",
        "--client",
        "id=bench,secret=of-the-bench",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield json.loads(process.stdout.readline())["http"]
        finally:
            process.stdin.close()


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


def main():
    import flyte_auth
    import flyte_auth.connect
    import flyte_auth.grpc

    with sandbox() as endpoint:
        session = flyte_auth.Session.for_endpoint(
            endpoint, client_id="bench", client_secret="of-the-bench", store="memory"
        )
        token = session.token().value
        subjects = {
            "empty": (calls, Empty()),
            "flyte-auth": (calls, flyte_auth.grpc.AuthInterceptor(session)),
            "flytekit": (calls, flytekit(token)),
            "empty (connect)": (async_calls, EmptyConnect()),
            "flyte-auth (connect)": (async_calls, flyte_auth.connect.AuthInterceptor(session)),
            "flyte": (async_calls, flyte(token)),
        }
        if len(sys.argv) > 1:
            subjects = {name: subjects[name] for name in sys.argv[1:]}
        measured: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(ROUNDS):
            for name, (measure, interceptor) in subjects.items():
                measured[name].append(measure(interceptor))
        best = {name: min(all_of_it) for name, all_of_it in measured.items()}
        for name, all_of_it in measured.items():
            empty = best.get("empty (connect)" if subjects[name][0] is async_calls else "empty", 0.0)
            line = {
                "cpu_us": best[name],
                "over_empty_us": best[name] - empty,
                "median_us": statistics.median(all_of_it),
            }
            print(json.dumps({"subject": name, **{key: round(value, 3) for key, value in line.items()}}))


main()
