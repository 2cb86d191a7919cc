"""Logins from Python, in every way in which they are done and in every way in which they end; the one port that Flyte
registers, and the login's lock, are free at once afterwards."""

import textwrap

import pytest
import requests
from harness.herd import Place, digest, stored, wait_for
from harness.peers import Sandbox
from harness.ports import CALLBACK_PORT, is_listening
from harness.python_programs import PYTHON, Program, environment, promptly, runs, written
from harness.scenes import ALICE

# What the programs here begin with: a browser that follows redirects as the person's does, and the next login.
BEGIN = f"""
import asyncio, requests, signal
from urllib.parse import parse_qs, urlsplit

session = Session.from_config()
net = requests.Session()
net.trust_env = False
visits = []

def visit(url):
    threading.Thread(target=lambda: visits.append(net.get(url, timeout=20).status_code), daemon=True).start()

def redirect_of(url):
    return net.get(url, allow_redirects=False, timeout=20).headers["location"]

def signed_in(outcome):
    assert outcome.has_auth and outcome.has_refresh_token and outcome.expires_at.tzinfo is not None
    assert session.status()["signed_in"]
    tell(hash=digest(session.token()), shared=outcome.shared)

def another_begins():
    \"\"\"As soon as the first is over: seconds until the next one has lock and port.\"\"\"
    begin = time.monotonic()
    with session.begin_login(flow="pkce", no_browser=True) as again:
        (redirect,) = parse_qs(urlsplit(again.url).query)["redirect_uri"]
        assert urlsplit(redirect).port == {CALLBACK_PORT}, redirect
    return time.monotonic() - begin
"""


