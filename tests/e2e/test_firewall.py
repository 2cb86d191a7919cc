"""The token firewall: whatever a repository, a server's metadata or a redirect says, no stranger gets a secret.

Every test has a recording listener in the stranger's place, and asks it what it received.
"""

import json
import os
import shutil
from types import SimpleNamespace

import pytest
from harness.fault_proxy import FaultProxy, says
from harness.fault_scene import SignedIn
from harness.scenes import api_key, machine, token_of
from harness.stranger import Stranger, git, names, repository, rewrites, stored_secrets

JOB = machine("flytepropeller", "foobar")
SECRET = "foobar"
REDIRECTS = [301, 302, 303, 307, 308]
FLYTE_METADATA = "/GetOAuth2Metadata"
OWN_METADATA = "/.well-known/"


@pytest.fixture
def stranger(start):
    return start(Stranger)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One server and one login for all tests; what a test does to the answers is undone after it."""
    made = SignedIn.make_flyte(tmp_path_factory.mktemp("signed-in"))
    yield made
    made.end()


@pytest.fixture
def flyte(shared):
    """A Flyte endpoint of which every answer can be changed on the way."""
    shared.proxy.requests.clear()
    yield SimpleNamespace(front=shared.proxy, url=shared.proxy.url, own_url=shared.provider.http, flags=shared.flags)
    shared.proxy.heals()


@pytest.fixture
def session(cli, shared):
    """A stored session with that endpoint; its secrets."""
    shutil.copytree(shared.home / "state", cli.home / "state", dirs_exist_ok=True)
    return stored_secrets(cli)


def refused(result, code: str, exit_code: int, *named: str):
    """A typed error that names what it is about and the next step, and nothing on stdout but that."""
    assert result.code == exit_code, result
    error = result.json["error"]
    assert error["code"] == code and error["next"], error
    said = json.dumps(error) + result.stderr
    for name in named:
        assert name in said, (name, said)


# A repository with a hostile configuration

SETTINGS = {
    "token-url": "  tokenUrl: {stranger}/token\n",
    "issuer": "  issuer: {stranger}\n",
    "proxy": "  httpProxyURL: {stranger}\n",
    "no-checks": "  insecureSkipVerify: true\n",
    "ca": "  caCertFilePath: {folder}/ca.pem\n",
    "client-certificate": "  clientCertFilePath: {folder}/ca.pem\n",
    "header": "  authorizationHeader: x-log-me\n",
    "parameters": "  extraParams: {{resource: '{stranger}'}}\n",
    "own-flags": "  command: [flyte-auth, token, --issuer, '{stranger}', --insecure-skip-verify]\n",
    "everything": "  tokenUrl: {stranger}/token\n  issuer: {stranger}\n  httpProxyURL: {stranger}\n",
}


@pytest.mark.parametrize("where", ["defaults", "profile"])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_stored_session_is_not_used_with_settings_of_an_untrusted_file(
    cli, home, flyte, session, stranger, name, where
):
    """The file names the endpoint of the session, and one thing more."""
    settings = SETTINGS[name].format(stranger=stranger.url, folder=home)
    if where == "profile":
        # A profile is another session: it must not be begun with a refresh token of the first.
        indented = settings.replace("  ", "      ", 1).replace("\n  ", "\n      ")
        text = f"admin:\n  endpoint: {flyte.url}\nprofiles:\n  p:\n    admin:\n{indented}"
    else:
        text = f"admin:\n  endpoint: {flyte.url}\n{settings}"
    folder = repository(home / "repository", text)
    flags = ["--store", "file", *(["--profile", "p"] if where == "profile" else [])]
    flyte.front.requests.clear()
    for command in (["token", "--force-refresh"], ["header"], ["whoami"], ["status", "--verify"], ["logout"]):
        result = cli.run(*command, *flags, cwd=folder)
        if where == "profile" and command != ["logout"]:
            assert result.code == 4 and "login" in result.stderr, result
            continue
        assert result.code == 0, result
        if command == ["header"]:
            assert result.stdout.startswith(("authorization: ", "flyte-authorization: ")), result
        if command != ["logout"]:
            assert "config.yaml is not trusted" in result.stderr and "flyte-auth login --config" in result.stderr
    stranger.was_not_asked()
    assert not any("x-log-me" in request.headers for request in flyte.front.requests)
    assert not any(b"resource" in request.body for request in flyte.front.requests)


ENVIRONMENTS = {
    "token": {"FLYTE_TOKEN": "canary-of-the-environment"},
    "secret": {**JOB, "FLYTE_CREDENTIALS_CLIENT_SECRET": "canary-of-the-environment"},
    "own-secret": {"FLYTE_AUTH_CLIENT_ID": "x", "FLYTE_AUTH_CLIENT_SECRET": "canary-of-the-environment"},
    "secret-variable": {"FLYTE_ADMIN_CLIENTSECRETENVVAR": "MINE", "MINE": "canary-of-the-environment"},
    "secret-command": {"FLYTE_AUTH_CLIENT_SECRET_COMMAND": "echo canary-of-the-environment"},
    "command": {"FLYTE_AUTH_TYPE": "ExternalCommand", "FLYTE_AUTH_COMMAND": "echo canary-of-the-environment"},
}


@pytest.mark.parametrize("at", [".flyte/config.yaml", "config.yaml", "flytekit.config"])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_secrets_of_the_environment_do_not_go_to_an_untrusted_files_endpoint(cli, home, stranger, name, at):
    text = f"admin:\n  endpoint: {stranger.url}\n  clientId: x\n"
    if at == "flytekit.config":
        text = f"[platform]\nurl = {stranger.url}\n\n[credentials]\nclient_id = x\n"
    folder = repository(home / "repository", text, at)
    for command in ("token", "header", "whoami"):
        result = cli.run(command, "--json", cwd=folder, env=ENVIRONMENTS[name])
        if command == "header":
            assert result.code == 2 and at in result.stderr, result
        else:
            refused(result, "untrusted_config", 2, at, stranger.url, "flyte-auth login --config", "FLYTE_AUTH_TRUST")
    stranger.was_not_asked()


def test_an_api_key_goes_to_its_own_endpoint_only(cli, home, flyte, stranger):
    key = {"FLYTE_API_KEY": api_key(flyte.url, "flytepropeller", SECRET)}
    folder = repository(home / "repository", f"admin:\n  endpoint: {stranger.url}\n  tokenUrl: {stranger.url}/token\n")
    token_of(cli.run("token", "--endpoint", flyte.url, cwd=folder, env=key))
    for arguments in (["token"], ["token", "--endpoint", stranger.url]):
        cli.run(*arguments, cwd=folder, env=key)
    stranger.got_nothing_of(SECRET, key["FLYTE_API_KEY"])


PROGRAMS = {
    "command": "  authType: ExternalCommand\n  command: [touch, '{ran}']\n",
    "proxy-command": "  proxyCommand: [touch, '{ran}']\n",
    "secret-command": "  authType: ClientSecret\n  clientId: x\n  clientSecretCommand: [touch, '{ran}']\n",
}


@pytest.mark.parametrize("layout", ["working-folder", "git-root", "worktree", "nested", "symlink", "profile"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_an_untrusted_file_never_runs(cli, home, flyte, layout, name):
    """Wherever the file lies, and by whatever link or work tree it was reached."""
    ran = home / "it-ran"
    program = PROGRAMS[name].format(ran=ran)
    text = f"admin:\n  endpoint: {flyte.url}\n{program}"
    flags = []
    if layout == "profile":
        indented = "".join(f"    {line}\n" for line in program.splitlines())
        text = f"admin:\n  endpoint: {flyte.url}\nprofiles:\n  p:\n    admin:\n{indented}"
        flags = ["--profile", "p"]
    folder = repository(home / "repository", text)
    if layout == "git-root":
        folder = folder / "deep/er"
        folder.mkdir(parents=True)
    elif layout == "worktree":
        git(folder, "add", ".")
        git(folder, "commit", "-qm", "x")
        git(folder, "worktree", "add", "-q", str(home / "tree"))
        folder = home / "tree"
    elif layout == "nested":
        (home / ".git").mkdir()
        folder = folder / "sub"
        folder.mkdir()
    elif layout == "symlink":
        other = repository(home / "other", text)
        (other / ".flyte/config.yaml").unlink()
        (other / ".flyte/config.yaml").symlink_to(home / "repository/.flyte/config.yaml")
        folder = other
    for command in ("token", "header", "whoami", "login", "status", "logout"):
        result = cli.run(command, *flags, cwd=folder)
        assert not ran.exists(), (command, result)
    result = cli.run("token", "--json", *flags, cwd=folder)
    if name == "proxy-command":
        assert result.code == 4, result
    else:
        refused(result, "untrusted_config", 2, ".flyte/config.yaml", "flyte-auth login --config")
    assert not ran.exists()


def test_a_trusted_file_that_is_replaced_is_trusted_no_more(cli, home, flyte, stranger):
    """`git pull` after the login."""
    folder = repository(home / "repository", f"admin:\n  endpoint: {flyte.url}\n")
    path = folder / ".flyte/config.yaml"
    assert cli.run("token", cwd=folder, env=JOB).code == 2
    # What the refusal says to do.
    assert cli.run("login", "--config", path, cwd=folder, env=JOB).code == 0
    token_of(cli.run("token", cwd=folder, env=JOB))
    for text in (
        f"admin:\n  endpoint: {stranger.url}\n",
        f"admin:\n  endpoint: {flyte.url}\n  tokenUrl: {stranger.url}/token\n",
        f"admin:\n  endpoint: {flyte.url}\n  httpProxyURL: {stranger.url}\n",
    ):
        path.write_text(text)
        refused(cli.run("token", "--json", "--force-refresh", cwd=folder, env=JOB), "untrusted_config", 2, str(path))
    # A link in its place, or in another repository, is another file.
    path.write_text(f"admin:\n  endpoint: {flyte.url}\n")
    token_of(cli.run("token", cwd=folder, env=JOB))
    other = home / "other/.flyte"
    other.mkdir(parents=True)
    (other / "config.yaml").symlink_to(path)
    assert cli.run("token", cwd=other.parent, env=JOB).code == 2
    stranger.was_not_asked()


def test_a_login_from_an_untrusted_file_shows_what_it_changes(cli, home, flyte, session, stranger, person):
    text = f"admin:\n  endpoint: {flyte.url}\n  tokenUrl: {stranger.url}/token\n  httpProxyURL: {stranger.url}\n"
    folder = repository(home / "repository", text)
    terminal = cli.terminal("login", cwd=folder, env=person.quick_browser())
    terminal.expect(r"Go on\? \[y/N\]")
    seen = terminal.seen.replace("\r\n", "")
    assert f"tokenUrl {stranger.url}/token" in seen and f"httpProxyURL {stranger.url}" in seen, seen
    terminal.type("n\n")
    assert terminal.wait(30) == 6, terminal.seen
    # Where nobody can be shown anything it is refused.
    refused(cli.run("login", "--json", cwd=folder), "untrusted_config", 2, "config.yaml", "flyte-auth login --config")
    stranger.was_not_asked()


def test_an_untrusted_file_does_not_take_the_tls_away(cli, home):
    """The word for "no TLS" is the user's, not a repository's; nothing is resolved or sent."""
    for text in (
        "admin:\n  endpoint: dns:///flyte.example.org\n  insecure: true\n",
        "admin:\n  endpoint: http://flyte.example.org\n",
        "admin:\n  endpoint: flyte.example.org\n  command: [flyte-auth, token, --insecure]\n",
    ):
        folder = repository(home / "repository", text)
        for command in (["token"], ["whoami"], ["login"]):
            result = cli.run(*command, "--json", cwd=folder)
            refused(
                result, "plaintext_refused", 2, "config.yaml is not trusted", "http://flyte.example.org", "--insecure"
            )


PLAINTEXT = [
    "http://flyte.example.org",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil",
    "http://sub.localhost",
    "http://0.0.0.0:1",
    "http://2147483649",
    "http://[::2]",
    "http://[::ffff:10.0.0.1]",
    "http://FLYTE.example.org.",
    "HTTP://flyte.example.org:443",
    "http://b\u00fccher.example",
]


@pytest.mark.parametrize("endpoint", PLAINTEXT)
def test_no_tls_beyond_this_machine_takes_a_word(cli, endpoint):
    for env in ({"FLYTE_TOKEN": "canary"}, JOB, {}):
        result = cli.run("token", "--json", "--endpoint", endpoint, env=env)
        refused(result, "plaintext_refused", 2, "--insecure")
        assert "canary" not in result.stdout


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1@evil.example", "http://localhost:80@evil", "http://user:pw@h"])
def test_user_info_is_no_address(cli, endpoint):
    result = cli.run("token", "--json", "--endpoint", endpoint, env={"FLYTE_TOKEN": "canary"})
    refused(result, "endpoint_invalid", 2)
    assert "canary" not in result.stdout and "pw" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST", "127.1", "2130706433", "0177.0.0.1", "127.0.0.1."]
)
def test_this_machine_needs_no_word(cli, sandbox, host):
    port = sandbox.http.rsplit(":", 1)[1]
    token_of(cli.run("token", "--endpoint", f"http://{host}:{port}", env=JOB))


@pytest.mark.parametrize("setting", ["FLYTE_AUTH_TOKEN_URL", "FLYTE_AUTH_ISSUER"])
def test_other_addresses_take_the_word_too(cli, sandbox, setting):
    result = cli.run("token", "--json", "--endpoint", sandbox.http, env={**JOB, setting: "http://idp.example/token"})
    assert result.code == 2 and "--insecure" in result.json["error"]["next"], result


# Metadata that names a stranger (mix-up)


def flyte_says(flyte, stranger, path=FLYTE_METADATA):
    """The endpoint's answers name the stranger's token endpoint; with `OWN_METADATA` the issuer's do too."""
    flyte.front.breaks(rewrites((f"{flyte.url}/oauth2/token", f"{stranger.url}/token")), path)


