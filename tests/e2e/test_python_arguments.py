"""Every wrong argument of every public callable: a `TypeError` or `ConfigError` at once, which names the argument."""

import asyncio
import inspect
import time
import types
from collections.abc import Callable

import flyte_auth
import pytest
from flyte_auth import ConfigError, Session, Verifier
from harness.in_process import moves_in
from harness.peers import Sandbox
from harness.ports import closed_port
from harness.scenes import ALICE

HALF_A_CHARACTER = chr(0xD800)


class Odd:
    """Of no type that anything takes."""


# What is tried, by the name under which a parameter may say that it takes it.
VALUES = {
    "int": 7,
    "negative": -1,
    "zero": 0,
    "bool": True,
    "float": 1.5,
    "nan": float("nan"),
    "huge": 1e300,
    "bytes": b"bytes",
    "object": Odd(),
    "class": Odd,
    "list": [],
    "list of int": [1],
    "mixed list": ["a", 1],
    "tuple": (),
    "dict": {},
    "dict of int": {"a": 1},
    "set": {"a"},
    "generator": (letter for letter in "ab"),
    "function": lambda: None,
    "str": "no such thing",
    "half a character": f"a{HALF_A_CHARACTER}",
}
TEXT = ("str",)
# Somebody else wrote it: what is no text is no token, and is told so.
FOREIGN = ("str", "half a character")
TEXTS = ("list", "tuple")
FLAG = ("bool",)
# A bool is an int, and never meant as seconds.
SECONDS = ("int", "float")
CALLABLE = ("function", "class")
TWO_STEPS = ("flow", "no_browser", "timeout")
# What each parameter takes of VALUES, whether or not it is sensible there.
SESSION = {
    "profile": (),
    "endpoint": (),
    "account": TEXT,
    "store": (),
    "interactive": (),
    "insecure": FLAG,
    "insecure_skip_verify": FLAG,
    "ca_cert": (),
    "client_cert": (),
    "client_key": (),
    "http_proxy_url": (),
    "auth_type": (),
    "client_id": TEXT,
    "client_secret": (),
    "issuer": (),
    "scopes": TEXTS,
    "audience": TEXT,
    "extra_params": ("dict",),
}
LOGIN = {
    "flow": (),
    "no_browser": FLAG,
    "timeout": SECONDS,
    "on_event": CALLABLE,
    "open_browser": CALLABLE,
    "paste": CALLABLE,
}
VERIFIER = {
    "issuer": (),
    "audience": TEXT,
    "any_audience": FLAG,
    "jwks": (),
    "jwks_uri": (),
    "algorithms": (),
    "profile": (),
    "clock_skew": (*SECONDS, "zero"),
    "required_scopes": TEXTS,
    "introspection_client_id": TEXT,
    "introspection_client_secret": TEXT,
    "introspection_endpoint": (),
    "remember": ("int", "zero", "bool"),
    "plaintext": FLAG,
}


@pytest.fixture(autouse=True)
def at_home(monkeypatch, tmp_path):
    return moves_in(monkeypatch, tmp_path / "own-home")


@pytest.fixture(scope="module")
def nowhere():
    """An address where nobody listens: whoever calls it has taken the argument."""
    return f"http://127.0.0.1:{closed_port()}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"), "--auto-approve", ALICE)
    yield sandbox
    sandbox.end()


def refusal(work, argument: str) -> str | None:
    """What is wrong with the way in which `work()` refuses `argument`; None if it does, by that name and at once."""
    begin = time.monotonic()
    try:
        found = work()
        if inspect.iscoroutine(found):
            found = asyncio.run(asyncio.wait_for(found, 10))
    except (TypeError, ConfigError) as error:
        said = str(error)
        if argument not in said and getattr(error, "setting", None) != argument:
            return f"is not named: {said}"
        if len(said) >= 400 or "\n" in said:
            return f"that is no line: {said}"
        return None if time.monotonic() - begin < 2 else "not at once"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return f"was taken: {found!r}"


def expect_refused(argument: str, tries: dict[str, Callable[[], object]]):
    """Fails with everything that is taken, or not refused by that name."""
    found = {kind: refusal(work, argument) for kind, work in tries.items()}
    faults = [f"{argument} ({kind}) {fault}" for kind, fault in found.items() if fault]
    assert not faults, "\n".join(["", *faults])


def wrong(takes: tuple[str, ...]) -> dict[str, object]:
    """Every value of another kind."""
    return {kind: value for kind, value in VALUES.items() if kind not in takes}


def each(values: dict[str, object], **calls: Callable[[object], object]) -> dict[str, Callable[[], object]]:
    """Every call with every value."""
    return {
        f"{name}, {kind}": lambda call=call, value=value: call(value)
        for name, call in calls.items()
        for kind, value in values.items()
    }


def test_the_tables_have_every_parameter():
    """A parameter that comes is tried too."""

    def named(function) -> set[str]:
        return {name for name in inspect.signature(function).parameters if name not in ("self", "cls")}

    assert named(Session.from_config) == {"path", *SESSION}
    assert named(Session.for_endpoint) == set(SESSION)
    assert named(Session.login) == set(LOGIN)
    assert named(Session.begin_login) == set(TWO_STEPS)
    assert named(Verifier.__new__) == set(VERIFIER)


