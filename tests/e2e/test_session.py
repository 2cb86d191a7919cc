"""The session after a login: refresh, rotation, revocation, status, list, whoami, logout."""

import concurrent.futures
import json
import stat

import pytest
from harness.peers import OidcProvider, Sandbox
from harness.scenes import ALICE, machine, signed_in_quickly, signs_in, subject_of, token_of, until_expired

ISSUER = ["--client-id", "flytectl", "--scopes", "openid,offline_access,all,offline"]


@pytest.fixture
def approving(start):
    return start(Sandbox, "--auto-approve", ALICE)


def test_an_expired_token_is_refreshed_without_anybody(cli, person, start):
    server = start(Sandbox, "--auto-approve", ALICE, "--access-token-lifetime", "3", "--rotate-refresh-tokens")
    signed_in_quickly(cli, person, server)
    old = token_of(cli.run("token", "--endpoint", server.http))
    for _ in range(2):  # the second refresh needs the rotated refresh token
        until_expired(old)
        new = token_of(cli.run("token", "--endpoint", server.http))
        assert new != old and server.accepts(new)
        old = new


def test_rotation_at_oidc_provider(cli, person, start):
    """oidc-provider revokes the whole family when an old refresh token comes back."""
    provider = start(OidcProvider)
    signs_in(cli, person, "--issuer", provider.url, *ISSUER, "--flow", "pkce")
    tokens = [token_of(cli.run("token", "--issuer", provider.url, *ISSUER, "--force-refresh")) for _ in range(3)]
    assert len(set(tokens)) == 3
    assert all(provider.accepts(token) for token in tokens)


def test_many_processes_refresh_once(cli, person, start):
    """Eight processes find the same expired token: none of them may use a refresh token that another has used up."""
    server = start(Sandbox, "--auto-approve", ALICE, "--access-token-lifetime", "4", "--rotate-refresh-tokens")
    signed_in_quickly(cli, person, server)
    until_expired(token_of(cli.run("token", "--endpoint", server.http)))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: cli.run("token", "--endpoint", server.http), range(8)))
    assert {result.code for result in results} == {0}, [result.stderr for result in results if result.code]
    assert len({result.stdout for result in results}) == 1
    assert token_of(cli.run("token", "--endpoint", server.http, "--force-refresh"))


def test_an_ended_session_needs_a_login(cli, person, start):
    server = start(Sandbox, "--auto-approve", ALICE, "--access-token-lifetime", "2", "--refresh-token-lifetime", "3")
    signed_in_quickly(cli, person, server)
    server.clock(3600)
    until_expired(token_of(cli.run("token", "--endpoint", server.http)))
    result = cli.run("token", "--endpoint", server.http)
    assert (result.code, result.stdout) == (4, ""), result


@pytest.mark.parametrize("kind", ["503", "html", "reset", "garbage"])
def test_a_broken_server_does_not_end_the_session(cli, person, start, kind):
    server = start(Sandbox, "--auto-approve", ALICE, "--access-token-lifetime", "2")
    signed_in_quickly(cli, person, server)
    until_expired(token_of(cli.run("token", "--endpoint", server.http)))
    server.fault(kind, 1000)
    broken = cli.run("token", "--endpoint", server.http, timeout=60)
    assert broken.code in (3, 8) and broken.stdout == "", broken
    server.fault(kind, 0)
    assert server.accepts(token_of(cli.run("token", "--endpoint", server.http)))


def test_a_valid_token_outlives_a_broken_server(cli, person, approving):
    signed_in_quickly(cli, person, approving)
    approving.fault("503", 1000)
    token_of(cli.run("token", "--endpoint", approving.http))


def test_whoami_is_a_real_call(cli, person, approving):
    signed_in_quickly(cli, person, approving)
    before = approving.stats()
    result = cli.run("whoami", "--json", "--endpoint", approving.http)
    assert result.code == 0, result.stderr
    assert subject_of(token_of(cli.run("token", "--endpoint", approving.http))) in json.dumps(result.json)
    assert approving.stats() != before


@pytest.mark.parametrize("plane", ["flyte1", "flyte2"])
def test_whoami_at_a_flyte_control_plane(cli, request, shared_issuer, authority, plane):
    server = request.getfixturevalue(plane)
    tls = ["--insecure"] if plane == "flyte1" else ["--ca-cert", str(authority.file)]
    environment = machine("ci-basic", shared_issuer.secrets["ci-basic"])
    result = cli.run("whoami", "--endpoint", server.endpoint, "--scopes", "all", *tls, env=environment)
    assert result.code == 0 and "ci-basic" in result.stdout, result
    assert server.gate.served


