"""The peers are real: each client and server works with the others, with a shell script in the place of our command.

These hold without the command under test, so that a failure elsewhere is a failure of the command.
"""

import pytest
from harness.callers import (
    config,
    fake_command,
    flyte_get_project,
    flyte_program,
    flyte_whoami,
    flytekit_program,
    pyflyte_run,
)


@pytest.fixture
def token(shared_issuer):
    return shared_issuer.client_credentials("ci-basic", shared_issuer.secrets["ci-basic"])


def test_oidc_provider_takes_a_secret_with_symbols(shared_issuer):
    name = "ci:symbols+a/b%20=&"
    assert shared_issuer.accepts(shared_issuer.client_credentials(name, shared_issuer.secrets[name]))


def test_pyflyte_run_uses_the_command_after_a_refusal(cli, flyte1, home, token):
    command = fake_command(home / "token.sh", f"echo {token}")
    settings = config(home / "config.yaml", flyte1.endpoint, [command], insecure=True)
    result = cli.run_any(pyflyte_run(home, settings), timeout=60)
    assert result.code == 0, result.stderr
    assert flyte1.admin.executions == 1
    assert flyte1.gate.tokens == [token]


def test_flyte_remote_program(cli, flyte1, home, token):
    command = fake_command(home / "token.sh", f"echo {token}")
    settings = config(home / "config.yaml", flyte1.endpoint, [command], insecure=True)
    result = cli.run_any(flytekit_program(home, settings), timeout=60)
    assert result.stdout.strip() == "projects: flytesnacks", result.stderr


def test_flytekit_refuses_a_bad_token(cli, flyte1, home):
    command = fake_command(home / "token.sh", "echo nonsense")
    settings = config(home / "config.yaml", flyte1.endpoint, [command], insecure=True)
    result = cli.run_any(flytekit_program(home, settings), timeout=60)
    assert result.code != 0
    assert not flyte1.gate.served


@pytest.mark.parametrize("call", [flyte_whoami, flyte_get_project])
def test_flyte2_uses_the_command_after_a_refusal(cli, flyte2, home, authority, token, call):
    command = fake_command(home / "token.sh", f"echo {token}")
    settings = config(home / "config.yaml", flyte2.endpoint, [command], caCertFilePath=str(authority.file))
    result = cli.run_any(call(settings), timeout=60)
    assert result.code == 0, result.stdout + result.stderr
    assert ("ci-basic" if call is flyte_whoami else "flytesnacks") in result.stdout
    assert flyte2.gate.tokens == [token]


def test_flyte2_program(cli, flyte2, home, authority, token):
    command = fake_command(home / "token.sh", f"echo {token}")
    settings = config(home / "config.yaml", flyte2.endpoint, [command], caCertFilePath=str(authority.file))
    result = cli.run_any(flyte_program(home, settings), timeout=60)
    assert result.stdout.strip() == "projects: flytesnacks", result.stderr


def test_a_command_on_a_terminal_reaches_the_person_through_it(cli, flyte1, home, token):
    """pyflyte captures both outputs of its command, so the question goes through the controlling terminal."""
    ask = f'printf "who are you? " > /dev/tty; read name < /dev/tty; [ "$name" = alice ] && echo {token}'
    settings = config(home / "config.yaml", flyte1.endpoint, [fake_command(home / "token.sh", ask)], insecure=True)
    terminal = cli.terminal_any(flytekit_program(home, settings))
    terminal.expect("who are you", within=30)
    terminal.type("alice\n")
    assert terminal.wait() == 0, terminal.seen
    assert "projects: flytesnacks" in terminal.seen


def test_without_a_controlling_terminal_there_is_nobody_to_ask(cli, home):
    result = cli.run_any([fake_command(home / "ask.sh", "echo hello > /dev/tty")])
    assert result.code != 0
