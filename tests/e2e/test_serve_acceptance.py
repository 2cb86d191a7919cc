"""flyteadmin's own acceptance tests (facts, section 9), as far as they can be seen from outside and are no defects; and
the life of a browser's session."""

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from harness import plane as planes
from harness.cli import BINARY, REPOSITORY, plain_environment
from harness.plane import Visitor, claims
from harness.ports import closed_port


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    other = closed_port()
    folder = tmp_path_factory.mktemp("serve")
    changes = {
        "auth": {"userAuth": {"idpQueryParameter": "idp", "redirectUrl": "/console/select"}},
        "server": {"security": {"allowedOrigins": ["https://ui.example"]}},
    }
    with planes.scene(folder, changes) as running:
        own = running.config["auth"]["authorizedUris"][0]
        uris = [own, f"http://localhost:{other}", "https://flyte.example"]
        running.write(planes.merged(running.config, {"auth": {"authorizedUris": uris}}))
        until = time.monotonic() + 15
        while "was read again" not in running.service.logged():
            assert time.monotonic() < until
            time.sleep(0.1)
        running.other = other
        yield running


def asked(reply) -> dict[str, list[str]]:
    return parse_qs(urlsplit(reply.headers["location"]).query)


def test_login_goes_to_the_provider_with_the_configured_scopes(plane):
    reply = Visitor(plane).step("GET", f"{plane.url}/login")
    assert reply.status_code in (302, 303, 307)
    assert reply.headers["location"].startswith(plane.provider.metadata["authorization_endpoint"])
    assert asked(reply)["scope"] == ["openid profile email offline_access"]
    assert asked(reply)["redirect_uri"] == [f"{plane.url}/callback"]


def test_the_idp_parameter_is_handed_on_and_no_other(plane):
    reply = Visitor(plane).step("GET", f"{plane.url}/login?idp=0oa1&acr_values=x&client_id=evil")
    assert asked(reply)["idp"] == ["0oa1"] and "acr_values" not in asked(reply)
    assert asked(reply)["client_id"] == ["console"]


def test_without_a_target_the_browser_ends_at_the_configured_place(plane):
    reply = Visitor(plane).goes_to("/login")
    assert reply.url == f"{plane.url}/console/select" and reply.status_code == 200


@pytest.mark.parametrize(
    "target", ["/console/x?y=1#z", "https://flyte.example/console", "http://localhost:{other}/x", ""]
)
def test_allowed_targets_are_kept(plane, target):
    target = target.format(other=plane.other)
    visitor = Visitor(plane)
    visitor.signs_in()
    reply = visitor.step("GET", f"{plane.url}/login", params={"redirect_url": target})
    # Somebody who is signed in is sent on, or to the provider and back: the end is the same.
    for _ in range(8):
        location = requests.compat.urljoin(reply.url, reply.headers["location"])
        if urlsplit(location).netloc not in (urlsplit(plane.url).netloc, urlsplit(plane.provider.address).netloc):
            break
        if urlsplit(location).path.startswith("/console"):
            break
        reply = visitor.step("GET", location)
    wanted = requests.compat.urljoin(plane.url, target or "/console/select")
    assert location == wanted


def test_the_session_cookie_is_for_this_site_and_no_script(plane):
    visitor = Visitor(plane).signs_in()
    [set_cookie] = [
        value
        for reply in visitor.seen
        for value in reply.raw.headers.getlist("set-cookie")
        if value.startswith("flyte_auth=")
    ]
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/"):
        assert attribute in set_cookie


def test_key_ids_are_thumbprints(plane):
    """RFC 7638, as flyteadmin's."""
    for key in requests.get(f"{plane.url}/oauth2/jwks", timeout=10).json()["keys"]:
        members = json.dumps({name: key[name] for name in ("e", "kty", "n")}, separators=(",", ":"), sort_keys=True)
        thumbprint = base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).rstrip(b"=").decode()
        assert key["kid"] == thumbprint


def test_an_id_token_of_the_provider_is_taken_under_its_own_scheme(plane):
    """flyteadmin's `authorization: IDToken …`; as a bearer token it is none."""
    seen = {}
    query = {
        "client_id": "console",
        "response_type": "code",
        "redirect_uri": f"{plane.url}/callback",
        "scope": "openid",
        "nonce": "n",
        "prompt": "consent",
    }
    visitor = Visitor(plane)
    start = requests.Request("GET", plane.provider.metadata["authorization_endpoint"], params=query).prepare().url
    end = visitor.goes_to(start, until=f"{plane.url}/callback")
    form = {"grant_type": "authorization_code", "code": asked(end)["code"][0], "redirect_uri": f"{plane.url}/callback"}
    seen = requests.post(
        plane.provider.metadata["token_endpoint"], data=form, auth=("console", planes.CONSOLE_SECRET), timeout=20
    ).json()
    good = plane.get("/me", headers={"authorization": f"IDToken {seen['id_token']}"})
    assert good.status_code == 200 and good.json()["subject"] == "alice@example.org"
    assert plane.get("/me", seen["id_token"]).status_code == 401
    head, body, signature = seen["id_token"].split(".")
    for bad in (f"{head}.{body}.", f"{head}.{body}.{signature[::-1]}"):
        assert plane.get("/me", headers={"authorization": f"IDToken {bad}"}).status_code == 401


