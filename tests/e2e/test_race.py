"""Race suite: real processes and threads that all find the same expired token, or none, at the same instant.

`RACE_PROCESSES` and `RACE_THREADS` make it larger or smaller.
"""

import os

import pytest
from harness.herd import Place, commands, digest, stored, workers
from harness.peers import OidcProvider, Sandbox
from harness.scenes import ALICE, machine

PROCESSES = int(os.environ.get("RACE_PROCESSES", "64"))
THREADS = int(os.environ.get("RACE_THREADS", "16"))
LATENCY = 0.5


@pytest.fixture(params=["sandbox", "oidc-provider"])
def place(request, start):
    """An authorization server that replaces refresh tokens and ends the session of whoever uses one twice."""
    if request.param == "sandbox":
        return Place(start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens"))
    return Place(start(OidcProvider, OIDC_LOG="1"))


def all_got_the_stored_one(cli, digests):
    assert digests == {digest(stored(cli)["access_token"])}


@pytest.mark.parametrize("own_runtimes", [False, True], ids=["shared-runtime", "runtime-each"])
def test_one_refresh_for_all_threads_of_all_processes(cli, place, own_runtimes):
    place.sign_in(cli)
    before = place.counted()
    calls = workers(cli, place, PROCESSES, THREADS, own_runtimes=own_runtimes)
    assert {call["error"] for call in calls} == {None}, {call["message"] for call in calls}
    assert len(calls) == PROCESSES * THREADS
    assert place.since(before) == {"all": 1, "granted": 1, "reused": 0}
    all_got_the_stored_one(cli, {call["sha256"] for call in calls})
    assert {call["generation"] for call in calls} == {2}


def test_one_refresh_for_all_commands(cli, start):
    """The last of them is done within twice the token endpoint's latency, the start-up of all, and 300 ms."""
    place = Place(start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens"))
    place.sign_in(cli, is_expired=False)
    fresh, start_up = commands(cli, place, PROCESSES)
    assert {code for code, _, _ in fresh} == {0}
    place.sign_in(cli)
    before = place.counted()
    place.answers_late(int(LATENCY * 1000))
    done, last = commands(cli, place, PROCESSES)
    assert [stderr for code, _, stderr in done if code or stderr] == []
    assert place.since(before) == {"all": 1, "granted": 1, "reused": 0}
    all_got_the_stored_one(cli, {digest(stdout.strip()) for _, stdout, _ in done})
    limit = 2 * LATENCY + start_up + 0.3
    print(
        f"\nrace: the last of {PROCESSES} commands was done after {last:.2f} s; limit {limit:.2f} s "
        f"(2 x {LATENCY} s latency + {start_up:.2f} s start-up + 0.3 s)"
    )
    # A loaded machine may be slow; waiting in turn for 64 requests would be slower than this by far.
    assert last < limit + 15


def test_one_token_request_for_all_machine_clients(cli, start):
    """Nobody has a token yet: client credentials, first use."""
    server = start(Sandbox)
    place = Place(server)
    place.answers_late(200)
    calls = workers(cli, place, PROCESSES, THREADS, env=machine("flytepropeller", "foobar"))
    assert {call["error"] for call in calls} == {None}, {call["message"] for call in calls}
    assert server.stats()["grants"] == {"client_credentials": 1}
    all_got_the_stored_one(cli, {call["sha256"] for call in calls})
