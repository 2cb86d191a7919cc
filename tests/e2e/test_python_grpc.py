"""gRPC clients with a session's token against real servers that check it: `grpc`, `grpc.aio`, call credentials."""

import asyncio
import contextlib
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import flyte_auth
import flyte_auth.grpc
import grpc
import pytest
from flyteidl.admin import project_pb2
from flyteidl.service import admin_pb2_grpc
from harness.flyte1 import HEADER, Flyte1
from harness.python_services import CLIENT, SECRET, Echo, Methods, digest, machine_session, machines_sandbox

CREDENTIALS = (CLIENT, SECRET)
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
# No wait of a test is longer.
LONG = 20.0


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """Sessions of this process see no configuration of the machine's."""
    for name, folder in (("HOME", "home"), ("FLYTE_AUTH_HOME", "state"), ("XDG_CONFIG_HOME", "config")):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.setenv(name, str(tmp_path / folder))


@pytest.fixture
def issuer(start):
    return machines_sandbox(start)


@pytest.fixture
def echo(start, issuer):
    return start(Echo, issuer)


@pytest.fixture
def admission(echo):
    return echo.admission


@pytest.fixture
def session(issuer):
    return machine_session(issuer.http)


@pytest.fixture
def methods(session, echo):
    with flyte_auth.grpc.channel(session, echo.target) as channel:
        yield Methods(channel)


@contextlib.asynccontextmanager
async def aio_methods(session, echo, **options):
    async with flyte_auth.grpc.aio_channel(session, echo.target, **options) as channel:
        yield Methods(channel)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, LONG))


def all_kinds(methods: Methods) -> list:
    return [
        methods.unary(b"a", timeout=LONG),
        b" ".join(methods.many(b"m", timeout=LONG)),
        methods.collect(iter([b"b", b"c"]), timeout=LONG),
        b" ".join(methods.chat(iter([b"d", b"e"]), timeout=LONG)),
    ]


async def all_kinds_aio(methods: Methods) -> list:
    async def requests(*values):
        for value in values:
            yield value

    return [
        await methods.unary(b"a", timeout=LONG),
        b" ".join([message async for message in methods.many(b"m", timeout=LONG)]),
        await methods.collect(requests(b"b", b"c"), timeout=LONG),
        b" ".join([message async for message in methods.chat(requests(b"d", b"e"), timeout=LONG)]),
    ]


ANSWERS = [b"a", b"m0 m1 m2", b"bc", b"d e"]


def rejected(session, admission, issuer) -> flyte_auth.Token:
    """A token in the session's memory that the server does not take; the counters begin here."""
    token = session.token()
    admission.refuse(token)
    admission.arrived.clear()
    admission.granted = issuer.requests_to("/oauth2/token")
    return token


def granted(admission, issuer) -> int:
    return issuer.requests_to("/oauth2/token") - admission.granted


class Remembers(grpc.UnaryUnaryClientInterceptor, grpc.StreamUnaryClientInterceptor):
    """Keeps the details of each attempt; refuses the first `refusals` before anything is sent."""

    def __init__(self, refusals=0):
        self.details = []
        self.refusals = refusals

    def intercept_unary_unary(self, continuation, client_call_details, request):
        self.details.append(client_call_details)
        if len(self.details) <= self.refusals:
            return Refused()
        return continuation(client_call_details, request)

    intercept_stream_unary = intercept_unary_unary


class Refused(grpc.RpcError, grpc.Call, grpc.Future):
    """A call that a proxy in this process has refused."""

    def code(self):
        return UNAUTHENTICATED

    def exception(self, timeout=None):
        return self

    def result(self, timeout=None):
        raise self

    def done(self):
        return True

    def _nothing(self, *_arguments, **_options):
        return None

    cancel = cancelled = running = is_active = _nothing
    details = initial_metadata = trailing_metadata = time_remaining = traceback = _nothing
    add_callback = add_done_callback = _nothing


# ---------------------------------------------------------------------------------------------------------- the header


def test_all_four_kinds_carry_the_token(methods, session, admission):
    assert all_kinds(methods) == ANSWERS
    assert admission.tokens == [[digest(session.token().value)]] * 4


def test_all_four_kinds_of_aio_carry_the_token(session, echo, admission):
    async def main():
        async with aio_methods(session, echo) as methods:
            return await all_kinds_aio(methods)

    assert run(main()) == ANSWERS
    assert admission.tokens == [[digest(session.token().value)]] * 4


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_header_of_the_callers_is_replaced(methods, session, admission, kind):
    theirs = kind([("authorization", "Basic YTpi"), ("x-mine", "1"), ("authorization", "Bearer old")])
    methods.unary(b"a", metadata=theirs)
    list(methods.many(b"m", metadata=theirs))
    methods.collect(iter([b"b"]), metadata=theirs)
    list(methods.chat(iter([b"d"]), metadata=theirs))
    assert admission.tokens == [[digest(session.token().value)]] * 4
    assert all(call.metadata["x-mine"] == "1" for call in admission.arrived)
    assert len(theirs) == 3, "the caller's own metadata was changed"