@pytest.mark.parametrize("flow", ["device", "pkce"])
def test_a_code_does_not_go_to_a_foreign_token_endpoint(cli, flyte, stranger, person, flow):
    flyte_says(flyte, stranger)
    if flow == "device":
        result = cli.run("login", *flyte.flags, "--flow", "device", "--json")
        refused(result, "foreign_endpoint", 8, flyte.front.host, "token_endpoint", stranger.url, "admin.tokenUrl")
    else:
        terminal = cli.terminal("login", *flyte.flags, "--flow", "pkce", env=person.quick_browser())
        assert terminal.wait(30) == 8, terminal.seen
        assert stranger.url in terminal.seen.replace("\r\n", "")
    stranger.was_not_asked()


def test_a_login_page_of_one_server_and_the_token_endpoint_of_another(cli, start, flyte, stranger, person):
    """RFC 9700 section 4.4: the stranger is an issuer with a document of its own, which names an honest login page."""
    document = {
        "issuer": stranger.url,
        "authorization_endpoint": f"{flyte.url}/oauth2/authorize",
        "device_authorization_endpoint": f"{flyte.url}/oauth2/device_authorization",
        "token_endpoint": f"{stranger.url}/token",
        "response_types_supported": ["code"],
    }
    issuer = start(FaultProxy)
    body = json.dumps(document).replace(f'"issuer": "{stranger.url}"', f'"issuer": "{issuer.url}"')
    issuer.breaks(says(200, body.encode()))
    for flow in ("device", "pkce"):
        terminal = cli.terminal(
            "login", "--issuer", issuer.url, "--client-id", "flytectl", "--flow", flow, env=person.quick_browser()
        )
        assert terminal.wait(30) == 8, terminal.seen
    stranger.was_not_asked()
    assert not any(request.method == "POST" for request in issuer.requests)


