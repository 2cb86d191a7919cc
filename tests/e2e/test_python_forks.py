"""A Python program forks, as multiprocessing, gunicorn and Celery do: before its session's first call, after it, and
while its refresh is under way. Nothing hangs, and the machine refreshes once."""

import contextlib

import pytest
import requests
from harness.cli import VENV
from harness.herd import Place, digest, stored, wait_for
from harness.peers import Sandbox
from harness.ports import closed_port
from harness.python_programs import Program, end_server, runs, start_server
from harness.scenes import ALICE


@pytest.fixture
def place(start):
    """A server that replaces refresh tokens: whoever uses one twice ends the session."""
    return Place(start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens"))


@pytest.fixture
def expired(cli, place):
    """Alice's session with an access token that is over; gives what the server had counted."""
    place.sign_in(cli)
    return place.counted()


def one_refresh(cli, place, before, hashes):
    assert place.since(before) == {"all": 1, "granted": 1, "reused": 0}
    assert set(hashes) == {digest(stored(cli)["access_token"])}


RUNTIME = {"not started": "", "started": "session.status()"}


@pytest.mark.parametrize("first", RUNTIME.values(), ids=RUNTIME)
def test_parent_and_child_find_the_token_expired(cli, place, expired, first):
    done = runs(
        cli,
        f"""
        session = Session.from_config()
        {first}
        child = in_child(lambda: tell(who="child", hash=digest(session.token())))
        tell(who="parent", hash=digest(session.token()))
        assert ended(child) == 0
        """,
        env=place.env,
    )
    assert {line["who"] for line in done.lines} == {"child", "parent"}
    one_refresh(cli, place, expired, [line["hash"] for line in done.lines])


def test_a_child_goes_on_with_its_parents_token_and_refreshes_by_itself(cli, place, expired):
    """The runtime has started and has kept a connection to the server; the child's refresh needs its own of both."""
    done = runs(
        cli,
        """
        session = Session.from_config()
        before = session.token()

        def child():
            assert session.token() == before
            session.invalidate()
            after = session.token()
            assert after != before
            tell(hash=digest(after))

        assert ended(in_child(child)) == 0
        # The child's is known here as soon as ours is no good any more.
        session.invalidate(before)
        tell(hash=digest(session.token()))
        """,
        env=place.env,
    )
    assert place.since(expired)["all"] == 2
    assert {line["hash"] for line in done.lines} == {digest(stored(cli)["access_token"])}


def test_a_grandchild(cli, place, expired):
    done = runs(
        cli,
        """
        session = Session.from_config()
        session.status()

        def child():
            session.status()
            assert ended(in_child(lambda: tell(hash=digest(session.token())))) == 0
            tell(hash=digest(session.token()))

        assert ended(in_child(child)) == 0
        """,
        env=place.env,
    )
    assert len(done.lines) == 2
    one_refresh(cli, place, expired, [line["hash"] for line in done.lines])


def test_a_fork_while_a_thread_waits_for_the_refresh(cli, place, expired):
    """The child has neither that thread nor the runtime's; the lock is its parent's, and so is the answer."""
    place.answers_late(1500)
    program = Program(
        cli,
        """
        session = Session.from_config()
        thread = threading.Thread(target=lambda: tell(who="thread", hash=digest(session.token())))
        thread.start()
        waits_for_the_word()
        child = in_child(lambda: tell(who="child", hash=digest(session.token())))
        tell(who="parent", hash=digest(session.token()))
        thread.join()
        assert ended(child) == 0
        """,
        env=place.env,
    )
    wait_for(lambda: place.server.stats()["faults"] == 1)
    program.says()
    done = program.ends_well()
    assert sorted(line["who"] for line in done.lines) == ["child", "parent", "thread"]
    one_refresh(cli, place, expired, [line["hash"] for line in done.lines])


def test_a_child_that_ends_while_its_parents_refresh_is_under_way(cli, place, expired):
    """The child's own end waits for nothing: the refresh is not its own."""
    place.answers_late(4000)
    program = Program(
        cli,
        """
        session = Session.from_config()
        thread = threading.Thread(target=session.token)
        thread.start()
        waits_for_the_word()
        child = os.fork()
        if child == 0:
            sys.exit(7)
        begin = time.monotonic()
        code = ended(child)
        tell(code=code, seconds=time.monotonic() - begin)
        thread.join()
        """,
        env=place.env,
    )
    wait_for(lambda: place.server.stats()["faults"] == 1)
    program.says()
    done = program.ends_well()
    assert done.last["code"] == 7
    assert done.last["seconds"] < 2
    assert place.since(expired)["all"] == 1


def test_a_fork_while_the_runtime_waits_for_the_interpreter(cli, place, expired):
    """Whatever the runtime's thread holds at that moment stays held in the child for ever."""
    done = runs(
        cli,
        """
        import asyncio

        session = Session.from_config()

        async def main():
            task = asyncio.ensure_future(session.token_async())
            await asyncio.sleep(0)
            # From here on nobody else gets the interpreter, whose answer has come long before the end.
            sys.setswitchinterval(60)
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                pass
            child = os.fork()
            if child == 0:
                # As `sys.exit` does, without the loop's own clean-up.
                import atexit

                atexit._run_exitfuncs()
                os._exit(0)
            sys.setswitchinterval(0.005)
            begin = time.monotonic()
            while os.waitpid(child, os.WNOHANG)[0] == 0:
                if time.monotonic() > begin + 8:
                    os.kill(child, 9)
                    os.waitpid(child, 0)
                    break
                time.sleep(0.01)
            tell(seconds=time.monotonic() - begin, hash=digest(await task))

        asyncio.run(main())
        """,
        env=place.env,
    )
    assert done.last["seconds"] < 2, "the child's end waits for a lock that nobody will open"
    one_refresh(cli, place, expired, [done.last["hash"]])


def test_forks_at_any_moment_of_a_busy_runtime(cli, place):
    """Whatever lock the parent's other threads hold then is held in the child for ever: none may be in a call's way."""
    place.sign_in(cli, is_expired=False)
    done = runs(
        cli,
        """
        import signal

        session = Session.from_config()
        session.token()
        stop = threading.Event()

        def busy():
            while not stop.is_set():
                session.status()
                session._start_token().wait()

        threads = [threading.Thread(target=busy) for _ in range(3)]
        for thread in threads:
            thread.start()

        def child():
            signal.alarm(8)
            session.status()
            session._start_token().wait()
            # A session of its own, made from the files.
            assert Session.from_config().token() == session.token()

        codes = []
        for _ in range(60):
            time.sleep(0.002)
            codes.append(ended(in_child(child)))
        stop.set()
        tell(codes=codes)
        for thread in threads:
            thread.join()
        """,
        env=place.env,
    )
    assert set(done.last["codes"]) == {0}, done.last


def test_many_children_with_threads_at_once(cli, place, expired):
    place.answers_late(300)
    done = runs(
        cli,
        """
        session = Session.from_config()
        session.status()

        def child():
            hashes = []
            threads = [threading.Thread(target=lambda: hashes.append(digest(session.token()))) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            tell(hashes=hashes)

        children = [in_child(child) for _ in range(8)]
        assert [ended(child) for child in children] == [0] * 8
        """,
        env=place.env,
    )
    hashes = [one for line in done.lines for one in line["hashes"]]
    assert len(hashes) == 32
    one_refresh(cli, place, expired, hashes)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("first", RUNTIME.values(), ids=RUNTIME)
def test_multiprocessing(cli, place, expired, method, first):
    done = runs(
        cli,
        f"""
        import multiprocessing

        # Inherited by `fork`, made anew in each worker otherwise.
        session = Session.from_config()

        def work(number):
            return digest(session.token()), os.getpid()

        if __name__ == "__main__":
            {first}
            with multiprocessing.get_context("{method}").Pool(2) as pool:
                answers = pool.map(work, range(8), chunksize=1)
                pool.close()
                pool.join()
            tell(hashes=[hash for hash, _ in answers], pids=[pid for _, pid in answers], own=digest(session.token()))
        """,
        env=place.env,
    )
    one_refresh(cli, place, expired, [*done.last["hashes"], done.last["own"]])


def test_a_process_pool_after_threads_and_loops(cli, place, expired):
    """As a web server with an executor: threads, a loop and a fork in one program."""
    done = runs(
        cli,
        """
        import asyncio
        import concurrent.futures
        import multiprocessing

        session = Session.from_config()

        def work(_):
            return digest(asyncio.run(session.token_async()))

        async def main():
            own = digest(await session.token_async())
            context = multiprocessing.get_context("fork")
            with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
                loop = asyncio.get_running_loop()
                return [own, *await asyncio.gather(*(loop.run_in_executor(pool, work, n) for n in range(4)))]

        tell(hashes=asyncio.run(main()))
        """,
        env=place.env,
    )
    one_refresh(cli, place, expired, done.last["hashes"])


def test_an_error_of_the_package_crosses_a_process_pool(cli, place):
    """Nobody is signed in: what the worker raises arrives as what it is."""
    done = runs(
        cli,
        """
        import multiprocessing

        session = Session.from_config()

        def work(_):
            return session.token()

        if __name__ == "__main__":
            with multiprocessing.get_context("fork").Pool(1) as pool:
                try:
                    pool.map(work, [1])
                except flyte_auth.LoginRequiredError as error:
                    tell(code=error.code, text=str(error), endpoint=error.endpoint, next=error.next_step)
        """,
        env=place.env,
    )
    assert done.last["text"] and done.last["endpoint"] and done.last["next"]


def test_gunicorn_with_preload(cli, place, expired):
    """The application asks for a header when it is imported, in the master, and in both workers for each request."""
    port = closed_port()
    argv = [VENV / "python", "-m", "gunicorn", "--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}"]
    server = start_server(cli, [*argv, "--graceful-timeout", "5", "gunicorn_application:application"], env=place.env)
    try:
        answers = []

        def both_answered():
            assert server.poll() is None, (cli.home / "server.log").read_text()
            # Until it listens there is nobody to ask.
            with contextlib.suppress(requests.ConnectionError):
                answers.append(requests.get(f"http://127.0.0.1:{port}/", timeout=10).json())
            return len(answers) >= 20 and len({answer["pid"] for answer in answers}) == 2

        wait_for(both_answered)
        one_refresh(cli, place, expired, [answer["hash"] for answer in answers])
        # The token is rejected: each worker's next refresh is its own runtime's, and both share one.
        before = place.counted()
        rejected = requests.post(f"http://127.0.0.1:{port}/", timeout=10).json()
        assert rejected["hash"] == digest(stored(cli)["access_token"]) != answers[0]["hash"]
        assert place.since(before)["all"] == 1
    finally:
        seconds = end_server(server)
    assert seconds < 10
    assert "Fatal" not in (cli.home / "server.log").read_text()


def test_celery_prefork(cli, place, expired):
    """A worker pool of two; the session is made where the tasks are, in the parent, whose runtime has started."""
    folder = cli.home / "broker"
    for name in ("in", "results"):
        (folder / name).mkdir(parents=True)
    env = {**place.env, "BROKER": str(folder)}
    argv = [VENV / "python", "-m", "celery", "-A", "celery_tasks", "worker", "--pool", "prefork", "--concurrency", "2"]
    worker = start_server(cli, [*argv, "--loglevel", "INFO", "--without-mingle", "--without-gossip"], env=env)
    try:
        done = runs(
            cli,
            """
            from celery_tasks import token

            answers = [token.delay() for _ in range(12)]
            answers = [answer.get(timeout=50) for answer in answers]
            tell(hashes=[answer["hash"] for answer in answers], pids=[answer["pid"] for answer in answers])
            """,
            env=env,
            within=70,
        )
        assert len(done.last["hashes"]) == 12
        assert worker.pid not in done.last["pids"]
        one_refresh(cli, place, expired, done.last["hashes"])
    except AssertionError as cause:
        raise AssertionError((cli.home / "server.log").read_text()[-3000:]) from cause
    finally:
        end_server(worker, 20)
