"""Clumsy hands and strange machines: whatever is typed, set or missing, the answer is typed, short and true."""

import json
import os
import signal
import subprocess
import time

import pytest
from harness.fault_proxy import FaultProxy, not_found, says, slow_head
from harness.peers import OidcProvider, Sandbox
from harness.scenes import ALICE, machine, signed_in_quickly, token_of

JOB = machine("flytepropeller", "foobar")
UNNAMED = {name: value for name, value in JOB.items() if "SECRET" not in name}


def test_output_that_cannot_be_written_is_a_failure(cli, sandbox):
    """`token > file` on a full disk must not look like an endpoint without auth."""
    flags = ["--endpoint", sandbox.http]
    for arguments in (["token", *flags], ["header", *flags], ["status", *flags], ["config", "explain", *flags]):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [cli.binary, *arguments], env=cli.environment(JOB), stdout=full, stderr=subprocess.PIPE, text=True
            )
        assert done.returncode == 1 and "stdout" in done.stderr, (arguments, done)


def test_a_reader_that_goes_away_is_no_failure(cli, sandbox):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = subprocess.run(
            [cli.binary, "config", "explain", "--endpoint", sandbox.http],
            env=cli.environment(),
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN),
        )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["token", "--nope"], ["tokne"], ["login", "--timeout", "0"], []])
def test_wrong_usage_as_json(cli, arguments):
    result = cli.run("--json", *arguments)
    assert result.code == 2 and result.stderr
    error = result.json["error"]
    assert (error["kind"], error["code"], error["retryable"]) == ("config", "usage", False) and error["message"]


def test_logout_of_everything_takes_no_endpoint(cli, person, start):
    """`logout --all HOST` could mean two things, one of which cannot be undone."""
    server = start(Sandbox, "--auto-approve", ALICE)
    signed_in_quickly(cli, person, server)
    for arguments in (["--all", server.http], ["--all", "--revoke"]):
        assert cli.run("logout", *arguments).code == 2
    assert len(cli.run("list", "--json").json) == 1


@pytest.mark.parametrize(
    "variable, value",
    [
        ("FLYTE_AUTH_EXTRA_PARAMS", "client_id=somebody"),
        ("FLYTE_AUTH_EXTRA_PARAMS", "grant_type=password"),
        ("FLYTE_AUTH_EXTRA_PARAMS", "novalue"),
        ("FLYTE_AUTH_AUTHORIZATION_HEADER", "x: y\r\nevil"),
        ("FLYTE_AUTH_TOKEN_URL", "file:///etc/passwd"),
        ("FLYTE_AUTH_TOKEN_URL", "nonsense"),
        ("FLYTE_AUTH_ISSUER", "nonsense"),
        ("FLYTE_AUTH_INSECURE", "perhaps"),
        ("FLYTE_AUTH_STORE", "cloud"),
        ("FLYTE_AUTH_INTERACTIVE", "sometimes"),
        ("FLYTE_AUTH_TYPE", "magic"),
        ("FLYTE_AUTH_LOG_LEVEL", "loud"),
        ("FLYTE_AUTH_PROFILE", "nobody"),
        ("FLYTE_AUTH_CONFIG", "/does/not/exist"),
        ("FLYTE_AUTH_CA_CERT", "/does/not/exist"),
        ("FLYTE_AUTH_HTTP_PROXY_URL", "socks5://user:canary@127.0.0.1:1"),
        ("FLYTE_AUTH_ENDPOINT", "x" * 100_000),
    ],
    ids=lambda value: value[:40],
)
def test_a_variable_that_is_wrong_is_named(cli, sandbox, variable, value):
    endpoint = [] if variable == "FLYTE_AUTH_ENDPOINT" else ["--endpoint", sandbox.http]
    result = cli.run("token", *endpoint, "--json", env={**JOB, variable: value})
    assert result.code == 2, result
    error = result.json["error"]
    assert variable in result.stderr and error["kind"] == "config" and error["next"], result.stderr
    assert "canary" not in result.stderr + result.stdout and "\r" not in result.stderr


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/", "/does/not/exist"])
def test_a_secret_file_that_is_none(cli, sandbox, device):
    environment = {**UNNAMED, "FLYTE_CREDENTIALS_CLIENT_SECRET_LOCATION": device}
    result = cli.run("token", "--endpoint", sandbox.http, env=environment)
    assert result.code == 2 and "SECRET_LOCATION" in result.stderr, result