def test_a_secret_does_not_go_to_a_foreign_token_endpoint(cli, flyte, stranger):
    flyte_says(flyte, stranger)
    result = cli.run("token", "--json", *flyte.flags, env=JOB)
    refused(result, "foreign_endpoint", 8, "the client secret does not go there", stranger.url, "FLYTE_AUTH_TOKEN_URL")
    stranger.was_not_asked()
    # By the user's own word it does.
    result = cli.run("token", *flyte.flags, env={**JOB, "FLYTE_AUTH_TOKEN_URL": f"{stranger.url}/token"})
    assert token_of(result) == "of-the-stranger"


def forget_metadata(cli):
    for path in (cli.home / "state/metadata").glob("*"):
        path.unlink()


@pytest.mark.parametrize("whose", ["flyte", "issuer"])
def test_a_refresh_token_does_not_follow_its_token_endpoint(cli, flyte, session, stranger, whose):
    """The issuer is unchanged, and may even confirm it: a session moves by a login only."""
    flyte_says(flyte, stranger)
    if whose == "issuer":
        flyte_says(flyte, stranger, OWN_METADATA)
    forget_metadata(cli)
    result = cli.run("token", "--json", "--force-refresh", *flyte.flags)
    refused(result, "token_endpoint_changed", 4, stranger.url, flyte.url, "flyte-auth login")
    assert stored_secrets(cli) == session, "the session is kept"
    stranger.was_not_asked()


