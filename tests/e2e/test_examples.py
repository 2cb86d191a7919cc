"""The example programs, run as their first lines say."""

from harness.cli import REPOSITORY
from harness.peers import Sandbox
from harness.scenes import ALICE, machine, signed_in_quickly

RUST = REPOSITORY / "target/debug/flyte-auth-example"


def test_rust_uses_the_machines_login(cli, person, start):
    server = start(Sandbox, "--auto-approve", ALICE)
    refused = cli.run_any([RUST, server.http])
    assert refused.code != 0 and "flyte-auth login" in refused.stderr, "who is not signed in learns the next step"
    signed_in_quickly(cli, person, server)
    result = cli.run_any([RUST, server.http])
    assert result.code == 0 and f"signed in as {ALICE}" in result.stdout, result


def test_rust_with_machine_credentials(cli, sandbox):
    result = cli.run_any([RUST, sandbox.http], env=machine("flytepropeller", "foobar"))
    assert result.code == 0 and "signed in as flytepropeller" in result.stdout, result
