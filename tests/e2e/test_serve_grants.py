"""The built-in authorization server beyond what flyteadmin has: pushed requests, `private_key_jwt`, the device grant,
other signing algorithms, audiences; and the external one."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from harness import plane as planes
from harness.plane import CLI_REDIRECT, DEVICE_GRANT, PROPELLER_SECRET, Visitor, claims, header, inputs, quoted

PROPELLER = ("flytepropeller", quoted(PROPELLER_SECRET))
KEY = ec.generate_private_key(ec.SECP256R1())
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def jwks() -> dict:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))
    return {"keys": [{**public, "kid": "robot-1", "use": "sig", "alg": "ES256"}]}


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    robot = {
        "id": "robot",
        "grant_types": ["client_credentials"],
        "scopes": ["all", "runs.*"],
        "audience": ["https://other.example"],
        "jwks": jwks(),
    }
    web = {
        "id": "web",
        "client_secret": None,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "redirect_uris": ["https://app.example/cb?x=1"],
        "scopes": ["all", "offline"],
    }
    folder = tmp_path_factory.mktemp("serve")
    keys = planes.run("secrets", "hash", input=PROPELLER_SECRET).stdout.strip()
    clients = {"robot": robot, "web": {**web, "client_secret": keys}}
    with planes.scene(folder, {"auth": {"appAuth": {"selfAuthServer": {"staticClients": clients}}}}) as running:
        yield running


@pytest.fixture(scope="module")
def alice(plane):
    return Visitor(plane).signs_in()


def assertion(plane, head=None, key=None, algorithm="ES256", **changes) -> str:
    now = int(time.time())
    body = {
        "iss": "robot",
        "sub": "robot",
        "aud": plane.url,
        "iat": now,
        "exp": now + 60,
        "jti": f"{time.monotonic_ns()}",
        **changes,
    }
    body = {name: value for name, value in body.items() if value is not None}
    return jwt.encode(body, key or KEY, algorithm=algorithm, headers={"kid": "robot-1", **(head or {})})


def by_assertion(plane, text: str, **form) -> requests.Response:
    form = {
        "grant_type": "client_credentials",
        "scope": "all",
        "client_assertion_type": ASSERTION,
        "client_assertion": text,
        **form,
    }
    return requests.post(f"{plane.url}/oauth2/token", data=form, timeout=20)


def test_private_key_jwt(plane):
    assert "private_key_jwt" in plane.metadata["token_endpoint_auth_methods_supported"]
    for audience in (plane.url, f"{plane.url}/oauth2/token", [plane.url]):
        reply = by_assertion(plane, assertion(plane, aud=audience))
        assert reply.status_code == 200, reply.text
        assert claims(reply.json()["access_token"])["sub"] == "robot"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "other"},
        {"sub": "flytepropeller"},
        {"aud": "https://other.example"},
        {"aud": ["https://other.example", "x"]},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"exp": 99999999999},
        {"nbf": 99999999999},
        {"jti": None},
        {"exp": "soon"},
    ],
)
def test_an_assertion_that_is_wrong_in_one_thing(plane, changes):
    reply = by_assertion(plane, assertion(plane, **changes))
    assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client"), reply.text


def test_an_assertion_works_once_and_only_with_the_clients_own_key(plane):
    text = assertion(plane)
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: by_assertion(plane, text).status_code, range(8)))
    assert sorted(statuses) == [200] + [401] * 7
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert by_assertion(plane, assertion(plane, key=stranger)).status_code == 401
    shared = assertion(plane, key="k" * 32, algorithm="HS256")
    assert by_assertion(plane, shared).status_code == 401
    assert by_assertion(plane, "garbage").status_code == 401
    assert by_assertion(plane, assertion(plane), client_secret="x").status_code == 400
    # A client with keys and no secret opens to no secret.
    form = {"grant_type": "client_credentials", "scope": "all"}
    for secret in ("", "x"):
        assert (
            requests.post(f"{plane.url}/oauth2/token", data=form, auth=("robot", secret), timeout=20).status_code == 401
        )


def test_scopes_with_a_wildcard_and_audiences_by_the_list(plane):
    token = by_assertion(plane, assertion(plane), scope="runs.read runs.a.b", audience="https://other.example").json()[
        "access_token"
    ]
    found = claims(token)
    assert found["scope"] == "runs.read runs.a.b" and found["aud"] == [plane.url, "https://other.example"]
    for bad in ("runs", "runs.", "offline"):
        assert by_assertion(plane, assertion(plane), scope=bad).json()["error"] == "invalid_scope", bad
    refused = by_assertion(plane, assertion(plane), audience="https://evil.example")
    assert refused.json()["error"] == "invalid_target"
    assert plane.token(audience="https://other.example").json()["error"] == "invalid_target"


def pushed(plane, **changes) -> requests.Response:
    form = {
        "client_id": "flytectl",
        "response_type": "code",
        "redirect_uri": CLI_REDIRECT,
        "scope": "all offline",
        "state": "a-state-of-the-client",
        "code_challenge": base64.urlsafe_b64encode(b"x" * 32).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        **changes,
    }
    return requests.post(f"{plane.url}/oauth2/par", data=form, timeout=20)


def test_pushed_requests(plane, alice):
    reply = pushed(plane)
    assert reply.status_code == 201 and reply.json()["expires_in"] == 90
    uri = reply.json()["request_uri"]
    assert uri.startswith("urn:ietf:params:oauth:request_uri:")
    wrong = alice.step("GET", f"{plane.url}/oauth2/authorize", params={"client_id": "web", "request_uri": uri})
    assert wrong.status_code == 400
    uri = pushed(plane).json()["request_uri"]
    target = f"{plane.url}/oauth2/authorize?client_id=flytectl&scope=evil&request_uri={uri}"
    end = alice.goes_to(target, until=CLI_REDIRECT)
    answer = parse_qs(urlsplit(end.headers["location"]).query)
    assert answer["state"] == ["a-state-of-the-client"] and answer["code"]
    assert alice.step("GET", target).status_code == 400, "it works once"
    for changes, error in (
        ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"scope": "x"}, "invalid_scope"),
        ({"request_uri": "urn:x"}, "invalid_request"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ):
        assert pushed(plane, **changes).json()["error"] == error, changes


def test_a_confidential_client_for_people_with_form_post(plane, alice):
    query = {
        "client_id": "web",
        "response_type": "code",
        "scope": "all offline",
        "state": "12345678",
        "response_mode": "form_post",
    }
    end = alice.goes_to(
        requests.Request("GET", f"{plane.url}/oauth2/authorize", params=query).prepare().url,
        until="https://app.example",
    )
    assert end.status_code == 200 or end.is_redirect
    page = [reply for reply in alice.seen if 'action="https://app.example/cb?x=1"' in reply.text][-1]
    fields = dict(planes._INPUT.findall(page.text))
    assert fields["state"] == "12345678" and fields["iss"] == plane.url
    form = {"grant_type": "authorization_code", "code": fields["code"]}
    basic = ("web", quoted(PROPELLER_SECRET))
    # The request did not name the redirect, so the exchange need not.
    body = requests.post(f"{plane.url}/oauth2/token", data=form, auth=basic, timeout=20)
    assert body.status_code == 200, body.text
    refresh = {"grant_type": "refresh_token", "refresh_token": body.json()["refresh_token"]}
    assert plane.post("/oauth2/token", **refresh).json()["error"] == "invalid_grant", "another client's token"
    narrowed = requests.post(
        f"{plane.url}/oauth2/token", data={**refresh, "scope": "all"}, auth=basic, timeout=20
    ).json()
    assert narrowed["scope"] == "all"
    wider = {"grant_type": "refresh_token", "refresh_token": narrowed["refresh_token"], "scope": "all more"}
    assert (
        requests.post(f"{plane.url}/oauth2/token", data=wider, auth=basic, timeout=20).json()["error"]
        == "invalid_scope"
    )


def begun(plane) -> dict:
    reply = plane.post("/oauth2/device_authorization", scope="all offline")
    assert reply.status_code == 200, reply.text
    return reply.json()


def polled(plane, device: dict) -> requests.Response:
    return plane.post("/oauth2/token", grant_type=DEVICE_GRANT, device_code=device["device_code"])


def test_the_device_grant_with_a_person_who_says_yes(plane, alice):
    device = begun(plane)
    assert device["verification_uri"] == f"{plane.url}/device" and device["interval"] == 5
    assert polled(plane, device).json()["error"] == "authorization_pending"
    assert polled(plane, device).json()["error"] == "slow_down"
    done = alice.goes_to(device["verification_uri_complete"])
    assert "You are signed in" in done.text
    reply = polled(plane, device)
    assert reply.status_code == 200 and reply.json()["refresh_token"]
    assert claims(reply.json()["access_token"])["sub"] == "alice@example.org"
    assert polled(plane, device).json()["error"] == "invalid_grant"


def test_the_device_grant_with_a_person_who_says_no(plane, alice):
    device = begun(plane)
    done = alice.goes_to(device["verification_uri_complete"], answer="deny")
    assert "denied" in done.text
    assert polled(plane, device).json()["error"] == "access_denied"


def test_user_codes_cannot_be_tried_by_strangers_nor_for_ever(plane, alice):
    stranger = requests.get(f"{plane.url}/device?user_code=BBBB-BBBB", allow_redirects=False, timeout=10)
    assert stranger.status_code == 303 and "/login" in stranger.headers["location"]
    statuses = [
        alice.step("GET", f"{plane.url}/device?user_code=BBBB-BB{first}{second}").status_code
        for first in "BCDFG"
        for second in "BCDFGH"
    ]
    assert statuses[0] == 200 and statuses[-1] == 429


def test_user_codes_cannot_be_tried_by_answering_either(plane):
    bob = Visitor(plane, "bob@example.org").signs_in()
    device = begun(plane)
    form = inputs(bob.step("GET", device["verification_uri_complete"])) | {"action": "deny"}

    def answer(user_code: str) -> int:
        origin = {"origin": plane.url}
        decision = f"{plane.url}/device/decision"
        return bob.step("POST", decision, data=form | {"user_code": user_code}, headers=origin).status_code

    statuses = [answer(f"BBBB-BB{first}{second}") for first in "BCDFG" for second in "BCDFGH"]
    assert statuses[0] == 400 and statuses[-1] == 429
    assert answer(device["user_code"]) == 429
    # Nobody answered it: neither yes nor no.
    assert polled(plane, device).json()["error"] == "authorization_pending"


def test_requests_that_wait_for_somebody_are_limited(tmp_path):
    """Each is a row in the database: nobody fills it."""
    with planes.scene(tmp_path) as plane, ThreadPoolExecutor(8) as threads:

        def begin(_):
            return plane.post("/oauth2/device_authorization", scope="all").status_code

        statuses = list(threads.map(begin, range(700)))
        assert set(statuses) == {200, 429}, statuses
        time.sleep(1.1)
        assert plane.post("/oauth2/device_authorization", scope="all").status_code == 200


def test_a_body_that_is_too_large_is_refused(plane):
    reply = plane.post("/oauth2/token", grant_type="refresh_token", refresh_token="x" * 100_000)
    assert reply.status_code == 413


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_other_signing_algorithms(tmp_path, algorithm):
    changes = {"auth": {"appAuth": {"selfAuthServer": {"signingAlgorithm": algorithm}}}}
    with planes.scene(tmp_path, changes, algorithm=algorithm.lower()) as plane:
        token = plane.machine_token()
        assert header(token)["alg"] == algorithm
        [key] = requests.get(f"{plane.url}/oauth2/jwks", timeout=10).json()["keys"]
        parsed = jwt.PyJWK(key)
        assert (
            jwt.decode(token, parsed, algorithms=[algorithm], audience=plane.url, issuer=plane.url)["sub"]
            == "flytepropeller"
        )
        assert plane.get("/api/v1/x", token).status_code == 200


def test_an_issuer_of_its_own_and_an_audience_of_the_address(tmp_path):
    """flyteadmin's tokens all fail there (facts, 4.5)."""
    changes = {"auth": {"appAuth": {"selfAuthServer": {"issuer": "https://issuer.example"}}}}
    with planes.scene(tmp_path, changes) as plane:
        found = claims(plane.machine_token())
        assert found["iss"] == "https://issuer.example" and found["aud"] == [plane.url]
        assert plane.get("/api/v1/x", plane.machine_token()).status_code == 200