def test_a_refresh_token_does_not_follow_by_a_failure(cli, flyte, session, stranger):
    """Metadata is fetched anew where the known token endpoint fails: not to find a stranger's."""
    flyte.front.breaks(says(404), "/oauth2/token")
    flyte_says(flyte, stranger)
    flyte_says(flyte, stranger, OWN_METADATA)
    result = cli.run("token", "--json", "--force-refresh", *flyte.flags)
    assert result.code in (4, 8), result
    stranger.was_not_asked()


def test_a_session_does_not_go_to_another_issuer(cli, flyte, session, stranger):
    flyte.front.breaks(rewrites((flyte.url, stranger.url)), FLYTE_METADATA)
    forget_metadata(cli)
    result = cli.run("token", "--json", "--force-refresh", *flyte.flags)
    refused(result, "issuer_changed", 4, stranger.url, "flyte-auth login")
    stranger.was_not_asked()


def test_a_used_secret_does_not_follow_its_token_endpoint(cli, flyte, stranger):
    token_of(cli.run("token", *flyte.flags, env=JOB))
    flyte_says(flyte, stranger)
    flyte_says(flyte, stranger, OWN_METADATA)
    forget_metadata(cli)
    result = cli.run("token", "--json", "--force-refresh", *flyte.flags, env=JOB)
    refused(result, "token_endpoint_changed", 2, stranger.url, "flyte-auth logout")
    stranger.was_not_asked()