@pytest.mark.parametrize("command", ["yes", "cat /dev/zero", "false", "true", "/does/not/exist", "sh -c 'kill -9 $$'"])
@pytest.mark.parametrize("purpose", ["FLYTE_AUTH_CLIENT_SECRET_COMMAND", "FLYTE_AUTH_COMMAND"])
def test_a_command_that_prints_nothing_useful(cli, sandbox, command, purpose):
    environment = {**UNNAMED, purpose: command}
    if purpose == "FLYTE_AUTH_COMMAND":
        environment = {"FLYTE_AUTH_TYPE": "ExternalCommand", purpose: command}
    result = cli.run("token", "--endpoint", sandbox.http, env=environment)
    assert result.code in (2, 5) and result.stdout == "" and len(result.errors) == 1, result


def test_a_login_that_cannot_be_kept_says_so(cli, person, start):
    server = start(Sandbox, "--auto-approve", ALICE)
    terminal = cli.terminal("login", server.http, "--store", "memory", env=person.quick_browser())
    assert terminal.wait(30) == 0, terminal.seen
    assert "ends with this command" in terminal.seen and "configure" not in terminal.seen


def test_a_given_token_is_not_called_good(cli, sandbox):
    result = cli.run("login", sandbox.http, env={"FLYTE_TOKEN": "nonsense-token"})
    assert result.code == 0 and "works" not in result.stderr and "nonsense-token" not in result.stderr


def test_without_home_locale_or_terminal(cli, sandbox):
    """A service manager's environment: nothing but the path of the program."""
    bare = {**JOB, "FLYTE_AUTH_HOME": str(cli.home / "state")}
    done = subprocess.run(
        [cli.binary, "token", "--endpoint", sandbox.http], env=bare, stdin=subprocess.DEVNULL, capture_output=True
    )
    assert done.returncode == 0 and done.stderr == b"" and done.stdout.count(b".") == 2


def test_bytes_that_are_no_text(cli, sandbox, home):
    """Names and values that are not UTF-8, in the environment, in paths and in arguments."""
    odd = os.fsencode(home) + b"/\xff\xfe"
    os.mkdir(odd)
    environment = {os.fsencode(name): os.fsencode(value) for name, value in cli.environment(JOB).items()}
    environment |= {b"FLYTE_\xff": b"\xff", b"FLYTE_AUTH_HOME": odd + b"/state", b"HOME": odd}

    def run(*arguments):
        return subprocess.run(
            [os.fsencode(cli.binary), *arguments],
            env=environment,
            cwd=odd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )

    endpoint = sandbox.http.encode()
    assert run(b"token", b"--endpoint", endpoint).returncode == 0
    assert json.loads(run(b"status", b"--json", b"--endpoint", endpoint).stdout)["signed_in"] is True
    for arguments in ((b"--endpoint", b"http://\xff"), (b"--config", b"/tmp/\xff"), (b"--client-id", b"\xff")):
        failed = run(b"token", *arguments)
        assert failed.returncode == 2 and failed.stderr and not failed.stdout, failed


@pytest.mark.parametrize("flag", ["--account", "--client-id", "--audience", "--profile", "--ca-cert", "--log-level"])
def test_very_long_values(cli, sandbox, flag):
    result = cli.run("token", "--endpoint", sandbox.http, flag, "x" * 100_000, env=JOB)
    assert result.code in (0, 2, 5, 8) and "report this" not in result.stderr, result.stderr[:300]


def test_ipv6_and_ports_that_are_left_out(cli):
    for endpoint, host in {"http://[::1]:1": "[::1]:1", "[::1]:1": "[::1]:1", "http://[::1]": "[::1]"}.items():
        result = cli.run("token", "--endpoint", endpoint, env=JOB)
        assert result.code in (3, 8) and host in result.stderr, result
    for endpoint in ("[::1", "::1:80:90::", "[::1]x", "https://[::g]"):
        assert cli.run("token", "--endpoint", endpoint, env=JOB).code == 2, endpoint


def test_a_device_login_is_over_with_its_code(cli, person, start):
    """A token endpoint that hangs must not keep the person beyond the time that was shown."""
    server = start(Sandbox)
    terminal = cli.terminal("login", server.http, "--flow", "device", "--timeout", "8")
    terminal.expect("[A-Z0-9]{4}-[A-Z0-9]{4}")
    server.fault("slow", 1000)
    assert terminal.wait(30) == 6, terminal.seen
    assert terminal.seconds < 14
    token = cli.run("token", "--endpoint", server.http)
    assert token.code != 0 and token.stdout == ""


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("words", ["token", "whoami", "status --verify", "login"])
def test_interrupted_while_waiting_for_a_server(cli, start, words, number, code):
    """Ctrl-C and SIGTERM end every wait at once, with the code that shells expect."""
    silent = start(FaultProxy)
    silent.breaks(slow_head)
    child = cli.start(*words.split(), "--endpoint", silent.url, env={} if words == "login" else JOB)
    until(lambda: silent.count() or child.poll() is not None)
    child.send_signal(number)
    assert child.wait(10) == code


