"""`authType: ExternalCommand` with the real flytekit and the real flyte 2 as callers of `flyte-auth token`.

A client captures stdout and stderr of its command and cannot say why it asks. Whatever the person must read goes
through the controlling terminal, and where there is none, a clear failure comes at once.
"""

import re

import pytest
from harness.callers import config, flyte_get_project, flyte_program, flyte_whoami, flytekit_program, pyflyte_run
from harness.scenes import ALICE, NOT_SIGNED_IN, machine, signs_in, token_of


class Flytekit:
    """flytekit 1.16 and the Flyte 1 control plane, plaintext."""

    def __init__(self, plane, cli):
        self.plane, self.cli = plane, cli
        self.where = ["--endpoint", plane.endpoint, "--insecure"]
        self.file = config(cli.home / "config.yaml", plane.endpoint, [cli.binary, "token", *self.where], insecure=True)

    def command(self):
        return pyflyte_run(self.cli.home, self.file)

    def program(self):
        return flytekit_program(self.cli.home, self.file)

    caller = "pyflyte"


class Flyte:
    """flyte 2 and the Flyte 2 control plane, TLS with a private authority."""

    def __init__(self, plane, cli, authority):
        self.plane, self.cli = plane, cli
        self.where = ["--endpoint", plane.endpoint, "--ca-cert", str(authority.file)]
        self.file = config(
            cli.home / "config.yaml",
            plane.endpoint,
            [cli.binary, "token", *self.where],
            caCertFilePath=str(authority.file),
        )

    def command(self):
        return flyte_get_project(self.file)

    def program(self):
        return flyte_program(self.cli.home, self.file)

    caller = "flyte"


@pytest.fixture(params=["flytekit", "flyte"])
def client(request, cli):
    if request.param == "flytekit":
        return Flytekit(request.getfixturevalue("flyte1"), cli)
    return Flyte(request.getfixturevalue("flyte2"), cli, request.getfixturevalue("authority"))


def test_the_first_time_on_a_terminal(cli, person, client):
    """No session yet: one prompt that names the caller, a real browser, and the client's call succeeds."""
    terminal = cli.terminal_any(client.command(), env=person.browser())
    terminal.expect(rf"{client.caller} needs a login to \S*{re.escape(client.plane.host)}", within=40)
    assert terminal.wait(60) == 0, terminal.seen
    assert client.plane.gate.served, "no call was let through"
    assert {call.subject for call in client.plane.gate.served} == {ALICE}
    assert person.times_asked == 1, "one login, one browser"


def test_the_prompt_uses_plain_lines(cli, person, client):
    """Where stderr is captured there is no cursor control on the terminal: the client draws there as well."""
    settings = config(cli.home / "direct.yaml", client.plane.endpoint, ["unused"])
    result, terminal = cli.captured_on_terminal("token", *client.where, env=person.browser())
    assert settings.exists()
    token_of(result)
    assert "needs a login to" in terminal.seen
    assert "\x1b" not in terminal.raw


def test_the_second_time_nobody_notices(cli, person, client):
    signs_in(cli, person, client.plane.endpoint, *client.where[2:], "--flow", "pkce")
    result = cli.run_any(client.command(), timeout=60)
    assert result.code == 0, result.stdout + result.stderr
    assert "needs a login" not in result.stdout + result.stderr


def test_a_library_users_program(cli, person, client):
    signs_in(cli, person, client.plane.endpoint, *client.where[2:], "--flow", "pkce")
    result = cli.run_any(client.program(), timeout=60)
    assert result.stdout.strip() == "projects: flytesnacks", result.stderr


def test_without_a_controlling_terminal(cli, person, client):
    """As in a Jupyter kernel: the command says in under a second what to do, the client fails, nothing hangs."""
    result = cli.run("token", *client.where, env=person.no_browser())
    assert (result.code, result.stdout) == (4, "") and result.seconds < 1, result
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and re.fullmatch(NOT_SIGNED_IN.format(host=re.escape(client.plane.host)), lines[0]), lines
    called = cli.run_any(client.program(), env=person.no_browser(), timeout=60)
    assert called.code != 0 and called.seconds < 30
    assert not person.opened


