"""The public surface of the Python package: the contract's names, twins, `with`, masked secrets, a light import."""

import asyncio
import datetime
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path

import flyte_auth
import pytest
from flyte_auth import LoginEvent, PendingLogin, Session, Token, Verifier
from harness import witness
from harness.admin import Admin
from harness.cli import VENV
from harness.in_process import moves_in
from harness.peers import Sandbox
from harness.ports import closed_port
from harness.python_programs import PROGRAMS, Program, runs
from harness.scenes import ALICE

# The contract's global flags that name a session, in snake case; and `client_secret`.
GLOBAL_FLAGS = {
    "endpoint",
    "profile",
    "account",
    "store",
    "interactive",
    "insecure",
    "insecure_skip_verify",
    "ca_cert",
    "auth_type",
    "client_id",
    "issuer",
    "scopes",
    "audience",
}
WITH_TWINS = ("token", "headers", "invalidate", "login", "begin_login", "logout", "status", "whoami", "close")
VERIFIER_WITH_TWINS = ("verify", "verify_id_token", "verify_logout_token")
ERRORS = {
    "FlyteAuthError",
    "ConfigError",
    "NetworkError",
    "ServerError",
    "LoginRequiredError",
    "AccessDeniedError",
    "LoginCancelledError",
    "TokenStoreError",
    "InternalError",
}
STATUS = {
    "endpoint",
    "generation",
    "auth_type",
    "issuer",
    "client_id",
    "subject",
    "scopes",
    "signed_in",
    "token_source",
    "access_token_expires_at",
    "has_refresh_token",
    "session_expires_at",
    "store",
    "store_reason",
    "profile",
    "config_file",
}
# What a program that only wants a token must not have to load.
HEAVY = {
    "grpc",
    "requests",
    "httpx",
    "connectrpc",
    "flytekit",
    "flyte",
    "asyncio",
    "typing",
    "typing_extensions",
    "dataclasses",
    "datetime",
    "inspect",
    "json",
    "ssl",
    "socket",
    "threading",
    "re",
    "logging",
}


@pytest.fixture(autouse=True)
def at_home(monkeypatch, tmp_path):
    return moves_in(monkeypatch, tmp_path / "own-home")


@pytest.fixture
def machine_session(sandbox):
    """A session that needs nobody."""
    witness.current.knows("foobar", kind="client_secret")
    return Session.for_endpoint(
        sandbox.http, auth_type="ClientSecret", client_id="flytepropeller", client_secret="foobar"
    )


@pytest.fixture(scope="module")
def no_auth(tmp_path_factory):
    """A real gRPC server of Flyte's admin service without auth."""
    server = Admin(tmp_path_factory.mktemp("no-auth"))
    yield server
    server.end()


def keywords(function) -> dict[str, inspect.Parameter]:
    return {name: one for name, one in inspect.signature(function).parameters.items() if name not in ("self", "cls")}


def test_the_contracts_names_are_there():
    names = {"Session", "PendingLogin", "Token", "Verifier", "VerifiedToken", "login", "begin_login"} | ERRORS
    assert names <= set(flyte_auth.__all__)
    for name in flyte_auth.__all__:
        assert getattr(flyte_auth, name).__doc__, f"{name} says nothing of itself"
    # Nothing else looks public.
    seen = {name for name in vars(flyte_auth) if not name.startswith("_")}
    modules = {name for name in seen if inspect.ismodule(getattr(flyte_auth, name))}
    assert seen - modules - {"TYPE_CHECKING", "annotations"} == set(flyte_auth.__all__)
    assert flyte_auth.__version__.count(".") == 2


def test_the_keywords_of_a_session():
    by_file, by_endpoint = keywords(Session.from_config), keywords(Session.for_endpoint)
    assert next(iter(by_file)) == "path" and by_file["path"].default is None
    assert next(iter(by_endpoint)) == "endpoint" and by_endpoint["endpoint"].default is inspect.Parameter.empty
    assert GLOBAL_FLAGS | {"client_secret", "extra_params"} <= set(by_file)
    assert set(by_file) - {"path"} == set(by_endpoint)
    named = [one for one in (*by_file.values(), *by_endpoint.values()) if one.name not in ("path", "endpoint")]
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY and one.default is None for one in named)


@pytest.mark.parametrize("method", WITH_TWINS)
def test_every_method_has_a_twin(method):
    now, later = getattr(Session, method), getattr(Session, f"{method}_async")
    assert inspect.iscoroutinefunction(later)
    assert not inspect.iscoroutinefunction(now)
    assert now.__doc__ and later.__doc__
    here, there = keywords(now), keywords(later)
    assert [(one.name, one.default) for one in here.values()] == [(one.name, one.default) for one in there.values()]


@pytest.mark.parametrize("method", VERIFIER_WITH_TWINS)
def test_every_check_has_a_twin(method):
    now, later = getattr(Verifier, method), getattr(Verifier, f"{method}_async")
    assert inspect.iscoroutinefunction(later) and list(keywords(now)) == list(keywords(later))


