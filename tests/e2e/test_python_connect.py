"""Connect clients (`connectrpc`, as Flyte 2 uses it) with a session's token, sync and async, against a real server."""

import time
from concurrent.futures import ThreadPoolExecutor

import flyte_auth
import flyte_auth.connect
import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.project import project_service_connect, project_service_pb2
from harness.flyte2 import Flyte2
from harness.python_connect import AsyncClient, Client, ConnectEcho
from harness.python_services import digest, machine_session, machines_sandbox


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
    return start(ConnectEcho, issuer)


@pytest.fixture
def admission(echo):
    return echo.admission


@pytest.fixture
def session(issuer):
    return machine_session(issuer.http)


SYNC = (Client, flyte_auth.connect.AuthInterceptorSync)
ASYNC = (AsyncClient, flyte_auth.connect.AuthInterceptor)


@pytest.fixture(params=[SYNC, ASYNC], ids=["sync", "async"])
def connect(request, echo):
    """Makes a client whose calls carry a session's token; others' interceptors stand behind."""
    client, interceptor = request.param

    def make(session, *after, **options):
        return client(echo.url, interceptor(session), *after, **options)

    return make


@pytest.fixture
def client(connect, session):
    return connect(session)


def rejected(session, admission, issuer) -> flyte_auth.Token:
    """A token in the session's memory that the server does not take; the counters begin here."""
    token = session.token()
    admission.refuse(token)
    admission.granted = issuer.requests_to("/oauth2/token")
    return token


def granted(admission, issuer) -> int:
    return issuer.requests_to("/oauth2/token") - admission.granted


CALLS = {
    "unary": (lambda client, **options: client.unary("a", **options), "a"),
    "many": (lambda client, **options: list(client.many("m", **options)), ["m0", "m1"]),
    "collect": (lambda client, **options: client.collect("b", "c", **options), "bc"),
    "chat": (lambda client, **options: list(client.chat("d", "e", **options)), ["d", "e"]),
}
kinds = pytest.mark.parametrize("kind", CALLS)
of_one_request = pytest.mark.parametrize("kind", ["unary", "many"])


@kinds
def test_the_token_takes_the_place_of_the_callers(client, session, admission, kind):
    call, answer = CALLS[kind]
    assert call(client, headers={"Authorization": "Bearer old", "x-mine": "1"}) == answer
    assert admission.tokens == [[digest(session.token().value)]]
    assert admission.arrived[0].metadata["x-mine"] == "1"


@of_one_request
def test_a_rejected_call_is_made_again_once(client, session, admission, issuer, kind):
    call, answer = CALLS[kind]
    old = rejected(session, admission, issuer)
    assert call(client) == answer
    assert admission.tokens == [[digest(old.value)], [digest(session.token().value)]]
    assert granted(admission, issuer) == 1


@pytest.mark.parametrize("kind", ["collect", "chat"])
def test_requests_that_were_pulled_are_not_sent_again(client, session, admission, issuer, kind):
    call, answer = CALLS[kind]
    old = rejected(session, admission, issuer)
    try:
        answered = call(client)
    except ConnectError as error:
        assert error.code is Code.UNAUTHENTICATED
        assert admission.tokens == [[digest(old.value)]]
    else:
        # The refusal came before the first request was pulled: on a busy machine it may.
        assert kind == "chat" and answered == answer
    # The token is gone in either case.
    assert call(client) == answer
    assert granted(admission, issuer) == 1


class Refuses:
    """Refuses the first client stream before anything is sent."""

    def __init__(self):
        self.asked = 0

    def intercept_client_stream_sync(self, call_next, request, ctx):
        self.asked += 1
        if self.asked == 1:
            raise ConnectError(Code.UNAUTHENTICATED, "not yet")
        return call_next(request, ctx)

    async def intercept_client_stream(self, call_next, request, ctx):
        return await self.intercept_client_stream_sync(call_next, request, ctx)


def test_requests_that_nobody_pulled_are_sent(connect, session, admission, issuer):
    refuses = Refuses()
    session.token()
    before = issuer.requests_to("/oauth2/token")
    assert connect(session, refuses).collect("b", "c") == "bc"
    assert (refuses.asked, len(admission.arrived)) == (2, 1)
    assert issuer.requests_to("/oauth2/token") - before == 1


@of_one_request
def test_a_second_rejection_is_the_answer(client, session, admission, issuer, kind):
    rejected(session, admission, issuer)
    admission.refuses_all = True
    with pytest.raises(ConnectError) as raised:
        CALLS[kind][0](client)
    assert (raised.value.code, raised.value.message) == (Code.UNAUTHENTICATED, "token not accepted")
    assert (len(admission.arrived), granted(admission, issuer)) == (2, 1)