def test_it_is_replaced_however_it_is_written(methods, session, admission):
    # gRPC takes no capitals: the call passes because the header is gone.
    methods.unary(b"a", metadata=(("Authorization", "Bearer old"),))
    assert admission.tokens == [[digest(session.token().value)]]


@pytest.mark.parametrize("kind", [list, tuple, lambda items: grpc.aio.Metadata(*items)])
def test_a_header_of_the_callers_is_replaced_in_aio(session, echo, admission, kind):
    theirs = kind([("authorization", "Basic YTpi"), ("x-mine", "1"), ("Authorization", "Bearer old")])

    async def main():
        async with aio_methods(session, echo) as methods:
            await methods.unary(b"a", metadata=theirs)
            assert [m async for m in methods.many(b"m", metadata=theirs)]
            await methods.collect(iter([b"b"]), metadata=theirs)
            assert [m async for m in methods.chat(iter([b"d"]), metadata=theirs)]

    run(main())
    assert admission.tokens == [[digest(session.token().value)]] * 4
    assert all(call.metadata["x-mine"] == "1" for call in admission.arrived)


def test_the_header_is_the_servers(start, issuer):
    """Flyte 1's own name for it, learnt from its own service."""
    flyte = start(Flyte1, issuer)
    session = machine_session(flyte.endpoint, insecure=True)
    assert session.token().header_name == HEADER
    with flyte_auth.grpc.channel(session) as channel:
        projects = admin_pb2_grpc.AdminServiceStub(channel).ListProjects(project_pb2.ProjectListRequest(), timeout=LONG)
    assert [project.id for project in projects.projects] == ["flytesnacks"]
    assert flyte.gate.served[-1].method.endswith("/ListProjects")


def test_no_token_in_what_libraries_show(session, echo):
    """Interceptors log what they see, and gRPC what it cannot send."""
    seen = Remembers()
    channel = grpc.intercept_channel(grpc.insecure_channel(echo.target), flyte_auth.grpc.AuthInterceptor(session), seen)
    with channel, pytest.raises(grpc.RpcError) as raised:
        Methods(channel).unary(b"a", metadata=(("Not Valid", "1"),), timeout=LONG)
    secret = session.token().value
    assert secret not in str(raised.value)
    assert secret not in f"{seen.details[0]} {seen.details[0].metadata} {seen.details[0]!r}"


# --------------------------------------------------------------------------------------------------- after a rejection


def test_a_rejected_unary_call_is_sent_again_once(methods, session, admission, issuer):
    old = rejected(session, admission, issuer)
    response, call = methods.unary.with_call(b"a", timeout=LONG)
    assert response == b"a"
    assert admission.tokens == [[digest(old.value)], [digest(session.token().value)]]
    assert granted(admission, issuer) == 1
    assert (call.code(), dict(call.initial_metadata())) == (grpc.StatusCode.OK, {"served": "unary"})
    assert dict(call.trailing_metadata()) == {"calls": "2"}


def test_a_rejected_stream_of_responses_is_asked_for_again_once(methods, session, admission, issuer):
    old = rejected(session, admission, issuer)
    call = methods.many(b"m", timeout=LONG)
    assert b" ".join(call) == b"m0 m1 m2"
    assert admission.tokens == [[digest(old.value)], [digest(session.token().value)]]
    assert granted(admission, issuer) == 1
    assert (call.code(), call.details(), dict(call.trailing_metadata())) == (grpc.StatusCode.OK, "", {"calls": "2"})
    assert not call.is_active() and call.done() and not call.cancelled()


def test_a_stream_that_nobody_reads_is_followed_too(methods, session, admission, issuer):
    """Its end is told, and its code asked for, before any message is."""
    rejected(session, admission, issuer)
    ended = threading.Event()
    call = methods.many(b"deny", timeout=LONG)
    assert call.add_callback(ended.set)
    assert call.code() is grpc.StatusCode.PERMISSION_DENIED
    assert ended.wait(LONG)
    assert len(admission.arrived) == 2
    with pytest.raises(grpc.RpcError) as raised:
        next(call)
    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("method, requests", [("collect", [b"b", b"c"]), ("chat", [b"d"])])
def test_requests_that_were_pulled_are_not_sent_again(methods, session, admission, issuer, method, requests):
    old = rejected(session, admission, issuer)
    pulled = []

    def pull():
        for request in requests:
            pulled.append(request)
            yield request

    def call():
        answer = getattr(methods, method)(pull(), timeout=LONG)
        return answer if isinstance(answer, bytes) else b"".join(answer)

    with pytest.raises(grpc.RpcError) as raised:
        call()
    assert raised.value.code() is UNAUTHENTICATED
    assert admission.tokens == [[digest(old.value)]]
    # The token is gone all the same: the caller's own second call passes.
    assert call() == b"".join(requests)
    assert granted(admission, issuer) == 1
    assert pulled.count(requests[0]) == 2


