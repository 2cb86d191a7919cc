"""One seeded run of the crash suite: a process is killed in the middle of its work, and another carries on."""

import fcntl
import json
import os
import random
import signal
import stat
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from harness.cli import Cli
from harness.herd import WORKER, Herd, Place, digest, stored, wait_for
from harness.scenes import machine
from harness.traces import Trace

# Killed from outside after a random time instead.
ANYTIME = "(any time)"
# Here a server that replaces refresh tokens has replaced the one that the store has, and the new one is not saved.
BURNT_AT = {"exchange.after", "save.before", "save.file_written", "save.file_synced"}


@dataclass
class Outcome:
    """What became of one run."""

    server: str
    point: str
    # The process was killed; otherwise it never came there, for example because a sibling refreshed first.
    killed: bool
    # The server had replaced the refresh token, and the process that was told died before it was saved.
    burnt: bool
    # The next process printed a token.
    went_on: bool


class Crashes:
    """A store, a clock that can be set, and servers to be killed against."""

    def __init__(self, cli: Cli, place: Place, name: str, rotating: bool, is_machine=False):
        self.cli, self.place, self.name = cli, place, name
        self.rotating, self.is_machine = rotating, is_machine
        self.offset = 0
        self.traces: list[Path] = []
        self.clock = cli.home / "clock"
        self.clock.write_text("0")
        self.env = {**place.env, "FLYTE_AUTH_TESTING_CLOCK": str(self.clock)}
        if is_machine:
            self.env |= machine("flytepropeller", "foobar")
        else:
            place.sign_in(cli, is_expired=False)

    def _expires(self) -> int:
        return stored(self.cli)["expires_at"]

    def _set_clock(self, millis: int):
        """The clients' clock; it never goes back."""
        self.offset = max(self.offset, millis - int(time.time() * 1000))
        self.clock.write_text(str(self.offset))

    def _generation(self) -> int:
        files = list((self.cli.home / "state/sessions").glob("*.json"))
        return stored(self.cli)["generation"] if files else 0

    def run(self, chance: random.Random, point: str, plain=False) -> Outcome:
        """Kills a process at `point`. Plain: an expired token and nobody else about, so that it surely comes there."""
        if self.is_machine and chance.random() < 0.3:
            for file in (self.cli.home / "state/sessions").glob("*.json"):
                file.unlink()
        if self._generation():
            # Expired, or inside the margin: then another process refreshes in the background.
            self._set_clock(self._expires() + (1000 if plain or chance.random() < 0.7 else -60_000))
        if chance.random() < 0.3:
            for file in (self.cli.home / "state/metadata").glob("*"):
                file.unlink()
        generation, counted = self._generation(), self.place.counted()
        siblings = 0 if plain else chance.choice([0, 0, 2])
        trace = self._trace()
        killed = self._kill(point, chance, siblings, trace)
        outcome = self._carry_on(point, killed, generation, counted, trace)
        trace.write()
        if not outcome.went_on:
            self.place.sign_in(self.cli, is_expired=False)
            self.offset = 0
            self.clock.write_text("0")
        return outcome

    def _trace(self) -> Trace:
        server = "needs_none" if self.is_machine else "detects_reuse" if self.rotating else "keeps"
        self.traces.append(self.cli.home / f"run-{len(self.traces):04}.jsonl")
        return Trace(self.traces[-1], self.place, server, stored(self.cli) if self._generation() else None)

    def _kill(self, point: str, chance: random.Random, siblings: int, trace: Trace) -> bool:
        at_random = point == ANYTIME
        undisturbed = {**self.env, **trace.env}
        env = {**undisturbed, **({} if at_random else {"FLYTE_AUTH_TESTING_STOP": point})}
        if at_random:
            self.place.answers_late(20)
        command, threads = [self.cli.binary, "token"], [WORKER, "once", "--threads", "4"]
        others = [self._start(command, undisturbed) for _ in range(siblings)]
        # The worker starts at once when its input ends.
        victim = self._start(command if chance.random() < 0.7 else threads, env)
        victim.stdin.close()
        if at_random:
            time.sleep(chance.random() * 0.06)
            os.killpg(victim.pid, signal.SIGKILL)
        victim.wait(timeout=60)
        trace.ends(victim.pid, killed=victim.returncode == -signal.SIGKILL)
        _session_ends(victim.pid)
        for other in others:
            other.communicate(timeout=60)
            trace.ends(other.pid, killed=False)
            _session_ends(other.pid)
            assert other.returncode in (0, 4), "a sibling of the killed process gets a token, or a login is needed"
        if at_random:
            self.place.answers_late(0)
        return victim.returncode == -signal.SIGKILL

    def _start(self, argv, env):
        (child,) = Herd(self.cli, argv, env, 1).children
        return child

    def _carry_on(self, point, killed, generation, counted, trace) -> Outcome:
        if self._generation():
            self._set_clock(self._expires() + 1000 if self._generation() == generation else 0)
        next_one = self.cli.run("token", env={**self.env, **trace.env}, timeout=60)
        granted = self.place.since(counted)["granted"]
        saved = self._generation() - generation
        burnt = self.rotating and granted > saved
        about = (self.name, point, killed, granted, saved, next_one)
        if next_one.code == 0:
            assert next_one.stdout.strip() and next_one.stderr == "", about
            token = stored(self.cli)["access_token"]
            assert digest(next_one.stdout.strip()) == digest(token), about
        else:
            assert next_one.code == 4 and burnt, about
        self._store_is_sound()
        return Outcome(self.name, point, killed, burnt, went_on=next_one.code == 0)

    def _store_is_sound(self):
        sessions = self.cli.home / "state/sessions"
        for file in sessions.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
            if file.suffix == ".json":
                assert json.loads(file.read_text())["access_token"]
            elif file.suffix == ".lock":
                _is_free(file)

    def leftovers(self) -> list[str]:
        """Files of the state that are neither a record nor a lock."""
        files = [file for file in (self.cli.home / "state").rglob("*") if file.is_file()]
        return [file.name for file in files if file.suffix not in (".json", ".lock")]