def test_a_session_of_an_older_version_is_not_sent_to_a_stranger(cli, flyte, session, stranger):
    """Its record does not say where it came from."""
    for path in (cli.home / "state/sessions").glob("*.json"):
        record = json.loads(path.read_text())
        del record["token_endpoint_origin"]
        path.write_text(json.dumps({**record, "schema_version": 1}))
    flyte_says(flyte, stranger)
    forget_metadata(cli)
    result = cli.run("token", "--json", "--force-refresh", *flyte.flags)
    refused(result, "foreign_endpoint", 8, "the refresh token does not go there", stranger.url)
    stranger.was_not_asked()


def test_tokens_are_not_revoked_at_a_stranger(cli, flyte, session, stranger):
    flyte.front.breaks(names(revocationEndpoint=f"{stranger.url}/revoke"), FLYTE_METADATA)
    forget_metadata(cli)
    result = cli.run("logout", "--revoke", *flyte.flags)
    assert stranger.url in result.stderr and "does not go there" in result.stderr, result
    assert not list((cli.home / "state/sessions").glob("*.json")), "the local copy is gone all the same"
    stranger.was_not_asked()


def test_an_imported_session_is_bound_like_any_other(cli, flyte, session, stranger):
    """A document cannot say where its tokens go."""
    exported = cli.run("session", "export", *flyte.flags)
    document = json.loads(exported.stdout)
    document["session"]["token_endpoint_origin"] = stranger.url
    assert cli.run("session", "import", *flyte.flags, input=json.dumps(document)).code == 0
    result = cli.run("token", "--json", "--force-refresh", *flyte.flags)
    refused(result, "token_endpoint_changed", 4, flyte.url)
    stranger.was_not_asked()


# Redirects