@pytest.fixture(scope="module")
def external(tmp_path_factory):
    """`External`, with oidc-provider as both the authorization server and the identity provider."""
    folder = tmp_path_factory.mktemp("external")
    changes = {
        "auth": {
            "appAuth": {
                "authServerType": "External",
                "externalAuthServer": {"allowedAudience": ["https://flyte.example/api"], "retryDelay": "100ms"},
            }
        }
    }
    with planes.scene(folder, changes) as plane:
        yield plane


def test_external_metadata_is_the_servers_own_for_both_generations(external):
    issuer = external.provider.metadata
    document = external.get("/.well-known/oauth-authorization-server").json()
    assert document["token_endpoint"] == issuer["token_endpoint"]
    assert document["introspection_endpoint"] == issuer["introspection_endpoint"], "nothing is dropped"
    connect = requests.post(f"{external.url}/flyteidl2.auth.AuthMetadataService/GetOAuth2Metadata", json={}, timeout=10)
    assert connect.json()["tokenEndpoint"] == issuer["token_endpoint"]
    for path in ("/oauth2/token", "/oauth2/authorize", "/oauth2/jwks"):
        assert external.get(path).status_code in (401, 404), path
    resource = external.get("/.well-known/oauth-protected-resource").json()
    assert resource["authorization_servers"] == [issuer["issuer"]]


