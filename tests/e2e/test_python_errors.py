"""The error table through Python: each kind provoked for real, its class, its members, its way to other processes."""

import asyncio
import functools
import json
import multiprocessing
import pickle
import re
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import flyte_auth
import pytest
from flyte_auth import Session, errors
from harness import witness
from harness.fault_proxy import FaultProxy, html_200, not_found, says
from harness.in_process import moves_in
from harness.peers import Sandbox
from harness.ports import closed_port
from harness.python_programs import Program
from harness.scenes import ALICE
from harness.stranger import repository

SECRET = "foobar"
MACHINE = {"auth_type": "ClientSecret", "client_id": "flytepropeller", "client_secret": SECRET}


@dataclass
class Row:
    """What an error of the table must be, beside what all are."""

    kind: type[flyte_auth.FlyteAuthError]
    code: str
    retryable: bool = False
    also: type[Exception] = Exception


@pytest.fixture(autouse=True)
def state(monkeypatch, tmp_path):
    return moves_in(monkeypatch, tmp_path / "own-home")


@pytest.fixture
def proxy(sandbox):
    made = FaultProxy(sandbox.http)
    yield made
    made.end()


def raised(work) -> flyte_auth.FlyteAuthError:
    with pytest.raises(flyte_auth.FlyteAuthError) as caught:
        work()
    return caught.value


def is_whole(error: flyte_auth.FlyteAuthError, row: Row) -> flyte_auth.FlyteAuthError:
    """Fails unless the error is of that row and has all that every error has."""
    assert type(error) is row.kind, repr(error)
    assert (error.code, error.retryable) == (row.code, row.retryable), repr(error)
    assert isinstance(error, flyte_auth.FlyteAuthError) and isinstance(error, row.also)
    assert re.fullmatch("[a-z][a-z0-9_]*", error.code) and error.kind in errors._CLASSES
    assert error.message and error.message in str(error) and "\n" not in str(error)
    assert str(error) == error.args[0] and str(error) in repr(error)
    assert error.next_step and error.next_step.rstrip(".") in str(error), "it does not say what to do"
    for name in ("endpoint", "setting", "oauth_error", "oauth_error_description"):
        assert isinstance(getattr(error, name), str | None)
    assert isinstance(error.retry_after, float | None)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is type(error) and again.args == error.args and str(again) == str(error)
        assert again.__dict__ == error.__dict__, "a member is lost on the way"
    return error


def test_the_classes_are_the_tables():
    kinds = {
        "config": flyte_auth.ConfigError,
        "network": flyte_auth.NetworkError,
        "server": flyte_auth.ServerError,
        "login_required": flyte_auth.LoginRequiredError,
        "denied": flyte_auth.AccessDeniedError,
        "cancelled": flyte_auth.LoginCancelledError,
        "store": flyte_auth.TokenStoreError,
        "internal": flyte_auth.InternalError,
    }
    for kind, one in kinds.items():
        assert one.kind == kind and one.__bases__[0] is flyte_auth.FlyteAuthError and issubclass(one, Exception)
        assert one.__module__ == "flyte_auth.errors" and one.__doc__
    assert issubclass(flyte_auth.ConfigError, ValueError) and issubclass(flyte_auth.NetworkError, OSError)
    others = set(kinds.values()) - {flyte_auth.ConfigError, flyte_auth.NetworkError}
    assert not any(issubclass(one, ValueError | OSError) for one in others)
    # What a user raises in a test of theirs.
    made = flyte_auth.LoginRequiredError("not signed in")
    assert str(made) == "not signed in" and made.retryable is False and made.next_step is None
    assert str(pickle.loads(pickle.dumps(made))) == "not signed in"


@pytest.mark.parametrize("code", [2, 13, 110])
def test_a_network_error_is_no_other_kind_of_oserror(code):
    """`OSError(number, …)` would turn into another class and hide what it says."""
    made = flyte_auth.NetworkError(code, "x")
    assert type(made) is flyte_auth.NetworkError