def test_the_contracts_parameters():
    assert list(keywords(Session.invalidate)) == ["token"]
    assert keywords(Session.logout)["revoke"].default is False
    finish = keywords(PendingLogin.finish)
    assert {name: one.default for name, one in finish.items()} == {"redirect_url": None, "timeout": None}
    assert list(finish) == list(keywords(PendingLogin.finish_async))
    assert {"issuer", "audience"} <= set(keywords(Verifier.__new__))
    assert inspect.iscoroutinefunction(Session.aclose)


def test_a_token(machine_session):
    token = machine_session.token()
    assert type(token) is Token
    assert token.expires_at.tzinfo is datetime.UTC and token.expires_at.utcoffset() == datetime.timedelta(0)
    left = (token.expires_at - datetime.datetime.now(datetime.UTC)).total_seconds()
    assert 60 < left <= 24 * 3600
    name, value = token.header_name, token.header_value
    assert name == name.lower() and value == f"Bearer {token.value}" and token.value.count(".") == 2
    assert machine_session.headers() == {name: value}
    assert machine_session.headers() is not machine_session.headers(), "callers may change theirs"
    # One object as long as it is the token, equal to itself alone.
    assert machine_session.token() is token
    machine_session.invalidate(token)
    other = machine_session.token()
    assert other is not token and other != token and token == token  # noqa: PLR0124
    for text in (str(token), repr(token), f"{token}", f"{token!r}", "%s" % token, str([token])):  # noqa: UP031
        assert token.value not in text and "***" in text
    with pytest.raises(AttributeError):
        token.value = "another"
    assert not hasattr(token, "__dict__")


def test_the_twins_mean_the_same(machine_session):
    session = machine_session

    async def all_of_them():
        assert await session.token_async() is session.token()
        assert await session.headers_async() == session.headers()
        assert await session.status_async() == session.status()
        assert await session.whoami_async() == session.whoami()
        before = session.token()
        assert await session.invalidate_async(before) is None
        assert await session.token_async() != before
        assert (await session.logout_async(revoke=False)).was_signed_in
        await session.close_async()

    asyncio.run(asyncio.wait_for(all_of_them(), 60))
    with pytest.raises(flyte_auth.ConfigError) as caught:
        session.token()
    assert caught.value.code == "session_closed"


def test_status_and_whoami_are_plain_data(machine_session):
    machine_session.token()
    status, who = machine_session.status(), machine_session.whoami()
    assert set(status) >= STATUS and status["signed_in"] is True
    assert status["client_id"] == "flytepropeller" and isinstance(status["scopes"], list)
    datetime.datetime.fromisoformat(status["access_token_expires_at"])
    assert set(who) == {"subject", "name", "email", "preferred_username"}
    assert json.loads(json.dumps([status, who])) == [status, who]


def test_with_and_async_with_close(sandbox):
    def is_closed(session) -> bool:
        try:
            session.headers()
        except flyte_auth.ConfigError as error:
            return error.code == "session_closed"
        except flyte_auth.FlyteAuthError:
            return False
        return False

    with Session.for_endpoint(sandbox.http) as session:
        assert type(session) is Session and not is_closed(session)
    assert is_closed(session)

    async def later():
        async with Session.for_endpoint(sandbox.http) as other:
            assert not is_closed(other)
        assert is_closed(other)
        another = Session.for_endpoint(sandbox.http)
        await another.aclose()
        assert is_closed(another)

    asyncio.run(later())
    with pytest.raises(ZeroDivisionError), Session.for_endpoint(sandbox.http) as session:
        raise ZeroDivisionError
    assert is_closed(session)


def test_every_way_to_open_is_the_same_session(sandbox):
    ways = [
        Session(endpoint=sandbox.http),
        Session.for_endpoint(sandbox.http),
        Session.from_config(endpoint=sandbox.http),
        Session.from_config(None, endpoint=sandbox.http),
    ]
    assert len({one.endpoint for one in ways}) == 1 and all(one.warnings == [] for one in ways)


def test_a_session_of_a_class_of_ones_own(sandbox):
    class Mine(Session):
        def name(self) -> str:
            return "mine"

    for one in (Mine(endpoint=sandbox.http), Mine.for_endpoint(sandbox.http), Mine.from_config(endpoint=sandbox.http)):
        assert type(one) is Mine and one.name() == "mine"


def test_without_auth_there_is_no_token(no_auth):
    """`None` and `{}` are answers, not errors; a login has nothing to do."""
    with Session.for_endpoint(no_auth.endpoint, insecure=True) as session:
        assert session.token() is None
        assert session.headers() == {}
        assert session.begin_login() is None
        assert session.login(on_event=lambda event: None).has_auth is False
        assert session.status()["generation"] == "none"
        assert session.invalidate() is None

        async def later():
            assert await session.token_async() is None
            assert await session.headers_async() == {}
            assert await session.begin_login_async() is None

        asyncio.run(asyncio.wait_for(later(), 30))
    assert flyte_auth.begin_login(no_auth.endpoint, insecure=True) is None
    assert flyte_auth.login(no_auth.endpoint, insecure=True, on_event=print).has_auth is False


