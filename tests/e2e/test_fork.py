"""A program forks while its refresh is under way. Locks belong to open files that both share, so without care a killed
parent's lock would live on in its child; and nothing of the parent's runtime runs there."""

import json
import signal
import time

from harness.herd import WORKER, Place, digest, stored, wait_for
from harness.peers import Sandbox
from harness.scenes import ALICE

# Long before the engine would give up on a lock (30 s).
PROMPTLY = 15


def says(program):
    program.stdin.write("\n")
    program.stdin.flush()


def forks(cli, place, when, env=None):
    """The program, which has forked `when` its refresh was that far."""
    program = cli.start_any([WORKER, "fork"], env={**place.env, **(env or {})})
    assert "ready" in program.stdout.readline()
    wait_for(when)
    says(program)
    assert "parent" in program.stdout.readline()
    return program


def tells(child, who):
    """What the program's parent or child got."""
    line = json.loads(child.stdout.readline())
    assert line["who"] == who, line
    return line["call"]


def carries_on(cli, program):
    """The parent is killed; the child gets a token."""
    program.send_signal(signal.SIGKILL)
    program.wait(timeout=10)
    begin = time.monotonic()
    says(program)
    call = tells(program, "child")
    assert call["error"] is None, call
    assert call["sha256"] == digest(stored(cli)["access_token"])
    assert time.monotonic() - begin < PROMPTLY


def test_the_child_goes_on_where_its_parent_was_killed_before_the_request(cli, start, tmp_path):
    """Nothing is lost, even at a server that replaces refresh tokens."""
    place = Place(start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens"))
    place.sign_in(cli)
    trace = tmp_path / "trace"
    # The child does not wait there: it is told as a copy of a process that has waited.
    waits = {"FLYTE_AUTH_TESTING_PAUSE": "exchange.before=60000", "FLYTE_AUTH_TESTING_TRACE": str(trace)}
    program = forks(cli, place, lambda: trace.exists() and "exchange.before" in trace.read_text(), waits)
    carries_on(cli, program)


def test_the_child_goes_on_where_its_parent_was_killed_before_the_answer(cli, start):
    """The connection with the request on it is the child's too, and must not be used."""
    place = Place(start(Sandbox, "--auto-approve", ALICE))
    place.sign_in(cli)
    place.server.fault("delay-60000", 1, path="/oauth2/token")
    carries_on(cli, forks(cli, place, lambda: place.server.stats()["faults"] == 1))


def test_the_child_shares_the_refresh_of_a_parent_that_lives(cli, start):
    place = Place(start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens"))
    place.sign_in(cli)
    before = place.counted()
    place.answers_late(1500)
    program = forks(cli, place, lambda: place.server.stats()["faults"] == 1)
    says(program)
    lines = [json.loads(program.stdout.readline()) for _ in range(2)]
    assert {line["who"] for line in lines} == {"parent", "child"}
    assert {line["call"]["sha256"] for line in lines} == {digest(stored(cli)["access_token"])}, lines
    assert place.since(before)["all"] == 1