def test_nobody_listens():
    address = f"127.0.0.1:{closed_port()}"
    session = Session.for_endpoint(f"http://{address}", **MACHINE)
    error = is_whole(raised(session.token), Row(flyte_auth.NetworkError, "connection_refused", True, OSError))
    assert error.endpoint == address and address in str(error)
    with pytest.raises(OSError, match="nobody listens"):
        session.headers()
    assert not isinstance(error, ConnectionError)
    causes = []
    while error is not None:
        error = error.__cause__
        causes.append(str(error))
    assert any("refused" in cause.lower() for cause in causes), causes


def test_the_twin_raises_the_same():
    address = f"127.0.0.1:{closed_port()}"
    session = Session.for_endpoint(f"http://{address}", **MACHINE)

    async def later():
        return await session.token_async()

    error = is_whole(
        raised(lambda: asyncio.run(later())), Row(flyte_auth.NetworkError, "connection_refused", True, OSError)
    )
    assert error.endpoint == address and error.__cause__ is not None


def test_a_web_page_in_place_of_an_answer(proxy):
    proxy.breaks(html_200)
    error = is_whole(
        raised(Session.for_endpoint(proxy.url, **MACHINE).token), Row(flyte_auth.ServerError, "proxy_in_front")
    )
    assert error.endpoint == proxy.host and "web page" in str(error)


@pytest.mark.parametrize("status", [503, 429])
def test_a_server_that_asks_for_time(proxy, status):
    proxy.breaks(says(status, retry_after="7"), "/token")
    session = Session.for_endpoint(proxy.url, **MACHINE)
    code = "unavailable" if status == 503 else "too_many_requests"
    error = is_whole(raised(session.token), Row(flyte_auth.ServerError, code, True))
    assert error.retry_after == 7.0
    later = raised(session.token)
    assert 0 < later.retry_after <= 7.0 and later.retryable


def test_a_wrong_secret(sandbox):
    witness.current.knows("not-the-secret", kind="client_secret")
    session = Session.for_endpoint(sandbox.http, **{**MACHINE, "client_secret": "not-the-secret"})
    error = is_whole(raised(session.token), Row(flyte_auth.AccessDeniedError, "invalid_client"))
    assert error.oauth_error == "invalid_client" and "not-the-secret" not in repr(vars(error))


def test_nobody_is_signed_in(sandbox):
    error = is_whole(
        raised(Session.for_endpoint(sandbox.http).token), Row(flyte_auth.LoginRequiredError, "not_signed_in")
    )
    assert error.endpoint and "login" in error.next_step


def test_the_session_has_ended(start):
    server = start(Sandbox, "--auto-approve", ALICE, "--access-token-lifetime", "1", "--refresh-token-lifetime", "1")
    session = Session.for_endpoint(server.http)
    assert session.login(flow="device", on_event=lambda event: None).has_refresh_token
    time.sleep(2.1)
    error = is_whole(raised(session.token), Row(flyte_auth.LoginRequiredError, "invalid_grant"))
    assert error.oauth_error == "invalid_grant"


def test_the_person_declines(monkeypatch, sandbox, person):
    pending = Session.for_endpoint(sandbox.http).begin_login(flow="device", timeout=60)
    # Chromium needs short paths for its sockets.
    for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, "/tmp")
    assert person.visits(pending.url, code=pending.user_code, deny=True) == "declined"
    error = is_whole(raised(pending.finish), Row(flyte_auth.LoginCancelledError, "access_denied"))
    assert error.oauth_error in ("access_denied", None)


