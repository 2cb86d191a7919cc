"""Client credentials of CI jobs: both ways of client authentication, secrets from everywhere, nobody is ever asked."""

import base64
import json

import pytest
from harness.peers import SYMBOLS, OidcProvider, Sandbox
from harness.scenes import api_key, machine, subject_of, token_of

PASSPHRASE = "pä$$wörd ßecret:+%/&="


def test_sandbox(cli, sandbox):
    token = token_of(cli.run("token", "--endpoint", sandbox.http, env=machine("flytepropeller", "foobar")))
    assert sandbox.accepts_at_me(token)


@pytest.mark.parametrize("client", ["ci-basic", "ci-post", "ci:symbols+a/b%20=&", "ci-post-symbols"])
def test_issuer(cli, shared_issuer, client):
    """oidc-provider holds each client to its own method: basic or post, whichever it is registered for."""
    environment = machine(client, shared_issuer.secrets[client])
    token = token_of(cli.run("token", "--issuer", shared_issuer.url, "--scopes", "all", env=environment))
    assert shared_issuer.claims(token)["client_id"] == client


@pytest.mark.parametrize("secret", [SYMBOLS, PASSPHRASE])
def test_sandbox_with_an_awkward_secret(cli, start, secret):
    server = start(Sandbox, "--client", f"id=ci,secret={secret}")
    assert server.accepts_at_me(token_of(cli.run("token", "--endpoint", server.http, env=machine("ci", secret))))


def test_behind_the_sandbox(cli, start, shared_issuer):
    behind = start(Sandbox, "--external-issuer", shared_issuer.url)
    environment = machine("ci-basic", shared_issuer.secrets["ci-basic"])
    token = token_of(cli.run("token", "--endpoint", behind.http, "--scopes", "all", env=environment))
    assert behind.accepts_at_me(token)


def test_the_method_that_works_is_remembered(cli, start):
    """A post-only client behind metadata that offers both: one wrong try, then never again."""
    provider = start(OidcProvider, OIDC_LOG="1")
    environment = machine("ci-post", provider.secrets["ci-post"])
    for _ in range(2):
        token_of(cli.run("token", "--issuer", provider.url, "--force-refresh", env=environment))
    refusals = [line for line in provider.service.logged().splitlines() if "POST /token 401" in line]
    assert len(refusals) <= 1, refusals


@pytest.mark.parametrize("source", ["value", "file", "variable", "command"])
def test_sources_of_the_secret(cli, sandbox, home, source):
    environment, extra = {"FLYTE_AUTH_TYPE": "ClientSecret", "FLYTE_CREDENTIALS_CLIENT_ID": "flytepropeller"}, {}
    if source == "value":
        environment["FLYTE_CREDENTIALS_CLIENT_SECRET"] = "foobar"
    elif source == "file":
        (home / "secret").write_text("foobar\r\n")
        environment["FLYTE_CREDENTIALS_CLIENT_SECRET_LOCATION"] = str(home / "secret")
    elif source == "variable":
        environment |= {"FLYTE_CREDENTIALS_CLIENT_SECRET_ENV_VAR": "MY_SECRET", "MY_SECRET": "foobar\n"}
    else:
        # A command that has the secret among its arguments would show it to every user of the machine.
        (home / "secret").write_text("foobar\n")
        extra = {"clientSecretCommand": ["/bin/cat", str(home / "secret")]}
    settings = home / "config.yaml"
    settings.write_text(
        "admin:\n" + "".join(f"  {k}: {json.dumps(v)}\n" for k, v in {"endpoint": sandbox.http, **extra}.items())
    )
    token = token_of(cli.run("token", "--config", settings, env=environment))
    assert sandbox.accepts_at_me(token)


def test_a_rotated_secret_file_is_read_again(cli, start, home):
    """A long gap, a new secret in the same file: the next token uses it."""
    first = start(Sandbox, "--client", "id=ci,secret=one")
    second = start(Sandbox, "--client", "id=ci,secret=two")
    file = home / "secret"
    environment = {
        "FLYTE_AUTH_TYPE": "ClientSecret",
        "FLYTE_CREDENTIALS_CLIENT_ID": "ci",
        "FLYTE_CREDENTIALS_CLIENT_SECRET_LOCATION": str(file),
    }
    for server, secret in ((first, "one"), (second, "two")):
        file.write_text(secret)
        token_of(cli.run("token", "--endpoint", server.http, env=environment))


def test_a_wrong_secret_is_denied_at_once(cli, sandbox):
    result = cli.run("token", "--endpoint", sandbox.http, env=machine("flytepropeller", "wrong-but-secret"))
    assert result.code == 5, result.stderr
    assert result.stdout == ""
    assert "wrong-but-secret" not in result.stderr
    assert "flytepropeller" in result.stderr
    assert result.seconds < 3


def test_nobody_is_asked_although_somebody_could_be(cli, person, sandbox):
    result, terminal = cli.captured_on_terminal(
        "token", "--endpoint", sandbox.http, env={**machine("flytepropeller", "wrong"), **person.no_browser()}
    )
    assert result.code == 5
    assert not person.opened and not terminal.seen.strip()


def test_api_key(cli, sandbox):
    key = api_key(sandbox.http, "flytepropeller", "foobar", "acme")
    assert sandbox.accepts_at_me(token_of(cli.run("token", env={"FLYTE_API_KEY": key})))


def test_api_key_with_a_port_and_a_secret_with_colons(cli, start):
    server = start(Sandbox, "--client", "id=ci,secret=a:b:c")
    key = api_key(server.http, "ci", "a:b:c")
    assert server.accepts_at_me(token_of(cli.run("token", env={"FLYTE_API_KEY": key})))


@pytest.mark.parametrize("key", ["not base64!", base64.b64encode(b"only:two").decode()])
def test_a_broken_api_key_is_a_configuration_error(cli, key):
    result = cli.run("token", env={"FLYTE_API_KEY": key})
    assert result.code == 2 and result.stdout == ""
    assert "FLYTE_API_KEY" in result.stderr and key not in result.stderr


def test_the_subject_is_the_client(cli, sandbox):
    token = token_of(cli.run("token", "--endpoint", sandbox.http, env=machine("flytepropeller", "foobar")))
    assert subject_of(token) == "flytepropeller"