def test_interrupted_while_waiting_for_a_command(cli, start):
    nothing_there = start(FaultProxy)
    nothing_there.breaks(not_found)
    command = {"FLYTE_AUTH_TYPE": "ExternalCommand", "FLYTE_AUTH_COMMAND": "sleep 60"}
    child = cli.start("token", "--issuer", nothing_there.url, env=command)
    until(lambda: _children_of(child.pid) or child.poll() is not None)
    children = _children_of(child.pid)
    child.send_signal(signal.SIGTERM)
    assert children and child.wait(10) == 143
    until(lambda: not any(_runs(pid) for pid in children))


def until(happens, within=30.0):
    """Looks again and again."""
    end = time.monotonic() + within
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def _children_of(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as listed:
            return [int(word) for word in listed.read().split()]
    except OSError:
        return []


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_the_shape_of_every_answer(cli, person, start):
    """Each command that prints data does so as one JSON document, errors too."""
    server = start(Sandbox, "--auto-approve", ALICE)
    flags = ["--endpoint", server.http]
    before = {
        "token": cli.run("token", "--json", *flags),
        "whoami": cli.run("whoami", "--json", *flags),
        "status": cli.run("status", "--json", *flags),
    }
    assert [result.code for result in before.values()] == [4, 4, 4]
    assert all(before[name].json["error"]["code"] == "not_signed_in" for name in ("token", "whoami"))
    assert before["status"].json["signed_in"] is False
    signed_in_quickly(cli, person, server)
    token_of(cli.run("token", *flags))
    for arguments in (["token"], ["status"], ["whoami"], ["list"], ["config", "explain"], ["configure"], ["logout"]):
        result = cli.run(*arguments, "--json", *([] if arguments == ["list"] else flags))
        assert result.code == 0 and isinstance(result.json, dict | list), (arguments, result)


def test_a_server_cannot_steer_the_terminal(cli, start):
    """Names, scopes and descriptions come from elsewhere: none of them may clear the screen or forge a line."""
    evil = "\x1b[2J\x1b]0;title\x07\rroot\u202e\nsigned in: root"
    proxy = start(FaultProxy)
    provider = start(OidcProvider, OIDC_ISSUER=proxy.url)
    proxy.upstream = provider.address
    flags = ["--issuer", proxy.url, "--scopes", "all"]
    job = machine("ci-basic", provider.secrets["ci-basic"])
    body = {"access_token": "x", "expires_in": 900, "scope": evil.split()}
    proxy.breaks(says(200, json.dumps(body).encode()), "/token", count=1)
    proxy.breaks(says(200, json.dumps({"sub": evil, "name": evil, "email": evil}).encode()), "/me")
    seen = [cli.run(command, *flags, env=job) for command in ("whoami", "status")] + [cli.run("list")]
    assert [result.code for result in seen] == [0, 0, 0]
    refusal = {"error": "invalid_request", "error_description": evil}
    proxy.breaks(says(400, json.dumps(refusal).encode()), "/token")
    seen.append(cli.run("token", "--force-refresh", *flags, env=job))
    for result in seen:
        said = result.stdout + result.stderr
        assert not set("\x1b\x07\r\u202e") & set(said), said
        assert not any(line.startswith("signed in: root") for line in said.splitlines()), said


@pytest.mark.parametrize("command", [["token"], ["status"], ["list"], ["logout"]])
def test_a_relative_state_folder_is_a_mistake(cli, command):
    """Taken as "no home folder" it would keep sessions in memory only, and say so nowhere."""
    result = cli.run(*command, "--endpoint", "http://127.0.0.1:1", env={"FLYTE_AUTH_HOME": "state"})
    assert result.code == 2 and "FLYTE_AUTH_HOME must be an absolute path" in result.stderr, result


def test_the_consoles_address_is_no_endpoint(cli):
    result = cli.run("token", "--endpoint", "https://flyte.example.org/console/projects/p")
    assert result.code == 2 and "Use https://flyte.example.org" in result.stderr, result