def test_requests_that_nobody_pulled_are_sent(session, echo, admission, issuer):
    refuses = Remembers(refusals=1)
    channel = grpc.intercept_channel(
        grpc.insecure_channel(echo.target), flyte_auth.grpc.AuthInterceptor(session), refuses
    )
    session.token()
    before = issuer.requests_to("/oauth2/token")
    with channel:
        assert Methods(channel).collect(iter([b"b", b"c"]), timeout=LONG) == b"bc"
    assert len(refuses.details) == 2
    assert len(admission.arrived) == 1
    assert issuer.requests_to("/oauth2/token") - before == 1


def test_a_second_rejection_is_the_answer(methods, session, admission, issuer):
    rejected(session, admission, issuer)
    admission.refuses_all = True
    with pytest.raises(grpc.RpcError) as raised:
        methods.unary(b"a", timeout=LONG)
    assert raised.value.code() is UNAUTHENTICATED
    assert raised.value.details() == "token not accepted"
    assert (len(admission.arrived), granted(admission, issuer)) == (2, 1)


@pytest.mark.parametrize("kind", ["future", "many", "aio unary", "aio many"])
def test_a_second_rejection_of_the_other_kinds_is_the_answer(methods, session, echo, admission, issuer, kind):
    rejected(session, admission, issuer)
    admission.refuses_all = True

    async def of_aio():
        async with aio_methods(session, echo) as methods:
            call = getattr(methods, kind.removeprefix("aio "))(b"a", timeout=LONG)
            await call if kind == "aio unary" else [m async for m in call]

    calls = {
        "future": lambda: methods.unary.future(b"a", timeout=LONG).result(LONG),
        "many": lambda: list(methods.many(b"m", timeout=LONG)),
    }
    with pytest.raises(grpc.RpcError) as raised:
        calls.get(kind, lambda: run(of_aio()))()
    assert raised.value.code() is UNAUTHENTICATED
    assert (len(admission.arrived), granted(admission, issuer)) == (2, 1)


CALLS = {
    "unary": lambda methods: lambda: methods.unary(b"a", timeout=LONG),
    "future": lambda methods: lambda: methods.unary.future(b"a", timeout=LONG).result(LONG),
    "many": lambda methods: lambda: list(methods.many(b"m", timeout=LONG)),
}


@pytest.mark.parametrize("kind", CALLS)
def test_the_same_token_is_not_sent_twice(tmp_path, issuer, echo, admission, kind):
    """A command that prints one token for ever."""
    token = tmp_path / "token"
    token.write_text(issuer.client_credentials(*CREDENTIALS))
    config = tmp_path / "config.yaml"
    command = f'["cat", "{token}"]'
    config.write_text(f"admin:\n  endpoint: {issuer.http}\n  authType: ExternalCommand\n  command: {command}\n")
    session = flyte_auth.Session.from_config(config, store="memory")
    admission.refuses_all = True
    with flyte_auth.grpc.channel(session, echo.target) as channel:
        call = CALLS[kind](Methods(channel))
        with pytest.raises(grpc.RpcError) as raised:
            call()
    assert raised.value.code() is UNAUTHENTICATED
    assert len(admission.arrived) == 1


@pytest.mark.parametrize("asked, status", [(b"deny", "PERMISSION_DENIED"), (b"unavailable", "UNAVAILABLE")])
def test_other_statuses_pass(methods, session, echo, admission, issuer, asked, status):
    token, before = session.token(), issuer.requests_to("/oauth2/token")
    with pytest.raises(grpc.RpcError) as raised:
        methods.unary(asked, timeout=LONG)
    assert raised.value.code() is grpc.StatusCode[status]
    with pytest.raises(grpc.RpcError) as raised:
        list(methods.many(asked, timeout=LONG))
    assert raised.value.code() is grpc.StatusCode[status]

    async def main():
        async with aio_methods(session, echo) as methods:
            for call in (methods.unary(asked, timeout=LONG), methods.many(asked, timeout=LONG)):
                assert await call.code() is grpc.StatusCode[status]

    run(main())
    assert len(admission.arrived) == 4
    assert session.token() == token
    assert issuer.requests_to("/oauth2/token") == before


@pytest.mark.parametrize("round", range(8))
def test_a_stream_that_was_delivered_is_not_begun_again(methods, session, admission, issuer, round):
    """Message and rejection come together: whichever is heard of first."""
    before = session.token()
    call = methods.many(b"then-reject", timeout=LONG)
    if round % 2:
        call.add_callback(lambda: None)
    if round % 4 > 1:
        # Both are there before anything is read.
        time.sleep(0.1)
    assert next(call) == b"first"
    with pytest.raises(grpc.RpcError) as raised:
        next(call)
    assert raised.value.code() is UNAUTHENTICATED
    assert call.code() is UNAUTHENTICATED
    assert len(admission.arrived) == 1
    # It was rejected, though: it is not served again.
    assert session.token() != before


