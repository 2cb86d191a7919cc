"""The circle: a configuration whose command is ours is never executed by us, and a wrapper cannot loop."""

import time

import pytest
from harness.callers import config, fake_command
from harness.peers import Sandbox
from harness.scenes import ALICE, signed_in_quickly, token_of


@pytest.fixture
def approving(start):
    return start(Sandbox, "--auto-approve", ALICE)


@pytest.fixture
def user_file(home):
    (home / ".flyte").mkdir()
    return home / ".flyte/config.yaml"


def test_a_bare_login_and_the_spawned_token_share_one_session(cli, person, approving, user_file):
    spawned = ["token", "--endpoint", approving.http, "--profile", "prod"]
    config(user_file, approving.http, [cli.binary, *spawned])
    user_file.write_text(user_file.read_text() + "profiles:\n  prod:\n    admin: {}\n")
    terminal = cli.terminal("login", env=person.quick_browser())
    assert terminal.wait(30) == 0, terminal.seen
    by_command = token_of(cli.run(*spawned))
    assert token_of(cli.run("token")) == by_command
    assert cli.run("status", "--json").json["profile"] == "prod"


@pytest.mark.parametrize("spelling", ["absolute", "link", "path", "module", "uvx", "npx"])
def test_every_spelling_of_us_is_recognised(cli, person, approving, user_file, home, spelling):
    (home / "bin").mkdir()
    link = home / "bin/another-name"
    link.symlink_to(cli.binary)
    stem = home / "bin/flyte-auth"
    stem.symlink_to(cli.binary)
    first = {
        "absolute": [cli.binary],
        "link": [link],
        "path": ["flyte-auth"],
        "module": ["python3", "-m", "flyte_auth"],
        "uvx": ["uvx", "--from", "flyte-auth", "flyte-auth"],
        "npx": ["npx", "-y", "flyte-auth"],
    }[spelling]
    config(user_file, approving.http, [*first, "token", "--endpoint", approving.http])
    environment = {"PATH": f"{home}/bin:{cli.env['PATH']}"}
    terminal = cli.terminal("login", env={**person.quick_browser(), **environment})
    assert terminal.wait(30) == 0, terminal.seen
    token_of(cli.run("token", env=environment))


def test_explain_shows_where_the_flags_come_from(cli, user_file):
    config(
        user_file,
        "dns:///flyte.example",
        [cli.binary, "token", "--endpoint", "dns:///flyte.example", "--audience", "api"],
    )
    text = cli.run("config", "explain", "--json").stdout
    assert "admin.command" in text and '"api"' in text


def test_a_wrapper_that_calls_itself(cli, home, sandbox):
    """Not recognisable as ours: the depth variable ends it."""
    file = home / "config.yaml"
    wrapper = fake_command(home / "company-token", f'exec "{cli.binary}" token --config "{file}"')
    config(file, sandbox.http, [wrapper])
    begin = time.monotonic()
    result = cli.run("token", "--config", file)
    assert result.code == 2 and result.stdout == "", result
    assert "admin.command calls itself" in result.stderr
    assert time.monotonic() - begin < 5


def test_a_command_that_we_start_knows_its_depth(cli, home, sandbox):
    command = fake_command(home / "depth", 'echo "depth-$FLYTE_AUTH_DEPTH"')
    file = config(home / "config.yaml", sandbox.http, [command])
    assert token_of(cli.run("token", "--config", file)) == "depth-1"


def test_a_command_may_ask_us_for_another_endpoint(cli, person, start, home, sandbox, approving):
    """Depth alone is no crime: only starting a further command is."""
    signed_in_quickly(cli, person, approving)
    command = fake_command(home / "other", f'exec "{cli.binary}" token --endpoint "{approving.http}"')
    file = config(home / "config.yaml", sandbox.http, [command])
    assert token_of(cli.run("token", "--config", file)) == token_of(cli.run("token", "--endpoint", approving.http))
