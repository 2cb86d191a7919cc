"""Authorization code with PKCE: a person and a real browser, against the sandbox and oidc-provider."""

import json
import re
import signal
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from harness.peers import OidcProvider, Sandbox
from harness.ports import CALLBACK_PORT, is_listening, occupied
from harness.scenes import ALICE, URL, signed_in_quickly, signs_in, subject_of, token_of

SCOPES = "openid,offline_access,all,offline"


def callback_of(authorization_url: str) -> str:
    """Where a sandbox with `--auto-approve` sends the browser."""
    reply = requests.get(authorization_url, allow_redirects=False, timeout=10)
    assert reply.status_code in (302, 303), reply.status_code
    return reply.headers["location"]


@pytest.fixture
def approving(start):
    return start(Sandbox, "--auto-approve", ALICE)


def test_sandbox_in_chromium(cli, person, sandbox):
    signs_in(cli, person, sandbox.http, "--flow", "pkce")
    token = token_of(cli.run("token", "--endpoint", sandbox.http))
    assert sandbox.accepts(token) and sandbox.accepts_at_me(token)
    assert subject_of(token)
    assert person.pages, "nobody saw a page"


def test_issuer_alone_in_chromium(cli, person, shared_issuer):
    issuer = ["--issuer", shared_issuer.url, "--client-id", "flytectl", "--scopes", SCOPES]
    signs_in(cli, person, *issuer, "--flow", "pkce")
    token = token_of(cli.run("token", *issuer))
    assert shared_issuer.claims(token)["sub"] == ALICE


def test_issuer_behind_the_sandbox_in_chromium(cli, person, start, shared_issuer):
    behind = start(Sandbox, "--external-issuer", shared_issuer.url)
    signs_in(cli, person, behind.http, "--flow", "pkce")
    token = token_of(cli.run("token", "--endpoint", behind.http))
    assert shared_issuer.claims(token)["sub"] == ALICE
    assert behind.accepts_at_me(token)


def test_flyte1_control_plane_in_chromium(cli, person, flyte1, shared_issuer):
    signs_in(cli, person, flyte1.endpoint, "--insecure", "--flow", "pkce")
    token = token_of(cli.run("token", "--endpoint", flyte1.endpoint, "--insecure"))
    assert shared_issuer.claims(token)["sub"] == ALICE


def test_flyte2_control_plane_in_chromium(cli, person, flyte2, authority, shared_issuer):
    signs_in(cli, person, flyte2.endpoint, "--ca-cert", str(authority.file), "--flow", "pkce")
    token = token_of(cli.run("token", "--endpoint", flyte2.endpoint, "--ca-cert", str(authority.file)))
    assert shared_issuer.claims(token)["sub"] == ALICE


@pytest.mark.parametrize("server", [Sandbox, OidcProvider])
def test_a_person_declines(cli, person, start, shared_issuer, server):
    where = [start(Sandbox).http] if server is Sandbox else ["--issuer", shared_issuer.url, "--client-id", "flytectl"]
    terminal = cli.terminal("login", *where, "--flow", "pkce", env=person.browser(deny=True))
    assert terminal.wait(60) == 6, terminal.seen
    assert re.search("declin|denied|refus", terminal.seen, re.I), terminal.seen


def test_every_attempt_is_fresh_and_complete(cli, person, approving):
    seen = []
    for _ in range(2):
        terminal = cli.terminal("login", approving.http, "--flow", "pkce", env=person.no_browser())
        query = parse_qs(urlsplit(person.opened_url()).query)
        terminal.signal(signal.SIGINT)
        assert terminal.wait(10) == 130
        (person.folder / "opened").unlink()
        seen.append(query)
    first, second = seen
    assert first["response_type"] == ["code"] and first["code_challenge_method"] == ["S256"]
    assert first["redirect_uri"] == [f"http://localhost:{CALLBACK_PORT}/callback"]
    for name in ("state", "code_challenge"):
        assert first[name] != second[name], f"{name} was used twice"


def test_the_final_page_keeps_nothing(cli, person, approving):
    terminal = cli.terminal("login", approving.http, "--flow", "pkce", env=person.no_browser())
    callback = callback_of(person.opened_url())
    page = requests.get(callback, timeout=10)
    assert terminal.wait(20) == 0, terminal.seen
    assert page.status_code == 200
    assert "no-store" in page.headers["cache-control"]
    for values in parse_qs(urlsplit(callback).query).values():
        assert values[0] not in page.text


def test_stray_requests_do_not_end_the_wait(cli, person, approving):
    terminal = cli.terminal("login", approving.http, "--flow", "pkce", env=person.no_browser())
    callback = callback_of(person.opened_url())
    base = f"http://localhost:{CALLBACK_PORT}"
    assert requests.get(f"{base}/favicon.ico", timeout=5).status_code == 404
    assert requests.get(f"{base}/callback?code=stolen&state=wrong", timeout=5).status_code >= 400
    rebound = requests.get(callback, headers={"host": "evil.example"}, timeout=5)
    assert rebound.status_code >= 400
    assert requests.get(callback, timeout=10).status_code == 200
    assert terminal.wait(20) == 0, terminal.seen