def test_metadata_that_was_handed_out_is_not_contradicted(methods, session, admission):
    call = methods.many(b"then-reject", timeout=LONG)
    assert dict(call.initial_metadata()) == {"served": "many"}
    assert next(call) == b"first"
    with pytest.raises(grpc.RpcError):
        next(call)
    assert len(admission.arrived) == 1


def test_a_hundred_calls_with_a_rejected_token_refresh_once(methods, session, admission, issuer):
    rejected(session, admission, issuer)
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda number: methods.unary(str(number).encode(), timeout=LONG), range(100)))
    assert answers == [str(number).encode() for number in range(100)]
    assert granted(admission, issuer) == 1
    assert len({token for call in admission.tokens for token in call}) == 2


def test_a_hundred_futures_and_streams_refresh_once(methods, session, admission, issuer):
    rejected(session, admission, issuer)
    calls = [methods.unary.future(b"a", timeout=LONG) for _ in range(50)]
    streams = [methods.many(b"m", timeout=LONG) for _ in range(50)]
    assert {call.result(LONG) for call in calls} == {b"a"}
    assert {b" ".join(stream) for stream in streams} == {b"m0 m1 m2"}
    assert granted(admission, issuer) == 1


# ------------------------------------------------------------------------------------------------------------- futures


def test_a_future_is_followed(methods, session, admission, issuer):
    rejected(session, admission, issuer)
    told = []
    heard = threading.Event()
    future = methods.unary.future(b"a", timeout=LONG)
    future.add_done_callback(told.append)
    future.add_done_callback(lambda _: heard.set())
    assert future.result(LONG) == b"a"
    assert heard.wait(LONG)
    assert told == [future]
    assert future.exception(LONG) is None and future.traceback(LONG) is None
    assert future.done() and not future.running() and not future.cancelled() and not future.is_active()
    assert (future.code(), future.details()) == (grpc.StatusCode.OK, "")
    assert dict(future.trailing_metadata()) == {"calls": "2"}
    assert 0 < future.time_remaining() <= LONG
    late = threading.Event()
    future.add_done_callback(lambda _: late.set())
    assert late.is_set() and not future.add_callback(late.set) and not future.cancel()
    assert granted(admission, issuer) == 1


def test_a_future_that_nobody_keeps_tells_its_end(methods, session, admission, issuer):
    rejected(session, admission, issuer)
    told = []
    heard = threading.Event()
    methods.unary.future(b"a", timeout=LONG).add_done_callback(lambda call: (told.append(call.result()), heard.set()))
    gc.collect()
    assert heard.wait(LONG)
    assert told == [b"a"]


def test_a_future_does_not_wait_longer_than_it_is_asked_to(methods, admission):
    future = methods.unary.future(b"hang", timeout=LONG)
    begin = time.monotonic()
    with pytest.raises(grpc.FutureTimeoutError):
        future.result(0.2)
    with pytest.raises(grpc.FutureTimeoutError):
        future.exception(0.2)
    assert time.monotonic() - begin < 2
    assert future.running() and future.is_active()
    assert future.cancel() and future.cancelled()
    assert future.code() is grpc.StatusCode.CANCELLED
    with pytest.raises(grpc.FutureCancelledError):
        future.result(LONG)
    assert admission.cancelled.wait(LONG)


def test_a_future_is_cancelled_between_its_attempts(methods, session, admission, issuer):
    rejected(session, admission, issuer)
    issuer.fault("delay-3000", 1, path="/oauth2/token")
    heard = threading.Event()
    future = methods.unary.future(b"a", timeout=LONG)
    future.add_done_callback(lambda _: heard.set())
    _until(lambda: future._switching)
    with pytest.raises(grpc.FutureTimeoutError):
        future.result(0.2)
    begin = time.monotonic()
    assert future.cancel() and future.cancelled() and heard.wait(1)
    with pytest.raises(grpc.FutureCancelledError):
        future.result(LONG)
    assert future.code() is grpc.StatusCode.CANCELLED
    assert time.monotonic() - begin < 1
    _until(lambda: granted(admission, issuer) == 1)
    session.token()
    assert len(admission.arrived) == 1


def _until(true, within=LONG):
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "it did not come to it"
        time.sleep(0.005)


def test_a_stream_is_cancelled(methods, admission):
    call = methods.many(b"then-hang", timeout=LONG)
    assert next(call) == b"first"
    assert call.cancel()
    with pytest.raises(grpc.RpcError) as raised:
        next(call)
    assert raised.value.code() is grpc.StatusCode.CANCELLED
    assert admission.cancelled.wait(LONG)


def test_a_stream_that_is_dropped_is_cancelled(methods, admission):
    for _message in methods.many(b"then-hang", timeout=LONG):
        break
    assert admission.cancelled.wait(5)


