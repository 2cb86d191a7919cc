"""The command line itself: formats, help, completions, exit codes; stdout is data, stderr is talk."""

import json
import re
import shlex
import subprocess
from datetime import UTC, datetime

import pytest
from harness.peers import Sandbox
from harness.ports import closed_port
from harness.scenes import ALICE, NOT_SIGNED_IN, machine, one_line, signed_in_quickly, token_of

COMMANDS = ["login", "configure", "token", "header", "status", "list", "whoami", "logout", "config", "sandbox"]
COMMANDS += ["serve", "secrets"]


@pytest.fixture
def job(sandbox):
    """The arguments and the environment of a CI job that can get a token."""
    return ["--endpoint", sandbox.http], machine("flytepropeller", "foobar")


def test_raw(cli, job):
    token_of(cli.run("token", *job[0], env=job[1]))


def test_json(cli, job):
    answer = cli.run("token", "--format", "json", *job[0], env=job[1]).json
    assert {"access_token", "token_type", "expires_at", "header_name"} <= set(answer)
    assert answer["token_type"].lower() == "bearer"
    assert answer["expires_at"].endswith("Z") or answer["expires_at"].endswith("+00:00")
    assert datetime.fromisoformat(answer["expires_at"]) > datetime.now(UTC)


def test_exec_credential(cli, job):
    answer = cli.run("token", "--format", "exec-credential", *job[0], env=job[1]).json
    assert answer["kind"] == "ExecCredential"
    assert answer["apiVersion"].startswith("client.authentication.k8s.io/")
    assert answer["status"]["token"].count(".") == 2
    assert answer["status"]["expirationTimestamp"]


def test_env(cli, job):
    text = cli.run("token", "--format", "env", *job[0], env=job[1]).stdout
    name, value = one_line(text).removeprefix("export ").split("=", 1)
    assert name == "FLYTE_TOKEN"
    assert shlex.split(value)[0].count(".") == 2


def test_header_is_for_curl(cli, job, sandbox):
    line = one_line(cli.run("header", *job[0], env=job[1]).stdout)
    name, value = line.split(": ", 1)
    assert re.fullmatch("[a-z-]+", name) and value.startswith("Bearer ")
    answer = subprocess.run(
        ["curl", "-s", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", "-H", "@-", f"{sandbox.http}/me"],
        input=line,
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert answer.stdout == "200"


def test_global_flags_before_and_after_the_command(cli, job):
    before = cli.run(*job[0], "token", env=job[1])
    after = cli.run("token", *job[0], env=job[1])
    assert before.code == after.code == 0


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["config", "explain"]])
def test_help(cli, command):
    result = cli.run(*command, "--help")
    assert result.code == 0 and len(result.stdout.splitlines()) > 5
    if not command:
        assert all(name in result.stdout for name in COMMANDS)


def test_version(cli):
    assert re.search(r"\d+\.\d+\.\d+", cli.run("--version").stdout)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions(cli, shell):
    result = cli.run("completions", shell)
    assert result.code == 0 and "flyte-auth" in result.stdout
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=result.stdout, text=True).returncode == 0


@pytest.mark.parametrize(
    "arguments", [["tokne"], ["token", "--no-such-flag"], ["token", "--format", "xml"], ["login", "--flow", "magic"]]
)
def test_wrong_usage(cli, arguments):
    result = cli.run(*arguments)
    assert (result.code, result.stdout) == (2, "") and result.stderr


@pytest.mark.parametrize(
    "endpoint", ["htp://host", "dns://host", "http://", "host name", "localhost:99999", "https://user:pw@host"]
)
def test_a_mistyped_endpoint(cli, endpoint):
    result = cli.run("token", "--endpoint", endpoint)
    assert result.code == 2 and "--endpoint" in result.stderr, result
    assert ":pw@" not in result.stderr


def test_without_any_endpoint(cli):
    result = cli.run("token")
    assert result.code == 2 and "endpoint" in result.stderr


def test_nobody_listens(cli):
    port = closed_port()
    result = cli.run("token", "--endpoint", f"http://127.0.0.1:{port}", env=machine("a", "b"))
    assert (result.code, result.stdout) == (3, ""), result
    assert str(port) in result.stderr
    assert result.seconds < 1


def test_an_unknown_host(cli):
    result = cli.run("token", "--endpoint", "https://nobody.invalid", env=machine("a", "b"))
    assert result.code == 3 and "nobody.invalid" in result.stderr


