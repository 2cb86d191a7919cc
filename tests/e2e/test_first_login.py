"""Race suite, first login: many processes find that nobody is signed in. The person is asked once."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.herd import Place, commands, digest, stored, wait_for
from harness.peers import Sandbox
from harness.person import CURL
from harness.scenes import ALICE

PROCESSES = int(os.environ.get("RACE_PROCESSES", "64"))


@pytest.fixture
def place(start):
    return Place(start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens"))


class Held:
    """A browser that notes each URL and follows it once `released`."""

    def __init__(self, folder):
        self.urls, self.gate, script = folder / "urls", folder / "gate", folder / "held.sh"
        script.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$1" >> "{self.urls}"\n'
            # It gives up where a failed test never releases it.
            f'( for _ in $(seq 1200); do [ -e "{self.gate}" ] && break; sleep 0.05; done\n'
            f'exec {CURL} -skL --noproxy "*" --max-time 20 -o /dev/null "$1" ) > /dev/null 2>&1 &\n'
        )
        script.chmod(0o755)
        self.env = {"BROWSER": str(script)}

    @property
    def opened(self) -> int:
        return len(self.urls.read_text().splitlines()) if self.urls.exists() else 0

    def release(self):
        self.gate.touch()


def codes_of(terminals, meanwhile=lambda: None):
    """Reads all terminals at once (one that nobody reads would block its program); the exit codes."""
    with ThreadPoolExecutor(len(terminals)) as pool:
        waits = [pool.submit(terminal.wait, 80) for terminal in terminals]
        meanwhile()
        return [wait.result() for wait in waits]


def logins(place):
    return place.server.stats()["grants"].get("authorization_code", 0)


def test_everybody_shares_the_login_that_is_under_way(cli, place, tmp_path):
    browser = Held(tmp_path)
    terminals = [cli.terminal("login", env={**place.env, **browser.env}) for _ in range(PROCESSES)]

    def all_others_wait():
        wait_for(lambda: sum("waiting for it" in terminal.seen for terminal in terminals) == PROCESSES - 1)
        browser.release()

    assert set(codes_of(terminals, all_others_wait)) == {0}, [terminal.seen for terminal in terminals]
    assert (browser.opened, logins(place)) == (1, 1)


def test_clients_that_come_at_any_time_share_one_login(cli, place, tmp_path):
    """As `pyflyte` starts them: each finds no session; some are still looking when the login is over already."""
    browser = Held(tmp_path)
    browser.release()
    terminals = [cli.terminal("token", env={**place.env, **browser.env}) for _ in range(PROCESSES)]
    assert set(codes_of(terminals)) == {0}, [terminal.seen for terminal in terminals]
    assert (browser.opened, logins(place)) == (1, 1)
    token = stored(cli)["access_token"]
    assert {digest(terminal.seen.split()[-1]) for terminal in terminals} == {digest(token)}


def test_a_login_that_ended_before_we_looked_counts(cli, place, tmp_path):
    """One client has found that nobody is signed in; before it takes the login's lock, another login is over."""
    browser, trace = Held(tmp_path), tmp_path / "trace"
    browser.release()
    env = {**place.env, **browser.env}
    slow = {"FLYTE_AUTH_TESTING_PAUSE": "unlock.after=4000", "FLYTE_AUTH_TESTING_TRACE": str(trace)}
    late = cli.terminal("token", env={**env, **slow})
    wait_for(lambda: trace.exists() and "unlock.after" in trace.read_text())
    assert cli.terminal("login", env=env).wait(30) == 0
    assert late.wait(60) == 0, late.seen
    assert digest(late.seen.split()[-1]) == digest(stored(cli)["access_token"])
    assert (browser.opened, logins(place)) == (1, 1)


def test_who_may_not_ask_does_not_wait(cli, place, tmp_path):
    browser = Held(tmp_path)
    login = cli.terminal("login", env={**place.env, **browser.env})
    login.expect("http")
    wait_for(lambda: browser.opened == 1)
    named = f"a login is under way in pid {login.pid}"
    alone = cli.run("token", env=place.env)
    assert (alone.code, alone.stdout) == (4, "") and named in alone.stderr, alone
    done, _ = commands(cli, place, PROCESSES)
    assert {(code, stdout) for code, stdout, _ in done} == {(4, "")}
    # Whoever could not look within half a second says only what to do.
    told = {stderr for _, _, stderr in done}
    assert all(named in stderr or "Run: flyte-auth login" in stderr for stderr in told), told
    browser.release()
    assert login.wait(30) == 0, login.seen
    done, _ = commands(cli, place, PROCESSES)
    assert {code for code, _, _ in done} == {0}
    assert logins(place) == 1


def test_nobody_is_told_of_a_login_that_is_not(cli, place):
    """Looking whether a login is under way must not look like one to the others."""
    done, _ = commands(cli, place, PROCESSES)
    assert {(code, stdout) for code, stdout, _ in done} == {(4, "")}
    assert not [stderr for _, _, stderr in done if "under way" in stderr]