def test_a_second_stream_that_is_dropped_is_cancelled(methods, session, admission, issuer):
    rejected(session, admission, issuer)
    for _message in methods.many(b"then-hang", timeout=LONG):
        break
    assert len(admission.arrived) == 2
    assert admission.cancelled.wait(5)


# ----------------------------------------------------------------------------------------------------------- deadlines


async def aio_call(session, echo, kind, timeout):
    """A call of one response, or all responses of one."""
    async with aio_methods(session, echo) as methods:
        call = getattr(methods, kind)(b"m", timeout=timeout)
        return await call if kind == "unary" else [message async for message in call]


# Each with its own timeout.
TIMED = {
    "unary": lambda session, echo, methods, timeout: methods.unary(b"m", timeout=timeout),
    "future": lambda session, echo, methods, timeout: methods.unary.future(b"m", timeout=timeout).result(),
    "many": lambda session, echo, methods, timeout: list(methods.many(b"m", timeout=timeout)),
    "aio unary": lambda session, echo, methods, timeout: run(aio_call(session, echo, "unary", timeout)),
    "aio many": lambda session, echo, methods, timeout: run(aio_call(session, echo, "many", timeout)),
}


@pytest.mark.parametrize("kind", TIMED)
def test_a_second_attempt_has_the_time_that_is_left(methods, session, echo, admission, issuer, kind):
    rejected(session, admission, issuer)
    admission.delay = 0.5
    TIMED[kind](session, echo, methods, 5)
    first, second = (call.remaining for call in admission.arrived)
    assert 4.5 < first < 5.1 and second <= first - 0.45


def test_a_call_without_a_deadline_has_none(methods, session, admission, issuer):
    rejected(session, admission, issuer)
    methods.unary(b"a")
    assert [call.remaining for call in admission.arrived] == [None, None]


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("kind", TIMED)
def test_nobody_waits_for_a_token_beyond_the_deadline(methods, session, echo, admission, issuer, kind, again):
    """For the first token, and for another after a rejection."""
    if again:
        rejected(session, admission, issuer)
    issuer.fault("delay-4000", 1, path="/oauth2/token")
    begin = time.monotonic()
    with pytest.raises(grpc.RpcError) as raised:
        TIMED[kind](session, echo, methods, 0.7)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - begin < 3
    assert len(admission.arrived) == again


def test_what_else_a_call_was_given_is_kept(session, echo, admission, issuer):
    seen = Remembers()
    channel = grpc.intercept_channel(grpc.insecure_channel(echo.target), flyte_auth.grpc.AuthInterceptor(session), seen)
    rejected(session, admission, issuer)
    given = {"wait_for_ready": True, "compression": grpc.Compression.Gzip, "metadata": (("x-mine", "1"),)}
    with channel:
        Methods(channel).unary(b"a", timeout=LONG, **given)
    first, second = seen.details
    for details in (first, second):
        assert (details.wait_for_ready, details.compression) == (True, grpc.Compression.Gzip)
        assert details.method.endswith("/Unary") and details.credentials is None
        assert details.metadata[0] == ("x-mine", "1") and len(details.metadata) == 2
    assert second.timeout <= first.timeout == LONG


def test_interceptors_of_others_stand_before_and_after(session, echo, admission, issuer):
    before, after = Remembers(), Remembers()
    rejected(session, admission, issuer)
    channel = flyte_auth.grpc.channel(session, echo.target, interceptors=[before])
    with grpc.intercept_channel(channel, after):
        assert Methods(grpc.intercept_channel(channel, after)).unary(b"a", timeout=LONG) == b"a"
    assert (len(before.details), len(after.details)) == (1, 1)
    assert before.details[0].metadata is None


# --------------------------------------------------------------------------------------------- no auth, and no session


def test_without_auth_calls_pass_untouched(issuer, echo, admission):
    session = flyte_auth.Session.for_endpoint(issuer.http, auth_type="none", store="memory")
    assert session.token() is None
    own = issuer.client_credentials(*CREDENTIALS)
    with flyte_auth.grpc.channel(session, echo.target) as channel:
        theirs = (("authorization", f"Bearer {own}"),)
        assert Methods(channel).unary(b"a", metadata=theirs, timeout=LONG) == b"a"
        assert list(Methods(channel).many(b"m", metadata=theirs, timeout=LONG))

    async def main():
        async with aio_methods(session, echo) as methods:
            assert await methods.unary(b"a", metadata=theirs, timeout=LONG) == b"a"
            assert [m async for m in methods.many(b"m", metadata=theirs, timeout=LONG)]

    run(main())
    assert admission.tokens == [[digest(own)]] * 4