def test_nobody_comes(sandbox):
    begin = time.monotonic()
    pending = Session.for_endpoint(sandbox.http).begin_login(flow="device", timeout=1)
    is_whole(raised(pending.finish), Row(flyte_auth.LoginCancelledError, "login_timeout"))
    assert time.monotonic() - begin < 5
    # A shorter wait than the login's own.
    pending = Session.for_endpoint(sandbox.http).begin_login(flow="device", timeout=60)
    is_whole(raised(lambda: pending.finish(timeout=0.5)), Row(flyte_auth.LoginCancelledError, "login_timeout"))


def test_a_login_of_a_machine(sandbox):
    session = Session.for_endpoint(sandbox.http, **MACHINE)
    row = Row(flyte_auth.ConfigError, "login_not_interactive", also=ValueError)
    for work in (session.begin_login, lambda: session.login(on_event=print)):
        error = raised(work)
        assert isinstance(error, row.kind) and error.next_step, repr(error)


def the_record(state):
    [path] = (state / "sessions").glob("*.json")
    return path


def stored(sandbox, state):
    """A record in the file store, and a session that has not read it."""
    assert Session.for_endpoint(sandbox.http, **MACHINE).headers()
    return the_record(state), Session.for_endpoint(sandbox.http, **MACHINE)


def test_a_store_that_is_newer(sandbox, state):
    record, session = stored(sandbox, state)
    newer = json.dumps({"schema_version": 99, "session": "in a form to come"})
    record.write_text(newer)
    error = is_whole(raised(session.token), Row(flyte_auth.TokenStoreError, "store_newer"))
    assert "newer flyte-auth" in str(error) and str(record) in str(error)
    for method in ("status", "headers"):
        assert isinstance(raised(getattr(session, method)), flyte_auth.TokenStoreError)
    assert record.read_text() == newer, "it is left as it is"


def test_a_store_that_cannot_be_read(sandbox, state):
    record, session = stored(sandbox, state)
    record.unlink()
    record.mkdir()
    error = raised(session.token)
    assert type(error) is flyte_auth.TokenStoreError and str(record) in str(error)
    assert is_whole(error, Row(flyte_auth.TokenStoreError, error.code)).next_step


def test_a_store_behind_a_link(sandbox, state):
    record, session = stored(sandbox, state)
    elsewhere = state.parent / "elsewhere"
    record.rename(elsewhere)
    record.symlink_to(elsewhere)
    error = raised(session.token)
    assert type(error) is flyte_auth.TokenStoreError and "symbolic link" in str(error)
    record.unlink()
    elsewhere.unlink()


@pytest.mark.parametrize("what", [b"", b"{", b"\xff\xfe\x00", b'{"schema_version": 2}', b"[" * 10_000, b"null"])
def test_a_store_that_is_corrupted(sandbox, state, what):
    """As the core does: what cannot be read any more is no session, and a machine gets its token anew."""
    record, session = stored(sandbox, state)
    record.write_bytes(what)
    assert session.headers()
    assert json.loads(the_record(state).read_text())["access_token"]
    # A person would have to sign in again.
    somebody = Session.for_endpoint(sandbox.http)
    assert raised(somebody.token).code == "not_signed_in"


@pytest.mark.parametrize("way", ["argument", "variable"])
def test_a_configuration_that_is_missing(monkeypatch, tmp_path, way):
    path = tmp_path / "missing.yaml"
    if way == "variable":
        monkeypatch.setenv("FLYTE_AUTH_CONFIG", str(path))
    work = functools.partial(Session.from_config, *([path] if way == "argument" else []))
    error = is_whole(raised(work), Row(flyte_auth.ConfigError, "config_unreadable", also=ValueError))
    assert str(path) in str(error) and error.setting in ("path", "config", "$FLYTE_AUTH_CONFIG")


def test_no_configuration_at_all():
    error = is_whole(raised(Session.from_config), Row(flyte_auth.ConfigError, "endpoint_missing", also=ValueError))
    assert error.setting == "endpoint"
    with pytest.raises(ValueError, match="endpoint"):
        Session.from_config()