@pytest.mark.parametrize("name", SESSION)
def test_of_a_session(nowhere, name):
    def opens(way):
        return lambda value: way(**{"endpoint": nowhere, name: value})

    ways = {way.__name__: opens(way) for way in (Session, Session.from_config, Session.for_endpoint)}
    expect_refused(name, each(wrong(SESSION[name]), **ways))
    for kind in SESSION[name]:
        Session(**{"endpoint": nowhere, name: VALUES[kind]})


def test_of_the_path(nowhere):
    expect_refused("path", each(wrong(()), from_config=lambda value: Session.from_config(value, endpoint=nowhere)))


def test_paths_are_what_python_takes_for_paths(nowhere, tmp_path):
    """`str`, `pathlib.Path` and whatever has `__fspath__`."""

    class Somewhere:
        def __fspath__(self):
            return str(tmp_path / "config.yaml")

    (tmp_path / "config.yaml").write_text(f"admin:\n  endpoint: {nowhere}\n")
    for path in (tmp_path / "config.yaml", str(tmp_path / "config.yaml"), Somewhere()):
        assert Session.from_config(path).endpoint == nowhere.removeprefix("http://")


def test_mappings_and_sequences_are_what_the_annotations_say(nowhere):
    Session(endpoint=nowhere, extra_params=types.MappingProxyType({"a": "b"}), scopes=("a", "b"))
    Verifier(issuer="https://idp.example", audience=("a", "b"), jwks=types.MappingProxyType({"keys": []}))


@pytest.mark.parametrize("name", LOGIN)
def test_of_a_login(nowhere, name):
    session = Session.for_endpoint(nowhere)
    calls = {
        "login": lambda value: session.login(**{name: value}),
        "login_async": lambda value: session.login_async(**{name: value}),
        "flyte_auth.login": lambda value: flyte_auth.login(nowhere, **{name: value}),
    }
    if name in TWO_STEPS:
        calls |= {
            "login with a callback": lambda value: session.login(**{name: value, "on_event": print}),
            "begin_login": lambda value: session.begin_login(**{name: value}),
            "begin_login_async": lambda value: session.begin_login_async(**{name: value}),
            "flyte_auth.begin_login": lambda value: flyte_auth.begin_login(nowhere, **{name: value}),
        }
    expect_refused(name, each(wrong(LOGIN[name]), **calls))
    for kind in LOGIN[name]:
        with pytest.raises(flyte_auth.NetworkError):
            session.login(**{"on_event": lambda event: None, name: VALUES[kind]})


def test_of_a_logout(nowhere):
    session = Session.for_endpoint(nowhere)
    expect_refused("revoke", each(wrong(FLAG), logout=session.logout, logout_async=session.logout_async))


def test_of_an_invalidation(nowhere):
    """A token's text is no token: which generation it is would be lost."""
    session = Session.for_endpoint(nowhere)
    expect_refused("token", each(wrong(()), invalidate=session.invalidate, invalidate_async=session.invalidate_async))


@pytest.mark.parametrize("twin", ["", "_async"])
def test_of_the_end_of_a_login(server, twin):
    pending = Session.for_endpoint(server.http).begin_login(flow="device")
    finish = getattr(pending, f"finish{twin}")
    expect_refused("redirect_url", each(wrong(TEXT), finish=lambda value: finish(redirect_url=value)))
    expect_refused("timeout", each(wrong(SECONDS), finish=lambda value: finish(timeout=value)))
    # None of them has ended the login.
    assert pending.finish(timeout=30).has_auth


GOOD = {"issuer": "https://idp.example", "audience": "flyte", "jwks": {"keys": []}}
ASKING = {"introspection_client_id": "id", "introspection_client_secret": "secret"}


@pytest.mark.parametrize("name", VERIFIER)
def test_of_a_verifier(name):
    good = {**GOOD, **(ASKING if name.startswith("introspection") else {})}
    if name == "any_audience":
        del good["audience"]
    expect_refused(name, each(wrong(VERIFIER[name]), Verifier=lambda value: Verifier(**{**good, name: value})))
    for kind in VERIFIER[name]:
        Verifier(**{**good, name: VALUES[kind]})


CHECKS = {
    "verify": (),
    "verify_id_token": ("client_id", "nonce", "access_token"),
    "verify_logout_token": ("client_id",),
}


@pytest.mark.parametrize("check", CHECKS)
def test_of_a_check(check):
    verifier, needs = Verifier(**GOOD), {"client_id": "client"} if CHECKS[check] else {}
    calls = {name: getattr(verifier, name) for name in (check, f"{check}_async")}
    expect_refused(
        "token",
        each(wrong(FOREIGN), **{name: lambda value, call=call: call(value, **needs) for name, call in calls.items()}),
    )
    for argument in CHECKS[check]:

        def passes(call, argument=argument):
            return lambda value: call("a.b.c", **{**needs, argument: value})

        kinds = FOREIGN if argument == "access_token" else TEXT
        expect_refused(argument, each(wrong(kinds), **{name: passes(call) for name, call in calls.items()}))
    with pytest.raises(flyte_auth.AccessDeniedError):
        calls[check]("no such thing", **needs)