@pytest.mark.parametrize("environment", [{}, {"CI": "1"}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}])
def test_not_signed_in_and_nobody_to_ask(cli, sandbox, environment):
    result = cli.run("token", "--endpoint", sandbox.http, env=environment)
    assert (result.code, result.stdout) == (4, ""), result
    host = re.escape(sandbox.http.removeprefix("http://"))
    assert re.fullmatch(NOT_SIGNED_IN.format(host=host), one_line(result.stderr)), result.stderr
    assert result.seconds < 1


def test_in_ci_nobody_is_asked_even_on_a_terminal(cli, person, sandbox):
    terminal = cli.terminal("token", "--endpoint", sandbox.http, env={"CI": "true", **person.no_browser()})
    assert terminal.wait(5) == 4, terminal.seen
    assert not person.opened


def test_never_interactive(cli, person, sandbox):
    terminal = cli.terminal("token", "--endpoint", sandbox.http, "--interactive", "never", env=person.no_browser())
    assert terminal.wait(5) == 4, terminal.seen


VERSION_MEMBERS = ("version", "schema_version", "schema", "format", "v")


def test_a_store_of_a_newer_program_is_left_untouched(cli, person, start):
    approving = start(Sandbox, "--auto-approve", ALICE)
    signed_in_quickly(cli, person, approving, "--store", "file")
    raised = {}
    for path in (path for path in (cli.home / "state").rglob("*") if path.is_file()):
        try:
            record = json.loads(path.read_text())
        except ValueError:
            continue
        member = next((name for name in VERSION_MEMBERS if isinstance(record, dict) and name in record), None)
        if member and "eyJ" in path.read_text():
            record[member] = 999999
            path.write_text(json.dumps(record))
            raised[path] = path.read_bytes()
    assert raised, "no session file with a schema version"
    result = cli.run("token", "--endpoint", approving.http, "--store", "file")
    assert (result.code, result.stdout) == (7, ""), result
    assert all(path.read_bytes() == content for path, content in raised.items())


def test_a_store_that_cannot_be_written_is_exit_7(cli, person, start, home):
    approving = start(Sandbox, "--auto-approve", ALICE)
    (home / "blocked").write_text("a file where the folder should be")
    environment = {**person.quick_browser(), "FLYTE_AUTH_HOME": str(home / "blocked")}
    terminal = cli.terminal("login", approving.http, "--store", "file", env=environment)
    assert terminal.wait(30) == 7, terminal.seen


def test_json_errors_say_whether_to_retry(cli, start):
    server = start(Sandbox)
    server.fault("503", 1000)
    result = cli.run("whoami", "--json", "--endpoint", server.http, env=machine("flytepropeller", "foobar"))
    assert result.code == 8
    answer = json.loads(result.stdout or result.stderr)
    assert find(answer, "retryable") is True


def find(value, key):
    """The member `key`, at whatever depth."""
    if isinstance(value, dict):
        if key in value:
            return value[key]
        return next((found for child in value.values() if (found := find(child, key)) is not None), None)
    return None


def test_colours_only_where_they_are_wanted(cli, sandbox):
    result = cli.run("status", "--endpoint", sandbox.http)
    assert "\x1b" not in result.stdout + result.stderr
    terminal = cli.terminal("status", "--endpoint", sandbox.http, env={"NO_COLOR": "1"})
    terminal.wait(10)
    assert "\x1b[3" not in terminal.raw


def test_no_secret_in_the_loudest_log(cli, person, start):
    """Everything at trace level: no token, no secret, no code, no verifier."""
    from harness.peers import Sandbox
    from harness.scenes import ALICE, signed_in_quickly

    server = start(Sandbox, "--auto-approve", ALICE, "--access-token-lifetime", "2", "--rotate-refresh-tokens")
    terminal = signed_in_quickly(cli, person, server, "--log-level", "trace")
    stored = [json.loads(path.read_text()) for path in (cli.home / "state/sessions").glob("*.json")]
    secrets = {record[name] for record in stored for name in ("access_token", "refresh_token")} | {"foobar"}
    loud = [
        cli.run("token", "--log-level", "trace", "--force-refresh", "--endpoint", server.http),
        cli.run("whoami", "--log-level", "trace", "--endpoint", server.http),
        cli.run("token", "--log-level", "trace", "--endpoint", server.http, env=machine("flytepropeller", "foobar")),
        cli.run(
            "token", "--log-level", "trace", "--endpoint", server.http, env=machine("flytepropeller", "foobar-wrong")
        ),
    ]
    secrets |= {result.stdout.strip() for result in loud if result.stdout.startswith("ey")}
    said = terminal.seen + "".join(result.stderr for result in loud)
    assert len(secrets) >= 4 and not [secret for secret in secrets if secret in said]
