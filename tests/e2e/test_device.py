"""Device authorization (RFC 8628): code, URL and QR code on the terminal, real Chromium on the device page."""

import pytest
from harness.peers import OidcProvider, Sandbox
from harness.scenes import ALICE, CODE, URL, token_of

ISSUER_SCOPES = "openid,all,offline"


def shown(terminal):
    """The verification URI and the user code that the person reads."""
    code = terminal.expect(CODE.pattern, within=20).group()
    url = next(url for url in URL.findall(terminal.seen) if "device" in url)
    return url.rstrip(".,)"), code


@pytest.fixture(params=["sandbox", "issuer", "behind"])
def server(request, start, shared_issuer):
    """Each server with the flags that name it."""
    if request.param == "issuer":
        return ["--issuer", shared_issuer.url, "--client-id", "flytectl", "--scopes", ISSUER_SCOPES]
    flags = ["--external-issuer", shared_issuer.url] if request.param == "behind" else []
    return ["--endpoint", start(Sandbox, *flags).http]


def test_in_chromium(cli, person, server):
    terminal = cli.terminal("login", *server, "--flow", "device")
    url, code = shown(terminal)
    assert person.visits(url, code=code) == "done"
    assert terminal.wait(30) == 0, terminal.seen
    token_of(cli.run("token", *server))


def test_the_terminal_shows_a_qr_code_and_the_time_left(cli, sandbox):
    terminal = cli.terminal("login", sandbox.http, "--flow", "device")
    shown(terminal)
    terminal.expect("[\u2580\u2584\u2588]{6}", within=5)
    terminal.expect(r"\d+\s*(s\b|sec|min|m\b|:\d\d)", within=5)


def test_declined_in_chromium(cli, person, server):
    terminal = cli.terminal("login", *server, "--flow", "device")
    url, code = shown(terminal)
    assert person.visits(url, code=code, deny=True) == "declined"
    assert terminal.wait(30) == 6, terminal.seen


def test_an_expired_code_ends_the_wait(cli, start):
    provider = start(OidcProvider, OIDC_DEVICE_TTL="3")
    arguments = ["--issuer", provider.url, "--client-id", "flytectl", "--scopes", ISSUER_SCOPES]
    terminal = cli.terminal("login", *arguments, "--flow", "device")
    shown(terminal)
    assert terminal.wait(15) == 6, terminal.seen


def test_over_ssh_the_device_grant_is_the_first_step(cli, sandbox):
    terminal = cli.terminal(
        "login", sandbox.http, env={"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22", "SSH_TTY": "/dev/pts/9"}
    )
    shown(terminal)
    assert "SSH" in terminal.seen, "it must say why"


def test_a_browser_variable_counts_as_a_display_over_ssh(cli, person, start):
    approving = start(Sandbox, "--auto-approve", ALICE)
    ssh = {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}
    terminal = cli.terminal("login", approving.http, env={**ssh, **person.quick_browser()})
    assert terminal.wait(30) == 0, terminal.seen
    assert not CODE.search(terminal.seen)


def test_over_ssh_without_device_grant_the_url_comes_with_a_tunnel_hint(cli, start, shared_issuer):
    client = '[{"client_id":"nodevice","application_type":"native","token_endpoint_auth_method":"none","grant_types":["authorization_code"],"response_types":["code"],"redirect_uris":["http://localhost:53593/callback"]}]'
    provider = start(OidcProvider, OIDC_EXTRA_CLIENTS=client, OIDC_NO_DEVICE="1")
    arguments = ["--issuer", provider.url, "--client-id", "nodevice", "--scopes", "openid"]
    terminal = cli.terminal("login", *arguments, env={"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"})
    terminal.expect(r"ssh -L 53593:", within=15)
    terminal.expect(r"https?://\S*code_challenge", within=5)
