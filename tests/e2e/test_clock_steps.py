"""Clocks that jump: NTP after a long sleep, a virtual machine that was suspended, somebody's hand."""

import json

import pytest
from harness.fault_proxy import CANARY, http_date, says
from harness.fault_scene import EXPIRED, HOUR, Scene, SignedIn

TOKEN = "/token"
DAY = 24 * HOUR


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


ME = "IdentityService/UserInfo"


@pytest.fixture(scope="module")
def signed_in_to_flyte(tmp_path_factory):
    made = SignedIn.make_flyte(tmp_path_factory.mktemp("flyte"))
    yield made
    made.end()


@pytest.fixture
def flyte(signed_in_to_flyte, cli):
    yield Scene(signed_in_to_flyte, cli)
    signed_in_to_flyte.proxy.heals()


@pytest.mark.parametrize("skew", [-3 * HOUR, 3 * HOUR, 40 * DAY, 0])
def test_a_server_that_rejects_fresh_tokens_is_not_asked_for_ever(flyte, skew):
    """The same client asks again and again, each time with the suspicion that its token was rejected."""
    flyte.served()
    asked = flyte.proxy.count(TOKEN)
    results = []
    for _ in range(8):
        flyte.moves(40)
        flyte.proxy.heals()
        flyte.proxy.breaks(rejects(flyte.offset + skew), ME)
        results.append(flyte.token())
    # Two fresh tokens, and one more when a minute has passed.
    assert flyte.proxy.count(TOKEN) - asked <= 3, "a loop of refreshes"
    stopped = [result for result in results if result.code]
    assert stopped and all(result.code == 5 for result in stopped), results
    # The server's `Date` says whether clocks are the reason, and nothing else does.
    assert all(("clock" in result.stderr) == (skew != 0) for result in stopped), stopped
    flyte.says_nothing_secret(*results)
    flyte.proxy.heals()
    flyte.moves(10 * 60)
    assert flyte.served()


def test_a_rejected_token_ends_no_session(flyte):
    """`whoami` reports what the server says and forgets nothing."""
    before = flyte.records()
    flyte.proxy.breaks(rejects(-3 * HOUR), ME)
    answer = flyte.cli.run("whoami", "--json", *flyte.shared.flags)
    assert answer.code == 5, answer
    flyte.says_nothing_secret(answer)
    assert flyte.records().keys() == before.keys()
    flyte.proxy.heals()
    assert flyte.served()


def test_the_issuers_user_info_is_no_word_about_a_token(scene):
    """oidc-provider, as most, refuses an API's token at its own user info: a good session must not suffer for it."""
    scene.served()
    asked = scene.proxy.count(TOKEN)
    assert [scene.token().code for _ in range(8) if scene.moves(40) is None] == [0] * 8
    assert scene.proxy.count("/me") and scene.proxy.count(TOKEN) - asked <= 2, "one refresh in five minutes"


def test_a_suspicion_that_cannot_be_checked_costs_no_valid_token(scene):
    old = scene.served()
    scene.moves(40)
    scene.proxy.breaks(says(503), TOKEN)
    assert scene.served() == old
