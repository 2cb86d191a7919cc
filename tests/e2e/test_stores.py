"""Where sessions are kept: each store by the command line, with a real keyring, a locked one, a silent one, none."""

import concurrent.futures
import json
import shutil
import stat

import pytest
from harness.peers import Sandbox
from harness.scenes import machine, token_of
from harness.secret_service import BlackHole, Bus, SecretService, SilentPrompter

CI = machine("flytepropeller", "foobar")
EVERY_STORE = ["auto", "keyring", "encrypted-file", "file", "memory", "none"]
# As `os_keyring::ANSWER`; the rest is for a machine that does much else.
ANSWER, SLACK = 3, 12


def ending(kind):
    made = kind()
    yield made
    made.end()


@pytest.fixture
def keyring():
    yield from ending(SecretService)


@pytest.fixture
def bare_bus():
    yield from ending(Bus)


@pytest.fixture
def black_hole():
    yield from ending(BlackHole)


def sessions(home, suffix) -> list:
    return sorted((home / "state/sessions").glob(f"*.{suffix}"))


def token(cli, server, *arguments, env=None, **others):
    return cli.run("token", "--endpoint", server.http, *arguments, env={**CI, **(env or {})}, **others)


def refused_login(cli, server, store, env=None):
    """A login whose result could not be kept ends before anybody is asked."""
    before = server.stats()
    result = cli.run("login", server.http, "--flow", "device", "--store", store, env=env)
    assert (result.code, result.stdout) == (7, ""), result
    assert server.requests_to("device") == 0, (before, server.stats())
    return result


def status(cli, server, *arguments, env=None):
    return cli.run("status", "--endpoint", server.http, "--json", *arguments, env={**CI, **(env or {})})


@pytest.mark.parametrize("store", EVERY_STORE)
@pytest.mark.parametrize("way", ["flag", "variable", "file"])
def test_each_store_by_each_way(cli, sandbox, keyring, home, store, way):
    arguments, env = [], dict(keyring.env)
    if way == "flag":
        arguments = ["--store", store]
    elif way == "variable":
        env["FLYTE_AUTH_STORE"] = store
    else:
        config = home / "config.yaml"
        config.write_text(f"admin:\n  endpoint: {sandbox.http}\n  store: {store}\n")
        arguments = ["--config", str(config)]
    first, second = (token_of(token(cli, sandbox, *arguments, env=env)) for _ in range(2))
    assert sandbox.accepts_at_me(first)
    assert (first == second) == (store not in ("memory", "none")), "kept for the next process, or not"
    shown = status(cli, sandbox, *arguments, env=env).json
    assert shown["store"] == {"auto": "encrypted-file"}.get(store, store)
    assert shown["store_reason"]
    kept = {suffix: len(sessions(home, suffix)) for suffix in ("json", "sealed", "keyring")}
    expected = {"auto": "sealed", "encrypted-file": "sealed", "file": "json", "keyring": "keyring"}.get(store)
    assert kept == {suffix: int(suffix == expected) for suffix in kept}
    for path in (home / "state").rglob("*"):
        if path.is_file() and expected != "json":
            assert first not in path.read_text(), f"the token is in plain text in {path}"


def test_an_unknown_store_is_a_usage_error(cli, sandbox):
    result = token(cli, sandbox, "--store", "keychain")
    assert result.code == 2 and "encrypted-file" in result.stderr


def test_private_under_any_umask(cli, sandbox, keyring, home):
    shutil.rmtree(home / "state")
    for store in ("file", "encrypted-file", "keyring"):
        argv = ["/bin/sh", "-c", 'umask 000; exec "$0" "$@"', cli.binary]
        result = cli.run_any([*argv, "token", "--endpoint", sandbox.http, "--store", store], env={**CI, **keyring.env})
        token_of(result)
    for path in (home / "state", *(home / "state").rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path}: {mode:o}"


# The encrypted file and its key.


def test_one_key_item_updated_in_place(cli, sandbox, keyring):
    for _ in range(3):
        token_of(token(cli, sandbox, "--force-refresh", env=keyring.env))
    [key] = keyring.keys()
    assert len(keyring.items()) == 1, "nothing but the key is in the keyring, no probe is left"
    # Somebody has written nonsense over it: the next login mends the same item.
    with keyring._collection() as collection:
        [item] = collection.search_items({"service": "flyte-auth", "username": key["username"]})
        item.set_secret(b"nonsense")
    lost = token(cli, sandbox, "--store", "encrypted-file", env=keyring.env)
    assert lost.code == 7 and "flyte-auth login" in lost.stderr, lost
    token_of(token(cli, sandbox, env=keyring.env))
    [mended] = keyring.keys()
    assert mended["path"] == key["path"] and mended["secret"] not in ("nonsense", key["secret"])