def test_the_sessions_errors_come_out_as_themselves(issuer, echo, admission):
    session = flyte_auth.Session.for_endpoint(issuer.http, store="memory")
    with flyte_auth.grpc.channel(session, echo.target) as channel:
        methods = Methods(channel)
        for call in (
            lambda: methods.unary(b"a", timeout=LONG),
            lambda: methods.unary.with_call(b"a"),
            lambda: methods.unary.future(b"a").result(LONG),
            lambda: list(methods.many(b"m")),
            lambda: methods.collect(iter([b"b"])),
            lambda: list(methods.chat(iter([b"d"]))),
        ):
            with pytest.raises(flyte_auth.LoginRequiredError):
                call()

    async def main():
        async with aio_methods(session, echo) as methods:
            for call in (methods.unary(b"a"), methods.collect(iter([b"b"]))):
                with pytest.raises(flyte_auth.LoginRequiredError):
                    await call
            for call in (methods.many(b"m"), methods.chat(iter([b"d"]))):
                with pytest.raises(flyte_auth.LoginRequiredError):
                    async for _ in call:
                        pass

    run(main())
    assert admission.arrived == []


@pytest.mark.parametrize("kind", TIMED)
def test_so_do_those_after_a_rejection(methods, session, echo, admission, issuer, kind):
    rejected(session, admission, issuer)
    issuer.fault("html", 20, path="/oauth2/token")
    with pytest.raises(flyte_auth.FlyteAuthError):
        TIMED[kind](session, echo, methods, LONG)
    assert len(admission.arrived) == 1


# ----------------------------------------------------------------------------------------------------------------- aio


def test_a_rejected_unary_call_of_aio_is_sent_again_once(session, echo, admission, issuer):
    old = rejected(session, admission, issuer)

    async def main():
        async with aio_methods(session, echo) as methods:
            call = methods.unary(b"a", timeout=LONG)
            assert await call == b"a"
            assert await call.code() is grpc.StatusCode.OK
            assert dict(await call.initial_metadata()) == {"served": "unary"}
            assert dict(await call.trailing_metadata()) == {"calls": "2"}

    run(main())
    assert admission.tokens == [[digest(old.value)], [digest(session.token().value)]]
    assert granted(admission, issuer) == 1


@pytest.mark.parametrize("style", ["iterate", "read"])
def test_a_rejected_stream_of_aio_is_asked_for_again_once(session, echo, admission, issuer, style):
    old = rejected(session, admission, issuer)

    async def main():
        async with aio_methods(session, echo) as methods:
            told = []
            call = methods.many(b"m", timeout=LONG)
            call.add_done_callback(told.append)
            if style == "iterate":
                messages = [message async for message in call]
            else:
                messages = []
                while (message := await call.read()) is not grpc.aio.EOF:
                    messages.append(message)
            assert messages == [b"m0", b"m1", b"m2"]
            assert await call.code() is grpc.StatusCode.OK
            assert dict(await call.trailing_metadata()) == {"calls": "2"}
            await asyncio.sleep(0.05)
            assert told == [call] and call.done() and not call.cancelled()

    run(main())
    assert admission.tokens == [[digest(old.value)], [digest(session.token().value)]]
    assert granted(admission, issuer) == 1


def test_a_stream_of_aio_that_nobody_reads_is_followed_too(session, echo, admission, issuer):
    async def main():
        async with aio_methods(session, echo) as methods:
            rejected(session, admission, issuer)
            call = methods.many(b"deny", timeout=LONG)
            assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
            assert await call.details() == "not yours"
            assert len(admission.arrived) == 2

    run(main())


async def _requests():
    yield b"b"
    yield b"c"


async def _written(call):
    """Requests written one by one, which gRPC makes an iterator of."""
    for value in (b"b", b"c"):
        await call.write(value)
    await call.done_writing()
    return call


@pytest.mark.parametrize("kind", ["collect", "chat"])
def test_requests_of_aio_that_were_pulled_are_not_sent_again(session, echo, admission, issuer, kind):
    old = rejected(session, admission, issuer)

    async def main():
        async with aio_methods(session, echo) as methods:

            async def answer(call):
                return [await call] if kind == "collect" else [message async for message in call]

            method = getattr(methods, kind)
            for attempt in range(1, 30):
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await answer(method(_requests(), timeout=LONG))
                assert admission.tokens == [[digest(old.value)]] * attempt
                if raised.value.code() is UNAUTHENTICATED:
                    break
                # In a third of such streams grpc.aio (1.85) says INTERNAL, for good, where a request could not be
                # written any more: nobody learns of the rejection.
                assert (kind, raised.value.code()) == ("chat", grpc.StatusCode.INTERNAL)
            # The token is gone all the same.
            answers = [b"bc"] if kind == "collect" else [b"b", b"c"]
            assert await answer(method(_requests(), timeout=LONG)) == answers
            assert await answer(await _written(method(timeout=LONG))) == answers

    run(main())
    assert granted(admission, issuer) == 1


