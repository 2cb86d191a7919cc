"""A program forks while its refresh is under way. Locks belong to open files that both share, so without care a killed
parent's lock would live on in its child; and nothing of the parent's runtime runs there."""

import json
import signal
import time

import pytest
from harness.herd import WORKER, Place, digest, stored, wait_for
from harness.peers import Sandbox
from harness.scenes import ALICE

# Long before the engine would give up on a lock (30 s).
PROMPTLY = 15


def starts(cli, place, env=None):
    """The program, forked, its refresh under way; and the line that says who is who."""
    child = cli.start_any([WORKER, "fork"], env={**place.env, **(env or {})})
    line = child.stdout.readline()
    assert "parent" in line, (line, child.stderr.read())
    return child, json.loads(line)


def tells(child, who):
    """What the program's parent or child got."""
    line = json.loads(child.stdout.readline())
    assert line["who"] == who, line
    return line["call"]


@pytest.mark.parametrize(
    ("flags", "env"),
    [
        # Before its request: nothing is lost, whatever the server does with refresh tokens.
        (["--rotate-refresh-tokens"], {"FLYTE_AUTH_TESTING_PAUSE": "exchange.before=60000"}),
        # While its answer is on the way: the connection is the child's too.
        ([], {}),
    ],
    ids=["before-the-request", "before-the-answer"],
)
def test_the_child_goes_on_where_its_parent_was_killed(cli, start, flags, env):
    place = Place(start(Sandbox, "--auto-approve", ALICE, *flags))
    place.sign_in(cli)
    if not env:
        # The parent's answer takes longer than the test; the child's does not.
        place.server.fault("delay-60000", 1, path="/oauth2/token")
    program, _ = starts(cli, place, env)
    wait_for(lambda: env or place.server.stats()["faults"] == 1)
    program.send_signal(signal.SIGKILL)
    program.wait(timeout=10)
    begin = time.monotonic()
    program.stdin.write("\n")
    program.stdin.flush()
    call = tells(program, "child")
    assert call["error"] is None, call
    assert call["sha256"] == digest(stored(cli)["access_token"])
    assert time.monotonic() - begin < PROMPTLY


def test_the_child_shares_the_refresh_of_a_parent_that_lives(cli, start):
    place = Place(start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens"))
    place.sign_in(cli)
    before = place.counted()
    place.answers_late(1000)
    program, _ = starts(cli, place)
    program.stdin.write("\n")
    program.stdin.flush()
    lines = [json.loads(program.stdout.readline()) for _ in range(2)]
    assert {line["who"] for line in lines} == {"parent", "child"}
    assert {line["call"]["sha256"] for line in lines} == {digest(stored(cli)["access_token"])}, lines
    assert place.since(before)["all"] == 1