@pytest.fixture
def redirects(flyte, stranger):
    """Makes a path of the endpoint redirect to the stranger, or within the endpoint; what must not be asked."""

    def make(path: str, status: int, to: str):
        target = f"{stranger.url}/elsewhere" if to == "stranger" else f"{flyte.url}/elsewhere"
        flyte.front.breaks(says(status, location=target), path)

    yield make
    stranger.was_not_asked()
    assert flyte.front.count("/elsewhere") == 0, "nothing follows a redirect at home either"


@pytest.mark.parametrize("to", ["stranger", "home"])
@pytest.mark.parametrize("status", REDIRECTS)
def test_no_secret_follows_a_redirect_of_the_token_endpoint(cli, flyte, redirects, status, to):
    redirects("/oauth2/token", status, to)
    result = cli.run("token", "--json", *flyte.flags, env=JOB)
    assert result.code == 8 and result.json["error"]["next"], result


@pytest.mark.parametrize("to", ["stranger", "home"])
@pytest.mark.parametrize("status", REDIRECTS)
def test_no_refresh_token_follows_a_redirect(cli, flyte, session, redirects, status, to):
    redirects("/oauth2/token", status, to)
    result = cli.run("token", "--json", "--force-refresh", *flyte.flags)
    assert result.code == 8 and result.json["error"]["next"], result
    assert stored_secrets(cli) == session


@pytest.mark.parametrize(
    "status, flow", [*((status, "pkce") for status in REDIRECTS), (302, "device"), (307, "device")]
)
def test_no_code_follows_a_redirect(cli, flyte, person, redirects, status, flow):
    redirects("/oauth2/token", status, "stranger")
    # The server names itself in the answer (RFC 9207), not the front that it is reached by.
    flyte.front.breaks(rewrites((flyte.own_url, flyte.url)), "/oauth2/authorize")
    terminal = cli.terminal("login", *flyte.flags, "--flow", flow, env=person.quick_browser())
    assert terminal.wait(30) == 8, terminal.seen


@pytest.mark.parametrize("status", REDIRECTS)
def test_the_device_endpoint_redirects(cli, flyte, redirects, status):
    redirects("/oauth2/device", status, "stranger")
    assert cli.run("login", *flyte.flags, "--flow", "device").code == 8


@pytest.mark.parametrize("command", [["whoami"], ["status", "--verify"]], ids=["whoami", "verify"])
@pytest.mark.parametrize("status", REDIRECTS)
def test_no_access_token_follows_a_redirect(cli, flyte, session, redirects, status, command):
    for path in ("/me", "IdentityService"):
        redirects(path, status, "stranger")
    result = cli.run(*command, *flyte.flags)
    assert result.code != 0 and "redirects to" in result.stdout + result.stderr, result


@pytest.mark.parametrize("status", REDIRECTS)
def test_the_revocation_endpoint_redirects(cli, flyte, session, redirects, status):
    redirects("/revoke", status, "stranger")
    result = cli.run("logout", "--revoke", *flyte.flags)
    assert "revo" in result.stderr, result


@pytest.mark.parametrize("status", REDIRECTS)
def test_discovery_that_redirects_leads_nowhere(cli, flyte, redirects, status):
    for path in (FLYTE_METADATA, OWN_METADATA, "/config/"):
        redirects(path, status, "stranger")
    result = cli.run("token", "--json", *flyte.flags, env=JOB)
    refused(result, "proxy_in_front", 8, "redirects")


# What is started


def test_a_pinned_endpoint_takes_nothing_of_the_folder_that_a_client_runs_in(cli, home, flyte, session, stranger):
    """As pyflyte runs it: the endpoint is in the command, the working folder is whatever was cloned."""
    text = f"admin:\n  endpoint: {stranger.url}\n  tokenUrl: {stranger.url}/t\n  httpProxyURL: {stranger.url}\n"
    folder = repository(home / "repository", text)
    token_of(cli.run("token", "--force-refresh", *flyte.flags, cwd=folder))
    result = cli.run("header", *flyte.flags, cwd=folder, env={"PWD": os.fspath(folder)})
    assert result.code == 0 and stored_secrets(cli)[0] in result.stdout
    stranger.was_not_asked()