@pytest.mark.parametrize("waits", [False, True, None])
def test_a_stream_of_aio_that_was_delivered_is_not_begun_again(session, echo, admission, waits):
    """Message and rejection come together, or one after the other."""

    async def main():
        async with aio_methods(session, echo) as methods:
            before = session.token()
            call = methods.many(b"then-reject", timeout=LONG)
            if waits is None:
                # What was sent meanwhile is there all at once when the loop goes on.
                await call.wait_for_connection()
                time.sleep(0.1)
            if waits:
                assert dict(await call.initial_metadata()) == {"served": "many"}
                await asyncio.sleep(0.1)
            messages = []
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                async for message in call:
                    messages.append(message)
            assert messages == [b"first"]
            assert raised.value.code() is UNAUTHENTICATED
            await asyncio.sleep(0.3)
            assert len(admission.arrived) == 1
            assert session.token() != before

    run(main())


def test_messages_that_an_interceptor_holds_back_are_waited_for(session, echo, admission):
    """The call has ended before its first message is out."""

    class HoldsBack(grpc.aio.UnaryStreamClientInterceptor):
        async def intercept_unary_stream(self, continuation, client_call_details, request):
            call = await continuation(client_call_details, request)

            async def messages():
                async for message in call:
                    await asyncio.sleep(0.2)
                    yield message

            return messages()

    async def main():
        interceptors = [*flyte_auth.grpc.aio_interceptors(session), HoldsBack()]
        async with grpc.aio.insecure_channel(echo.target, interceptors=interceptors) as channel:
            call = Methods(channel).many(b"then-reject", timeout=LONG)
            assert await call.read() == b"first"
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call.read()
            assert raised.value.code() is UNAUTHENTICATED
            await asyncio.sleep(0.3)
            assert len(admission.arrived) == 1

    run(main())


def test_a_hundred_calls_of_aio_with_a_rejected_token_refresh_once(session, echo, admission, issuer):
    async def main():
        async with aio_methods(session, echo) as methods:
            rejected(session, admission, issuer)
            calls = [methods.unary(str(number).encode(), timeout=LONG) for number in range(100)]
            assert await asyncio.gather(*calls) == [str(number).encode() for number in range(100)]
            assert granted(admission, issuer) == 1

    run(main())


def test_calls_of_aio_are_cancelled(session, echo, admission, issuer):
    async def main():
        async with aio_methods(session, echo) as methods:
            call = methods.unary(b"hang", timeout=LONG)
            assert await asyncio.to_thread(admission.hangs.wait, LONG)
            assert call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await asyncio.to_thread(admission.cancelled.wait, LONG)

            admission.cancelled.clear()
            stream = methods.many(b"then-hang", timeout=LONG)
            assert await stream.read() == b"first"
            assert stream.cancel()
            assert await stream.code() is grpc.StatusCode.CANCELLED
            assert await asyncio.to_thread(admission.cancelled.wait, LONG)

    run(main())


def test_a_stream_of_aio_is_cancelled_between_its_attempts(session, echo, admission, issuer):
    rejected(session, admission, issuer)
    issuer.fault("delay-3000", 1, path="/oauth2/token")

    async def main():
        async with aio_methods(session, echo) as methods:
            stream = methods.many(b"m", timeout=LONG)
            reader = asyncio.ensure_future(stream.read())
            while not admission.arrived:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            begin = time.monotonic()
            assert stream.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
            assert time.monotonic() - begin < 1
            assert stream.done() and stream.cancelled() and not stream.cancel()
            assert await stream.code() is grpc.StatusCode.CANCELLED
            assert len(admission.arrived) == 1

    run(main())


def test_an_interceptor_of_aio_that_waits_for_the_response_itself(session, echo, admission, issuer):
    class Waits(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation, client_call_details, request):
            return await (await continuation(client_call_details, request))

    async def main():
        interceptors = [*flyte_auth.grpc.aio_interceptors(session), Waits()]
        async with grpc.aio.insecure_channel(echo.target, interceptors=interceptors) as channel:
            rejected(session, admission, issuer)
            assert await Methods(channel).unary(b"a", timeout=LONG) == b"a"
        assert len(admission.arrived) == 2

    run(main())


# -------------------------------------------------------------------------------------------- channels and credentials


@pytest.fixture
def tls_issuer(start):
    return machines_sandbox(start, "--tls")


@pytest.fixture
def tls_echo(start, tls_issuer, authority):
    return start(Echo, tls_issuer, leaf=authority.leaf())


@pytest.fixture
def tls_session(tls_issuer, authority, tmp_path):
    """Its CAs are in a folder: the sandbox's, for the tokens, and the service's."""
    folder = tmp_path / "roots"
    folder.mkdir()
    with open(tls_issuer.ca_cert, "rb") as file:
        (folder / "sandbox.pem").write_bytes(file.read())
    (folder / "service.pem").write_bytes(authority.file.read_bytes())
    endpoint = tls_issuer.https.replace("127.0.0.1", "localhost")
    return machine_session(endpoint, ca_cert=folder)


