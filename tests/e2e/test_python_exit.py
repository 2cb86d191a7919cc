"""The end of a Python program: at whatever point of a call it comes, it comes soon, without a crash, and a refresh that
is on its way is saved. And which interpreters can load the package at all."""

import os
import signal
import sys
from pathlib import Path

import pytest
from harness.herd import Place, digest, stored, wait_for
from harness.peers import Sandbox
from harness.python_programs import PYTHON, Program, runs
from harness.scenes import ALICE, machine

PYENV = Path(os.environ.get("PYENV_ROOT", "/root/.pyenv")) / "versions"
# The versions that the one wheel (abi3) is for, besides our own.
OTHERS = sorted(
    path / "bin/python"
    for path in PYENV.glob("3.1[0-9].*")
    if (path / "bin/python").exists() and not path.name.startswith(f"3.{sys.version_info.minor}.")
)
EVERY = pytest.mark.parametrize("python", [PYTHON, *OTHERS], ids=lambda path: path.parents[1].name)
SOON = 5


@pytest.fixture
def place(start):
    """A server that replaces refresh tokens: an answer that is lost is a session that is lost."""
    return Place(start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens"))


def saved(cli, place, before):
    """One refresh, and its answer is in the store: the next program goes on with it."""
    assert place.since(before) == {"all": 1, "granted": 1, "reused": 0}
    assert stored(cli)["generation"] == 2
    done = runs(
        cli, "s = Session.from_config(); s.token(); s.invalidate(); tell(hash=digest(s.token()))", env=place.env
    )
    assert done.last["hash"] == digest(stored(cli)["access_token"])
    assert place.since(before) == {"all": 2, "granted": 2, "reused": 0}


ENDS = {
    "a daemon thread waits": """
        threading.Thread(target=session.token, daemon=True).start()
        time.sleep(0.3)
    """,
    "twenty daemon threads wait": """
        for _ in range(20):
            threading.Thread(target=session.token, daemon=True).start()
        time.sleep(0.3)
    """,
    "a task was cancelled": """
        import asyncio

        async def main():
            task = asyncio.ensure_future(session.token_async())
            await asyncio.sleep(0.3)
            task.cancel()

        asyncio.run(main())
    """,
    "the loop was closed": """
        import asyncio

        loop = asyncio.new_event_loop()
        task = loop.create_task(session.token_async())
        loop.run_until_complete(asyncio.sleep(0.3))
        task._log_destroy_pending = False
        loop.close()
    """,
    "a loop in a daemon thread": """
        import asyncio

        threading.Thread(target=lambda: asyncio.run(session.token_async()), daemon=True).start()
        time.sleep(0.3)
    """,
    "a thread was told to exit": """
        def run():
            threading.Thread(target=session.token, daemon=True).start()
            time.sleep(0.3)
            sys.exit(3)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    """,
    "a thread that is waited for": """
        threading.Thread(target=session.token).start()
        time.sleep(0.3)
    """,
    "a call that nobody waits for": """
        call = session._start_token()
        time.sleep(0.3)
        del call, session
    """,
}


@pytest.mark.parametrize("how", ENDS.values(), ids=ENDS)
def test_a_refresh_that_is_under_way_is_saved(cli, place, how):
    place.sign_in(cli)
    before = place.counted()
    place.answers_late(1500)
    done = runs(cli, "session = Session.from_config()\n" + how.replace("\n        ", "\n"), env=place.env)
    assert done.seconds < 1.5 + SOON
    place.answers_late(0)
    saved(cli, place, before)


@EVERY
def test_twenty_daemon_threads_in_every_interpreter(cli, place, python):
    """Each version ends daemon threads in its own way: by ending the thread, or by letting it hang."""
    place.sign_in(cli)
    before = place.counted()
    place.answers_late(700)
    source = "session = Session.from_config()\n" + ENDS["twenty daemon threads wait"].replace("\n        ", "\n")
    runs(cli, source, env=place.env, python=python)
    place.answers_late(0)
    saved(cli, place, before)


@EVERY
def test_waits_of_daemon_threads_that_nothing_depends_on(cli, place, python):
    """A machine's token can be had again: nobody waits for it."""
    place.server.fault("delay-60000", 1_000_000)
    done = runs(
        cli,
        """
        import asyncio

        session = Session.from_config()
        waits = [session.token, session.whoami, session.headers, lambda: asyncio.run(session.token_async())]
        for wait in waits * 3:
            threading.Thread(target=wait, daemon=True).start()
        time.sleep(0.5)
        """,
        env={**place.env, **machine("flytepropeller", "foobar")},
        python=python,
    )
    assert done.seconds < SOON


@EVERY
def test_daemon_threads_that_never_stop_asking(cli, place, python):
    place.sign_in(cli, is_expired=False)
    for _ in range(3):
        runs(
            cli,
            """
            import asyncio

            session = Session.from_config()
            session.token()

            def asks():
                while True:
                    session.headers()
                    session.status()

            async def awaits():
                while True:
                    await session.status_async()

            for _ in range(4):
                threading.Thread(target=asks, daemon=True).start()
                threading.Thread(target=lambda: asyncio.run(awaits()), daemon=True).start()
            time.sleep(0.3)
            """,
            env=place.env,
            python=python,
        )


def test_ctrl_c_and_the_end(cli, place):
    """Nobody catches the interrupt: code as Python gives it, and what the server had answered is saved."""
    place.sign_in(cli)
    before = place.counted()
    place.answers_late(2000)
    program = Program(cli, "session = Session.from_config()\ntell(ready=True)\nsession.token()", env=place.env)
    wait_for(lambda: place.server.stats()["faults"] == 1)
    program.process.send_signal(signal.SIGINT)
    done = program.finish()
    assert done.code == -signal.SIGINT and "KeyboardInterrupt" in done.stderr, done
    assert "Fatal" not in done.stderr and done.seconds < 2 + SOON
    place.answers_late(0)
    saved(cli, place, before)


def test_a_second_ctrl_c_ends_the_wait_at_the_end(cli, place):
    """The server does not answer; a person does not wait for its deadline."""
    place.sign_in(cli)
    place.answers_late(60_000)
    program = Program(cli, "session = Session.from_config()\nsession.token()", env=place.env)
    wait_for(lambda: place.server.stats()["faults"] == 1)
    program.process.send_signal(signal.SIGINT)
    wait_for(lambda: "KeyboardInterrupt" in program.stderr)
    assert program.process.poll() is None
    program.process.send_signal(signal.SIGINT)
    done = program.finish(SOON)
    assert done.code in (-signal.SIGINT, 130, 1) and "Fatal" not in done.stderr, done


def test_a_server_that_does_not_answer_holds_the_end_up_for_a_while_only(cli, place):
    place.sign_in(cli)
    place.answers_late(60_000)
    program = Program(
        cli,
        """
        session = Session.from_config()
        threading.Thread(target=session.token, daemon=True).start()
        time.sleep(0.3)
        """,
        env=place.env,
    )
    done = program.finish()
    # The thread may still say that no answer came.
    assert done.code == 0 and "Fatal" not in done.stderr and done.seconds < 25, done


def test_os_exit_asks_nobody(cli, place):
    place.sign_in(cli)
    place.answers_late(5000)
    program = Program(
        cli,
        """
        session = Session.from_config()
        threading.Thread(target=session.token, daemon=True).start()
        time.sleep(0.3)
        os._exit(9)
        """,
        env=place.env,
    )
    done = program.finish()
    assert (done.code, done.stderr) == (9, "") and done.seconds < 3


def test_a_refresh_that_begins_while_the_interpreter_ends(cli, place):
    """It had not asked the server yet when the end began, and must not ask any more: its answer would be lost. What
    runs after us is here another's exit handler."""
    place.sign_in(cli)
    before = place.counted()
    place.answers_late(2000)
    runs(
        cli,
        """
        import atexit, time

        # Registered first, so the last to run.
        atexit.register(time.sleep, 2.5)
        from telling import *
        from flyte_auth import Session

        session = Session.from_config()
        threading.Thread(target=session.token, daemon=True).start()
        time.sleep(0.5)
        """,
        env={**place.env, "FLYTE_AUTH_TESTING_PAUSE": "reread.after=1500"},
        bare=True,
    )
    place.answers_late(0)
    asked = place.since(before)["all"]
    assert asked == 0 or stored(cli)["generation"] == 2, "the server has replaced the token, and nobody has the new one"
    done = runs(cli, "tell(hash=digest(Session.from_config().token()))", env=place.env)
    assert done.last["hash"] == digest(stored(cli)["access_token"])


@EVERY
def test_calls_from_the_end_itself(cli, place, python):
    """From exit handlers before and after ours, and from destructors: an answer or an error, no hang."""
    place.sign_in(cli, is_expired=False)
    done = runs(
        cli,
        """
        import atexit

        def last(name):
            try:
                session.status()
                tell(name=name, hash=digest(session.token()))
            except Exception as error:
                tell(name=name, error=type(error).__name__)

        atexit.register(last, "after")
        import flyte_auth
        from telling import *

        atexit.register(last, "before")
        session = flyte_auth.Session.from_config()

        class Late:
            def __init__(self, session):
                self.session = session

            def __del__(self):
                self.session.headers()

        session.late = Late(session)
        """,
        env=place.env,
        bare=True,
        python=python,
    )
    assert [line["name"] for line in done.lines] == ["before", "after"], done.lines
    assert done.lines[0]["hash"] == digest(stored(cli)["access_token"])


def test_a_device_login_is_pending(cli, place):
    for source in (
        "pending = session.begin_login(flow='device')",
        "pending = session.begin_login(flow='device'); threading.Thread(target=pending.finish, daemon=True).start()",
        "threading.Thread(target=lambda: session.login(flow='device', on_event=print), daemon=True).start()",
    ):
        done = runs(
            cli,
            f"session = Session.from_config()\nsys.stdout = open(os.devnull, 'w')\n{source}\ntime.sleep(0.4)",
            env=place.env,
        )
        assert done.seconds < SOON


# The simplest use by each interpreter that is here.
@EVERY
def test_the_one_binary_in_every_interpreter(cli, place, python):
    place.sign_in(cli)
    before = place.counted()
    done = runs(
        cli,
        """
        import asyncio
        import pickle

        session = Session.from_config()
        hashes = [digest(session.token()), digest_of(session.headers())]
        hashes.append(digest(asyncio.run(session.token_async())))
        assert session.status()["signed_in"]
        assert session.whoami()["email"] or session.whoami()["subject"]
        try:
            Session.for_endpoint(7)
        except TypeError as error:
            assert "endpoint" in str(error)
        try:
            Session(endpoint="http://127.0.0.1:1", store="none").token()
        except flyte_auth.FlyteAuthError as error:
            assert pickle.loads(pickle.dumps(error)).code == error.code
        tell(hashes=hashes, version=list(sys.version_info[:2]))
        """,
        env=place.env,
        python=python,
    )
    assert set(done.last["hashes"]) == {digest(stored(cli)["access_token"])}
    assert place.since(before)["all"] == 1


INNER = """
import json, os
try:
    import flyte_auth
    found = None
except BaseException as error:
    found = [type(error).__name__, str(error)]
os.write(1, (json.dumps(found) + chr(10)).encode())
"""


@pytest.mark.parametrize("first", ["", "import flyte_auth"], ids=["alone", "after the main one"])
@EVERY
def test_a_subinterpreter_is_refused_cleanly(cli, python, first):
    """The main interpreter goes on with the package afterwards."""
    done = runs(
        cli,
        f"""
        {first}
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters

        # As mod_wsgi does it: one for each application.
        for _ in range(2):
            inner = interpreters.create()
            interpreters.run_string(inner, {INNER!r})
            interpreters.destroy(inner)
        import flyte_auth
        from telling import *

        try:
            tell(after=flyte_auth.Session(endpoint="http://127.0.0.1:1", store="none").status()["endpoint"])
        except flyte_auth.FlyteAuthError as error:
            tell(after=error.code)
        """,
        python=python,
        bare=True,
    )
    *inner, after = done.lines
    assert len(inner) == 2 and all(said and said[0] == "ImportError" and "interpreter" in said[1] for said in inner), (
        inner
    )
    assert after["after"]