def test_two_processes_make_the_key_at_once(cli, start, keyring, home):
    """Every process has an endpoint of its own, so nothing but the key is shared."""
    servers = [start(Sandbox) for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(
            pool.map(lambda n: token(cli, servers[n % 4], "--store", "encrypted-file", env=keyring.env), range(8))
        )
    assert [result.code for result in results] == [0] * 8, [result.stderr for result in results]
    assert len(keyring.keys()) == 1
    assert len(sessions(home, "sealed")) == 4
    assert len({json.loads(path.read_text())["key_id"] for path in sessions(home, "sealed")}) == 1
    for server in servers:
        served = server.requests_to("token")
        token_of(token(cli, server, "--store", "encrypted-file", env=keyring.env))
        assert server.requests_to("token") == served, "the next process opens what was sealed"


@pytest.mark.parametrize("store", ["file", "encrypted-file", "keyring"])
def test_tokens_of_64_kilobytes(cli, sandbox, keyring, home, store):
    """A command prints the token: no server of ours makes one that large."""
    large = f"header.{'x' * 65536}.signature"
    document = {"access_token": large, "expires_at": "2099-01-01T00:00:00Z"}
    (home / "token.json").write_text(json.dumps(document))
    script = home / "print-token"
    script.write_text(f"#!/bin/sh\necho run >> {home}/runs\ncat {home}/token.json\n")
    script.chmod(0o755)
    config = home / "config.yaml"
    config.write_text(f"admin:\n  endpoint: {sandbox.http}\n  authType: ExternalCommand\n  command: [{script}]\n")
    for _ in range(2):
        result = cli.run("token", "--config", config, "--store", store, env=keyring.env)
        assert token_of(result) == large
    assert (home / "runs").read_text() == "run\n", "the second token comes from the store"


def test_a_lost_key_is_said_and_the_record_left_alone(cli, sandbox, keyring, home):
    first = token_of(token(cli, sandbox, env=keyring.env))
    keyring.forget(keyring.keys()[0]["username"])
    [record] = sessions(home, "sealed")
    before = record.read_bytes()
    result = token(cli, sandbox, "--store", "encrypted-file", env=keyring.env)
    assert (result.code, result.stdout) == (7, "")
    assert "key of the stored session is not in the keyring" in result.stderr and "flyte-auth login" in result.stderr
    assert record.read_bytes() == before
    # Under `auto` it counts as no session: a new one replaces it, with a new key.
    assert status(cli, sandbox, env=keyring.env).json["access_token_expires_at"] is None
    assert record.read_bytes() == before
    second = token_of(token(cli, sandbox, env=keyring.env))
    assert second != first and record.read_bytes() != before
    assert token_of(token(cli, sandbox, "--store", "encrypted-file", env=keyring.env)) == second


def test_a_changed_record_is_not_believed(cli, sandbox, keyring, home):
    token_of(token(cli, sandbox, env=keyring.env))
    [record] = sessions(home, "sealed")
    envelope = json.loads(record.read_text())
    envelope["sealed"] = "A" + envelope["sealed"][1:] if envelope["sealed"][0] != "A" else "B" + envelope["sealed"][1:]
    record.write_text(json.dumps(envelope))
    assert sandbox.accepts_at_me(token_of(token(cli, sandbox, env=keyring.env))), "a damaged record is replaced"


# Which store `auto` takes, and that it stays there.


def test_no_bus(cli, sandbox, home):
    token_of(token(cli, sandbox))
    assert len(sessions(home, "json")) == 1
    shown = status(cli, sandbox).json
    assert (shown["store"], "no D-Bus session bus" in shown["store_reason"]) == ("file", True), shown
    for store in ("keyring", "encrypted-file"):
        result = refused_login(cli, sandbox, store)
        assert "no D-Bus session bus" in result.stderr and "--store file" in result.stderr


def test_a_bus_without_a_secret_service(cli, sandbox, bare_bus):
    token_of(token(cli, sandbox, env=bare_bus.env))
    assert "Secret Service" in status(cli, sandbox, env=bare_bus.env).json["store_reason"]


def test_a_bus_that_is_gone(cli, sandbox, home):
    env = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={home}/run/nothing"}
    token_of(token(cli, sandbox, env=env))
    assert "DBUS_SESSION_BUS_ADDRESS" in status(cli, sandbox, env=env).json["store_reason"]


def test_a_locked_keyring(cli, sandbox, keyring, home):
    keyring.lock()
    token_of(token(cli, sandbox, env=keyring.env))
    shown = status(cli, sandbox, env=keyring.env).json
    assert (shown["store"], "the keyring is locked" in shown["store_reason"]) == ("file", True), shown
    for store in ("keyring", "encrypted-file"):
        assert "Unlock it" in refused_login(cli, sandbox, store, keyring.env).stderr
    # It stays where it is: whoever has no keyring (cron) must not lose it to whoever has one.
    keyring.unlock()
    token_of(token(cli, sandbox, "--force-refresh", env=keyring.env))
    assert (len(sessions(home, "json")), len(sessions(home, "sealed"))) == (1, 0)
    assert "sign out and in again" in status(cli, sandbox, env=keyring.env).json["store_reason"]
    assert cli.run("logout", "--endpoint", sandbox.http, env={**CI, **keyring.env}).code == 0
    token_of(token(cli, sandbox, env=keyring.env))
    assert (len(sessions(home, "json")), len(sessions(home, "sealed"))) == (0, 1)


def test_locked_after_the_login(cli, sandbox, keyring, home):
    """The session is there and cannot be read now: that is neither a new session nor "not signed in"."""
    first = token_of(token(cli, sandbox, env=keyring.env))
    [record] = sessions(home, "sealed")
    before = record.read_bytes()
    keyring.lock()
    for env in (keyring.env, {}):  # locked, and over SSH without any bus
        result = token(cli, sandbox, env=env)
        assert (result.code, result.stdout) == (7, "") and "--store file" in result.stderr, result
    assert record.read_bytes() == before and not sessions(home, "json")
    assert cli.run("list", "--json", env={**CI, **keyring.env}).json == []
    keyring.unlock()
    assert token_of(token(cli, sandbox, env=keyring.env)) == first


def test_signing_out_needs_no_keyring(cli, sandbox, keyring, home):
    token_of(token(cli, sandbox, env=keyring.env))
    keyring.lock()
    result = cli.run("logout", "--all", "--json", env={**CI, **keyring.env})
    assert result.code == 0 and len(result.json["ended"]) == 1, result
    assert not sessions(home, "sealed")


def test_a_prompt_that_nobody_answers(cli, sandbox, keyring):
    """A screen, a locked keyring, and nobody there: the deadline ends it."""
    token_of(token(cli, sandbox, "--store", "encrypted-file", env=keyring.env))
    keyring.lock()
    prompter = SilentPrompter(keyring)
    env = {**keyring.env, "DISPLAY": ":99"}
    try:
        child = cli.start("token", "--endpoint", sandbox.http, env={**CI, **env})
        assert prompter.asked(within=20), "the person was not asked"
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 7 and "nobody unlocked it within 30 s" in errors, errors
        # Where nobody may be asked nobody is.
        for extra, arguments in (({"GITHUB_ACTIONS": "true"}, []), ({}, ["--interactive", "never"])):
            quiet = token(cli, sandbox, *arguments, env={**env, **extra})
            assert quiet.code == 7 and "the keyring is locked. Unlock it" in quiet.stderr, quiet
        assert not prompter.asked(within=0.5)
    finally:
        prompter.end()


def test_a_black_hole(cli, sandbox, black_hole, home):
    result = token(cli, sandbox, env=black_hole.env)
    token_of(result)
    assert ANSWER <= result.seconds < ANSWER + SLACK, result.seconds
    # It is remembered: the next ones do not wait.
    for again in (token(cli, sandbox, env=black_hole.env), status(cli, sandbox, env=black_hole.env)):
        assert again.code == 0 and again.seconds < ANSWER, again
    shown = status(cli, sandbox, env=black_hole.env).json
    assert (shown["store"], "did not answer" in shown["store_reason"]) == ("file", True), shown
    for store in ("keyring", "encrypted-file"):
        result = refused_login(cli, sandbox, store, black_hole.env)
        assert "did not answer" in result.stderr, result
        # One deadline, not one for each question.
        assert result.seconds < ANSWER + SLACK, result.seconds


def test_a_black_hole_after_the_login(cli, sandbox, keyring, black_hole, home):
    first = token_of(token(cli, sandbox, env=keyring.env))
    result = token(cli, sandbox, env=black_hole.env)
    assert (result.code, result.stdout) == (7, "") and "did not answer" in result.stderr, result
    assert token_of(token(cli, sandbox, env=keyring.env)) == first, "a hiccup costs no session"


def test_a_stored_session_in_a_file_asks_no_keyring(cli, sandbox, black_hole, home):
    """What issue 3 promises of a fresh token: no bus is touched, not even one that would answer."""
    first = token_of(token(cli, sandbox))
    assert token_of(token(cli, sandbox, env=black_hole.env)) == first
    assert black_hole.calls() == 0
    status(cli, sandbox, env=black_hole.env)
    assert black_hole.calls() == 1, "status asks, to say why"


def test_auto_finds_what_was_put_in_the_keyring(cli, sandbox, keyring, home):
    first = token_of(token(cli, sandbox, "--store", "keyring", env=keyring.env))
    assert token_of(token(cli, sandbox, env=keyring.env)) == first
    assert status(cli, sandbox, env=keyring.env).json["store"] == "keyring"
    [row] = cli.run("list", "--store", "keyring", "--json", env={**CI, **keyring.env}).json
    assert row["key"] == sessions(home, "keyring")[0].stem
    assert cli.run("logout", "--endpoint", sandbox.http, env={**CI, **keyring.env}).code == 0
    assert not sessions(home, "keyring") and not keyring.items(username=row["key"])