def test_a_channel_speaks_tls_with_the_sessions_ca(tls_session, tls_echo):
    with flyte_auth.grpc.channel(tls_session, f"dns:///{tls_echo.target}") as channel:
        assert all_kinds(Methods(channel)) == ANSWERS

    async def main():
        async with aio_methods(tls_session, tls_echo) as methods:
            return await all_kinds_aio(methods)

    assert run(main()) == ANSWERS


def test_a_channel_without_that_ca_is_none(tls_issuer, tls_echo):
    session = machine_session(tls_issuer.https.replace("127.0.0.1", "localhost"), ca_cert=tls_issuer.ca_cert)
    with flyte_auth.grpc.channel(session, tls_echo.target) as channel, pytest.raises(grpc.RpcError) as raised:
        Methods(channel).unary(b"a", timeout=LONG)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert tls_echo.admission.arrived == []


def test_a_channel_goes_nowhere_else(session):
    for make in (flyte_auth.grpc.channel, flyte_auth.grpc.aio_channel):
        for target in ("evil.example:443", "dns:///evil.example", "127.0.0.1.evil.example:1", "127.0.0.2"):
            with pytest.raises(flyte_auth.ConfigError) as raised:
                make(session, target)
            assert (raised.value.code, raised.value.setting) == ("target_foreign", "target")
        for target in ("", "unix:/tmp/socket", "a:b:c", "user@127.0.0.1:1", "127.0.0.1:1/path"):
            with pytest.raises(flyte_auth.ConfigError):
                make(session, target)


def test_certificates_are_not_left_unchecked(issuer):
    session = machine_session("https://localhost:1", insecure_skip_verify=True)
    with pytest.raises(flyte_auth.ConfigError) as raised:
        flyte_auth.grpc.channel(session)
    assert raised.value.setting == "insecure_skip_verify"
    with flyte_auth.grpc.channel(session, credentials=grpc.ssl_channel_credentials()):
        pass


def test_wrong_arguments_are_named(session):
    for call, name in (
        (lambda: flyte_auth.grpc.AuthInterceptor("session"), "session"),
        (lambda: flyte_auth.grpc.aio_interceptors(None), "session"),
        (lambda: flyte_auth.grpc.call_credentials(None), "session"),
        (lambda: flyte_auth.grpc.channel(None), "session"),
        (lambda: flyte_auth.grpc.aio_channel(None), "session"),
        (lambda: flyte_auth.grpc.channel(session, 8089), "target"),
        (lambda: flyte_auth.grpc.channel(session, credentials="tls"), "credentials"),
    ):
        with pytest.raises(TypeError, match=name):
            call()


def _credentials(session, authority):
    roots = grpc.ssl_channel_credentials(authority.file.read_bytes())
    return grpc.composite_channel_credentials(roots, flyte_auth.grpc.call_credentials(session))


def test_call_credentials(tls_session, tls_echo, authority):
    credentials = _credentials(tls_session, authority)
    with grpc.secure_channel(tls_echo.target, credentials) as channel:
        # The first waits for its token, the others have it.
        assert all_kinds(Methods(channel)) == ANSWERS

    async def main():
        async with grpc.aio.secure_channel(tls_echo.target, credentials) as channel:
            return await all_kinds_aio(Methods(channel))

    assert run(main()) == ANSWERS
    assert tls_echo.admission.tokens == [[digest(tls_session.token().value)]] * 8


def test_call_credentials_do_not_keep_grpcs_thread(tls_session, tls_issuer, tls_echo, authority):
    tls_issuer.fault("delay-3000", 1, path="/oauth2/token")
    told = []
    plugin = flyte_auth.grpc.AuthMetadataPlugin(tls_session)

    class Context:
        service_url = "https://localhost/test.Echo"
        method_name = "Unary"

    heard = threading.Event()
    begin = time.monotonic()
    plugin(Context, lambda *answer: (told.append(answer), heard.set()))
    assert time.monotonic() - begin < 0.5
    assert heard.wait(LONG) and time.monotonic() - begin > 1
    assert [(name, error) for ((name, _),), error in told] == [("authorization", None)]


def test_what_call_credentials_lack_is_said(tls_issuer, tls_echo, authority):
    nobody = flyte_auth.Session.for_endpoint(
        tls_issuer.https.replace("127.0.0.1", "localhost"), ca_cert=tls_issuer.ca_cert, store="memory"
    )
    elsewhere = flyte_auth.Session.for_endpoint("https://flyte.example", store="memory")
    for session, words in ((nobody, "flyte-auth login"), (elsewhere, "not the host")):
        with grpc.secure_channel(tls_echo.target, _credentials(session, authority)) as channel:
            with pytest.raises(grpc.RpcError) as raised:
                Methods(channel).unary(b"a", timeout=LONG)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
            assert words in raised.value.details()
    assert tls_echo.admission.arrived == []
