"""The sandbox as users' own tests use it, seen by clients that nobody here wrote."""

import json
import signal
import subprocess
import time

import grpc
import pytest
import requests
from flyteidl.service import auth_pb2, auth_pb2_grpc, identity_pb2, identity_pb2_grpc
from harness.callers import flytekit_program
from harness.cli import BINARY
from harness.flyte1 import Flyte1
from harness.peers import Sandbox
from harness.ports import closed_port
from harness.scenes import machine, token_of


def test_the_ready_line(sandbox):
    assert {"http", "https", "grpc", "ca_cert", "issuer", "admin", "clients", "users"} <= set(sandbox.ready)
    assert sandbox.https is None and sandbox.ca_cert is None
    assert "flytectl" in json.dumps(sandbox.ready["clients"])


def test_it_stops_when_its_stdin_closes(sandbox):
    sandbox.service.process.stdin.close()
    assert sandbox.service.process.wait(timeout=5) == 0


def test_it_stops_on_sigterm(sandbox):
    sandbox.service.process.send_signal(signal.SIGTERM)
    assert sandbox.service.process.wait(timeout=5) in (0, 143)


def test_it_listens_on_loopback_only(sandbox):
    port = int(sandbox.http.rsplit(":", 1)[1])
    listening = subprocess.run(["cat", "/proc/net/tcp"], capture_output=True, text=True).stdout
    addresses = {
        line.split()[1].split(":")[0]
        for line in listening.splitlines()[1:]
        if int(line.split()[1].split(":")[1], 16) == port and line.split()[3] == "0A"
    }
    assert addresses == {"0100007F"}


def test_a_bad_option(cli):
    assert cli.run("sandbox", "--generation", "3").code == 2
    assert cli.run("sandbox", "--client", "secret=only").code == 2


def test_the_alias(cli):
    assert cli.run("dev-server", "--help").code == 0


@pytest.mark.parametrize("generation, one, two", [("1", True, False), ("2", False, True), ("both", True, True)])
def test_generations(start, generation, one, two):
    """grpcio with Flyte 1's own stubs, and Connect JSON as any program sends it."""
    server = start(Sandbox, "--generation", generation)
    with grpc.insecure_channel(server.grpc) as channel:
        stub = auth_pb2_grpc.AuthMetadataServiceStub(channel)
        if one:
            assert stub.GetOAuth2Metadata(auth_pb2.OAuth2MetadataRequest(), timeout=5).issuer == server.url
            assert (
                stub.GetPublicClientConfig(auth_pb2.PublicClientAuthConfigRequest(), timeout=5).client_id == "flytectl"
            )
        else:
            with pytest.raises(grpc.RpcError) as refused:
                stub.GetOAuth2Metadata(auth_pb2.OAuth2MetadataRequest(), timeout=5)
            assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    reply = requests.post(f"{server.http}/flyteidl2.auth.AuthMetadataService/GetOAuth2Metadata", json={}, timeout=5)
    assert (reply.status_code == 200) is two


def test_protected_user_info(cli, sandbox):
    with grpc.insecure_channel(sandbox.grpc) as channel:
        stub = identity_pb2_grpc.IdentityServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.UserInfo(identity_pb2.UserInfoRequest(), timeout=5)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        header = cli.run("header", "--endpoint", sandbox.http, env=machine("flytepropeller", "foobar")).stdout
        name, value = header.strip().split(": ", 1)
        answer = stub.UserInfo(identity_pb2.UserInfoRequest(), metadata=[(name, value)], timeout=5)
        assert answer.subject == "flytepropeller"


def test_flytekits_own_client_credentials(cli, start, sandbox, home):
    """The real flytekit gets a token from the sandbox by itself, without any command of ours."""
    plane = start(Flyte1, sandbox, scopes=("all",))
    file = home / "config.yaml"
    settings = {"endpoint": plane.endpoint, "insecure": True, "authType": "ClientSecret", "clientId": "flytepropeller"}
    file.write_text(json.dumps({"admin": settings}))
    environment = {"FLYTE_CREDENTIALS_CLIENT_SECRET": "foobar"}
    result = cli.run_any(flytekit_program(home, file), env=environment, timeout=60)
    assert result.stdout.strip() == "projects: flytesnacks", result.stderr


def test_lifetimes(cli, start):
    server = start(Sandbox, "--access-token-lifetime", "7")
    claims = server.claims(
        token_of(cli.run("token", "--endpoint", server.http, env=machine("flytepropeller", "foobar")))
    )
    assert claims["exp"] - claims["iat"] == 7


def test_faults_end_after_their_count(sandbox):
    sandbox.fault("503", 2)
    statuses = [
        requests.get(f"{sandbox.http}/.well-known/openid-configuration", timeout=5).status_code for _ in range(3)
    ]
    assert statuses == [503, 503, 200]


def test_a_fault_from_the_start(start):
    server = start(Sandbox, "--fault", "html:1")
    reply = requests.get(f"{server.http}/.well-known/openid-configuration", timeout=5)
    assert "text/html" in reply.headers["content-type"]
    assert requests.get(f"{server.http}/.well-known/openid-configuration", timeout=5).json()


def test_its_clock(cli, sandbox):
    token = token_of(cli.run("token", "--endpoint", sandbox.http, env=machine("flytepropeller", "foobar")))
    assert sandbox.accepts_at_me(token)
    sandbox.clock(7 * 24 * 3600)
    assert not sandbox.accepts_at_me(token)


def test_state_survives_a_restart(cli, person, start, home):
    port = str(closed_port())
    state = ["--state", str(home / "sandbox-state"), "--auto-approve", "alice@example.org"]
    first = start_on(start, port, *state)
    terminal = cli.terminal("login", first.http, env=person.quick_browser())
    assert terminal.wait(30) == 0, terminal.seen
    first.end()
    second = start_on(start, port, *state)
    assert second.accepts(token_of(cli.run("token", "--endpoint", second.http, "--force-refresh")))


def start_on(start, port, *flags):
    return start(Sandbox, *flags, "--http-port", port)


def test_it_is_ready_quickly(tmp_path):
    begin = time.monotonic()
    server = Sandbox(tmp_path / "quick")
    try:
        assert time.monotonic() - begin < 3
        assert BINARY.exists()
    finally:
        server.end()