FIELDS = {
    "endpoint",
    "generation",
    "auth_type",
    "issuer",
    "client_id",
    "subject",
    "scopes",
    "signed_in",
    "token_source",
    "access_token_expires_at",
    "has_refresh_token",
    "session_expires_at",
    "store",
    "store_reason",
    "profile",
    "config_file",
}


def test_status_after_and_before_a_login(cli, person, approving):
    before = cli.run("status", "--json", "--endpoint", approving.http)
    assert before.code == 4 and before.json["signed_in"] is False, before
    signed_in_quickly(cli, person, approving)
    calls = approving.stats()
    after = cli.run("status", "--json", "--endpoint", approving.http)
    assert after.code == 0, after.stderr
    assert set(after.json) >= FIELDS, FIELDS - set(after.json)
    assert after.json["signed_in"] is True and after.json["has_refresh_token"] is True
    assert after.json["client_id"] == "flytectl" and after.json["issuer"] == approving.url
    assert after.json["store"] and after.json["store_reason"]
    assert approving.stats() == calls, "status without --verify uses no network"


def test_status_verify_asks_the_server(cli, person, approving):
    signed_in_quickly(cli, person, approving)
    assert cli.run("status", "--verify", "--endpoint", approving.http).code == 0
    approving.rotate_keys()
    approving.rotate_keys()
    calls = approving.stats()
    cli.run("status", "--verify", "--endpoint", approving.http)
    assert approving.stats() != calls


def test_list_names_every_session_and_no_token(cli, person, start):
    servers = [start(Sandbox, "--auto-approve", ALICE) for _ in range(2)]
    tokens = []
    for server in servers:
        signed_in_quickly(cli, person, server)
        tokens.append(token_of(cli.run("token", "--endpoint", server.http)))
    result = cli.run("list", "--json")
    assert len(result.json) == 2
    for server in servers:
        assert server.http.removeprefix("http://") in result.stdout
    assert not any(token in result.stdout for token in tokens)


def test_the_store_is_private(cli, person, approving):
    signed_in_quickly(cli, person, approving, "--store", "file")
    files = [path for path in (cli.home / "state").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_logout_forgets(cli, person, approving):
    signed_in_quickly(cli, person, approving)
    token = token_of(cli.run("token", "--endpoint", approving.http))
    assert cli.run("logout", approving.http).code == 0
    assert cli.run("token", "--endpoint", approving.http).code == 4
    for path in (cli.home / "state").rglob("*"):
        assert not path.is_file() or token.encode() not in path.read_bytes()


def test_logout_works_while_the_server_is_down(cli, person, approving):
    signed_in_quickly(cli, person, approving)
    approving.end()
    cli.run("logout", approving.http, "--revoke")
    assert cli.run("status", "--endpoint", approving.http).code == 4


def test_logout_all(cli, person, start):
    for _ in range(2):
        signed_in_quickly(cli, person, start(Sandbox, "--auto-approve", ALICE))
    assert cli.run("logout", "--all").code == 0
    assert cli.run("list", "--json").json == []


def test_logout_revokes_at_the_issuer(cli, person, start):
    provider = start(OidcProvider, OIDC_LOG="1")
    signs_in(cli, person, "--issuer", provider.url, *ISSUER, "--flow", "pkce")
    result = cli.run("logout", "--issuer", provider.url, *ISSUER, "--revoke")
    assert result.code == 0, result.stderr
    assert "POST /token/revocation 200" in provider.service.logged()


def test_two_profiles_keep_two_sessions(cli, person, approving, home):
    settings = home / "config.yaml"
    settings.write_text(
        f"admin:\n  endpoint: {approving.http}\nprofiles:\n  work:\n    admin: {{}}\n  play:\n    admin: {{}}\n"
    )
    terminal = cli.terminal("login", "--config", settings, "--profile", "work", env=person.quick_browser())
    assert terminal.wait(30) == 0, terminal.seen
    assert cli.run("token", "--config", settings, "--profile", "work").code == 0
    assert cli.run("token", "--config", settings, "--profile", "play").code == 4
    undeclared = cli.run("token", "--config", settings, "--profile", "nobody")
    assert undeclared.code == 2 and "nobody" in undeclared.stderr
