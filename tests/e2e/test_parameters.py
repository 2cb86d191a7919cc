"""`audience`, `scopes` and `extraParams` in every grant, as the server received them; the answer as a form post."""

from urllib.parse import parse_qs, urlsplit

import pytest
from harness.fault_proxy import FaultProxy
from harness.fault_scene import JOB, sign_in_by_device
from harness.peers import OidcProvider
from harness.scenes import machine, signs_in, token_of

AUDIENCE = "https://flyte.example/api"
SCOPES = "openid,offline_access,all,offline"
SENT = {"audience": AUDIENCE, "tenant": "a+c & me/ü"}


@pytest.fixture
def peer(start):
    """An authorization server whose every request is seen."""
    proxy = start(FaultProxy)
    provider = start(OidcProvider, OIDC_ISSUER=proxy.url)
    proxy.upstream = provider.address
    proxy.secrets = provider.secrets
    return proxy


def configured(home, peer, **more) -> list[str]:
    lines = {"issuer": peer.url, "clientId": "flytectl", "audience": AUDIENCE, **more}
    extra = {"tenant": SENT["tenant"], **more.pop("extra", {})}
    lines.pop("extra", None)
    file = home / "config.yaml"
    file.write_text(
        "admin:\n"
        + "".join(f"  {name}: {value}\n" for name, value in lines.items())
        + f"  scopes: [{SCOPES.replace(',', ', ')}]\n"
        + "  extraParams:\n"
        + "".join(f'    {name}: "{value}"\n' for name, value in extra.items())
    )
    return ["--config", str(file)]


def form(request) -> dict[str, str]:
    """The parameters of a request, each of which came once."""
    text = request.body.decode() if request.method == "POST" else urlsplit(request.path).query
    fields = parse_qs(text, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in fields.values()), fields
    return {name: values[0] for name, values in fields.items()}


def carries(fields, scopes=True):
    assert {name: fields.get(name) for name in SENT} == SENT, fields
    if scopes:
        assert fields["scope"].split() == SCOPES.split(",")


def grants(peer) -> dict[str, dict[str, str]]:
    """What the token endpoint received, by grant; the newest of each."""
    return {fields["grant_type"]: fields for fields in map(form, peer.seen("/token"))}


def test_authorization_code_and_refresh(cli, person, peer, home):
    flags = configured(home, peer)
    signs_in(cli, person, *flags, "--flow", "pkce")
    asked = next(request for request in peer.seen("/auth?"))
    carries(form(asked))
    # The audience belongs to the authorization request; the code is bound to it.
    assert grants(peer)["authorization_code"]["tenant"] == SENT["tenant"]
    token_of(cli.run("token", *flags, "--force-refresh"))
    refreshed = grants(peer)["refresh_token"]
    carries(refreshed, scopes=False)
    # "As granted": a server may have granted less than was asked for (RFC 6749 section 6).
    assert "scope" not in refreshed


def test_device_and_refresh(cli, person, peer, home):
    flags = configured(home, peer)
    sign_in_by_device(cli, person, *flags)
    carries(form(next(request for request in peer.seen("/device/auth") if request.method == "POST")))
    assert grants(peer)["urn:ietf:params:oauth:grant-type:device_code"]["tenant"] == SENT["tenant"]
    token_of(cli.run("token", *flags, "--force-refresh"))
    carries(grants(peer)["refresh_token"], scopes=False)


def test_client_credentials(cli, peer, home):
    flags = configured(home, peer, clientId=JOB)
    token_of(cli.run("token", *flags, "--scopes", "all", env=machine(JOB, peer.secrets[JOB])))
    fields = grants(peer)["client_credentials"]
    carries(fields, scopes=False)
    assert fields["scope"] == "all", "the flag stands above the file"


def test_the_answer_as_a_form_post(cli, person, peer, home):
    """OAuth 2.0 Form Post Response Mode: Chromium posts code, state and iss to the loopback redirect."""
    flags = configured(home, peer, extra={"response_mode": "form_post"})
    terminal = signs_in(cli, person, *flags, "--flow", "pkce")
    assert form(peer.seen("/auth?")[0])["response_mode"] == "form_post"
    assert "signed in" in terminal.seen
    assert token_of(cli.run("token", *flags))
    assert not any("code=" in request.path for request in peer.seen())