def test_flytekit_shows_the_message_to_its_user(cli, flyte1):
    """flytekit puts the command's stderr into its error: the person learns the next step."""
    called = cli.run_any(Flytekit(flyte1, cli).program(), timeout=60)
    assert "Run: flyte-auth login" in called.stdout + called.stderr


def test_in_ci_with_machine_credentials(cli, client, shared_issuer):
    environment = {"CI": "true", **machine("ci-basic", shared_issuer.secrets["ci-basic"]), "FLYTE_AUTH_SCOPES": "all"}
    # flytekit itself would take these variables for its own ClientSecret: the command gets them through a wrapper.
    wrapper = cli.home / "with-secret.sh"
    exports = "".join(f"export {name}='{value}'\n" for name, value in environment.items())
    wrapper.write_text(f'#!/bin/sh\n{exports}exec "{cli.binary}" "$@"\n')
    wrapper.chmod(0o755)
    file = client.file.read_text().replace(str(cli.binary), str(wrapper))
    client.file.write_text(file)
    result = cli.run_any(client.command(), env={"CI": "true"}, timeout=60)
    assert result.code == 0, result.stdout + result.stderr
    assert {call.subject for call in client.plane.gate.served} == {"ci-basic"}


def test_in_ci_without_credentials(cli, person, client):
    terminal = cli.terminal_any(client.program(), env={"CI": "true", **person.no_browser()})
    assert terminal.wait(60) != 0
    assert not person.opened and not client.plane.gate.served


def test_a_refused_prompt_is_not_repeated(cli, person, client):
    """flytekit retries four times without a pause; the person who said no is not asked again for a minute."""
    first, terminal = cli.captured_on_terminal("token", *client.where, env=person.browser(deny=True))
    assert (first.code, first.stdout) == (6, ""), (first, terminal.seen)
    second, terminal = cli.captured_on_terminal("token", *client.where, env=person.no_browser())
    assert (second.code, second.stdout) == (6, ""), second
    assert second.seconds < 1
    assert not person.opened


def test_a_refused_prompt_ends_the_whole_client(cli, person, client):
    terminal = cli.terminal_any(client.program(), env=person.browser(deny=True))
    assert terminal.wait(60) != 0, terminal.seen
    assert person.times_asked == 1, "she was asked more than once"


def test_two_clients_share_one_login(cli, person, client):
    """Two programs start at once without a session: one prompt, both succeed."""
    first = cli.terminal_any(client.program(), env=person.browser())
    second = cli.terminal_any(client.program(), env=person.browser())
    assert first.wait(80) == 0, first.seen
    assert second.wait(80) == 0, second.seen
    assert person.times_asked == 1
    assert len(client.plane.gate.tokens) == 1


@pytest.mark.parametrize(("call", "service"), [(flyte_whoami, "UserInfo"), (flyte_get_project, "ProjectService")])
def test_flyte_against_the_sandbox(cli, person, start, call, service):
    """The real flyte 2 speaks to the sandbox itself (its UserInfo is protected, its list of projects is empty)."""
    from harness.peers import Sandbox

    server = start(Sandbox, "--tls", "--generation", "2", "--auto-approve", ALICE)
    host = server.https.removeprefix("https://").replace("127.0.0.1", "localhost")
    where = ["--endpoint", f"dns:///{host}", "--ca-cert", server.ca_cert]
    terminal = cli.terminal("login", *where, env=person.quick_browser())
    assert terminal.wait(30) == 0, terminal.seen
    file = config(
        cli.home / "config.yaml", f"dns:///{host}", [cli.binary, "token", *where], caCertFilePath=server.ca_cert
    )
    result = cli.run_any(call(file), timeout=60)
    assert result.code == 0, result
    assert server.requests_to(service) >= 1
    if call is flyte_whoami:
        assert "alice" in result.stdout, result
