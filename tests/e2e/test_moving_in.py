"""Moving in: sessions from another machine (`session export`, `session import`), logins of flytekit, flyte and flytectl
from the desktop's keyring, and what becomes of both when the session ends."""

import json
import os
import select
import subprocess

import pytest
from harness.callers import config, flytekit_program
from harness.cli import Cli
from harness.client_logins import PROGRAMS, Approved, ClientLogin
from harness.flyte1 import Flyte1
from harness.peers import Sandbox
from harness.scenes import ALICE, machine, signed_in_quickly, token_of, until_expired
from harness.secret_service import BlackHole, SecretService


@pytest.fixture
def approving(start):
    return start(Sandbox, "--auto-approve", ALICE)


@pytest.fixture
def elsewhere(tmp_path):
    """The other machine."""
    command = Cli(tmp_path / "elsewhere")
    yield command
    command.end()


@pytest.fixture(scope="module")
def desktop():
    desk = SecretService()
    yield desk
    desk.end()


# ---- from machine to machine ----


def exported(cli, server, *arguments, env=None) -> str:
    result = cli.run("session", "export", "--endpoint", server.http, *arguments, env=env)
    assert result.code == 0, result.stderr
    return result.stdout


def test_a_session_moves(cli, person, approving, elsewhere):
    signed_in_quickly(cli, person, approving)
    token = token_of(cli.run("token", "--endpoint", approving.http))
    document = exported(cli, approving)
    assert document.count("\n") == 1 and json.loads(document)["format"] == "flyte-auth-session"
    assert cli.run("status", "--endpoint", approving.http).code == 4, "the local copy goes"
    # No endpoint is configured there: the document brings it.
    result = elsewhere.run("session", "import", "--json", input=document)
    assert result.code == 0, result.stderr
    assert result.json["has_refresh_token"] and not result.json["replaced"], result.json
    assert token not in result.stdout + result.stderr
    assert token_of(elsewhere.run("token", "--endpoint", approving.http)) == token
    refreshed = token_of(elsewhere.run("token", "--endpoint", approving.http, "--force-refresh"))
    assert refreshed != token and approving.accepts(refreshed)


def test_profile_and_account_move_too(cli, person, approving, elsewhere):
    # Under a name that no search finds.
    for home in (cli.home, elsewhere.home):
        settings = {"profiles": {"work": {"admin": {"endpoint": approving.http}}}}
        (home / "settings.yaml").write_text(json.dumps(settings))
    where = ["--config", "settings.yaml", "--profile", "work", "--account", ALICE]
    terminal = cli.terminal("login", *where, env=person.quick_browser())
    assert terminal.wait(30) == 0, terminal.seen
    result = cli.run("session", "export", *where)
    assert result.code == 0, result.stderr
    undeclared = elsewhere.run("session", "import", input=result.stdout)
    assert undeclared.code == 2 and "work" in undeclared.stderr, undeclared
    assert elsewhere.run("session", "import", "--config", "settings.yaml", input=result.stdout).code == 0
    token_of(elsewhere.run("token", *where))
    assert elsewhere.run("token", *where[:-2]).code == 4, "another account is another session"


def test_neither_side_takes_a_terminal(cli, person, approving):
    signed_in_quickly(cli, person, approving)
    terminal = cli.terminal("session", "export", "--endpoint", approving.http)
    assert terminal.wait(30) == 2 and "terminal" in terminal.seen
    assert "access_token" not in terminal.seen
    terminal = cli.terminal("session", "import")
    assert terminal.wait(30) == 2 and "terminal" in terminal.seen
    token_of(cli.run("token", "--endpoint", approving.http))


