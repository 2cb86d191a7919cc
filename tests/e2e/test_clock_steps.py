"""Clocks that jump: NTP after a long sleep, a virtual machine that was suspended, somebody's hand."""

import json

import pytest
from harness.fault_proxy import CANARY, http_date, says
from harness.fault_scene import EXPIRED, HOUR, Scene, SignedIn

TOKEN = "/token"
DAY = 24 * HOUR


@pytest.fixture(scope="module")
def signed_in(tmp_path_factory):
    made = SignedIn.make(tmp_path_factory.mktemp("clock"))
    yield made
    made.end()


@pytest.fixture
def scene(signed_in, cli):
    yield Scene(signed_in, cli)
    signed_in.proxy.heals()


@pytest.mark.parametrize(
    "steps",
    [
        [3 * HOUR],
        [30 * DAY],
        [-3 * HOUR],
        [-30 * DAY],
        [3 * HOUR, -3 * HOUR, 3 * HOUR],
        [10 * DAY, -20 * DAY, 10 * DAY],
        [HOUR / 2, HOUR / 2, HOUR / 2, HOUR / 2],
    ],
    ids=str,
)
@pytest.mark.parametrize("who", ["person", "job"])
def test_a_step_costs_one_refresh_at_most(scene, steps, who):
    if who == "job":
        scene.as_a_job()
    scene.served()
    for step in steps:
        scene.moves(step)
        asked = scene.proxy.count(TOKEN)
        tokens = [scene.served() for _ in range(4)]
        assert scene.proxy.count(TOKEN) - asked <= 1, "a loop of requests"
        assert len(set(tokens)) == 1
        assert scene.shared.provider.accepts(tokens[0])


def test_a_jump_in_the_middle_of_a_refresh(scene):
    """The machine sleeps for eight hours between the request and the answer."""
    scene.after(EXPIRED)
    asleep = scene.offset + 8 * HOUR

    def answers_after_the_sleep(connection):
        reply = connection.forward()
        scene.clock.write_text(str(int(asleep * 1000)))
        connection.client.sendall(reply.encoded())

    scene.proxy.breaks(answers_after_the_sleep, TOKEN, count=1)
    asked = scene.proxy.count(TOKEN)
    # What has just been obtained is printed, however old it looks; the next call gets one that lives.
    assert scene.token().code == 0
    assert scene.proxy.count(TOKEN) - asked <= 2
    tokens = {scene.served() for _ in range(3)}
    assert len(tokens) == 1 and scene.proxy.count(TOKEN) - asked <= 3


def rejects(seconds):
    """A resource server's 401, with its clock so far from the machine's."""
    return says(
        401, json.dumps({"error": "invalid_token", "error_description": CANARY}).encode(), date=http_date(seconds)
    )


ME = "/me"  # oidc-provider's user info endpoint


@pytest.mark.parametrize("skew", [-3 * HOUR, 3 * HOUR, 40 * DAY])
def test_a_server_that_rejects_fresh_tokens_is_not_asked_for_ever(scene, skew):
    """The same client asks again and again, each time with the suspicion that its token was rejected."""
    scene.served()
    scene.proxy.breaks(rejects(skew), ME)
    asked = scene.proxy.count(TOKEN)
    results = []
    for _ in range(8):
        scene.moves(40)
        results.append(scene.token())
    assert scene.proxy.count(TOKEN) - asked <= 2, "a loop of refreshes"
    said = "".join(result.stderr for result in results)
    assert "clock" in said, said
    scene.says_nothing_secret(*results)
    scene.proxy.heals()
    scene.moves(10 * 60)
    assert scene.served()


def test_whoami_tells_a_wrong_clock(scene):
    scene.proxy.breaks(rejects(-3 * HOUR), ME)
    asked = scene.proxy.count(TOKEN)
    answer = scene.cli.run("whoami", "--json", *scene.shared.flags)
    assert answer.code != 0 and "clock" in answer.stderr, answer
    assert scene.proxy.count(TOKEN) - asked <= 2
    scene.says_nothing_secret(answer)


def test_a_rejection_without_skew_is_not_blamed_on_the_clock(scene):
    scene.proxy.breaks(rejects(0), ME)
    answer = scene.cli.run("whoami", "--json", *scene.shared.flags)
    assert answer.code != 0 and "clock" not in answer.stderr, answer