def _session_ends(leader: int):
    """Waits for what a process left running: a refresh in the background, which may be killed at its point later."""

    def runs(stat) -> bool:
        try:
            # After the name in parentheses: state, parent, process group, session.
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            return False
        return int(session) == leader and state != "Z"

    wait_for(lambda: not any(runs(stat) for stat in Path("/proc").glob("[0-9]*/stat")))


def _is_free(lock):
    """A background refresh may still hold it for a moment; nobody holds it for long."""
    with lock.open() as file:
        for _ in range(1000):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.01)
        raise AssertionError(f"{lock} is still held")


def window(cli: Cli, place: Place, runs: int) -> list[float]:
    """Milliseconds between the end of the exchange and the record's place on disk, of `runs` refreshes."""
    trace = cli.home / "trace"
    spans = []
    for _ in range(runs):
        trace.unlink(missing_ok=True)
        env = {**place.env, "FLYTE_AUTH_TESTING_TRACE": str(trace)}
        assert cli.run("token", "--force-refresh", env=env).code == 0
        lines = [json.loads(line) for line in trace.read_text().splitlines()]
        passed = {line["step"]: line["at"] for line in lines if line.get("folder", "sessions") == "sessions"}
        spans.append((passed["save.renamed"] - passed["exchange.after"]) / 1e6)
    return sorted(spans)


def stop_points() -> list[str]:
    """Every point at which a process can be made to end, as core/src/testing.rs has them."""
    return json.loads(subprocess.check_output([WORKER, "points"], text=True))


def table(outcomes: list[Outcome], points: list[str]) -> str:
    """Runs, kills and what came after them, by point."""
    lines = [f"{'point':<22}{'runs':>6}{'killed':>8}{'went on':>9}{'login needed':>14}"]
    for point in [*points, ANYTIME]:
        here = [outcome for outcome in outcomes if outcome.point == point]
        count = Counter(killed=sum(o.killed for o in here), went_on=sum(o.went_on for o in here))
        lines.append(
            f"{point:<22}{len(here):>6}{count['killed']:>8}{count['went_on']:>9}{len(here) - count['went_on']:>14}"
        )
    return "\n".join(lines)
