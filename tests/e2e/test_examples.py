"""The example programs, run as their first lines say."""

import urllib.error
import urllib.request

import pytest
from harness.cli import REPOSITORY
from harness.peers import Sandbox
from harness.scenes import ALICE, CODE, URL, machine, signed_in_quickly

RUST = REPOSITORY / "target/debug/flyte-auth-example"
ROBOT = machine("flytepropeller", "foobar")


def test_rust_uses_the_machines_login(cli, person, start):
    server = start(Sandbox, "--auto-approve", ALICE)
    refused = cli.run_any([RUST, server.http])
    assert refused.code != 0 and "flyte-auth login" in refused.stderr, "who is not signed in learns the next step"
    signed_in_quickly(cli, person, server)
    for program in (RUST, f"{RUST}-blocking"):
        result = cli.run_any([program, server.http])
        assert result.code == 0 and f"signed in as {ALICE}" in result.stdout, result


@pytest.mark.parametrize(
    ("program", "port", "says"),
    [
        ("", "http", ["signed in as flytepropeller"]),
        ("-blocking", "http", ["signed in as flytepropeller"]),
        ("-reqwest", "http", ["/me answered 200 OK", "elsewhere: foreign_host"]),
        ("-tonic", "grpc", ["the server sees flytepropeller"]),
        ("-tower", "grpc", ["the call went through"]),
    ],
)
def test_rust_with_machine_credentials(cli, sandbox, program, port, says):
    endpoint = {"http": sandbox.http, "grpc": f"http://{sandbox.grpc}"}[port]
    result = cli.run_any([f"{RUST}{program}", endpoint], env=ROBOT)
    assert result.code == 0, result
    assert all(line in result.stdout for line in says), result


@pytest.mark.parametrize("program", ["-tonic", "-tower"])
def test_rust_without_credentials_makes_no_call(cli, sandbox, program):
    result = cli.run_any([f"{RUST}{program}", f"http://{sandbox.grpc}"])
    assert result.code != 0 and "flyte-auth login" in result.stderr, result


def test_rust_shows_a_login_with_a_code_itself(cli, person, sandbox):
    terminal = cli.terminal_any([f"{RUST}-device-login", sandbox.http])
    code = terminal.expect(f"enter {CODE.pattern}", within=20).group().removeprefix("enter ")
    url = next(url for url in URL.findall(terminal.seen) if "device" in url)
    assert person.visits(url, code=code) == "done"
    assert terminal.wait(30) == 0, terminal.seen
    assert "signed in as" in terminal.seen
    assert cli.run_any([RUST, sandbox.http]).code == 0, "every tool on the machine has it now"


@pytest.fixture
def service(cli, sandbox) -> str:
    """The example service's address; the fixture `cli` ends it."""
    return cli.start_any([f"{RUST}-service", sandbox.http, sandbox.http]).stdout.readline().strip()


def test_rust_service_takes_tokens_and_refuses_the_rest(cli, sandbox, service):
    def asked(token: str | None) -> tuple[int, str]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{service}/me", headers=headers)) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["WWW-Authenticate"]

    good = cli.run("token", "--endpoint", sandbox.http, env=ROBOT).stdout.strip()
    assert asked(good) == (200, "flytepropeller by flytepropeller may all offline\n")
    assert asked(None) == (401, 'Bearer error="invalid_request"')
    assert asked(f"{good}x") == (401, 'Bearer error="invalid_token"')
    header, payload, _ = good.split(".")
    assert asked(f"{header}.{payload}.") == (401, 'Bearer error="invalid_token"')