@pytest.mark.parametrize("iss", [None, "https://attacker.example"])
def test_an_issuer_that_announces_iss_must_send_it(cli, person, shared_issuer, iss):
    """RFC 9207: oidc-provider announces it, so a callback without it, or with another, is not its answer."""
    issuer = ["--issuer", shared_issuer.url, "--client-id", "flytectl", "--scopes", SCOPES]
    terminal = cli.terminal("login", *issuer, "--flow", "pkce", env=person.no_browser())
    state = parse_qs(urlsplit(person.opened_url()).query)["state"][0]
    query = {"code": "mixed-up", "state": state} | ({"iss": iss} if iss else {})
    page = requests.get(f"http://localhost:{CALLBACK_PORT}/callback", params=query, timeout=10)
    assert page.status_code >= 400 and "mixed-up" not in page.text
    assert "mixed-up" not in terminal.seen


def test_form_post_callback(cli, person, approving):
    terminal = cli.terminal("login", approving.http, "--flow", "pkce", env=person.no_browser())
    callback = urlsplit(callback_of(person.opened_url()))
    form = {name: values[0] for name, values in parse_qs(callback.query).items()}
    page = requests.post(f"http://{callback.netloc}{callback.path}", data=form, timeout=10)
    assert page.status_code == 200
    assert terminal.wait(20) == 0, terminal.seen


def test_paste_back(cli, approving):
    """No browser here: the person opens the URL elsewhere and pastes the address that could not be loaded."""
    terminal = cli.terminal("login", approving.http, "--flow", "paste")
    url = terminal.expect(r"https?://\S*code_challenge\S*").group()
    terminal.type("this is not it\n")
    terminal.type(callback_of(url) + "\n")
    assert terminal.wait(20) == 0, terminal.seen
    token_of(cli.run("token", "--endpoint", approving.http))


def test_no_browser_prints_the_url(cli, person, approving):
    terminal = cli.terminal("login", approving.http, "--flow", "pkce", "--no-browser", env=person.no_browser())
    url = terminal.expect(r"https?://\S*code_challenge\S*").group()
    assert not person.opened
    assert requests.get(url, timeout=10).status_code == 200
    assert terminal.wait(20) == 0, terminal.seen


def test_json_is_one_object_on_stdout(cli, person, approving):
    stdout = cli.home / "login.json"
    command = f'"{cli.binary}" login "{approving.http}" --json > "{stdout}"'
    terminal = cli.terminal_any(["/bin/sh", "-c", command], env=person.quick_browser())
    assert terminal.wait(30) == 0, terminal.seen
    assert isinstance(json.loads(stdout.read_text()), dict)


def test_deadline(cli, person, sandbox):
    terminal = cli.terminal("login", sandbox.http, "--flow", "pkce", "--timeout", "1", env=person.no_browser())
    assert terminal.wait(10) == 6, terminal.seen
    assert terminal.seconds < 5
    assert not is_listening(CALLBACK_PORT)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_the_wait(cli, person, sandbox, number, code):
    terminal = cli.terminal("login", sandbox.http, "--flow", "pkce", env=person.no_browser())
    person.opened_url()
    terminal.signal(number)
    assert terminal.wait(5) == code, terminal.seen
    assert not is_listening(CALLBACK_PORT)


def test_ctrl_c_at_the_terminal(cli, person, sandbox):
    terminal = cli.terminal("login", sandbox.http, "--flow", "pkce", env=person.no_browser())
    person.opened_url()
    terminal.type("\x03")
    assert terminal.wait(5) == 130, terminal.seen


def test_a_busy_port_is_explained(cli, person, sandbox):
    with occupied(CALLBACK_PORT):
        terminal = cli.terminal("login", sandbox.http, "--flow", "pkce", env=person.no_browser())
        terminal.expect(str(CALLBACK_PORT), within=15)


def test_the_ladder_goes_on_without_the_port(cli, person, start):
    """`auto` with a busy port: the device grant is next, and the person is told why."""
    approving = start(Sandbox)
    with occupied(CALLBACK_PORT):
        terminal = cli.terminal("login", approving.http, env=person.no_browser())
        terminal.expect(str(CALLBACK_PORT), within=15)
        code = terminal.expect(r"\b[A-Z0-9]{4}-[A-Z0-9]{4}\b", within=15).group()
    url = next(url for url in URL.findall(terminal.seen) if "device" in url)
    assert person.visits(url, code=code) == "done"
    assert terminal.wait(30) == 0, terminal.seen


def test_the_token_is_used_by_a_second_login_nobody_asked_for(cli, person, approving):
    """A valid session needs no second login to print a token: no request leaves the machine."""
    signed_in_quickly(cli, person, approving)
    before = approving.stats()
    first = token_of(cli.run("token", "--endpoint", approving.http))
    second = token_of(cli.run("token", "--endpoint", approving.http))
    assert first == second
    assert approving.stats() == before