@pytest.fixture
def place(start):
    return Place(start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens"))


@pytest.fixture
def waiting(start):
    """A server at which somebody must approve, and nobody does."""
    return Place(start(Sandbox))


# A place with a browser; that one opens nothing.
DESKTOP = {"BROWSER": "/bin/false"}


def login_runs(cli, place, source, env=DESKTOP, within=30):
    return runs(cli, BEGIN + textwrap.dedent(source), env={**place.env, **env}, within=within)


def program(cli, place, source, env=DESKTOP):
    return Program(cli, BEGIN + textwrap.dedent(source), env={**place.env, **env})


def is_alices(cli, line):
    assert line["hash"] == digest(stored(cli)["access_token"])


# --- whole logins


def test_device_grant_with_callbacks(cli, place):
    """They run on the calling thread, may ask the session, and are told all that the person needs."""
    done = login_runs(
        cli,
        place,
        """
        events, threads, found = [], set(), []

        def on_event(event):
            events.append(event)
            threads.add(threading.current_thread())
            found.append(session.status()["signed_in"])
            try:
                session.token()
            except flyte_auth.LoginRequiredError:
                found.append("login_required")

        outcome = session.login(flow="device", on_event=on_event)
        assert threads == {threading.main_thread()}
        assert set(found) >= {False, "login_required"}, found
        (code,) = [event for event in events if event.kind == "user_code"]
        assert code.user_code and code.verification_uri.startswith("http") and code.user_code in str(code)
        assert code.user_code not in repr(code)
        signed_in(outcome)
        """,
    )
    is_alices(cli, done.last)


def test_device_grant_in_a_loop(cli, place):
    """Sync and async callbacks, both in the loop that waits."""
    done = login_runs(
        cli,
        place,
        """
        events, seen = [], []

        async def on_event(event):
            seen.append((threading.current_thread() is threading.main_thread(), asyncio.get_running_loop()))
            await asyncio.sleep(0)
            assert (await session.status_async())["endpoint"]
            try:
                await session.token_async()
            except flyte_auth.LoginRequiredError:
                events.append(event.kind)

        async def main():
            outcome = await session.login_async(flow="device", on_event=on_event)
            assert {loop for _, loop in seen} == {asyncio.get_running_loop()} and all(main for main, _ in seen)
            assert "user_code" in events
            return outcome

        asyncio.run(main())

        def plain(event):
            seen.append(asyncio.get_running_loop())

        asyncio.run(session.login_async(flow="device", on_event=plain))
        # A sync login, whose async callbacks are run to their end.
        async def noted(event):
            await asyncio.sleep(0.01)
            events.append("noted")

        signed_in(session.login(flow="device", on_event=noted))
        assert "noted" in events
        """,
    )
    is_alices(cli, done.last)


@pytest.mark.parametrize("kind", ["sync", "async", "async callback of a sync login", "sync callback in a loop"])
def test_a_browser_that_a_callback_opens(cli, place, kind):
    call = {
        "sync": "session.login(flow='pkce', open_browser=opens)",
        "async": "asyncio.run(session.login_async(flow='pkce', open_browser=opens_async))",
        "async callback of a sync login": "session.login(flow='pkce', open_browser=opens_async)",
        "sync callback in a loop": "asyncio.run(session.login_async(flow='pkce', open_browser=opens))",
    }[kind]
    done = login_runs(
        cli,
        place,
        f"""
        where = []

        def opens(url):
            where.append(threading.current_thread() is threading.main_thread())
            assert not session.status()["signed_in"]
            visit(url)

        async def opens_async(url):
            asyncio.get_running_loop()
            opens(url)
            await asyncio.sleep(0.01)
            return True

        outcome = {call}
        assert where == [True]
        signed_in(outcome)
        tell(again=another_begins())
        """,
    )
    is_alices(cli, done.lines[0])
    assert done.last["again"] < 1


def test_a_browser_that_a_callback_opens_where_there_is_none(cli, place):
    """A container without a display: the callback knows a browser elsewhere, so it is asked."""
    done = login_runs(
        cli,
        place,
        """
        opened = []

        def opens(url):
            opened.append(url)
            visit(url)

        signed_in(session.login(flow="pkce", timeout=10, open_browser=opens, on_event=lambda event: None))
        """,
        env={},
    )
    is_alices(cli, done.last)


def test_a_callback_that_could_not_open_one(cli, place):
    """Then the next way is taken, as where no browser starts."""
    done = login_runs(
        cli,
        place,
        """
        events = []
        try:
            session.login(flow="pkce", open_browser=lambda url: False)
        except flyte_auth.ConfigError as error:
            assert "browser" in str(error)
        else:
            raise AssertionError("only this way was allowed")
        signed_in(session.login(on_event=events.append, open_browser=lambda url: False))
        assert "user_code" in [event.kind for event in events], events
        """,
    )
    is_alices(cli, done.last)


def test_the_environments_browser_without_a_terminal(cli, place, person):
    """No callback and no terminal: what a person needs goes to stderr; `BROWSER` is opened."""
    ran = program(cli, place, "signed_in(session.login(flow='pkce'))", env=person.quick_browser())
    done = ran.finish()
    assert done.code == 0 and "code_challenge" in done.stderr, done
    is_alices(cli, done.last)


def test_chromium(cli, start, person):
    """A person who signs in and approves with a real browser."""
    place = Place(start(Sandbox))
    done = login_runs(
        cli,
        place,
        "signed_in(session.login(flow='pkce', on_event=lambda event: None))",
        env=person.browser(),
    )
    is_alices(cli, done.last)
    assert person.pages


@pytest.mark.parametrize("paste", ["sync", "async", "sync in a loop"])
def test_a_pasted_address(cli, place, paste):
    """The browser is elsewhere: what it ended at comes by a callback, on the second try."""
    call = {
        "sync": "session.login(flow='paste', on_event=on_event, paste=pastes)",
        "async": "asyncio.run(session.login_async(flow='paste', on_event=on_event, paste=pastes_async))",
        "sync in a loop": "asyncio.run(session.login_async(flow='paste', on_event=on_event, paste=pastes))",
    }[paste]
    done = login_runs(
        cli,
        place,
        f"""
        urls, asked = [], []

        def on_event(event):
            if event.kind == "url":
                assert event.paste
                urls.append(event.url)

        def pastes():
            asked.append(threading.current_thread() is threading.main_thread())
            while not urls:
                time.sleep(0.01)
            return "this is not it" if len(asked) == 1 else redirect_of(urls[0])

        async def pastes_async():
            return await asyncio.to_thread(pastes)

        outcome = {call}
        # On a thread of its own: whoever waits for a line must not keep the login from ending.
        assert asked == [False, False], asked
        signed_in(outcome)
        """,
    )
    is_alices(cli, done.last)


def test_a_paste_that_never_comes_keeps_nobody(cli, place):
    done = login_runs(
        cli,
        place,
        """
        def never():
            time.sleep(3600)

        begin = time.monotonic()
        outcome = session.login(flow="pkce", open_browser=visit, paste=never)
        tell(seconds=time.monotonic() - begin)
        async def never_async():
            await asyncio.sleep(3600)

        begin = time.monotonic()
        asyncio.run(session.login_async(flow="pkce", open_browser=visit, paste=never_async))
        tell(seconds=time.monotonic() - begin)
        signed_in(outcome)
        """,
    )
    assert all(line["seconds"] < 5 for line in done.lines[:2]), done.lines


FINISHES = {
    "by the redirect": "visit(pending.url); outcome = pending.finish()",
    "pasted": "outcome = pending.finish(redirect_of(pending.url))",
    "in a loop": "visit(pending.url); outcome = asyncio.run(pending.finish_async())",
    "pasted in a loop": "outcome = asyncio.run(pending.finish_async(redirect_url=redirect_of(pending.url)))",
}


@pytest.mark.parametrize("finish", FINISHES.values(), ids=FINISHES)
def test_two_steps(cli, place, finish):
    done = login_runs(
        cli,
        place,
        f"""
        pending = session.begin_login(flow="pkce")
        assert pending.user_code is None and pending.expires_at.tzinfo is not None
        assert "state" not in repr(pending)
        {finish}
        signed_in(outcome)
        # Whoever asks again is told the same.
        again = pending.finish()
        assert (again.expires_at, again.shared) == (outcome.expires_at, outcome.shared)
        pending.cancel()
        try:
            pending.finish()
        except flyte_auth.LoginCancelledError as error:
            assert error.code == "login_over"
        else:
            raise AssertionError("finished after the end")
        tell(again=another_begins())
        """,
    )
    is_alices(cli, done.lines[0])


def test_two_steps_by_device_grant(cli, place):
    done = login_runs(
        cli,
        place,
        """
        with session.begin_login(flow="device") as pending:
            assert pending.user_code and pending.url.startswith("http")
            signed_in(pending.finish())

        async def main():
            pending = await session.begin_login_async(flow="device")
            return await pending.finish_async()

        signed_in(asyncio.run(main()))
        """,
    )
    is_alices(cli, done.last)


def test_the_modules_own_functions(cli, place):
    done = login_runs(
        cli,
        place,
        f"""
        flyte_auth.login("{place.server.http}", store="file", flow="pkce", open_browser=visit)
        with flyte_auth.begin_login("{place.server.http}", store="file", flow="pkce") as pending:
            visit(pending.url)
            signed_in(pending.finish(timeout=20))
        """,
    )
    is_alices(cli, done.last)


# --- at a terminal


def at_terminal(cli, place, source, env=None):
    file = written(cli, BEGIN + textwrap.dedent(source))
    return cli.terminal_any([PYTHON, file], env={**environment(cli), **place.env, **(env or {})})


def test_a_terminal_whose_next_line_is_the_programs(cli, place):
    """The address is shown, and may be pasted back, until the browser is done. What is typed then is for `input()`."""
    terminal = at_terminal(
        cli,
        place,
        """
        outcome = session.login(flow="pkce", no_browser=True)
        line = input("next? ")
        print("got", repr(line), repr(input("and then? ")))
        """,
    )
    url = terminal.expect(r"https?://\S*code_challenge\S*").group()
    assert requests.get(url, timeout=10).status_code == 200
    terminal.expect(r"next\? ")
    terminal.type("first line\n")
    terminal.expect("and then")
    terminal.type("second line\n")
    assert terminal.wait(20) == 0, terminal.seen
    assert "got 'first line' 'second line'" in terminal.seen


def test_an_address_pasted_at_the_terminal(cli, place):
    terminal = at_terminal(
        cli,
        place,
        """
        outcome = session.login(flow="paste")
        print("got", repr(input("next? ")))
        """,
    )
    url = terminal.expect(r"https?://\S*code_challenge\S*").group()
    terminal.type(requests.get(url, allow_redirects=False, timeout=10).headers["location"] + "\n")
    terminal.expect(r"next\? ")
    terminal.type("mine\n")
    assert terminal.wait(20) == 0, terminal.seen
    assert "got 'mine'" in terminal.seen


def test_ctrl_c_at_the_terminal(cli, waiting):
    """Typed: KeyboardInterrupt, and the next line is the program's."""
    terminal = at_terminal(
        cli,
        waiting,
        """
        try:
            session.login(flow="pkce", no_browser=True)
        except KeyboardInterrupt:
            print("interrupted; again after", another_begins() < 1)
        print("got", repr(input("next? ")))
        """,
    )
    terminal.expect("code_challenge")
    terminal.type("\x03")
    terminal.expect("again after True", within=5)
    terminal.expect(r"next\? ")
    terminal.type("mine\n")
    assert terminal.wait(20) == 0, terminal.seen
    assert "got 'mine'" in terminal.seen


# --- every other end


ENDS = {
    "cancel": """
        pending = session.begin_login(flow="pkce")
        begin = time.monotonic()
        pending.cancel()
    """,
    "with": """
        with session.begin_login(flow="pkce"):
            begin = time.monotonic()
    """,
    "with and an error": """
        try:
            with session.begin_login(flow="pkce"):
                begin = time.monotonic()
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    """,
    "forgotten": """
        pending = session.begin_login(flow="pkce")
        begin = time.monotonic()
        del pending
    """,
    "cancel while another thread waits": """
        pending = session.begin_login(flow="pkce")
        ended = []

        def finish():
            try:
                pending.finish()
            except flyte_auth.LoginCancelledError as error:
                ended.append(error.code)

        thread = threading.Thread(target=finish)
        thread.start()
        time.sleep(0.3)
        begin = time.monotonic()
        pending.cancel()
        thread.join(5)
        assert ended, "nobody told the thread that waits"
    """,
    "the deadline": """
        begin = time.monotonic() + 1
        try:
            session.login(flow="pkce", no_browser=True, timeout=1.0, on_event=lambda event: None)
        except flyte_auth.LoginCancelledError:
            pass
    """,
    "the deadline of finish": """
        pending = session.begin_login(flow="pkce")
        begin = time.monotonic() + 0.5
        try:
            pending.finish(timeout=0.5)
        except flyte_auth.LoginCancelledError:
            pass
    """,
    "Ctrl-C in login": """
        at = interrupts(0.6)
        try:
            session.login(flow="pkce", no_browser=True, on_event=lambda event: None)
        except KeyboardInterrupt:
            begin, = at
    """,
    "Ctrl-C in a login at no terminal": """
        at = interrupts(0.6)
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            session.login(flow="pkce", no_browser=True)
        except KeyboardInterrupt:
            begin, = at
        os.dup2(kept, 2)
    """,
    "Ctrl-C in finish": """
        pending = session.begin_login(flow="pkce")
        at = interrupts(0.4)
        try:
            pending.finish()
        except KeyboardInterrupt:
            begin, = at
    """,
    "Ctrl-C in a callback that waits": """
        at = interrupts(0.6)
        try:
            session.login(flow="pkce", open_browser=lambda url: time.sleep(60))
        except KeyboardInterrupt:
            begin, = at
    """,
    "Ctrl-C while a paste is awaited": """
        at = interrupts(0.6)
        try:
            session.login(flow="paste", on_event=lambda event: None, paste=lambda: time.sleep(60))
        except KeyboardInterrupt:
            begin, = at
    """,
    "Ctrl-C in asyncio.run": """
        at = interrupts(0.8)
        try:
            asyncio.run(session.login_async(flow="pkce", no_browser=True, on_event=lambda event: None))
        except KeyboardInterrupt:
            begin, = at
    """,
}

FAILURES = {
    "on_event": "flow='pkce', no_browser=True, on_event=raises",
    "open_browser": "flow='pkce', open_browser=raises",
    "paste": "flow='pkce', open_browser=lambda url: True, paste=raises_without",
    "an async on_event": "flow='pkce', no_browser=True, on_event=raises_async",
    "an async open_browser": "flow='pkce', open_browser=raises_async",
    "an async paste": "flow='pkce', open_browser=lambda url: True, paste=raises_async_without",
}
RAISES = """
class Mine(BaseException if {base} else Exception):
    pass

mine = Mine("it went wrong")

def raises(what):
    raise mine

def raises_without():
    raise mine

async def raises_async(what):
    await asyncio.sleep(0)
    raise mine

async def raises_async_without():
    await asyncio.sleep(0)
    raise mine
"""


def frees_at_once(done):
    """Soon, and the next login begins without waiting."""
    assert done.last["ended"] < promptly(), done.last
    assert done.last["again"] < 1, done.last


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_end_frees_lock_and_port(cli, waiting, end):
    source = textwrap.dedent(end) + "\nended = time.monotonic() - begin\ntell(ended=ended, again=another_begins())\n"
    frees_at_once(login_runs(cli, waiting, source))
    assert not is_listening(CALLBACK_PORT)


@pytest.mark.parametrize("base", [False, True], ids=["Exception", "BaseException"])
@pytest.mark.parametrize("loop", [False, True], ids=["sync", "loop"])
@pytest.mark.parametrize("options", FAILURES.values(), ids=FAILURES)
def test_what_a_callback_raises_comes_out_as_itself(cli, waiting, options, loop, base):
    call = f"asyncio.run(session.login_async({options}))" if loop else f"session.login({options})"
    source = RAISES.format(base=base) + textwrap.dedent(
        f"""
        begin = time.monotonic()
        try:
            {call}
        except Mine as error:
            ended = time.monotonic() - begin
            assert error is mine
            # Still referred to, as in any handler.
            again = another_begins()
        tell(ended=ended, again=again)
        """
    )
    done = login_runs(cli, waiting, source)
    # The login's own beginning is in it.
    assert done.last["ended"] < 0.5 + promptly(), done.last
    assert done.last["again"] < 1, done.last


CANCELS = {
    "login_async": "session.login_async(flow='pkce', no_browser=True, on_event=lambda event: None)",
    "login_async in open_browser": "session.login_async(flow='pkce', open_browser=lambda url: asyncio.sleep(60))",
    "login_async in on_event": "session.login_async(flow='pkce', on_event=lambda event: asyncio.sleep(60))",
    "finish_async": "pending.finish_async()",
}


@pytest.mark.parametrize("wait", CANCELS.values(), ids=CANCELS)
def test_a_cancelled_task_frees_lock_and_port(cli, waiting, wait):
    """At once: the very next statement begins another login. Several times, for it is a race."""
    done = login_runs(
        cli,
        waiting,
        f"""
        async def main():
            ended, again = [], []
            for _ in range(5):
                pending = await session.begin_login_async(flow="pkce") if "pending" in {wait!r} else None
                task = asyncio.ensure_future({wait})
                await asyncio.sleep(0.4)
                begin = time.monotonic()
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    ended.append(time.monotonic() - begin)
                begin = time.monotonic()
                following = await session.begin_login_async(flow="pkce", no_browser=True)
                again.append(time.monotonic() - begin)
                assert "{CALLBACK_PORT}" in following.url
                following.cancel()
            tell(ended=ended, again=again)

        asyncio.run(main())
        """,
    )
    assert max(done.last["ended"]) < promptly() and max(done.last["again"]) < 1, done.last
    assert len(done.last["ended"]) == 5


def test_another_programs_login_is_under_way(cli, waiting):
    """`begin_login` says so at once; `login` waits for it, and Ctrl-C ends that."""
    first = program(
        cli, waiting, "p = session.begin_login(flow='pkce'); tell(ready=True); waits_for_the_word(); p.cancel()"
    )
    first.line()
    done = login_runs(
        cli,
        waiting,
        """
        begin = time.monotonic()
        try:
            session.begin_login(flow="pkce")
        except flyte_auth.LoginRequiredError as error:
            tell(code=error.code, seconds=time.monotonic() - begin)
        at = interrupts(0.5)
        try:
            session.login(flow="pkce", no_browser=True, on_event=lambda event: None)
        except KeyboardInterrupt:
            tell(seconds=time.monotonic() - at[0])
        """,
    )
    first.says()
    first.ends_well()
    assert done.lines[0]["code"] == "login_under_way" and done.lines[0]["seconds"] < 2
    assert done.lines[1]["seconds"] < promptly()


def test_two_programs_share_one_login(cli, place):
    first = program(
        cli,
        place,
        """
        def opens(url):
            tell(opened=True)
            waits_for_the_word()
            visit(url)

        signed_in(session.login(flow="pkce", open_browser=opens))
        """,
    )
    first.line()
    second = program(
        cli,
        place,
        "signed_in(session.login(flow='pkce', on_event=lambda event: tell(kind=event.kind), open_browser=visit))",
    )
    wait_for(lambda: second.line()["kind"] != "url", 30)
    first.says()
    both = [first.ends_well().last, second.ends_well().last]
    assert [line["shared"] for line in both] == [False, True]
    for line in both:
        is_alices(cli, line)


def test_the_interpreter_is_free_while_a_person_is_awaited(cli, waiting):
    done = login_runs(
        cli,
        waiting,
        """
        waits = {
            "login": lambda: session.login(flow="pkce", no_browser=True, timeout=0.8, on_event=lambda event: None),
            "finish": lambda: session.begin_login(flow="pkce").finish(timeout=0.8),
            "device": lambda: session.begin_login(flow="device").finish(timeout=0.8),
        }
        for name, wait in waits.items():
            with Ticks() as ticks:
                try:
                    wait()
                except flyte_auth.LoginCancelledError as error:
                    pass
            tell(name=name, longest=ticks.longest, count=len(ticks.gaps))
        """,
    )
    assert len(done.lines) == 3
    assert all(line["longest"] < promptly() and line["count"] > 40 for line in done.lines), done.lines


PENDING = {
    "begun": "pending = session.begin_login(flow='pkce')",
    "finish": """
        pending = session.begin_login(flow="pkce")
        threading.Thread(target=pending.finish, daemon=True).start()
    """,
    "login": """
        options = dict(flow="pkce", no_browser=True, on_event=repr)
        threading.Thread(target=lambda: session.login(**options), daemon=True).start()
    """,
    "paste": """
        options = dict(flow="paste", on_event=repr, paste=lambda: time.sleep(60))
        threading.Thread(target=lambda: session.login(**options), daemon=True).start()
    """,
    "loop": """
        options = dict(flow="pkce", no_browser=True, on_event=repr)
        threading.Thread(target=lambda: asyncio.run(session.login_async(**options)), daemon=True).start()
    """,
    "closed loop": """
        pending = session.begin_login(flow="pkce")
        loop = asyncio.new_event_loop()
        task = loop.create_task(pending.finish_async())
        task._log_destroy_pending = False
        loop.run_until_complete(asyncio.sleep(0.1))
    """,
}


@pytest.mark.parametrize("how", PENDING.values(), ids=PENDING)
def test_the_program_ends_while_a_login_is_pending(cli, waiting, how):
    done = login_runs(cli, waiting, textwrap.dedent(how) + "\ntime.sleep(0.5)\n")
    assert done.seconds < 5
    assert not is_listening(CALLBACK_PORT)


IN_THE_CHILD = {
    "does nothing with it": "",
    "finishes it": """
            try:
                pending.finish(timeout=1)
            except flyte_auth.FlyteAuthError as error:
                tell(child=error.code)
    """,
    "cancels it": "pending.cancel()",
    "forgets it": "del pending",
}


@pytest.mark.parametrize("child", IN_THE_CHILD.values(), ids=IN_THE_CHILD)
def test_a_forked_child_keeps_neither_lock_nor_port(cli, waiting, child):
    """A worker that was forked meanwhile lives on; the parent's next login begins all the same."""
    done = login_runs(
        cli,
        waiting,
        f"""
        pending = session.begin_login(flow="pkce")
        child = os.fork()
        if child == 0:
            {child.strip()}
            time.sleep(20)
            os._exit(0)
        time.sleep(1.5)
        pending.cancel()
        try:
            tell(again=another_begins())
        except flyte_auth.FlyteAuthError as error:
            tell(again=None, code=error.code, text=str(error))
        os.kill(child, 9)
        os.waitpid(child, 0)
        """,
    )
    assert done.last["again"] is not None and done.last["again"] < 1, done.lines


@pytest.mark.parametrize("child", IN_THE_CHILD.values(), ids=IN_THE_CHILD)
def test_a_forked_child_does_nothing_to_its_parents_login(cli, place, child):
    """It ends, and whatever it did with its copy, the parent's login goes on: whoever comes sees that it is under way,
    and the browser's redirect is answered."""
    done = login_runs(
        cli,
        place,
        f"""
        pending = session.begin_login(flow="pkce")
        child = os.fork()
        if child == 0:
            {child.strip()}
            sys.exit(0)
        assert ended(child) == 0
        import subprocess

        code = "import flyte_auth; flyte_auth.begin_login()"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
        assert "under way" in other.stderr and other.returncode == 1, other
        visit(pending.url)
        signed_in(pending.finish(timeout=8))
        """,
    )
    is_alices(cli, done.last)


def test_a_closed_session_and_wrong_arguments_hold_nothing(cli, waiting):
    login_runs(
        cli,
        waiting,
        """
        wrong = [
            dict(on_event=7), dict(open_browser="no"), dict(paste=object()), dict(timeout="soon"), dict(timeout=0),
            dict(timeout=-1), dict(timeout=float("nan")), dict(timeout=float("inf")), dict(flow="magic"),
            dict(flow=None), dict(no_browser="yes"),
        ]

        def in_loop(**options):
            return asyncio.run(session.login_async(**options))

        for options in wrong:
            for login in (session.login, session.begin_login, in_loop):
                if login == session.begin_login and set(options) & {"on_event", "open_browser", "paste"}:
                    continue
                try:
                    login(**{"flow": "pkce", "no_browser": True, **options})
                except (TypeError, flyte_auth.ConfigError) as error:
                    assert next(iter(options)) in str(error), (options, error)
                else:
                    raise AssertionError(options)
        try:
            session.login(flow="paste", on_event=lambda event: None, paste=lambda: None)
        except TypeError as error:
            assert "paste" in str(error) or "str" in str(error), error
        assert another_begins() < 1
        session.close()
        for login in (session.login, session.begin_login):
            try:
                login(flow="pkce")
            except flyte_auth.ConfigError as error:
                assert error.code == "session_closed"
            else:
                raise AssertionError
        """,
    )