def test_a_login_in_two_steps(start):
    server = start(Sandbox, "--auto-approve", ALICE)
    with flyte_auth.begin_login(server.http, flow="device", timeout=60) as pending:
        assert type(pending) is PendingLogin
        assert pending.url.startswith("http") and pending.user_code
        assert pending.expires_at.tzinfo is datetime.UTC
        for text in (str(pending), repr(pending)):
            assert pending.user_code not in text and pending.url not in text
        outcome = pending.finish(timeout=30)
    assert outcome.has_auth and outcome.has_refresh_token and not outcome.shared
    assert outcome.expires_at.tzinfo is datetime.UTC
    session = Session.for_endpoint(server.http)
    assert session.token().value not in repr(outcome) and session.status()["signed_in"]
    assert session.logout().was_signed_in
    assert not session.logout().was_signed_in
    pending = session.begin_login(flow="device")
    pending.cancel()
    pending.cancel()
    with pytest.raises(flyte_auth.FlyteAuthError) as caught:
        pending.finish()
    assert caught.value.code in ("login_over", "call_cancelled")


def test_a_login_tells_events_without_secrets_in_their_repr(start):
    server, seen = start(Sandbox, "--auto-approve", ALICE), []
    outcome = flyte_auth.login(server.http, flow="device", on_event=seen.append, timeout=60)
    assert outcome.has_auth and seen and all(type(event) is LoginEvent for event in seen)
    shown = next(event for event in seen if event.kind == "user_code")
    assert shown.user_code in str(shown) and shown.verification_uri in str(shown)
    for event in seen:
        assert event.message == str(event)
        for secret in (shown.user_code, shown.verification_uri):
            assert secret not in repr(event)


def test_no_secret_is_in_any_text(cli, sandbox):
    """Everything that can be printed of every object and error, and everything that is logged at TRACE."""
    canary = "canary7f3a91c2d4"
    witness.current.knows(canary, kind="canary")
    env = {"FLYTE_AUTH_LOG_LEVEL": "trace", "CANARY": canary}
    source = (PROGRAMS / "canaries.py").read_text()
    program = Program(cli, source, sandbox.http, sandbox.url, f"http://127.0.0.1:{closed_port()}", env=env)
    done = program.finish(60)
    assert done.code == 0, done.stderr[-2000:]
    assert canary not in done.stderr, [line for line in done.stderr.splitlines() if canary in line][:3]
    assert " INFO " in done.stderr, "nothing was logged"
    assert done.last["texts"] > 500
    assert not done.last["leaks"], "\n".join(done.last["leaks"])


def test_objects_with_a_credential_cannot_be_pickled(machine_session):
    verifier = Verifier(issuer="https://idp.example", audience="x", jwks={"keys": []})
    for one in (machine_session, machine_session.token(), verifier):
        with pytest.raises(TypeError):
            pickle.dumps(one)


def loaded_by(program: str, home) -> set[str]:
    """The modules that a program has loaded at its end, beyond an empty interpreter's."""
    begin = (
        f"import sys; sys.path.insert(0, {str(Path(flyte_auth.__file__).parents[1])!r}); before = set(sys.modules); "
    )
    end = "; print('\\n'.join(sorted(set(sys.modules) - before)))"
    # Without site: what the machine's .pth files load is no matter of ours.
    argv = [VENV / "python", "-I", "-S", "-c", begin + program + end]
    env = {"HOME": str(home), "FLYTE_AUTH_HOME": str(home / "state"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_import_is_light(tmp_path):
    loaded = loaded_by("import flyte_auth", tmp_path)
    assert "flyte_auth.session" in loaded
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("flyte_auth")} == {
        "flyte_auth",
        "flyte_auth._calls",
        "flyte_auth._native",
        "flyte_auth.errors",
        "flyte_auth.session",
        "flyte_auth.verify",
    }


def test_a_token_loads_nothing_heavy(sandbox, tmp_path):
    arguments = "client_id='flytepropeller', client_secret='foobar', auth_type='ClientSecret', store='memory'"
    session = f"flyte_auth.Session.for_endpoint({sandbox.http!r}, {arguments})"
    loaded = loaded_by(f"import flyte_auth; assert {session}.headers()", tmp_path)
    assert not loaded & HEAVY


def test_it_is_one_module_for_every_thread_and_interpreter_option(cli, sandbox):
    """Documentation strings gone (-OO), warnings as errors, development mode: nothing depends on them."""
    machine = {"FLYTE_CREDENTIALS_CLIENT_ID": "flytepropeller", "FLYTE_CREDENTIALS_CLIENT_SECRET": "foobar"}
    source = f"tell(has=bool(Session.for_endpoint({sandbox.http!r}, auth_type='ClientSecret').headers()))"
    for options in ({"PYTHONOPTIMIZE": "2"}, {"PYTHONWARNINGS": "error"}, {"PYTHONDEVMODE": "1"}):
        assert runs(cli, source, env={**machine, **options}).last["has"] is True


def test_the_interpreter_is_one_that_is_supported():
    assert sys.version_info >= (3, 10)