@pytest.mark.parametrize("text", ["admin:\n\tendpoint: x\n", "admin: [", "admin:\n  insecure: perhaps\n", "\x00\x01"])
def test_a_configuration_that_is_none(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    error = raised(lambda: Session.from_config(path))
    assert type(error) is flyte_auth.ConfigError and "\n" not in str(error) and str(path) in str(error)


def test_a_configuration_that_is_not_trusted(monkeypatch, tmp_path, sandbox):
    folder = repository(tmp_path / "repository", f"admin:\n  endpoint: {sandbox.http}\n")
    monkeypatch.chdir(folder)
    # The secret is the environment's, the endpoint a stranger's.
    monkeypatch.setenv("FLYTE_CREDENTIALS_CLIENT_ID", "flytepropeller")
    monkeypatch.setenv("FLYTE_CREDENTIALS_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("FLYTE_AUTH_TYPE", "ClientSecret")
    error = is_whole(raised(Session.from_config), Row(flyte_auth.ConfigError, "untrusted_config", also=ValueError))
    assert ".flyte/config.yaml" in str(error) and SECRET not in str(error)
    # Named, it is trusted.
    assert Session.from_config(folder / ".flyte/config.yaml").headers()


def test_a_profile_that_nobody_declared(tmp_path, sandbox):
    path = tmp_path / "config.yaml"
    path.write_text(f"admin:\n  endpoint: {sandbox.http}\nprofiles:\n  prod:\n    admin:\n      clientId: other\n")
    assert Session.from_config(path, profile="prod")
    error = is_whole(
        raised(lambda: Session.from_config(path, profile="nowhere")),
        Row(flyte_auth.ConfigError, "profile_unknown", also=ValueError),
    )
    assert error.setting == "profile" and "nowhere" in str(error) and "prod" in str(error)


def test_a_server_that_is_no_flyte(proxy):
    """404 to everything: the core takes that for an endpoint without auth, or says what is missing; never a hang."""
    proxy.breaks(not_found)
    session = Session.for_endpoint(proxy.url)
    try:
        assert session.token() is None and session.headers() == {}
    except flyte_auth.FlyteAuthError as error:
        assert error.next_step, repr(error)


def test_a_closed_session(sandbox):
    session = Session.for_endpoint(sandbox.http, **MACHINE)
    assert session.headers()
    session.close()
    for method in ("token", "headers", "status", "whoami", "logout", "begin_login", "login"):
        error = is_whole(
            raised(getattr(session, method)), Row(flyte_auth.ConfigError, "session_closed", also=ValueError)
        )
        assert error.setting == "session"


def test_a_bug_of_ours(cli, sandbox):
    """A panic in the core is an `InternalError`, and the process goes on."""
    source = f"""
    import os
    session = Session.for_endpoint({sandbox.http!r}, client_id="flytepropeller", client_secret="foobar",
                                   auth_type="ClientSecret", store="memory")
    try:
        session.token()
    except flyte_auth.InternalError as error:
        tell(kind=error.kind, code=error.code, text=str(error), retryable=error.retryable)
    """
    done = Program(cli, source, env={"FLYTE_AUTH_TESTING_PANIC": "exchange.before"}).finish(30)
    assert done.code == 0 and done.last["kind"] == "internal", done
    assert done.last["text"] and SECRET not in done.last["text"]


def test_errors_cross_a_process_pool(tmp_path):
    """As themselves, with their members and their cause."""
    path, address = tmp_path / "missing.yaml", f"127.0.0.1:{closed_port()}"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        missing = pool.submit(Session.from_config, path)
        nobody = pool.submit(flyte_auth.begin_login, f"http://{address}")
        error = is_whole(missing.exception(60), Row(flyte_auth.ConfigError, "config_unreadable", also=ValueError))
        assert str(path) in str(error)
        error = is_whole(nobody.exception(60), Row(flyte_auth.NetworkError, "connection_refused", True, OSError))
        assert error.endpoint == address
