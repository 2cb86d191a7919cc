"""Profiles and accounts: each its own session, all of them in `list`, and none of them a global "current" one."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from harness.peers import Sandbox
from harness.scenes import ALICE, CODE, URL, signed_in_quickly, subject_of, token_of
from harness.secret_service import SecretService

BOB = "bob@example.org"
SCOPES = "openid,profile,email,offline_access,all,offline"


def settings(cli, **profiles) -> list[str]:
    file = cli.home / "settings.yaml"
    file.write_text(json.dumps({"profiles": {name: {"admin": admin} for name, admin in profiles.items()}}))
    return ["--config", str(file)]


def listed(cli, *arguments, env=None) -> list[dict]:
    result = cli.run("list", "--json", *arguments, env=env)
    assert result.code == 0, result.stderr
    return result.json


def test_two_profiles_with_one_endpoint(cli, person, start):
    """As for a person with two roles: the endpoint is the same, the session is not."""
    server = start(Sandbox, "--auto-approve", ALICE)
    file = settings(cli, work={"endpoint": server.http}, play={"endpoint": server.http})
    tokens = {}
    for name in ("work", "play"):
        where = [*file, "--profile", name]
        assert cli.run("token", *where).code == 4, "not yet"
        terminal = cli.terminal("login", *where, env=person.quick_browser())
        assert terminal.wait(30) == 0, terminal.seen
        tokens[name] = token_of(cli.run("token", *where))
    assert tokens["work"] != tokens["play"]
    assert sorted(row["profile"] for row in listed(cli)) == ["play", "work"]
    # By variable as by flag; the last login is not "the current one".
    by_variable = cli.run("token", *file, env={"FLYTE_PROFILE": "work"})
    assert token_of(by_variable) == tokens["work"]
    assert cli.run("token", "--endpoint", server.http).code == 4, "no profile is another session"
    assert cli.run("logout", *file, "--profile", "work").code == 0
    assert token_of(cli.run("token", *file, "--profile", "play")) == tokens["play"]
    assert [row["profile"] for row in listed(cli)] == ["play"]


def test_two_accounts_at_the_sandbox(cli, person, sandbox):
    """Her browser shows who can sign in; each account keeps its own session."""
    for user in (ALICE, BOB):
        where = [sandbox.http, "--account", user, "--scopes", SCOPES, "--flow", "pkce"]
        terminal = cli.terminal("login", *where, env=person.browser(user=user))
        assert terminal.wait(60) == 0, terminal.seen
    tokens = {}
    for user in (ALICE, BOB):
        where = ["--endpoint", sandbox.http, "--account", user, "--scopes", SCOPES]
        tokens[user] = token_of(cli.run("token", *where))
        status = cli.run("status", "--json", *where)
        assert status.json["account"] == user and status.json["email"] == user, status
    assert subject_of(tokens[ALICE]) != subject_of(tokens[BOB])
    assert sorted(row["account"] for row in listed(cli)) == [ALICE, BOB]
    assert cli.run("token", "--endpoint", sandbox.http, "--scopes", SCOPES).code == 4


def test_two_accounts_at_oidc_provider(cli, person, shared_issuer):
    where = ["--issuer", shared_issuer.url, "--client-id", "flytectl", "--scopes", SCOPES]
    for user in (ALICE, BOB):
        terminal = cli.terminal("login", *where, "--account", user, "--flow", "pkce", env=person.browser(user=user))
        assert terminal.wait(60) == 0, terminal.seen
    for user in (ALICE, BOB):
        assert subject_of(token_of(cli.run("token", *where, "--account", user))) == user


@pytest.mark.parametrize("scopes", [["--scopes", SCOPES], []])
def test_somebody_else_signs_in(cli, person, start, scopes):
    """The browser is signed in as Bob. Without `openid` there is no ID token, and the server is asked who it was."""
    server = start(Sandbox, "--auto-approve", BOB)
    where = [server.http, "--account", ALICE, *scopes]
    terminal = cli.terminal("login", *where, env=person.quick_browser())
    assert terminal.wait(30) == 5, terminal.seen
    assert BOB in terminal.seen and ALICE in terminal.seen, terminal.seen
    assert listed(cli) == []
    result = cli.run("login", *where, "--json", "--interactive", "always", env=person.quick_browser())
    assert result.code == 5 and result.json["error"]["code"] == "account_mismatch", result
    # As himself he is welcome.
    signed_in_quickly(cli, person, server, "--account", BOB, *scopes)


def test_somebody_else_at_oidc_provider(cli, person, shared_issuer):
    where = ["--issuer", shared_issuer.url, "--client-id", "flytectl", "--scopes", SCOPES, "--account", ALICE]
    terminal = cli.terminal("login", *where, "--flow", "pkce", env=person.browser(user=BOB))
    assert terminal.wait(60) == 5, terminal.seen
    assert BOB in terminal.seen and ALICE in terminal.seen, terminal.seen
    assert cli.run("token", *where).code == 4


def test_a_program_is_not_asked_again_after_the_wrong_account(cli, person, start):
    """flytekit retries at once: the browser would sign the same wrong account in four times."""
    server = start(Sandbox, "--auto-approve", BOB)
    where = ["--endpoint", server.http, "--account", ALICE]
    first, terminal = cli.captured_on_terminal("token", *where, env=person.quick_browser())
    assert (first.code, first.stdout) == (5, ""), (first, terminal.seen)
    second, terminal = cli.captured_on_terminal("token", *where, env=person.no_browser())
    assert (second.code, second.stdout) == (6, "") and not person.opened, second


@pytest.mark.parametrize("account", [ALICE, None])
def test_the_account_is_a_hint_to_the_server(cli, person, sandbox, account):
    arguments = ["--account", account] if account else []
    terminal = cli.terminal("login", sandbox.http, *arguments, env=person.no_browser())
    query = parse_qs(urlsplit(person.opened_url()).query)
    terminal.type("\x03")
    assert terminal.wait(30) == 130
    assert query.get("login_hint") == ([account] if account else None)


def test_list_looks_into_every_store(cli, person, start):
    """Sessions in three stores; `list` and `logout --all` find them whichever store is configured now."""
    desktop = SecretService()
    try:
        env = desktop.env
        servers = {name: start(Sandbox, "--auto-approve", ALICE) for name in ("file", "encrypted-file", "keyring")}
        for store, server in servers.items():
            options = ["login", server.http, "--store", store]
            terminal = cli.terminal(*options, env={**env, **person.quick_browser()})
            assert terminal.wait(30) == 0, terminal.seen
        for configured in ({}, {"FLYTE_AUTH_STORE": "file"}, {"FLYTE_AUTH_STORE": "memory"}):
            found = {row["endpoint"]: row["store"] for row in listed(cli, env={**env, **configured})}
            assert found == {server.http.removeprefix("http://"): store for store, server in servers.items()}
        assert [row["store"] for row in listed(cli, "--store", "file", env=env)] == ["file"]
        assert "ACCOUNT" in cli.run("list", env=env).stdout
        result = cli.run("logout", "--all", "--json", env={**env, "FLYTE_AUTH_STORE": "file"})
        assert len(result.json["ended"]) == 3 and listed(cli, env=env) == []
    finally:
        desktop.end()


def test_the_device_grant_checks_the_account_too(cli, person, sandbox):
    where = [sandbox.http, "--account", ALICE, "--scopes", SCOPES, "--flow", "device"]
    terminal = cli.terminal("login", *where, env=person.no_browser())
    code = terminal.expect(CODE.pattern, within=30).group()
    url = next(url for url in URL.findall(terminal.seen) if "device" in url).rstrip(".,)")
    person.visits(url, code=code, user=BOB)
    assert terminal.wait(60) == 5, terminal.seen
    assert listed(cli) == []
