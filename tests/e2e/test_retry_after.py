"""`Retry-After`, and without it a short back-off, holds for every process on the machine."""

import re
import time

import pytest
from harness.fault_proxy import http_date, says
from harness.fault_scene import EXPIRED, IN_MARGIN

TOKEN = "/token"
LONG = 120
# "in 118 s", "after 2026-11-24T03:14:00Z", "until 03:14:00"
WHEN = re.compile(r"\b\d+ ?(s|seconds|min)\b|\d\d:\d\d:\d\d")


STATES = ["expired", "forced", "first of a job"]


def enter(scene, state) -> list[str]:
    """Brings about a state in which the server must be asked; the arguments of the command."""
    if state == "first of a job":
        scene.as_a_job()
    elif state == "expired":
        scene.after(EXPIRED)
    return ["--force-refresh"] if state == "forced" else []


def asks_for_time(status, form):
    value = {"seconds": str(LONG), "date": http_date(LONG)}[form]
    return says(status, retry_after=value)


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("state", STATES)
def test_it_is_remembered_for_every_process(scene, state, status, form):
    arguments = enter(scene, state)
    scene.proxy.breaks(asks_for_time(status, form), TOKEN)
    first = scene.token(*arguments)
    assert first.code == 8, first
    scene.proxy.heals()
    before, asked = scene.records(), scene.proxy.count()
    for _ in range(3):
        other = scene.token(*arguments, "--json")
        assert other.code == 8 and other.json["error"]["retryable"] is True, other
        assert WHEN.search(other.stderr), f"it does not say when: {other.stderr}"
        assert other.seconds < 5, "waiting that long for nothing"
    assert scene.proxy.count() == asked, "asked again before the time"
    assert scene.records() == before
    scene.moves(LONG + 10)
    assert scene.served(*arguments)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_valid_token_is_served_without_asking(scene, form):
    old = scene.served()
    scene.after(IN_MARGIN)
    scene.proxy.breaks(asks_for_time(429, form), TOKEN)
    assert scene.served() == old
    scene.proxy.heals()
    asked = scene.proxy.count(TOKEN)
    assert [scene.served() for _ in range(3)] == [old] * 3
    assert scene.proxy.count(TOKEN) == asked
    scene.moves(LONG + 10)
    assert scene.served() != old


@pytest.mark.parametrize("state", STATES)
def test_a_short_wait_is_waited_out(scene, state):
    """A one-shot command waits up to 5 s: a client that gets an error has to start all over."""
    arguments = enter(scene, state)
    scene.proxy.breaks(says(503, retry_after="3"), TOKEN)
    assert scene.token(*arguments).code in (0, 8)
    answered = scene.proxy.seen(TOKEN)[-1].at
    scene.proxy.heals()
    assert scene.served(*arguments)
    # The clocks are read apart, and theirs counts milliseconds of its own.
    assert scene.proxy.seen(TOKEN)[-1].at - answered > 2.5


@pytest.mark.parametrize("state", STATES)
def test_without_it_the_next_process_waits_a_little(scene, state):
    """A back-off of at most 5 s, which a one-shot command waits out."""
    arguments = enter(scene, state)
    scene.proxy.breaks(says(503), TOKEN)
    assert scene.token(*arguments).code == 8
    asked = scene.proxy.count(TOKEN)
    scene.proxy.heals()
    begin = time.monotonic()
    assert scene.served(*arguments)
    assert scene.proxy.count(TOKEN) == asked + 1
    assert time.monotonic() - begin < 15, "a back-off of at most 5 s"


def test_a_crowd_does_not_storm_a_server_that_is_down(scene):
    """Twelve calls one after the other, as a retrying client makes them, are not twelve requests."""
    scene.after(EXPIRED)
    scene.proxy.breaks(says(503, retry_after=str(LONG)), TOKEN)
    before = scene.proxy.count(TOKEN)
    assert {scene.token().code for _ in range(12)} == {8}
    assert scene.proxy.count(TOKEN) - before == 1


def test_nonsense_is_no_reason_to_wait_for_ever(scene):
    scene.after(EXPIRED)
    for value in ("-5", "99999999999999999999", "soon", http_date(-3600)):
        scene.proxy.breaks(says(503, retry_after=value), TOKEN, count=1)
        assert scene.token().code in (0, 8)
    scene.proxy.heals()
    scene.moves(86_400 + 60)
    assert scene.served()


def test_a_clock_set_back_does_not_prolong_it(scene):
    """Remembered as a moment of the wall clock; ten days back it would hold for ten days."""
    scene.after(EXPIRED)
    scene.proxy.breaks(says(503, retry_after=str(LONG)), TOKEN)
    assert scene.token().code == 8
    scene.proxy.heals()
    scene.moves(-10 * 86_400)
    served = scene.token()
    if served.code != 0:  # the old token is valid again by this clock, so normally it is simply served
        scene.moves(LONG + 10)
        assert scene.served()
    scene.moves(LONG + 10)
    assert scene.served("--force-refresh")