@pytest.mark.parametrize("method", ["token", "headers", "status", "whoami", "close"])
@pytest.mark.parametrize("twin", ["", "_async"])
def test_what_takes_nothing(nowhere, method, twin):
    call = getattr(Session.for_endpoint(nowhere), method + twin)
    expect_refused(method, {"positional": lambda: call(1), "keyword": lambda: call(x=1)})


def test_unknown_keywords(nowhere):
    session, verifier = Session.for_endpoint(nowhere), Verifier(**GOOD)
    opening = (Session, Session.from_config, flyte_auth.login, flyte_auth.begin_login)
    for call in (
        *(lambda call=call, **more: call(endpoint=nowhere, **more) for call in opening),
        lambda **more: Session.for_endpoint(nowhere, **more),
        lambda **more: Verifier(**GOOD, **more),
        session.login,
        session.login_async,
        session.begin_login,
        session.begin_login_async,
        session.logout,
        session.logout_async,
        session.invalidate_async,
        lambda **more: verifier.verify_id_token("x", client_id="x", **more),
    ):
        with pytest.raises(TypeError, match="clientt_secret"):
            call(clientt_secret="canary")
    # The file is `path` in one place and `config` in the other; neither takes the other's name.
    for call in (
        lambda: Session(endpoint=nowhere, path="x"),
        lambda: Session.from_config(endpoint=nowhere, config="x"),
    ):
        with pytest.raises(TypeError, match="path|config"):
            call()
    for wrong in (
        lambda: Session("http://127.0.0.1"),
        lambda: Session.for_endpoint(),
        lambda: Verifier("https://x"),
        lambda: Verifier(audience="x"),
        lambda: Session.from_config(None, "x"),
        lambda: Session.for_endpoint(nowhere, endpoint=nowhere),
    ):
        with pytest.raises(TypeError):
            wrong()


# What does not go together, or is half of something: the argument that is named.
COMBINATIONS = {
    "secret without a client id": ({"client_secret": "x"}, "client_secret"),
    "key without its certificate": ({"client_key": "KEY"}, "client_key"),
    "certificate without its key": ({"client_cert": "PEM"}, "client_cert"),
    "roots that are none": ({"ca_cert": "PEM"}, "ca_cert"),
    "a parameter that has a keyword": ({"extra_params": {"client_id": "x"}}, "extra_params"),
    "no endpoint": ({"endpoint": None}, "endpoint"),
    "an empty endpoint": ({"endpoint": ""}, "endpoint"),
    "a profile without a file": ({"profile": "x"}, "profile"),
    "a file that is missing": ({"config": "/no/such/file"}, "config"),
}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_combinations_of_a_session(nowhere, tmp_path, name):
    options, argument = COMBINATIONS[name]
    (tmp_path / "PEM").write_text("nothing in PEM")
    files = {key: str(tmp_path / value) for key, value in options.items() if value in ("PEM", "KEY")}
    expect_refused(argument, {name: lambda: Session(**{"endpoint": nowhere, **options, **files})})


VERIFIER_COMBINATIONS = {
    "no audience": ({"audience": None}, "audience"),
    "no audience in a list": ({"audience": []}, "audience"),
    "an audience and any": ({"any_audience": True}, "audience"),
    "plaintext beyond this machine": ({"issuer": "http://idp.example"}, "issuer"),
    "a skew that is too large": ({"clock_skew": 301}, "clock_skew"),
    "no algorithm": ({"algorithms": []}, "algorithms"),
    "an algorithm with a shared secret": ({"algorithms": ["HS256"]}, "algorithms"),
    "no algorithm at all": ({"algorithms": ["none"]}, "algorithms"),
    "a client without its secret": ({"introspection_client_id": "x"}, "introspection_client_id"),
    "a secret without its client": ({"introspection_client_secret": "x"}, "introspection_client_secret"),
    "an endpoint nobody asks": ({"introspection_endpoint": "https://idp.example/x"}, "introspection_endpoint"),
    "keys that are none": ({"jwks": {"keys": [Odd()]}}, "jwks"),
    "keys without keys": ({"jwks": {}}, "jwks"),
}


@pytest.mark.parametrize("name", VERIFIER_COMBINATIONS)
def test_combinations_of_a_verifier(name):
    options, argument = VERIFIER_COMBINATIONS[name]
    expect_refused(argument, {name: lambda: Verifier(**{**GOOD, **options})})


def test_none_is_not_given(nowhere):
    """Every optional keyword of a session may be passed on as it came."""
    Session(endpoint=nowhere, **dict.fromkeys(set(SESSION) - {"endpoint"}))
    Verifier(**{**dict.fromkeys(VERIFIER), **GOOD, "any_audience": False, "plaintext": False, "profile": "jwt"})
