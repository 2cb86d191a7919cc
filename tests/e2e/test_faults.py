"""What broken networks and overloaded servers may cost: a wait and a message, never a session.

Each fault meets each state of a session. Nothing is deleted, a token that is still valid is served, otherwise the error
says what it is, and after the fault the next call succeeds without a login.
"""

import json

import pytest
from harness import fault_proxy as faults
from harness.fault_proxy import http_date, says
from harness.fault_scene import EXPIRED, IN_MARGIN

TOKEN = "/token"
# Longer than any back-off that nobody asked for (5 s) and than what the faults below ask for.
AFTERWARDS = 30


# Name: the fault, the exit code, whether trying again may help.
QUICK = {
    "reset before the request": (faults.reset_before_the_request, 3, True),
    "reset after the request": (faults.reset_after_the_request, 3, True),
    "reset in the reply": (faults.reset_in_the_reply, 3, True),
    "half a reply": (faults.half_a_reply, 3, True),
    "half a head": (faults.half_a_head, 3, True),
    "closed": (faults.closed_after_the_request, 3, True),
    "done, answer lost": (faults.passes_and_resets, 3, True),
    "not HTTP": (faults.not_http, 8, False),
    "429": (says(429), 8, True),
    "429 with seconds": (says(429, retry_after="20"), 8, True),
    "429 with a date": (says(429, retry_after=http_date(20)), 8, True),
    "503": (says(503), 8, True),
    "503 with seconds": (says(503, retry_after="20"), 8, True),
    "503 with a date": (says(503, retry_after=http_date(20)), 8, True),
    "503 with nonsense": (says(503, retry_after="soon"), 8, True),
    "500": (says(500), 8, True),
    "408": (says(408), 8, True),
    "HTML 200": (faults.html_200, 8, True),
    "HTML 502": (faults.html_502, 8, True),
    "JSON called HTML": (faults.json_called_html, 8, True),
    "302 to elsewhere": (faults.redirect, 8, False),
    "truncated JSON": (faults.truncated_json, 8, False),
    "empty 200": (says(200), 8, False),
    "404": (faults.not_found, 8, False),
    "405": (says(405), 8, False),
    "500 with an OAuth error": (says(500, b'{"error":"server_error"}'), 8, True),
    "400 temporarily_unavailable": (says(400, b'{"error":"temporarily_unavailable"}'), 8, True),
}


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("state", ["in margin", "expired", "forced", "first of a job"])
def test_a_fault_costs_no_session(scene, name, state):
    fault, code, retryable = QUICK[name]
    old = scene.served()
    arguments = ["--json"]
    if state == "in margin":
        scene.after(IN_MARGIN)
    elif state == "expired":
        scene.after(EXPIRED)
    elif state == "forced":
        arguments.append("--force-refresh")
    else:
        scene.as_a_job()
    before = scene.records()
    scene.proxy.breaks(fault, TOKEN)
    broken = scene.token(*arguments)
    assert scene.records() == before, "the fault changed the store"
    if state == "in margin":
        assert broken.code == 0 and broken.json["access_token"] == old, broken
    else:
        assert broken.code == code, broken
        error = broken.json["error"]
        assert error["retryable"] is retryable, error
        assert error["next"] and scene.proxy.host in (error["endpoint"] or ""), error
        assert scene.proxy.host in broken.stderr and error["next"] in broken.stderr, broken.stderr
        assert len(broken.errors) == 1, "one line"
    scene.says_nothing_secret(broken)

    scene.proxy.heals()
    scene.moves(AFTERWARDS)
    fresh = scene.token("--force-refresh") if state == "forced" else scene.token()
    assert fresh.code == 0, fresh.stderr
    assert fresh.stdout.strip() != old
    assert scene.shared.provider.accepts(fresh.stdout.strip())


@pytest.mark.parametrize("fault", [faults.slow_head, faults.drip], ids=["head", "drip"])
def test_a_server_that_takes_its_time(scene, fault):
    """A valid token is not kept waiting; without one the wait has an end."""
    old = scene.served()
    scene.proxy.breaks(fault, TOKEN)
    scene.after(IN_MARGIN)
    before = scene.records()
    assert scene.served() == old
    scene.after(EXPIRED)
    gave_up = scene.token("--json")
    assert gave_up.code == 3 and gave_up.json["error"]["retryable"] is True, gave_up
    assert scene.proxy.host in gave_up.stderr
    assert scene.records() == before
    scene.proxy.heals()
    scene.moves(AFTERWARDS)
    assert scene.served() != old


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", ""])
def test_a_label_that_is_wrong_but_harmless(scene, content_type):
    """Real servers mislabel their JSON; only HTML is believed to be what it says."""
    body = b'{"access_token":"mislabelled","token_type":"Bearer","expires_in":3600}'
    scene.after(EXPIRED)
    scene.proxy.breaks(says(200, body, content_type), TOKEN)
    assert scene.served() == "mislabelled"


DISCOVERY = {
    "reset": (faults.reset_after_the_request, 3),
    "half a reply": (faults.half_a_reply, 3),
    "429": (says(429, retry_after="20"), 8),
    "503": (says(503), 8),
    "HTML": (faults.html_200, 8),
    "302": (faults.redirect, 8),
    "truncated": (faults.truncated_json, 8),
    "404": (faults.not_found, 8),
    # Seven bytes and the end: no HTTP to one reader, a broken connection to another.
    "TLS alert": (faults.tls_alert, (3, 8)),
}


@pytest.mark.parametrize("name", DISCOVERY)
def test_discovery_that_fails(scene, name):
    """Nothing was remembered: a valid token serves without discovery, a job hears what is wrong."""
    fault, code = DISCOVERY[name]
    old = scene.served()
    for file in (scene.state / "metadata").rglob("*"):
        file.unlink()
    scene.after(IN_MARGIN)
    before = scene.records()
    scene.proxy.breaks(fault)
    assert scene.served() == old
    scene.as_a_job()
    broken = scene.token("--json")
    codes = code if isinstance(code, tuple) else (code,)
    assert broken.code in codes and scene.proxy.host in broken.stderr, broken
    assert broken.json["error"]["next"]
    assert scene.records() == before
    scene.says_nothing_secret(broken)
    scene.proxy.heals()
    scene.moves(AFTERWARDS)
    assert scene.served()


def test_a_tls_alert(scene):
    """A token endpoint with TLS that breaks off the handshake."""
    scene.after(EXPIRED)
    with_tls = scene.proxy.url.replace("http:", "https:")
    # The session comes from there, or it would not go there.
    record = next((scene.state / "sessions").glob("*.json"))
    as_it_was = record.read_text()
    record.write_text(json.dumps({**json.loads(as_it_was), "token_endpoint_origin": with_tls}))
    before = scene.records()
    scene.proxy.breaks(faults.tls_alert)
    scene.cli.env["FLYTE_AUTH_TOKEN_URL"] = with_tls + TOKEN
    broken = scene.token("--json")
    assert broken.code == 3 and scene.proxy.host in broken.stderr, broken
    assert broken.json["error"]["retryable"] is True
    assert scene.records() == before
    del scene.cli.env["FLYTE_AUTH_TOKEN_URL"]
    record.write_text(as_it_was)
    scene.proxy.heals()
    scene.moves(AFTERWARDS)
    assert scene.served()
