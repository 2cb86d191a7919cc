"""Prompts that programs show and nobody answers: they are counted, the pause after them grows, and then they stop."""

import re
import time

import pytest
from harness.peers import Sandbox
from harness.scenes import ALICE, signed_in_quickly, token_of

SECOND = 1000


class Machine:
    """A program that asks for a token at a terminal that somebody may sit at."""

    def __init__(self, cli, person, server):
        self.cli, self.person, self.server = cli, person, server

    def asks(self):
        """The program asks; the prompt is on the screen, the browser was started."""
        before = len(self.person.opened)
        terminal = self._token()
        terminal.expect("needs a login to", within=30)
        terminal.expect("https?://", within=30)
        until = time.monotonic() + 30
        while len(self.person.opened) == before:
            assert time.monotonic() < until, "no browser was started"
            time.sleep(0.02)
        return terminal

    def asks_in_vain(self):
        """The prompt is shown, and ended by Ctrl-C."""
        terminal = self.asks()
        terminal.type("\x03")
        assert terminal.wait(30) == 130, terminal.seen

    def is_turned_away(self) -> str:
        """The program asks and is told at once that nobody will be asked; what it is told."""
        before = len(self.person.opened)
        terminal = self._token()
        assert terminal.wait(30) == 6, terminal.seen
        assert "needs a login to" not in terminal.seen and len(self.person.opened) == before
        return re.sub(r"\s+", " ", terminal.seen)

    def _token(self):
        return self.cli.terminal("token", "--endpoint", self.server.http, env=self.person.no_browser())

    def notes(self):
        return [path for path in (self.cli.home / "state/prompts").iterdir() if path.is_file()]

    def wait(self, seconds: int):
        """As if so much time had passed since each unanswered prompt."""
        for path in self.notes():
            times = [int(line) - seconds * SECOND for line in path.read_text().split()]
            path.write_text("".join(f"{time}\n" for time in times))


@pytest.fixture
def machine(cli, person, start):
    return Machine(cli, person, start(Sandbox, "--auto-approve", ALICE))


def test_the_pause_grows(machine):
    machine.asks_in_vain()
    assert "a moment ago" in machine.is_turned_away()
    machine.wait(61)
    machine.asks_in_vain()
    machine.wait(61)
    machine.is_turned_away()
    machine.wait(240)
    machine.asks_in_vain()
    machine.wait(301)
    assert "flyte-auth login" in machine.is_turned_away()


def test_then_nobody_is_asked_until_somebody_types_login(machine):
    machine.asks_in_vain()
    (note,) = machine.notes()
    note.write_text(note.read_text() * 5)
    machine.wait(40 * 24 * 3600)
    told = machine.is_turned_away()
    assert "5 logins" in told and "ask no more" in told and "Run: flyte-auth login" in told, told
    signed_in_quickly(machine.cli, machine.person, machine.server)
    token_of(machine.cli.run("token", "--endpoint", machine.server.http))
    machine.cli.run("logout", machine.server.http)
    machine.asks_in_vain()


def test_a_login_that_fails_forgets_it_too(machine):
    """Whoever types `login` is there: the next program may ask again, whatever became of that login."""
    machine.asks_in_vain()
    login = machine.cli.terminal("login", machine.server.http, env=machine.person.no_browser())
    login.expect("https?://", within=30)
    login.type("\x03")
    assert login.wait(30) == 130
    machine.asks_in_vain()


def test_who_waits_for_anothers_prompt_takes_its_refusal(machine):
    first = machine.asks()
    second = machine._token()
    second.expect("under way", within=30)
    first.type("\x03")
    assert first.wait(30) == 130
    assert second.wait(30) == 6, second.seen
    assert len(machine.person.opened) == 1


def test_ci_is_never_asked(machine):
    terminal = machine.cli.terminal(
        "token", "--endpoint", machine.server.http, env={"CI": "true", **machine.person.no_browser()}
    )
    assert terminal.wait(30) == 4 and not machine.person.opened
    assert not (machine.cli.home / "state/prompts").exists()


def test_always_in_the_background_does_not_stop(machine):
    """A background job that reads its terminal is stopped, and whoever waits for it hangs: it reads nothing."""
    command = f"{machine.cli.binary} token --endpoint {machine.server.http} --interactive always"
    shell = machine.cli.terminal_any(
        ["/bin/bash", "-mc", f"{command} & child=$!; wait $child; echo ended with $?"],
        env=machine.person.quick_browser(),
    )
    shell.expect("ended with 0", within=30)
    assert shell.wait(10) == 0