def test_external_tokens_are_checked_against_the_servers_keys(external):
    provider = external.provider
    token = provider.client_credentials("ci-basic", provider.secrets["ci-basic"])
    assert external.get("/api/v1/x", token).status_code == 200
    assert external.web.calls[-1][2]["x-user-subject"] == "ci-basic"
    less = provider.client_credentials("ci-basic", provider.secrets["ci-basic"], scope="offline")
    assert external.get("/api/v1/x", less).status_code == 403
    head, body, signature = token.split(".")
    forged = f"{head}.{body}.{signature[:-4]}{'AAAA' if signature[-4:] != 'AAAA' else 'BBBB'}"
    for bad in (forged, f"{head}.{body}.", "garbage"):
        assert external.get("/api/v1/x", bad).status_code == 401
    # A browser still signs in at the provider.
    alice = Visitor(external).signs_in()
    assert alice.step("GET", f"{external.url}/api/v1/x", headers={"accept": "*/*"}).status_code == 200


def test_external_audience_is_checked(tmp_path):
    changes = {
        "auth": {
            "appAuth": {
                "authServerType": "External",
                "externalAuthServer": {"allowedAudience": "https://elsewhere.example"},
            }
        }
    }
    with planes.scene(tmp_path, changes) as plane:
        provider = plane.provider
        token = provider.client_credentials("ci-basic", provider.secrets["ci-basic"])
        reply = plane.get("/api/v1/x", token)
        assert reply.status_code == 401 and "audience" in reply.json()["error_description"]


def test_external_opaque_tokens_by_introspection(tmp_path):
    introspection = {"clientId": "ci-basic", "clientSecretName": "introspection_client_secret"}
    changes = {
        "auth": {"appAuth": {"authServerType": "External", "externalAuthServer": {"introspection": introspection}}}
    }
    secret = {"FLYTE_SECRET_introspection_client_secret": "basic-secret-0123456789"}
    with planes.scene(tmp_path, changes, idp={"OIDC_FORMAT": "opaque"}, environment=secret) as plane:
        provider = plane.provider
        token = provider.client_credentials("ci-basic", provider.secrets["ci-basic"])
        assert token.count(".") == 0
        # An opaque token has no audience of ours: it is known, and not for this service.
        reply = plane.get("/api/v1/x", token)
        assert reply.status_code == 401 and "audience" in reply.json()["error_description"]
        assert plane.get("/api/v1/x", "nobody-knows-this").status_code == 401