def test_two_different_tokens_are_refused_and_one_in_both_headers_is_not(plane):
    first, second = plane.machine_token(), plane.machine_token()
    both = plane.get("/me", headers={"authorization": f"Bearer {first}", "flyte-authorization": f"Bearer {first}"})
    assert both.status_code == 200
    two = plane.get("/me", headers={"authorization": f"Bearer {first}", "flyte-authorization": f"Bearer {second}"})
    assert two.status_code == 400 and two.json()["error"] == "invalid_request"
    # A proxy's own login beside Flyte's header is not for us.
    proxied = plane.get("/me", headers={"authorization": "Basic eDp5", "flyte-authorization": f"Bearer {first}"})
    assert proxied.status_code == 200


def test_sessions_are_renewed_on_calls_of_the_api_once_for_all(tmp_path):
    with planes.scene(tmp_path, idp={"OIDC_ACCESS_TTL": "4"}) as plane:
        alice = Visitor(plane).signs_in()

        def calls(_):
            headers = {"accept": "application/json", "cookie": cookie}
            return requests.get(f"{plane.url}/api/v1/x", headers=headers, timeout=20).status_code

        cookie = "; ".join(f"{found.name}={found.value}" for found in alice.browser.cookies if found.path == "/")
        for _ in range(3):
            time.sleep(2.5)
            with ThreadPoolExecutor(10) as threads:
                assert set(threads.map(calls, range(20))) == {200}
        exchanges = plane.provider.trace.read_text().splitlines() if plane.provider.trace.exists() else []
        assert 2 <= len(exchanges) <= 4, "one exchange for all who ask"


def test_a_provider_that_is_down_signs_nobody_out(tmp_path):
    with planes.scene(tmp_path, idp={"OIDC_ACCESS_TTL": "600"}) as plane:
        alice = Visitor(plane).signs_in()
        plane.provider.end()
        assert alice.step("GET", f"{plane.url}/me").status_code == 200
        fresh = Visitor(plane).step("GET", f"{plane.url}/login")
        # Its metadata is still known: the browser is sent there, and finds out.
        assert fresh.status_code in (302, 503)
        assert plane.get("/readyz").status_code == 200
        assert plane.token().status_code == 200


def test_a_person_in_chromium_comes_to_the_console(plane, person):
    assert person.visits(f"{plane.url}/console/in-chromium") == "done"
    assert plane.web.calls[-1][2]["x-user-subject"] == "alice@example.org"
    assert claims(plane.machine_token())["sub"] == "flytepropeller"


def test_the_trial_of_the_guide(tmp_path):
    """docs/serve.md, "On your own machine": its commands as they stand, on other ports."""
    guide = (REPOSITORY / "docs/serve.md").read_text()
    block = textwrap.dedent(re.search(r"\*\*On your own machine\*\*.*?\n\n((?:    .*\n)+)", guide)[1])
    http, grpc, provider, metrics = (closed_port() for _ in range(4))
    block = block.replace("8088", str(http)).replace("19000", str(provider))
    # The guide's own ports may be taken here.
    ports = f"httpPort: {http}, grpc: {{port: {grpc}}}"
    block = block.replace("security: {useAuth: true}", f"{ports}, security: {{useAuth: true}}")
    block = block.replace("database: serve.db", f"database: serve.db, metricsPort: {metrics}")
    block = block.replace("flyte-auth ", f"{BINARY} ")
    env = {**plain_environment(tmp_path), "TMPDIR": str(tmp_path)}
    with open(tmp_path / "trial.log", "w") as log:
        argv = ["bash", "-c", block]
        shell = subprocess.Popen(argv, cwd=tmp_path, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + 20
        while True:
            try:
                requests.get(f"http://localhost:{http}/readyz", timeout=2)
                break
            except requests.ConnectionError:
                assert time.monotonic() < until, (tmp_path / "trial.log").read_text()
                time.sleep(0.2)
        browser = requests.Session()
        browser.headers["accept"] = "text/html"
        page = browser.get(f"http://localhost:{http}/login?redirect_url=/me", timeout=20)
        form = dict(planes._INPUT.findall(page.text)) | {"user": "alice@example.org", "action": "approve"}
        end = browser.post(requests.compat.urljoin(page.url, planes._FORM.search(page.text)[1]), data=form, timeout=20)
        assert end.json()["subject"] == "alice@example.org", end.text
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(15)
