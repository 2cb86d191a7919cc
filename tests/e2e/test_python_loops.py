"""One session under asyncio, uvloop, trio, gevent and threads: one refresh, nothing bound to a loop, no wait that stops
the others, and nothing left behind."""

import textwrap

import pytest
from harness.herd import Place, digest, stored
from harness.peers import Sandbox
from harness.python_programs import Program, promptly, runs
from harness.scenes import ALICE

LOOPS = {"asyncio": "asyncio.run", "uvloop": "uvloop.run"}
EVERY_LOOP = pytest.mark.parametrize("run", LOOPS.values(), ids=LOOPS)
IMPORTS = "import asyncio, uvloop\nsession = Session.from_config()\n"


@pytest.fixture
def place(start):
    return Place(start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens"))


@pytest.fixture
def expired(cli, place):
    """Alice's session with an access token that is over; gives what the server had counted."""
    place.sign_in(cli)
    return place.counted()


def one_refresh(cli, place, before, hashes):
    assert place.since(before) == {"all": 1, "granted": 1, "reused": 0}
    assert set(hashes) == {digest(stored(cli)["access_token"])}


def runs_with(cli, place, source, **options):
    """A program with the imports above."""
    return runs(cli, IMPORTS + textwrap.dedent(source), env=place.env, **options)


@EVERY_LOOP
def test_two_loops_one_after_another(cli, place, expired, run):
    done = runs_with(
        cli,
        place,
        f"""
        hashes = [digest({run}(session.token_async()))]
        hashes.append(digest_of({run}(session.headers_async())))
        session.invalidate()
        hashes = hashes[:1] + [digest({run}(session.token_async())), digest_of({run}(session.headers_async()))]
        tell(hashes=hashes)
        """,
    )
    first, *others = done.last["hashes"]
    assert set(others) == {digest(stored(cli)["access_token"])} and first not in others
    assert place.since(expired)["all"] == 2


@EVERY_LOOP
def test_loops_in_threads_at_once(cli, place, expired, run):
    place.answers_late(500)
    done = runs_with(
        cli,
        place,
        f"""
        async def several():
            return [digest(token) for token in await asyncio.gather(*(session.token_async() for _ in range(20)))]

        hashes = []
        threads = [threading.Thread(target=lambda: hashes.extend({run}(several()))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tell(hashes=hashes)
        """,
    )
    assert len(done.last["hashes"]) == 80
    one_refresh(cli, place, expired, done.last["hashes"])


@EVERY_LOOP
def test_a_thousand_tasks_and_one_refresh(cli, place, expired, run):
    """Meanwhile the loop ticks on."""
    place.answers_late(800)
    done = runs_with(
        cli,
        place,
        f"""
        async def main():
            gaps, last = [], time.monotonic()
            tasks = [asyncio.ensure_future(session.token_async()) for _ in range(1000)]
            # Starting a thousand tasks is one turn of the loop.
            await asyncio.sleep(0)
            last = time.monotonic()
            while not all(task.done() for task in tasks):
                await asyncio.sleep(0.01)
                now = time.monotonic()
                gaps.append(now - last)
                last = now
            return sorted({{digest(task.result()) for task in tasks}}), gaps

        hashes, gaps = {run}(main())
        tell(hashes=hashes, ticks=len(gaps), longest=max(gaps))
        """,
    )
    one_refresh(cli, place, expired, done.last["hashes"])
    assert done.last["ticks"] > 20 and done.last["longest"] < promptly(0.15, 0.4), done.last


@EVERY_LOOP
def test_a_sync_call_within_a_running_loop(cli, place, expired, run):
    """It blocks that loop, which is the caller's choice, and comes back; also where the loop awaits the same token."""
    place.answers_late(300)
    done = runs_with(
        cli,
        place,
        f"""
        async def main():
            task = asyncio.ensure_future(session.token_async())
            await asyncio.sleep(0.05)
            assert session.status()["signed_in"]
            return [digest(session.token()), digest(await task), digest_of(session.headers())]

        tell(hashes={run}(main()))
        """,
    )
    one_refresh(cli, place, expired, done.last["hashes"])


@EVERY_LOOP
def test_a_cancelled_task_returns_at_once_and_the_refresh_is_saved(cli, place, expired, run):
    place.answers_late(1200)
    program = Program(
        cli,
        IMPORTS
        + f"""
async def main():
    task = asyncio.ensure_future(session.token_async())
    await asyncio.sleep(0.4)
    begin = time.monotonic()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        tell(seconds=time.monotonic() - begin)
    await asyncio.sleep(1.5)
    waits_for_the_word()

{run}(main())
""",
        env=place.env,
    )
    assert program.line()["seconds"] < promptly(0.05)
    # Another process waits for that refresh, and needs none of its own.
    other = runs(cli, "tell(hash=digest(Session.from_config().token()))", env=place.env)
    program.says()
    program.ends_well()
    one_refresh(cli, place, expired, [other.last["hash"]])


@EVERY_LOOP
def test_a_timeout_returns_at_once_and_the_refresh_is_saved(cli, place, expired, run):
    place.answers_late(1200)
    done = runs_with(
        cli,
        place,
        f"""
        async def main():
            begin = time.monotonic()
            for wait in (session.token_async, session.headers_async):
                try:
                    async with asyncio.timeout(0.2):
                        await wait()
                except TimeoutError:
                    tell(seconds=time.monotonic() - begin - 0.2)
                begin = time.monotonic()
            try:
                await asyncio.wait_for(session.token_async(), 0.2)
            except TimeoutError:
                tell(seconds=time.monotonic() - begin - 0.2)
            # The same refresh, once more.
            tell(hash=digest(await session.token_async()))

        {run}(main())
        """,
    )
    assert [line["seconds"] < promptly(0.05) for line in done.lines[:3]] == [True] * 3, done.lines
    one_refresh(cli, place, expired, [done.last["hash"]])


def test_one_cancelled_among_many(cli, place, expired):
    """Those who still wait get the token."""
    place.answers_late(600)
    done = runs_with(
        cli,
        place,
        """
        async def main():
            tasks = [asyncio.ensure_future(session.token_async()) for _ in range(20)]
            await asyncio.sleep(0.2)
            for task in tasks[::2]:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in found[::2])
            tell(hashes=[digest(one) for one in found[1::2]])

        asyncio.run(main())
        """,
    )
    one_refresh(cli, place, expired, done.last["hashes"])


def test_no_wake_is_lost(cli, place):
    """A call may end at the very moment in which its waiter asks to be woken."""
    place.sign_in(cli, is_expired=False)
    runs_with(
        cli,
        place,
        """
        async def asks(number):
            for turn in range(number):
                async with asyncio.timeout(10):
                    await session.status_async()

        async def main():
            await asyncio.gather(*(asks(400) for _ in range(8)))

        asyncio.run(main())

        # The same by hand: the end and the wish as close together as can be.
        for turn in range(4000):
            woken = threading.Event()
            call = session._start_token()
            for _ in range(turn % 60):
                pass
            call.notify(woken.set)
            assert woken.wait(10), turn
            call.result()
        """,
        within=80,
    )


def test_trio(cli, place, expired):
    """By sync calls in its threads; a deadline leaves the wait, as trio says it, and the refresh is saved."""
    place.answers_late(1000)
    done = runs(
        cli,
        """
        import trio

        session = Session.from_config()

        async def main():
            hashes, ticks = [], 0

            async def asks():
                hashes.append(digest(await trio.to_thread.run_sync(session.token)))

            with trio.move_on_after(0.2) as scope:
                await trio.to_thread.run_sync(session.token, abandon_on_cancel=True)
            assert scope.cancelled_caught
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(asks)
                while len(hashes) < 50:
                    await trio.sleep(0.01)
                    ticks += 1
            tell(hashes=hashes, ticks=ticks)

        trio.run(main)
        """,
        env=place.env,
    )
    assert done.last["ticks"] > 10 and len(done.last["hashes"]) == 50
    one_refresh(cli, place, expired, done.last["hashes"])


GEVENT = """
from gevent import monkey

monkey.patch_all()
import gevent
from telling import *
import flyte_auth

session = flyte_auth.Session.from_config()

class Hub:
    def __enter__(self):
        self.gaps, self.ends = [], False
        self.greenlet = gevent.spawn(self.run)
        gevent.sleep(0)
        return self

    def run(self):
        last = time.monotonic()
        while not self.ends:
            gevent.sleep(0.01)
            now = time.monotonic()
            self.gaps.append(now - last)
            last = now

    def __exit__(self, *_):
        self.ends = True
        self.greenlet.join()
"""


def gevent_runs(cli, place, source, **options):
    return runs(cli, GEVENT + textwrap.dedent(source), env=place.env, bare=True, **options)


def test_a_hundred_greenlets_and_one_refresh(cli, place, expired):
    place.answers_late(1000)
    done = gevent_runs(
        cli,
        place,
        """
        with Hub() as hub:
            greenlets = [gevent.spawn(call) for call in [session.token] * 50 + [session.headers] * 50]
            gevent.joinall(greenlets, raise_error=True)
        hashes = [digest(one.value) if number < 50 else digest_of(one.value) for number, one in enumerate(greenlets)]
        tell(hashes=hashes, ticks=len(hub.gaps), longest=max(hub.gaps))
        """,
    )
    assert len(done.last["hashes"]) == 100
    one_refresh(cli, place, expired, done.last["hashes"])
    assert done.last["ticks"] > 40 and done.last["longest"] < promptly(0.15, 0.4), done.last


def test_what_ends_a_greenlets_wait(cli, place, expired):
    """`gevent.Timeout` and `kill` at once; the refresh is saved all the same."""
    place.answers_late(1500)
    done = gevent_runs(
        cli,
        place,
        """
        begin = time.monotonic()
        try:
            with gevent.Timeout(0.3):
                session.token()
        except gevent.Timeout:
            tell(seconds=time.monotonic() - begin - 0.3)
        greenlet = gevent.spawn(session.token)
        gevent.sleep(0.2)
        begin = time.monotonic()
        greenlet.kill()
        tell(seconds=time.monotonic() - begin, killed=isinstance(greenlet.value, gevent.GreenletExit))
        # The others go on with the same refresh.
        tell(hash=digest(session.token()))
        """,
    )
    assert [line["seconds"] < promptly(0.05) for line in done.lines[:2]] == [True, True], done.lines
    assert done.lines[1]["killed"]
    one_refresh(cli, place, expired, [done.last["hash"]])


def test_every_wait_of_a_greenlet_lets_the_others_go_on(cli, place):
    place.sign_in(cli)
    place.server.fault("delay-500", 1_000_000)
    done = gevent_runs(
        cli,
        place,
        f"""
        waits = {{
            "token": session.token,
            "whoami": session.whoami,
            "begin": lambda: session.begin_login(flow="device").cancel(),
            "verify": lambda: flyte_auth.Verifier(issuer="{place.server.url}", any_audience=True).verify(token.value),
            "login": lambda: session.login(flow="device", on_event=lambda event: None),
            "logout": lambda: session.logout(revoke=True),
        }}
        token = None
        for name, wait in waits.items():
            begin = time.monotonic()
            with Hub() as hub:
                found = wait()
            token = found if name == "token" else token
            tell(name=name, waited=time.monotonic() - begin, longest=max(hub.gaps))
        """,
        within=70,
    )
    for line in done.lines:
        assert line["waited"] > 0.4 and line["longest"] < promptly(0.15, 0.4), line


def test_gevent_and_real_threads(cli, place, expired):
    """gevent's own pool has real threads, each with a hub of its own."""
    place.answers_late(500)
    done = gevent_runs(
        cli,
        place,
        """
        pool = gevent.get_hub().threadpool
        with Hub() as hub:
            found = [pool.spawn(session.token) for _ in range(8)]
            hashes = [digest(one.get()) for one in found]
        tell(hashes=hashes, ticks=len(hub.gaps))
        """,
    )
    assert done.last["ticks"] > 10
    one_refresh(cli, place, expired, done.last["hashes"])


def test_ctrl_c_under_gevent(cli, place, expired):
    place.answers_late(2000)
    source = """
        import gevent.monkey

        real = gevent.monkey.get_original("time", "sleep")
        at = []

        def presses():
            real(0.4)
            at.append(time.monotonic())
            os.kill(os.getpid(), 2)

        gevent.get_hub().threadpool.spawn(presses)
        try:
            session.token()
        except KeyboardInterrupt:
            tell(seconds=time.monotonic() - at[0])
        tell(hash=digest(session.token()))
    """
    done = Program(cli, GEVENT + textwrap.dedent(source), env=place.env, bare=True).finish()
    # The hub says by itself that there was an interrupt.
    assert done.code == 0 and "Traceback" not in done.stderr, done
    assert done.lines[0]["seconds"] < promptly()
    one_refresh(cli, place, expired, [done.last["hash"]])


def test_threads_that_ask_and_reject_without_a_pause(cli, place):
    """32 threads; in the midst one of them says that the token was rejected. Each answer is a whole token."""
    place.sign_in(cli)
    done = runs(
        cli,
        """
        session = Session.from_config()
        problems, counts, rejected = [], [], []

        def asks(number):
            count = 0
            until = time.monotonic() + 3
            try:
                while time.monotonic() < until:
                    for _ in range(200):
                        token, headers = session.token(), session.headers()
                        assert token.value.count(".") == 2 and headers["authorization"].startswith("Bearer ")
                        assert token.expires_at.tzinfo is not None
                    count += 200
                    # Once: who rejects one fresh token after another is told so.
                    if number == 0 and not rejected:
                        rejected.append(token.value)
                        session.invalidate(token)
            except BaseException as error:
                problems.append(repr(error))
            counts.append(count)

        threads = [threading.Thread(target=asks, args=(number,)) for number in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tell(problems=problems, count=sum(counts), least=min(counts), anew=session.token().value not in rejected)
        """,
        env=place.env,
    )
    assert done.last["problems"] == [] and done.last["least"] > 0 and done.last["anew"], done.last
    assert place.counted()["reused"] == 0


def test_nothing_is_kept_of_calls(cli, place):
    """Memory after 200,000 headers, and after 2,000 waits that were cancelled."""
    place.sign_in(cli, is_expired=False)
    done = runs_with(
        cli,
        place,
        """
        import ctypes
        import gc
        import tracemalloc

        import psutil

        process = psutil.Process()
        session.headers()

        def settled():
            # What ends in the background has ended.
            until, objects = time.monotonic() + 5, -1
            while objects != len(gc.get_objects()) and time.monotonic() < until:
                objects = len(gc.get_objects())
                time.sleep(0.3)
                gc.collect()
            # What the allocator keeps for later is no leak.
            ctypes.CDLL(None).malloc_trim(0)

        def grown(work, times):
            # The threads of the pool and the allocator's slack come with the first rounds.
            for _ in range(2):
                work(times)
                settled()
            before = measured()
            work(times)
            settled()
            return {name: now - before[name] for name, now in measured().items()}

        def measured():
            python, _ = tracemalloc.get_traced_memory()
            return {"python": python, "resident": process.memory_info().rss, "objects": len(gc.get_objects())}

        def headers(times):
            for _ in range(times):
                session.headers()

        def statuses(times):
            for _ in range(times):
                session.status()

        def cancelled(times):
            async def main():
                session.invalidate()
                for _ in range(times // 100):
                    tasks = [asyncio.ensure_future(session.token_async()) for _ in range(100)]
                    await asyncio.sleep(0)
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)

            asyncio.run(main())

        plain = grown(headers, 200_000)
        tracemalloc.start()
        tell(headers=grown(headers, 20_000), plain=plain, statuses=grown(statuses, 1_000))
        tell(cancelled=grown(cancelled, 2_000))
        """,
        within=80,
    )
    first, last = done.lines
    for grown in (first["headers"], first["statuses"], last["cancelled"]):
        assert grown["python"] < 256 * 1024 and grown["objects"] < 200, done.lines
    for grown in (first["plain"], first["statuses"], last["cancelled"]):
        assert grown["resident"] < 1024 * 1024, done.lines


def test_garbage(cli, place):
    """A session in a cycle goes; so do calls; references to it may be weak."""
    place.sign_in(cli, is_expired=False)
    runs(
        cli,
        """
        import gc, pickle, copy, weakref

        session = Session.from_config()
        session.token()
        gone = []
        reference = weakref.ref(session, lambda _: gone.append("session"))
        assert reference() is session
        weakref.finalize(session, gone.append, "finalized")
        session.itself = [session]
        del session
        gc.collect()
        assert sorted(gone) == ["finalized", "session"], gone
        assert reference() is None

        session = Session.from_config()
        for wrong in (pickle.dumps, copy.copy, copy.deepcopy):
            try:
                wrong(session)
            except TypeError as error:
                assert "session" in str(error) or "pickle" in str(error), error
            else:
                raise AssertionError("a credential went into a pickle")
        token = session.token()
        kept = weakref.ref(token)
        assert kept() is token
        for secret in (token, session._start_token()):
            try:
                pickle.dumps(secret)
            except TypeError:
                pass
            else:
                raise AssertionError("a credential went into a pickle")
        class Mine(Session):
            pass
        mine = Mine.from_config()
        assert type(mine) is Mine and mine.token() == token
        """,
        env=place.env,
    )


def test_every_error_crosses_a_pickle(cli):
    runs(
        cli,
        """
        import copy, pickle

        import flyte_auth.errors as errors

        def same(error):
            for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
                assert type(again) is type(error) and str(again) == str(error) and again.args == error.args
                assert vars(again) == vars(error), (vars(again), vars(error))

        for name in errors.__all__:
            error = getattr(errors, name)("what happened")
            error.code, error.retryable, error.endpoint = "a_code", True, "https://flyte.example"
            same(error)
        for options in ({"endpoint": "http://127.0.0.1:1"}, {"endpoint": "not a host"}, {"store": "nowhere"}):
            try:
                Session(**options).whoami()
            except errors.FlyteAuthError as error:
                assert error.code and error.message
                same(error)
            else:
                raise AssertionError(options)
        """,
        env={"FLYTE_AUTH_STORE": "none"},
    )


def test_the_garbage_collector_may_run_at_any_point(cli, place):
    """A destructor that asks for a header, in the middle of a call that asks for one."""
    place.sign_in(cli, is_expired=False)
    runs(
        cli,
        """
        import faulthandler, gc

        faulthandler.dump_traceback_later(15, exit=True)
        session = Session.from_config()
        session.headers()
        ran = []

        class Garbage:
            def __init__(self):
                self.itself = self

            def __del__(self):
                # The other threads run meanwhile, as in any destructor that writes or waits.
                time.sleep(0.0005)
                ran.append(digest_of(session.headers()))

        gc.set_threshold(7)
        stop = threading.Event()

        def asks():
            while not stop.is_set():
                session.headers()

        others = [threading.Thread(target=asks) for _ in range(2)]
        for other in others:
            other.start()
        kept = []
        until = time.monotonic() + 4
        while time.monotonic() < until:
            Garbage()
            kept = [session.headers() for _ in range(300)]
        stop.set()
        for other in others:
            other.join()
        gc.set_threshold(700)
        assert len(ran) > 10 and len(set(ran)) == 1
        """,
        env=place.env,
    )