@pytest.mark.parametrize("reader", ["closed", "leaves", "full"])
def test_what_nobody_takes_stays(cli, person, approving, reader):
    """The pipe is closed before, or closed without being read, or the disk is full."""
    signed_in_quickly(cli, person, approving)
    read, write = os.pipe()
    if reader == "full":
        os.close(write)
        write = os.open("/dev/full", os.O_WRONLY)
    if reader != "leaves":
        os.close(read)
    argv = [cli.binary, "session", "export", "--endpoint", approving.http]
    child = subprocess.Popen(argv, env=cli.environment(), stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    if reader == "leaves":
        # Until something lies in the pipe; then this reader goes away without it.
        assert select.select([read], [], [], 30)[0]
        os.close(read)
    stderr = child.communicate(timeout=60)[1]
    assert child.returncode == 1, stderr
    assert "stays on this machine" in stderr
    token_of(cli.run("token", "--endpoint", approving.http))


def test_what_is_not_imported(cli, person, approving, start, elsewhere):
    signed_in_quickly(cli, person, approving)
    document = exported(cli, approving)
    secret = json.loads(document)["session"]["access_token"]
    other = start(Sandbox)

    def refused(code, input, *arguments):
        result = elsewhere.run("session", "import", *arguments, input=input)
        assert (result.code, result.stdout) == (code, ""), result
        assert secret not in result.stderr and len(result.errors) == 1, result.stderr
        return result.stderr

    newer = {**json.loads(document), "version": 2}
    refused(2, "")
    refused(2, "nonsense")
    refused(2, document[: len(document) // 2])
    refused(2, document + document)
    refused(2, " " * (2 * 1024 * 1024))
    refused(2, json.dumps({**json.loads(document), "format": "another"}))
    assert "newer" in refused(7, json.dumps(newer))
    assert other.http in refused(2, document, "--endpoint", other.http)
    refused(2, document, "--client-id", "another")
    refused(2, document, "--account", "bob@example.org")
    assert elsewhere.run("session", "import", input=document).code == 0
    assert "--replace" in refused(2, document)
    assert elsewhere.run("session", "import", "--replace", input=document).code == 0


def test_nothing_to_move(cli, approving, shared_issuer):
    result = cli.run("session", "export", "--endpoint", approving.http)
    assert (result.code, result.stdout) == (4, ""), result
    environment = machine("ci-basic", shared_issuer.secrets["ci-basic"])
    result = cli.run("session", "export", "--endpoint", approving.http, env=environment)
    assert (result.code, result.stdout) == (2, "") and "nothing to move" in result.stderr, result


@pytest.mark.parametrize("store", ["file", "encrypted-file", "keyring"])
def test_a_session_moves_between_stores(cli, person, approving, elsewhere, desktop, store):
    env = desktop.env
    terminal = cli.terminal("login", approving.http, "--store", store, env={**env, **person.quick_browser()})
    assert terminal.wait(30) == 0, terminal.seen
    document = exported(cli, approving, "--store", store, env=env)
    listed = cli.run("list", "--json", env=env)
    assert listed.json == [], listed
    result = elsewhere.run("session", "import", "--store", store, "--json", input=document, env=env)
    assert result.code == 0 and result.json["store"] == store, result
    assert approving.accepts(token_of(elsewhere.run("token", "--store", store, "--endpoint", approving.http, env=env)))
    assert elsewhere.run("logout", approving.http, "--store", store, env=env).code == 0


# ---- from the desktop's keyring ----


@pytest.fixture(params=list(PROGRAMS))
def client(request, cli, desktop, approving):
    """A client that is signed in to the sandbox, and whose login is in the keyring."""
    login = ClientLogin(request.param, cli, desktop, approving.http.removeprefix("http://"))
    login.pair = Approved(approving).login()
    login.store(login.pair)
    return login


def test_an_existing_login_is_used(cli, desktop, approving, client):
    token = token_of(cli.run("token", "--endpoint", approving.http, env=desktop.env))
    assert token == client.pair["access_token"]
    status = cli.run("status", "--json", "--endpoint", approving.http, env=desktop.env)
    assert status.json["token_source"] == "adopted" and status.json["has_refresh_token"], status
    assert client.retrieve() == {name: client.pair[name] for name in ("access_token", "refresh_token")}


def test_login_finds_it_first(cli, desktop, person, approving, client):
    terminal = cli.terminal("login", approving.http, env={**desktop.env, **person.no_browser()})
    assert terminal.wait(30) == 0, terminal.seen
    assert f"found a login of {client.name}" in terminal.seen
    assert not person.opened


def test_logout_takes_the_copies_too(cli, desktop, approving, client):
    token_of(cli.run("token", "--endpoint", approving.http, env=desktop.env))
    result = cli.run("logout", approving.http, "--json", env=desktop.env)
    assert result.code == 0 and result.json["copies_removed"] == [client.name], result
    assert client.retrieve() is None
    assert cli.run("token", "--endpoint", approving.http, env=desktop.env).code == 4


def test_export_takes_the_copies_too(cli, desktop, approving, elsewhere, client):
    token_of(cli.run("token", "--endpoint", approving.http, env=desktop.env))
    document = exported(cli, approving, env=desktop.env)
    assert client.retrieve() is None
    assert "adopted_from" not in json.loads(document)["session"]
    assert elsewhere.run("session", "import", input=document).code == 0


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_two_holders_of_a_rotating_refresh_token(cli, desktop, start, name):
    """They refresh, we refresh, in turn: the server ends the whole session if an old refresh token ever comes back."""
    server = start(Sandbox, "--auto-approve", ALICE, "--access-token-lifetime", "3", "--rotate-refresh-tokens")
    client = ClientLogin(name, cli, desktop, server.http.removeprefix("http://"))
    approved = Approved(server)
    pair = approved.login()
    client.store(pair)
    until_expired(pair["access_token"])
    for _ in range(2):
        ours = token_of(cli.run("token", "--endpoint", server.http, env=desktop.env))
        assert server.accepts(ours)
        held = client.retrieve()
        assert held["access_token"] == ours, "the new pair is theirs too"
        until_expired(ours)
        reply = approved.refresh(held["refresh_token"])
        assert reply.status_code == 200, reply.text
        client.store({**held, **reply.json()})
        until_expired(reply.json()["access_token"])
    assert cli.run("logout", server.http, env=desktop.env).code == 0


@pytest.mark.parametrize("kind", ["machine", "opaque", "elsewhere", "off"])
def test_what_is_not_adopted(cli, desktop, person, start, shared_issuer, approving, kind):
    client = ClientLogin("flyte", cli, desktop, approving.http.removeprefix("http://"))
    pair = Approved(approving).login()
    off = {"FLYTE_AUTH_ADOPT": "false"} if kind == "off" else {}
    if kind == "machine":
        pair = {"access_token": shared_issuer.client_credentials("ci-basic", shared_issuer.secrets["ci-basic"])}
    elif kind == "opaque":
        pair["access_token"] = "opaque"
    elif kind == "elsewhere":
        pair = Approved(start(Sandbox, "--auto-approve", ALICE)).login()
    client.store({"refresh_token": None, **pair})
    before = client.retrieve()
    result = cli.run("token", "--endpoint", approving.http, env={**desktop.env, **off})
    assert (result.code, result.stdout) == (4, ""), result
    assert client.retrieve() == before


def test_a_bus_that_does_not_answer_keeps_nobody_waiting(cli, approving):
    bus = BlackHole()
    result = cli.run("token", "--endpoint", approving.http, "--store", "file", env=bus.env)
    bus.end()
    # The keyring's own deadline is several times as long.
    assert result.code == 4 and result.seconds < 2.5, result


def test_flytekit_goes_on_with_its_own_login(cli, desktop, start, approving):
    """The real flytekit, switched from its own PKCE login to our command: nobody has to sign in again."""
    plane = start(Flyte1, approving)
    client = ClientLogin("flytekit", cli, desktop, plane.host)
    client.store(Approved(approving).login())
    command = [cli.binary, "token", "--endpoint", plane.endpoint, "--insecure"]
    file = config(cli.home / "config.yaml", plane.endpoint, command, insecure=True)
    result = cli.run_any(flytekit_program(cli.home, file), env=desktop.env, timeout=90)
    assert result.stdout.strip() == "projects: flytesnacks", result.stderr
    assert len(plane.gate.tokens) == 1
