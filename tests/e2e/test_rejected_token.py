"""A client that asks again may have been refused: it cannot say so, and 30 s make the difference."""

import time

import pytest
from harness.peers import Sandbox
from harness.scenes import ALICE, signed_in_quickly, token_of


@pytest.mark.timeout(120)
def test_the_same_parent_asks_again(cli, person, start):
    """Three sessions, one wait. The parent of every call is this process."""
    rejecting, content, hurried = (start(Sandbox, "--auto-approve", ALICE) for _ in range(3))
    tokens = {}
    for server in (rejecting, content, hurried):
        signed_in_quickly(cli, person, server)
        tokens[server] = token_of(cli.run("token", "--endpoint", server.http))

    # At once: no suspicion, whatever the server thinks of the token; no request.
    hurried.rotate_keys()
    before = hurried.stats()
    assert token_of(cli.run("token", "--endpoint", hurried.http)) == tokens[hurried]
    assert hurried.stats() == before

    time.sleep(31)

    # Rejected: the server's clock is past the token's end (not past the session's), so its UserInfo answers 401.
    rejecting.clock(2400)
    fresh = token_of(cli.run("token", "--endpoint", rejecting.http))
    assert fresh != tokens[rejecting], "a rejected token was printed again"
    assert rejecting.accepts_at_me(fresh)

    # Not rejected: one question, the same token.
    before = content.stats()
    assert token_of(cli.run("token", "--endpoint", content.http)) == tokens[content]
    assert content.stats() != before, "nobody was asked"
