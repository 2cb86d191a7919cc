"""Soak: processes that call `token()` all the time while tokens expire every few seconds.

`SOAK_SECONDS` (24) and `SOAK_LIFETIME` (6); `make soak` runs ten minutes with tokens of 10 s.
"""

import json
import math
import os

import pytest
from harness.herd import WORKER, Herd, Place
from harness.peers import Sandbox
from harness.scenes import ALICE

SECONDS = int(os.environ.get("SOAK_SECONDS", "24"))
LIFETIME = int(os.environ.get("SOAK_LIFETIME", "6"))
PROCESSES = 8
# Calls a second of one process: 1,000 of all.
RATE = 125


@pytest.mark.timeout(90 + 2 * SECONDS)
def test_nobody_ever_sees_an_expired_token(cli, start):
    flags = ["--access-token-lifetime", str(LIFETIME), "--rotate-refresh-tokens"]
    place = Place(start(Sandbox, "--auto-approve", ALICE, *flags))
    place.sign_in(cli)
    before = place.counted()
    herd = Herd(cli, [WORKER, "soak", "--seconds", SECONDS, "--rate", RATE], place.env, PROCESSES)
    herd.go()
    reports = []
    for code, stdout, stderr in herd.finish(within=60 + 2 * SECONDS):
        assert code == 0, (code, stdout, stderr)
        reports.append(json.loads(stdout.splitlines()[-1]))
    requests = place.since(before)
    calls = sum(report["calls"] for report in reports)
    # core/src/session/token.rs: a token this short-lived is refreshed in the second half of its life.
    limit = math.floor(SECONDS / (LIFETIME - LIFETIME / 2)) + 2
    expired, slow = (sum(report[name] for report in reports) for name in ("expired", "slow_calls"))
    print(
        f"\nsoak: {calls} calls in {SECONDS} s by {PROCESSES} processes, tokens of {LIFETIME} s\n"
        f"soak: {requests['all']} token requests (at most {limit}); {expired} expired tokens served, "
        f"the oldest token served had {min(report['least_left'] for report in reports)} ms left; "
        f"the longest call took {max(report['longest_call'] for report in reports)} ms, {slow} took more than 50 ms"
    )
    assert [report["errors"] for report in reports] == [{}] * PROCESSES
    assert expired == 0
    assert requests["all"] == requests["granted"] <= limit
    # What a loaded machine cannot do is not the engine's fault, but most calls must have happened.
    assert calls > 0.5 * SECONDS * RATE * PROCESSES