def test_responses_that_were_delivered_are_not_asked_for_again(client, session, admission):
    before, messages = session.token(), []
    with pytest.raises(ConnectError) as raised:
        for message in client.many("then-reject"):
            messages.append(message)
    assert raised.value.code is Code.UNAUTHENTICATED
    assert messages == ["then-reject0"]
    assert len(admission.arrived) == 1
    # It was rejected, though: it is not served again.
    assert session.token() != before


def test_a_page_with_401_is_a_rejection(client, session, echo, admission, issuer):
    old = session.token()
    before = issuer.requests_to("/oauth2/token")
    echo.answers(401, "<html>who are you?</html>", 1)
    assert client.unary("a") == "a"
    assert issuer.requests_to("/oauth2/token") - before == 1
    assert session.token() != old


@pytest.mark.parametrize("status", [200, 302, 403, 500, 503])
def test_other_pages_are_none(client, session, echo, issuer, status):
    session.token()
    before = issuer.stats()
    for kind in ("unary", "many"):
        echo.answers(status, "<html>unauthorized</html>", 1)
        with pytest.raises(ConnectError):
            CALLS[kind][0](client)
        assert echo.pages == 0
    assert issuer.stats() == before


def test_a_denial_refreshes_nothing(client, session, admission, issuer):
    token, before = session.token(), issuer.requests_to("/oauth2/token")
    with pytest.raises(ConnectError) as raised:
        client.unary("deny")
    assert raised.value.code is Code.PERMISSION_DENIED
    assert len(admission.arrived) == 1
    assert session.token() == token
    assert issuer.requests_to("/oauth2/token") == before


def test_thirty_calls_with_a_rejected_token_refresh_once(client, session, admission, issuer):
    rejected(session, admission, issuer)
    with ThreadPoolExecutor(30) as pool:
        assert list(pool.map(lambda number: client.unary(str(number)), range(30))) == [str(n) for n in range(30)]
    assert granted(admission, issuer) == 1


@of_one_request
def test_a_second_call_has_the_time_that_is_left(client, session, admission, issuer, kind):
    rejected(session, admission, issuer)
    admission.delay = 0.5
    begin = time.monotonic()
    with pytest.raises(ConnectError) as raised:
        CALLS[kind][0](client, timeout_ms=800)
    assert raised.value.code is Code.DEADLINE_EXCEEDED
    assert 0.7 < time.monotonic() - begin < 1.5
    assert len(admission.arrived) == 2


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
@of_one_request
def test_nobody_waits_for_a_token_beyond_the_deadline(client, session, admission, issuer, kind, again):
    if again:
        rejected(session, admission, issuer)
    issuer.fault("delay-4000", 1, path="/oauth2/token")
    begin = time.monotonic()
    with pytest.raises(ConnectError) as raised:
        CALLS[kind][0](client, timeout_ms=700)
    assert raised.value.code is Code.DEADLINE_EXCEEDED
    assert time.monotonic() - begin < 3
    assert len(admission.arrived) == again


@kinds
def test_without_auth_calls_pass_untouched(connect, issuer, session, admission, kind):
    nobody = flyte_auth.Session.for_endpoint(issuer.http, auth_type="none", store="memory")
    call, answer = CALLS[kind]
    own = session.token()
    assert call(connect(nobody), headers={own.header_name: own.header_value}) == answer
    assert admission.tokens == [[digest(own.value)]]


@kinds
def test_the_sessions_errors_come_out_as_themselves(connect, issuer, admission, kind):
    nobody = flyte_auth.Session.for_endpoint(issuer.http, store="memory")
    with pytest.raises(flyte_auth.LoginRequiredError):
        CALLS[kind][0](connect(nobody))
    assert admission.arrived == []


@of_one_request
def test_so_do_those_after_a_rejection(client, session, admission, issuer, kind):
    rejected(session, admission, issuer)
    issuer.fault("html", 20, path="/oauth2/token")
    with pytest.raises(flyte_auth.FlyteAuthError):
        CALLS[kind][0](client)
    assert len(admission.arrived) == 1


def test_a_client_that_flyte_generates(start, authority, tmp_path):
    """Flyte 2's own service with TLS."""
    issuer = machines_sandbox(start)
    flyte = start(Flyte2, issuer, authority.leaf())
    session = machine_session(flyte.endpoint, ca_cert=authority.file, insecure=False)
    from pyqwest import SyncClient, SyncHTTPTransport

    transport = SyncHTTPTransport(tls_ca_cert=authority.file.read_bytes())
    with project_service_connect.ProjectServiceClientSync(
        f"https://{flyte.host}",
        interceptors=[flyte_auth.connect.AuthInterceptorSync(session)],
        http_client=SyncClient(transport),
    ) as client:
        answer = client.list_projects(project_service_pb2.ListProjectsRequest())
    assert [project.id for project in answer.projects.projects] == ["flytesnacks"]


def test_a_wrong_argument_is_named():
    for interceptor in (flyte_auth.connect.AuthInterceptorSync, flyte_auth.connect.AuthInterceptor):
        with pytest.raises(TypeError, match="session"):
            interceptor("session")
