"""`flyte_auth.testing`: what users test their own programs with."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request

import flyte_auth
import jwt
import pytest
from flyte_auth import testing
from flyte_auth.testing import Client, sandbox
from harness import witness
from harness.cli import VENV
from harness.in_process import moves_in
from harness.scenes import ALICE


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    moves_in(monkeypatch, tmp_path / "program")
    # For the sandboxes that this process starts.
    monkeypatch.setenv("LD_PRELOAD", witness.current.env["LD_PRELOAD"])


@pytest.fixture
def started(monkeypatch):
    """The processes that are started."""
    processes = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            processes.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait(5)


def test_it_is_all_there_and_ends_with_the_block(started):
    with sandbox() as server:
        assert server.http.startswith("http://127.0.0.1:") and server.https is None and server.ca_cert is None
        assert server.endpoint == server.issuer == server.http
        assert server.grpc.startswith("127.0.0.1:")
        assert ALICE in server.users
        assert {client.id: client.secret is None for client in server.clients} == {
            "flytectl": True,
            "flytepropeller": False,
        }
        assert "http://localhost:53593/callback" in server.clients[0].redirect_uris
        with server.session() as session:
            assert session.whoami()["subject"] == "flytepropeller"
            assert session.status()["store"] == "memory"
        assert server.stats()["grants"] == {"client_credentials": 1}
        began = time.monotonic()
    assert time.monotonic() - began < 2
    assert started[0].poll() == 0
    assert "foobar" not in repr(server.clients) and server.endpoint in repr(server)


def test_it_ends_when_the_test_fails(started):
    with pytest.raises(ZeroDivisionError), sandbox():
        raise ZeroDivisionError
    assert started[0].poll() is not None


def test_tls_has_a_ca_of_its_own(started):
    with sandbox(tls=True) as server:
        assert server.endpoint == server.https == server.issuer and server.https.startswith("https://")
        assert os.path.exists(server.ca_cert)
        assert server.session().whoami()["subject"] == "flytepropeller"
        with pytest.raises(flyte_auth.NetworkError):
            server.session(ca_cert=None).token()


@pytest.mark.parametrize("generation", ["1", "2"])
def test_one_generation_alone(generation, started):
    with sandbox(generation=generation) as server:
        session = server.session()
        session.token()
        assert session.status()["generation"] == generation


def test_tokens_live_as_long_as_was_said(started):
    with sandbox(access_token_lifetime=90) as server:
        left = server.session().token().expires_at.timestamp() - time.time()
        assert 80 < left <= 90


@pytest.mark.parametrize("flow", ["pkce", "device"])
@pytest.mark.parametrize("tls", [False, True])
def test_a_person_signs_in_without_anybody(started, tls, flow):
    with sandbox(auto_approve=ALICE, tls=tls) as server:
        session = server.session(auth_type="Pkce")
        server.sign_in(session, flow)
        assert session.whoami()["email"] == ALICE


def test_nobody_signs_in_who_would_be_asked(started, monkeypatch):
    monkeypatch.setattr(testing, "_PATIENCE", 0.5)
    with sandbox() as server, pytest.raises(flyte_auth.LoginCancelledError):
        server.sign_in(server.session(auth_type="Pkce"))


def test_refresh_tokens_end_as_was_said(started):
    with sandbox(auto_approve=ALICE, rotate_refresh_tokens=True, refresh_token_lifetime=60) as server:
        assert "--rotate-refresh-tokens" in started[0].args
        session = server.session(auth_type="Pkce")
        server.sign_in(session)
        server.clock(3600)
        session.invalidate()
        with pytest.raises(flyte_auth.LoginRequiredError):
            session.token()


def test_faults_clock_and_keys(started):
    with sandbox() as server:
        server.fault("503", 2, path="/oauth2/token")
        with pytest.raises(flyte_auth.ServerError):
            server.session().token()
        server.fault("503", 0, path="/oauth2/token")
        verifier = flyte_auth.Verifier(issuer=server.issuer, any_audience=True)
        token = server.session().token()
        assert verifier.verify(token.value).subject == "flytepropeller"
        server.rotate_keys()
        keys = {jwt.get_unverified_header(each.value)["kid"] for each in (token, server.session().token())}
        assert len(keys) == 2
        server.clock(7200)
        reply = urllib.request.Request(f"{server.http}/me", headers={token.header_name: token.header_value})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(reply, timeout=5)
        assert refused.value.code == 401
        refused.value.close()


def test_clients_of_your_own(started):
    own = Client("robot", "made-up-for-a-test", ("http://localhost:1/callback",))
    witness.current.knows(own.secret)
    with sandbox(clients=[own, Client("public")]) as server:
        assert own in server.clients and any(each.id == "public" and each.secret is None for each in server.clients)
        with server.session(auth_type="ClientSecret", client_id=own.id, client_secret=own.secret) as session:
            assert session.whoami()["subject"] == "robot"
    assert own.secret not in repr(own)


def test_two_run_beside_each_other(started):
    with sandbox() as one, sandbox() as other:
        assert len({one.http, other.http, one.grpc, other.grpc}) == 4
        token = one.session().token()
        verifier = flyte_auth.Verifier(issuer=other.issuer, any_audience=True)
        with pytest.raises(flyte_auth.AccessDeniedError):
            verifier.verify(token.value)


def test_tokens_of_another_issuer(started):
    with sandbox() as issuer, sandbox(external_issuer=issuer.issuer) as server:
        session = issuer.session(endpoint=server.http)
        assert session.status()["endpoint"] and session.token() is not None


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tls": 1}, "tls"),
        ({"generation": 2}, "generation"),
        ({"auto_approve": True}, "auto_approve"),
        ({"access_token_lifetime": "60"}, "access_token_lifetime"),
        ({"access_token_lifetime": True}, "access_token_lifetime"),
        ({"refresh_token_lifetime": 1.5}, "refresh_token_lifetime"),
        ({"rotate_refresh_tokens": "yes"}, "rotate_refresh_tokens"),
        ({"clients": [{"id": "a"}]}, "clients"),
        ({"ready_within": "1"}, "ready_within"),
    ],
)
def test_wrong_types_are_named_and_nothing_starts(options, named, started):
    with pytest.raises(TypeError, match=named), sandbox(**options):
        pass
    assert started == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"generation": "3"}, "--generation"),
        ({"access_token_lifetime": -1}, "--access-token-lifetime"),
        ({"clients": [Client("a", "b,c")]}, "--client"),
    ],
)
def test_a_sandbox_that_does_not_start_says_why_in_one_line(options, says, started):
    with pytest.raises(flyte_auth.ConfigError, match=says) as failed, sandbox(**options):
        pass
    assert failed.value.code == "sandbox_failed" and "\n" not in str(failed.value)
    assert started[0].poll() is not None


def test_a_sandbox_that_is_too_slow_is_ended(monkeypatch, started):
    monkeypatch.setattr(sys, "executable", "/bin/sh")
    real = subprocess.Popen.__init__

    def hangs(self, argv, **options):
        real(self, ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", hangs)
    monkeypatch.setattr(testing, "_PATIENCE", 0.5)
    began = time.monotonic()
    with pytest.raises(flyte_auth.ConfigError, match="ready_within"), sandbox(ready_within=0.5):
        pass
    assert time.monotonic() - began < 10
    assert started[0].poll() == -signal.SIGKILL


def test_a_forked_child_that_holds_its_input_does_not_keep_it(started):
    with sandbox() as server:
        # What a child of the test's own process would have: a copy of the pipe that ends the sandbox.
        copy = os.dup(started[0].stdin.fileno())
        testing_patience = testing._PATIENCE
        testing._PATIENCE = 0.5
        try:
            server.close()
        finally:
            testing._PATIENCE = testing_patience
            os.close(copy)
    assert started[0].poll() is not None


def test_it_ends_with_a_process_that_is_killed(cli):
    program = cli.start_any(
        [
            VENV / "python",
            "-c",
            textwrap.dedent("""
                import subprocess, time
                from flyte_auth.testing import sandbox
                started, init = [], subprocess.Popen.__init__
                def noted(self, *arguments, **options):
                    init(self, *arguments, **options)
                    started.append(self)
                subprocess.Popen.__init__ = noted
                with sandbox() as server:
                    print(started[0].pid, flush=True)
                    time.sleep(60)
            """),
        ]
    )
    pid = int(program.stdout.readline())
    program.kill()
    until = time.monotonic() + 10
    while time.monotonic() < until and _runs(pid):
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_proxy_of_the_environment_does_not_come_between(monkeypatch, started):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with sandbox() as server:
        server.clock(1)
        assert server.stats()["tokens_issued"] == 0


def test_threads_may_each_have_one(started):
    failed = []

    def one():
        try:
            with sandbox() as server:
                assert server.session().token() is not None
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == [] and all(process.poll() is not None for process in started)
