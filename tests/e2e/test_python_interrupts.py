"""Ctrl-C in a Python program, while it waits for whatever the package may wait for. `KeyboardInterrupt` comes at once,
in the main thread, and nobody else notices. Logins: test_python_login.py."""

import contextlib
import socket

import pytest
from harness.herd import Place, digest, stored, wait_for
from harness.peers import Sandbox
from harness.python_programs import Program, promptly, runs
from harness.scenes import ALICE, machine

# No wait here ends before this by itself.
NEVER = "delay-60000"

INTERRUPTED = """
at = interrupts(0.4)
try:
    {wait}
except KeyboardInterrupt:
    tell(seconds=time.monotonic() - at[0], main=threading.current_thread() is threading.main_thread())
else:
    tell(seconds=None)
"""


@pytest.fixture
def place(start):
    return Place(start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens"))


@contextlib.contextmanager
def nobody():
    """A server that takes connections and never answers: its backlog does, and nobody accepts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def at_once(done):
    assert done.last == {"seconds": done.last["seconds"], "main": True}, done.last
    assert done.last["seconds"] < promptly()


def interrupted(cli, place, before: str, wait: str, asks=True):
    """Interrupts `wait` of a program that has done `before`; the server, which it `asks`, stays silent from then on."""
    source = f"session = Session.from_config()\n{before}\ntell(ready=True)\nwaits_for_the_word()\n"
    program = Program(cli, source + INTERRUPTED.format(wait=wait), env=place.env)
    program.line()
    place.server.fault(NEVER, 1_000_000)
    program.says()
    done = program.ends_well()
    assert place.server.stats()["faults"] >= asks, "it did not wait for the server"
    at_once(done)


WAITS = {
    "token": "session.token()",
    "headers": "session.headers()",
    "whoami": "session.whoami()",
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_wait_for_the_token(cli, place, wait):
    place.sign_in(cli)
    interrupted(cli, place, "", wait)


def test_whoami_with_a_token(cli, place):
    place.sign_in(cli, is_expired=False)
    interrupted(cli, place, "session.token()", "session.whoami()")


def test_a_logout_that_revokes(cli, place):
    place.sign_in(cli, is_expired=False)
    interrupted(cli, place, "session.token()", "session.logout(revoke=True)")


VERIFIES = {
    "verify": "verifier.verify(token)",
    "verify_id_token": "verifier.verify_id_token(token, client_id='flytectl')",
}


@pytest.mark.parametrize("wait", VERIFIES.values(), ids=VERIFIES)
def test_a_verifier_that_needs_keys(cli, place, wait):
    place.sign_in(cli, is_expired=False)
    before = f"""
token = session.token().value
verifier = flyte_auth.Verifier(issuer="{place.server.url}", any_audience=True)
"""
    interrupted(cli, place, before, wait)


def test_begin_login_before_the_server_has_answered(cli, place):
    interrupted(cli, place, "", "session.begin_login(flow='device')")


def test_finish_of_a_device_login(cli, place):
    """Between two polls (RFC 8628: five seconds)."""
    interrupted(cli, place, "pending = session.begin_login(flow='device')", "pending.finish()", asks=False)


def test_a_server_that_nobody_runs(cli):
    """The connection is made and no byte ever comes."""
    with nobody() as url:
        env = {"FLYTE_AUTH_ENDPOINT": url, "FLYTE_AUTH_STORE": "file", **machine("flytepropeller", "foobar-secret")}
        source = "session = Session.from_config()\n" + INTERRUPTED.format(wait="session.token()")
        at_once(runs(cli, source, env=env))


def test_a_wait_for_another_programs_lock(cli, place):
    """That program's refresh goes on, and the next call here has its token."""
    place.sign_in(cli)
    before = place.counted()
    place.answers_late(3000)
    other = Program(cli, "tell(hash=digest(Session.from_config().token()))", env=place.env)
    wait_for(lambda: place.server.stats()["faults"] == 1)
    source = "session = Session.from_config()\n" + INTERRUPTED.format(wait="session.token()")
    program = Program(cli, source + "tell(hash=digest(session.token()))", env=place.env)
    done = program.ends_well()
    at_once(type(done)(done.code, done.lines[:1], done.stderr, done.seconds))
    assert done.last["hash"] == other.ends_well().last["hash"] == digest(stored(cli)["access_token"])
    assert place.since(before)["all"] == 1


def test_the_interrupted_refresh_goes_on_and_other_threads_with_it(cli, place):
    place.sign_in(cli)
    before = place.counted()
    place.answers_late(2000)
    done = runs(
        cli,
        """
        session = Session.from_config()
        threads = [threading.Thread(target=lambda: tell(hash=digest(session.token()))) for _ in range(3)]
        for thread in threads:
            thread.start()
        at = interrupts(0.5)
        try:
            session.token()
        except KeyboardInterrupt:
            tell(seconds=time.monotonic() - at[0])
        tell(hash=digest(session.token()))
        for thread in threads:
            thread.join()
        """,
        env=place.env,
    )
    assert done.lines[0]["seconds"] < promptly()
    assert [line["hash"] for line in done.lines[1:]] == [digest(stored(cli)["access_token"])] * 4
    assert place.since(before)["all"] == 1


def test_three_interrupts_in_a_row(cli, place):
    """Whoever presses it again and again gets it each time; the token comes all the same."""
    place.sign_in(cli)
    place.answers_late(3000)
    done = runs(
        cli,
        """
        session = Session.from_config()
        for _ in range(3):
            at = interrupts(0.2)
            try:
                session.token()
            except KeyboardInterrupt:
                tell(seconds=time.monotonic() - at[0])
        tell(hash=digest(session.token()))
        """,
        env=place.env,
    )
    assert [line["seconds"] < promptly() for line in done.lines[:3]] == [True] * 3, done.lines
    assert place.counted()["reused"] == 0


def test_a_handler_that_does_not_raise_ends_no_wait(cli, place):
    """A timer's signals are answered at once meanwhile, and what a handler raises comes out as it is."""
    place.sign_in(cli)
    place.answers_late(1500)
    done = runs(
        cli,
        """
        import signal

        session = Session.from_config()
        began, rang = time.monotonic(), []
        signal.signal(signal.SIGALRM, lambda *_: rang.append(time.monotonic() - began))
        signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
        token = session.token()
        signal.setitimer(signal.ITIMER_REAL, 0)
        tell(rang=rang, waited=time.monotonic() - began)

        class Mine(Exception):
            pass

        def raises(*_):
            raise mine

        mine = Mine()
        signal.signal(signal.SIGALRM, raises)
        session.invalidate()
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            session.token()
        except Mine as error:
            assert error is mine
            tell(seconds=time.monotonic() - began)
        """,
        env=place.env,
    )
    rang = done.lines[0]["rang"]
    assert done.lines[0]["waited"] > 1.4 and len(rang) >= 5
    assert all(abs(at - 0.2 * (number + 1)) < promptly() + 0.05 for number, at in enumerate(rang)), rang


@pytest.mark.parametrize("wait", ["session.token_async()", "session.whoami_async()"])
def test_an_event_loop(cli, place, wait):
    """`asyncio.run` turns Ctrl-C into a cancelled task."""
    place.sign_in(cli)
    interrupted(cli, place, "import asyncio", f"asyncio.run({wait})")


def test_the_interpreter_is_free_in_every_wait(cli, place):
    """Another thread counts on while this one waits."""
    place.sign_in(cli)
    place.server.fault("delay-700", 1_000_000)
    done = runs(
        cli,
        f"""
        session = Session.from_config()
        waits = {{
            "token": session.token,
            "whoami": session.whoami,
            "status": session.status,
            "begin": lambda: session.begin_login(flow="device").cancel(),
            "verify": lambda: flyte_auth.Verifier(issuer="{place.server.url}", any_audience=True).verify(token.value),
            "logout": lambda: session.logout(revoke=True),
        }}
        token = None
        for name, wait in waits.items():
            begin = time.monotonic()
            with Ticks() as ticks:
                found = wait()
            token = found if name == "token" else token
            tell(name=name, waited=time.monotonic() - begin, longest=max(ticks.gaps, default=0.0))
        """,
        env=place.env,
    )
    for line in done.lines:
        # The status needs no server.
        assert line["waited"] > 0.6 or line["name"] == "status", line
        assert line["longest"] < promptly(), line
