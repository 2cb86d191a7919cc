"""The 46 known defects of flyteadmin v1.16.8 (facts, section 8): one test each that this server is free of it.

Where a defect cannot exist here, the nearest thing that can be seen from outside is tested, and the test says so."""

import base64
import http.client
import itertools
import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import grpc
import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from flyteidl.admin import project_pb2
from flyteidl.service import admin_pb2_grpc, identity_pb2, identity_pb2_grpc
from harness import plane as planes
from harness.plane import CLI_REDIRECT, PROPELLER_SECRET, Visitor, channel, claims, header, quoted
from harness.ports import closed_port

PROPELLER = ("flytepropeller", quoted(PROPELLER_SECRET))


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with planes.scene(tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture(scope="module")
def alice(plane):
    return Visitor(plane).signs_in()


def signed(plane, changes: dict, head: dict | None = None, remove=()) -> str:
    """A token that the server's own key signed: what an attacker who had it, or a careless issuer, could make."""
    key = serialization.load_pem_private_key((plane.keys.folder / "token_rsa_key.pem").read_bytes(), None)
    now = int(time.time())
    body = {
        "iss": plane.url,
        "aud": [plane.url],
        "sub": "alice@example.org",
        "client_id": "flytectl",
        "scope": "all",
        "scp": ["all"],
        "iat": now,
        "exp": now + 300,
        "jti": f"made-{now}-{time.monotonic_ns()}",
        **changes,
    }
    body = {name: value for name, value in body.items() if name not in remove}
    kid = requests.get(f"{plane.url}/oauth2/jwks", timeout=10).json()["keys"][0]["kid"]
    return jwt.encode(body, key, algorithm="RS256", headers={"typ": "at+jwt", "kid": kid, **(head or {})})


def status_of(plane, token: str, scheme="Bearer") -> grpc.StatusCode:
    wire, metadata = channel(plane, token, scheme=scheme)
    with wire:
        try:
            admin_pb2_grpc.AdminServiceStub(wire).ListProjects(project_pb2.ProjectListRequest(), metadata=metadata)
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()


def error_of(reply: requests.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]


def test_d01_user_info_of_the_caller_is_not_believed(plane, alice):
    token = alice.tokens()["access_token"]
    forged = base64.b64encode(b"\x32\x10evil@example.org").decode()
    wire, metadata = channel(plane, token)
    with wire:
        extra = (("userinfo-bin", b"\x32\x10evil@example.org"), ("x-user-subject", "evil"), ("x-user-email", "evil"))
        stub = identity_pb2_grpc.IdentityServiceStub(wire)
        info = stub.UserInfo(identity_pb2.UserInfoRequest(), metadata=(*metadata, *extra))
        assert (info.subject, info.email) == ("alice@example.org", "alice@example.org")
        admin = admin_pb2_grpc.AdminServiceStub(wire)
        admin.ListProjects(project_pb2.ProjectListRequest(), metadata=(*metadata, *extra))
    _, sent = plane.admin.calls[-1]
    assert sent["x-user-subject"] == sent["x-user-email"] == "alice@example.org" and "userinfo-bin" not in sent
    by_http = plane.get("/me", token, headers={"Grpc-Metadata-UserInfo-Bin": forged})
    assert by_http.json()["email"] == "alice@example.org"
    plane.get("/api/v1/x", token, headers={"Grpc-Metadata-UserInfo-Bin": forged, "X_User_Subject": "evil"})
    _, _, sent, _ = plane.web.calls[-1]
    assert not [name for name in sent if "userinfo" in name or "evil" in sent[name]]


def test_d02_an_access_token_is_no_refresh_token(plane, alice):
    body = alice.tokens()
    assert error_of(alice.refreshes(body["access_token"])) == (400, "invalid_grant")
    assert alice.refreshes(body["refresh_token"]).status_code == 200


def test_d03_a_code_works_once_and_a_second_use_ends_what_the_first_gave(plane, alice):
    answer, verifier = alice.authorizes()
    first = alice.redeems(answer["code"], verifier)
    assert first.status_code == 200
    assert error_of(alice.redeems(answer["code"], verifier)) == (400, "invalid_grant")
    assert plane.get("/me", first.json()["access_token"]).status_code == 401
    assert error_of(alice.refreshes(first.json()["refresh_token"])) == (400, "invalid_grant")


def test_d03_of_many_at_once_at_most_one_gets_tokens(plane, alice):
    answer, verifier = alice.authorizes()
    with ThreadPoolExecutor(16) as threads:
        replies = list(threads.map(lambda _: alice.redeems(answer["code"], verifier), range(16)))
    assert sum(reply.status_code == 200 for reply in replies) == 1
    assert all(error_of(reply) == (400, "invalid_grant") for reply in replies if reply.status_code != 200)


def test_d04_a_code_is_bound_to_its_redirect(plane, alice):
    answer, verifier = alice.authorizes()
    assert error_of(alice.redeems(answer["code"], verifier, redirect_uri=None)) == (400, "invalid_request")
    wrong = alice.redeems(answer["code"], verifier, redirect_uri="http://127.0.0.1/callback")
    assert error_of(wrong) == (400, "invalid_grant")
    assert alice.redeems(answer["code"], verifier).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge": "short"},
    ],
)
def test_d05_a_public_client_needs_pkce(plane, alice, changes):
    answer, _ = alice.authorizes(**changes)
    assert answer["error"] == "invalid_request" and "code" not in answer


def test_d05_the_verifier_must_fit(plane, alice):
    for wrong in (None, "x" * 43, ""):
        answer, _ = alice.authorizes()
        assert error_of(alice.redeems(answer["code"], wrong)) == (400, "invalid_grant")


def test_d06_an_access_token_is_no_code(plane, alice):
    body = alice.tokens(scope="all offline access_token")
    for verifier in (None, "x" * 43):
        assert error_of(alice.redeems(body["access_token"], verifier)) == (400, "invalid_grant")


def test_d07_nothing_is_granted_that_was_not_asked_for(plane):
    assert error_of(plane.token(scope=None)) == (400, "invalid_scope")
    assert error_of(plane.token(scope="nothing-such")) == (400, "invalid_scope")
    # A token that names neither client nor scope may do nothing.
    assert status_of(plane, signed(plane, {}, remove=("client_id", "scope", "scp"))) != grpc.StatusCode.OK
    assert status_of(plane, signed(plane, {}, remove=("scope", "scp"))) == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "http://localhost:{port}@evil.example/",
        "/%09/evil.example",
        "/.//evil.example",
        "http://localhost.evil.example:{port}/",
    ],
)
@pytest.mark.parametrize("route", ["/login", "/logout"])
def test_d08_no_exit_leads_elsewhere(plane, target, route):
    target = target.format(port=urlsplit(plane.url).port)
    visitor = Visitor(plane).signs_in()
    visitor.browser.headers["sec-fetch-site"] = "same-origin"
    reply = visitor.step("GET", f"{plane.url}{route}", params={"redirect_url": target})
    for _ in range(10):
        if not reply.is_redirect:
            break
        location = requests.compat.urljoin(reply.url, reply.headers["location"])
        assert urlsplit(location).hostname in ("localhost", "127.0.0.1"), location
        reply = visitor.step("GET", location)
    assert "evil" not in urlsplit(reply.url).netloc


def test_d08_the_callback_takes_no_target_of_its_own(plane):
    visitor = Visitor(plane)
    reply = visitor.step(
        "GET", f"{plane.url}/callback", params={"redirect_url": "https://evil.example/", "code": "x", "state": "y"}
    )
    assert not reply.is_redirect and reply.status_code in (400, 401, 403)


def test_d09_no_header_chooses_the_rules_of_another_origin(tmp_path):
    with planes.scene(tmp_path, {"auth": {"disableForGrpc": True}}) as plane:
        for headers in ({"Grpc-Metadata-From_http": "false"}, {"from_http": "false"}, {"from-http": "false"}):
            assert plane.get("/api/v1/projects", headers=headers).status_code == 401, headers
        # What is in a request says no more of its kind than its name does.
        before = len(plane.web.calls)
        for method, path in itertools.product(("GET", "POST", "DELETE"), ("/api/v1/projects", "/api/v1", "/console")):
            for content_type in ("application/grpc", "application/grpc+proto"):
                asked = {"content-type": content_type}
                reply = requests.request(method, plane.url + path, headers=asked, allow_redirects=False, timeout=10)
                assert reply.status_code in (401, 302), (method, path, reply.status_code)
        assert len(plane.web.calls) == before
        wire, _ = channel(plane)
        with wire:
            assert admin_pb2_grpc.AdminServiceStub(wire).ListProjects(project_pb2.ProjectListRequest()).projects
        _, sent = plane.admin.calls[-1]
        assert "x-user-subject" not in sent


def test_d10_the_provider_is_asked_with_pkce_nonce_and_state_and_its_answer_is_checked(plane):
    visitor = Visitor(plane)
    reply = visitor.step("GET", f"{plane.url}/login?redirect_url=/console")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(reply.headers["location"]).query).items()}
    assert asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
    assert asked["nonce"] and asked["state"] and asked["redirect_uri"] == f"{plane.url}/callback"
    # A callback from another issuer, an error of the provider, and a state of nobody.
    wrong = {"code": "x", "state": asked["state"], "iss": "https://evil.example"}
    reply = visitor.step("GET", f"{plane.url}/callback", params=wrong)
    assert reply.status_code in (400, 401, 403) and not reply.is_redirect
    assert Visitor(plane).step("GET", f"{plane.url}/callback?code=x&state=y").status_code in (400, 401, 403)
    visitor = Visitor(plane)
    state = parse_qs(urlsplit(visitor.step("GET", f"{plane.url}/login").headers["location"]).query)["state"][0]
    issuer = plane.provider.metadata["issuer"]
    reply = visitor.step(
        "GET", f"{plane.url}/callback", params={"error": "access_denied", "state": state, "iss": issuer}
    )
    assert reply.status_code == 403 and "You are not signed in" in reply.text


@pytest.mark.parametrize(
    ("changes", "remove", "head"),
    [
        ({"iss": "https://evil.example"}, (), {}),
        ({}, ("iss",), {}),
        ({}, ("exp",), {}),
        ({"exp": 1}, (), {}),
        ({"nbf": 99999999999}, (), {}),
        ({"aud": ["https://other.example"]}, (), {}),
        ({}, ("aud",), {}),
        ({}, (), {"typ": "JWT"}),
        ({}, (), {"typ": "logout+jwt"}),
        ({}, (), {"crit": ["x"], "x": 1}),
    ],
)
def test_d11_issuer_expiry_audience_and_type_are_checked(plane, changes, remove, head):
    assert status_of(plane, signed(plane, {})) == grpc.StatusCode.OK
    assert status_of(plane, signed(plane, changes, head, remove)) == grpc.StatusCode.UNAUTHENTICATED


def test_d11_an_id_token_is_no_access_token_and_no_access_token_an_id_token(plane, alice):
    sign_in = Visitor(plane)
    sign_in.signs_in()
    token = alice.tokens()["access_token"]
    assert status_of(plane, token, scheme="IDToken") == grpc.StatusCode.UNAUTHENTICATED


def test_d12_without_a_client_id_nobody_signs_in_and_nothing_is_skipped(tmp_path):
    changes = {"auth": {"userAuth": {"openId": {"clientId": None}}}}
    with planes.scene(tmp_path, changes) as plane:
        assert plane.get("/login").status_code == 404
        forged = jwt.encode({"iss": "x", "sub": "evil", "aud": "y"}, "k" * 32, algorithm="HS256")
        assert status_of(plane, forged, scheme="IDToken") == grpc.StatusCode.UNAUTHENTICATED
        assert plane.token().status_code == 200


def test_d13_consent_is_asked_for_and_another_site_cannot_give_it(plane, alice):
    answer, _ = alice.authorizes(answer="deny")
    assert answer["error"] == "access_denied" and answer["state"] == "a-state-of-the-client"
    silent, _ = alice.authorizes(prompt="none")
    assert silent["error"] == "consent_required"
    nobody, _ = Visitor(plane).authorizes(prompt="none")
    assert nobody["error"] == "login_required"
    # A form from elsewhere has not the cookie's value.
    query = {"response_type": "code", "client_id": "flytectl", "redirect_uri": CLI_REDIRECT, "scope": "all"}
    query |= {"code_challenge": "a" * 43, "code_challenge_method": "S256"}
    page = alice.step("GET", f"{plane.url}/oauth2/authorize", params=query)
    form = dict(planes._INPUT.findall(page.text)) | {"action": "approve"}
    for forged in ({**form, "csrf": "a" * 43}, {key: value for key, value in form.items() if key != "csrf"}):
        reply = alice.step("POST", f"{plane.url}/oauth2/consent", data=forged)
        assert reply.status_code == 403 and "location" not in reply.headers
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    other = Visitor(plane, "bob@example.org").signs_in()
    other.browser.cookies.set("flyte_auth_csrf", form["csrf"])
    assert other.step("POST", f"{plane.url}/oauth2/consent", data=form).status_code == 409


def test_d14_tokens_can_be_revoked_and_introspected_and_logout_ends_the_session(plane, alice):
    body = alice.tokens()

    def inspect(token):
        return requests.post(f"{plane.url}/oauth2/introspect", data={"token": token}, auth=PROPELLER, timeout=20)

    assert inspect(body["access_token"]).json()["active"] is True
    assert requests.post(f"{plane.url}/oauth2/introspect", data={"token": "x"}, timeout=20).status_code == 401
    assert plane.post("/oauth2/revoke", token=body["access_token"]).status_code == 200
    assert inspect(body["access_token"]).json() == {"active": False}
    assert plane.get("/me", body["access_token"]).status_code == 401
    body = alice.tokens()
    assert plane.post("/oauth2/revoke", token=body["refresh_token"]).status_code == 200
    assert plane.get("/me", body["access_token"]).status_code == 401
    assert error_of(alice.refreshes(body["refresh_token"])) == (400, "invalid_grant")
    assert plane.post("/oauth2/revoke", token="nobody's").status_code == 200
    visitor = Visitor(plane).signs_in()
    visitor.browser.headers["sec-fetch-site"] = "same-origin"
    reply = visitor.step("GET", f"{plane.url}/logout")
    assert reply.is_redirect and reply.headers["location"].startswith(plane.provider.metadata["end_session_endpoint"])
    assert visitor.step("GET", f"{plane.url}/me", headers={"accept": "application/json"}).status_code == 401


def test_d15_refresh_tokens_rotate_and_reuse_ends_the_session(plane, alice):
    first = alice.tokens()
    second = alice.refreshes(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    third = alice.refreshes(second["refresh_token"]).json()
    # The pair that replaced the first one was used: whoever presents the first one now has stolen it, or was robbed.
    assert error_of(alice.refreshes(first["refresh_token"])) == (400, "invalid_grant")
    assert error_of(alice.refreshes(third["refresh_token"])) == (400, "invalid_grant")
    assert plane.get("/me", third["access_token"]).status_code == 401


def test_d15_a_lost_reply_ends_no_session(plane, alice):
    first = alice.tokens()
    alice.refreshes(first["refresh_token"])  # The reply never arrives.
    again = alice.refreshes(first["refresh_token"])
    assert again.status_code == 200
    body = again.json()
    assert plane.get("/me", body["access_token"]).status_code == 200
    # The new access token was used: now the old refresh token is a stolen one.
    time.sleep(0.5)
    assert error_of(alice.refreshes(first["refresh_token"])) == (400, "invalid_grant")


def test_d15_a_session_ends_in_the_end(tmp_path):
    changes = {"auth": {"appAuth": {"selfAuthServer": {"sessionLifespan": "3s", "accessTokenLifespan": "2s"}}}}
    with planes.scene(tmp_path, changes) as plane:
        alice = Visitor(plane).signs_in()
        body = alice.tokens()
        began = time.monotonic()
        while time.monotonic() - began < 10:
            reply = alice.refreshes(body["refresh_token"])
            if reply.status_code != 200:
                assert error_of(reply) == (400, "invalid_grant")
                assert time.monotonic() - began >= 2
                return
            body = reply.json()
            time.sleep(0.5)
        raise AssertionError("the session has no end")


def test_d16_bad_codes_and_refresh_tokens_are_invalid_grant(plane, alice):
    answer, verifier = alice.authorizes()
    code = answer["code"]
    for bad in ("garbage", code[:-1], code + "x", code[::-1]):
        assert error_of(alice.redeems(bad, verifier)) == (400, "invalid_grant"), bad
    refresh = alice.tokens()["refresh_token"]
    for bad in ("garbage", refresh[:-1], "e30.e30.e30"):
        assert error_of(alice.refreshes(bad)) == (400, "invalid_grant"), bad


def test_d16_expired_codes_and_refresh_tokens_are_invalid_grant(tmp_path):
    changes = {
        "auth": {"appAuth": {"selfAuthServer": {"authorizationCodeLifespan": "1s", "refreshTokenLifespan": "1s"}}}
    }
    with planes.scene(tmp_path, changes) as plane:
        alice = Visitor(plane).signs_in()
        body = alice.tokens()
        answer, verifier = alice.authorizes()
        time.sleep(1.2)
        assert error_of(alice.redeems(answer["code"], verifier)) == (400, "invalid_grant")
        assert error_of(alice.refreshes(body["refresh_token"])) == (400, "invalid_grant")


def test_d17_a_new_signing_key_ends_neither_access_nor_refresh_tokens(tmp_path):
    with planes.scene(tmp_path) as plane:
        alice = Visitor(plane).signs_in()
        body = alice.tokens()
        old = (plane.keys.folder / "token_rsa_key.pem").read_text()
        plane.keys.put("token_rsa_key_old.pem", old)
        (plane.keys.folder / "token_rsa_key.pem").unlink()
        assert planes.run("secrets", "init", plane.keys.folder).returncode == 0
        before = header(body["access_token"])["kid"]
        until = time.monotonic() + 15
        while header(plane.machine_token())["kid"] == before:
            assert time.monotonic() < until, "the new key is not used"
            time.sleep(0.3)
        kids = [key["kid"] for key in requests.get(f"{plane.url}/oauth2/jwks", timeout=10).json()["keys"]]
        assert len(kids) == 2 and kids[1] == before
        assert plane.get("/me", body["access_token"]).status_code == 200
        assert alice.refreshes(body["refresh_token"]).status_code == 200


def test_d18_tokens_name_their_key_and_keys_say_what_they_are_for(plane):
    head = header(plane.machine_token())
    assert "key_id" not in head
    [key] = requests.get(f"{plane.url}/oauth2/jwks", timeout=10).json()["keys"]
    assert (key["kid"], key["alg"], key["use"]) == (head["kid"], "RS256", "sig")


def test_d19_a_machines_token_says_whose_it_is(plane):
    found = claims(plane.machine_token())
    assert found["iss"] == plane.url and found["sub"] == found["client_id"] == "flytepropeller"


def test_d20_memory_is_flat_over_many_tokens(plane):
    """Nothing is kept in memory for a token; the soak of a million requests is a target of its own."""

    def resident() -> int:
        with open(f"/proc/{plane.service.process.pid}/statm") as file:
            return int(file.read().split()[1]) * 4096

    with requests.Session() as session:
        form = {"grant_type": "client_credentials", "scope": "all"}

        def many(count):
            for _ in range(count):
                assert (
                    session.post(f"{plane.url}/oauth2/token", data=form, auth=PROPELLER, timeout=20).status_code == 200
                )

        many(100)
        before = resident()
        many(300)
        # flyteadmin would have kept 800 kB; a debug build's arenas move by a little.
        assert resident() - before < 4 << 20


def test_d21_nothing_grows_with_logins(plane):
    """flyteadmin's chain of contexts has no counterpart; a login that is begun and left leaves nothing here."""
    for _ in range(50):
        assert Visitor(plane).step("GET", f"{plane.url}/login").is_redirect


def test_d22_hosts_from_outside_name_no_issuer(plane):
    for headers in ({"host": "evil.example"}, {"x-forwarded-host": "evil.example"}, {"forwarded": "host=evil.example"}):
        document = plane.get("/.well-known/oauth-authorization-server", headers=headers)
        assert "evil" not in document.text, headers
        login = plane.get("/login", headers={**headers, "accept": "text/html"})
        assert "evil" not in login.headers.get("location", ""), headers


def test_d22_without_authorized_uris_only_this_machines_name_is_taken(tmp_path):
    """flyteadmin believes the request's host then."""
    port = closed_port()
    changes = {"server": {"httpPort": port}, "auth": {"authorizedUris": [f"http://localhost:{port}"]}}
    keys = planes.Keys(tmp_path / "secrets")
    config = planes.configuration(port, keys, "http://127.0.0.1:9", tmp_path, changes)
    file = tmp_path / "c.yaml"
    config["auth"].pop("authorizedUris")
    file.write_text(json.dumps(config))
    rows = json.loads(planes.run("serve", "--config", file, "--check", "--json").stdout)
    [row] = [row for row in rows if row["key"] == "auth.authorizedUris"]
    assert row["verdict"] == "insecure" and row["value"] == f"http://localhost:{port}"


def test_d23_the_port_counts(tmp_path):
    first, second = closed_port(), closed_port()
    uris = [f"http://localhost:{first}", f"http://localhost:{second}"]
    with planes.scene(tmp_path) as plane:
        own = plane.config["auth"]["authorizedUris"][0]
        plane.write(planes.merged(plane.config, {"auth": {"authorizedUris": [own, *uris]}}))
        until = time.monotonic() + 15
        while True:
            issuers = [
                plane.get("/.well-known/oauth-authorization-server", headers={"host": urlsplit(uri).netloc}).json()[
                    "issuer"
                ]
                for uri in [own, *uris]
            ]
            if issuers == [own, *uris]:
                break
            assert time.monotonic() < until, issuers
            time.sleep(0.3)
        # A token that was made for one of them is none for another.
        token = plane.machine_token()
        assert plane.get("/me", token).status_code == 200
        assert plane.get("/me", token, headers={"host": urlsplit(uris[0]).netloc}).status_code == 401
        # The target's host goes before the header's (RFC 9112 section 3.2.2): the service behind is told that one.
        before = len(plane.web.calls)
        for target, host, status in ((uris[0], own, 401), (own, uris[0], 200)):
            connection = http.client.HTTPConnection("127.0.0.1", urlsplit(plane.url).port, timeout=10)
            connection.putrequest("GET", f"{target}/api/v1/x", skip_host=True)
            connection.putheader("Host", urlsplit(host).netloc)
            connection.putheader("Authorization", f"Bearer {token}")
            connection.endheaders()
            assert connection.getresponse().status == status, target
            connection.close()
        assert [sent["host"] for _, _, sent, _ in plane.web.calls[before:]] == [urlsplit(own).netloc]


@pytest.mark.parametrize(
    "changes",
    [
        {"email": 1},
        {"email": ["a"]},
        {"user_info": "text"},
        {"client_id": 7},
        {"client_id": ["a"]},
        {"scp": [1]},
        {"scp": {"a": 1}},
        {"scope": 1},
        {"sub": 5},
        {"aud": [[1]]},
        {"aud": {"a": 1}},
        {"exp": "soon"},
        {"name": {"a": []}},
    ],
)
def test_d24_claims_of_strange_shape_are_no_server_error(plane, changes):
    reply = plane.get("/me", signed(plane, changes))
    assert reply.status_code in (200, 401), reply.text
    assert status_of(plane, signed(plane, changes)) in (
        grpc.StatusCode.OK,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    )
    assert plane.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("changes", "remove"),
    [
        ({"scope": "offline all"}, ("scp",)),
        ({"scp": "offline all"}, ("scope",)),
        ({"scp": ["offline", "all"]}, ("scope",)),
    ],
)
def test_d25_scopes_come_as_text_or_list_under_either_name(plane, changes, remove):
    assert status_of(plane, signed(plane, changes, remove=remove)) == grpc.StatusCode.OK


def test_d26_a_missing_scope_is_permission_denied(plane):
    token = plane.token(scope="offline").json()["access_token"]
    assert status_of(plane, token) == grpc.StatusCode.PERMISSION_DENIED
    reply = plane.get("/api/v1/projects", token)
    assert reply.status_code == 403
    assert (
        'error="insufficient_scope"' in reply.headers["www-authenticate"]
        and 'scope="all"' in reply.headers["www-authenticate"]
    )
    assert plane.get("/me", token).status_code == 200, "who it is may be asked"


def test_d27_a_large_id_token_signs_in(tmp_path):
    """The session is kept on the server: its cookie is small whatever the provider sends."""
    with planes.scene(tmp_path, idp={"OIDC_PADDING": "12000"}) as plane:
        visitor = Visitor(plane).signs_in()
        assert len(visitor.seen[-1].json()["additional_claims"]["groups"][0]) == 12000
        ours = [cookie for cookie in visitor.browser.cookies if cookie.name.startswith("flyte_auth")]
        assert ours and all(len(cookie.value) < 1000 for cookie in ours)
        # And the services behind are not told more than a header holds.
        assert visitor.step("GET", f"{plane.url}/api/v1/projects").status_code == 200


def test_d28_logout_leaves_no_cookie_of_ours(plane):
    visitor = Visitor(plane).signs_in()
    visitor.browser.headers["sec-fetch-site"] = "same-origin"
    visitor.step("GET", f"{plane.url}/logout")
    host = urlsplit(plane.url).hostname
    left = [cookie.name for cookie in visitor.browser.cookies if cookie.domain.startswith(host) and cookie.value]
    # One is of the sign-in page for ten minutes, and says nothing of a person.
    assert {name for name in left if name.startswith("flyte_auth")} <= {"flyte_auth_i", "flyte_auth_csrf"}


def test_d29_a_state_works_once_and_no_log_has_it(plane):
    visitor = Visitor(plane)
    visitor.signs_in()
    [callback] = [reply for reply in visitor.seen if urlsplit(reply.url).path == "/callback"]
    again = visitor.step("GET", callback.url)
    assert again.status_code in (400, 401, 403), "a callback that comes twice"
    log = plane.service.logged()
    query = parse_qs(urlsplit(callback.url).query)
    assert query["code"][0] not in log and query["state"][0] not in log
    for cookie in visitor.browser.cookies:
        assert len(cookie.value) < 16 or cookie.value not in log


@pytest.mark.parametrize("target", ["%zz", "http://[", "%", "\x00", "://", "http://%41:8080/"])
def test_d30_an_address_that_is_none_is_no_server_error(plane, target):
    reply = Visitor(plane).step("GET", f"{plane.url}/login", params={"redirect_url": target})
    assert reply.status_code < 500
    raw = Visitor(plane).step("GET", f"{plane.url}/login?redirect_url=%zz")
    assert raw.status_code < 500


def test_d31_streams_need_a_token(plane):
    wire, _ = channel(plane)
    with wire:
        for path in (
            "/grpc.health.v1.Health/Watch",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            "/flyteidl.test.Echo/Down",
        ):
            with pytest.raises(grpc.RpcError) as caught:
                list(wire.unary_stream(path)(b"", timeout=10))
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED, path
        with pytest.raises(grpc.RpcError) as caught:
            list(wire.stream_stream("/flyteidl.test.Echo/Both")(iter([b"x"]), timeout=10))
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_d31_with_a_token_the_watch_holds(plane):
    wire, metadata = channel(plane, plane.machine_token())
    with wire:
        watch = wire.unary_stream("/grpc.health.v1.Health/Watch")(b"", metadata=metadata, timeout=5)
        assert next(watch) == b"\x08\x01"
        watch.cancel()


def test_d32_with_tls_rest_and_grpc_work_on_one_port(tmp_path, authority):
    """flyteadmin calls itself over TLS for REST, and checks its own certificate for `0.0.0.0`."""
    leaf = authority.leaf()
    ssl = {"certificateFile": str(leaf.certificate), "keyFile": str(leaf.key)}
    port = closed_port()
    changes = {"server": {"security": {"secure": True, "ssl": ssl}}}
    with planes.scene(tmp_path / "scene") as plain:
        config = planes.merged(plain.config, changes)
        config["server"]["httpPort"] = port
        config["auth"]["authorizedUris"] = [f"https://localhost:{port}"]
        config["gateway"]["database"] = str(tmp_path / "tls.db")
        running = planes.Plane(tmp_path / "plane", config)
        try:
            root = authority.file
            reply = requests.get(f"https://localhost:{port}/api/v1/projects", verify=root, timeout=10)
            assert reply.status_code == 401
            credentials = grpc.ssl_channel_credentials(root.read_bytes())
            with grpc.secure_channel(f"localhost:{port}", credentials) as wire:
                assert wire.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10) == b"\x08\x01"
            form = {"grant_type": "client_credentials", "scope": "all"}
            token = requests.post(
                f"https://localhost:{port}/oauth2/token", data=form, auth=PROPELLER, verify=root, timeout=20
            )
            headers = {"authorization": f"Bearer {token.json()['access_token']}"}
            assert (
                requests.get(f"https://localhost:{port}/api/v1/x", headers=headers, verify=root, timeout=10).status_code
                == 200
            )
            login = requests.get(f"https://localhost:{port}/login", verify=root, allow_redirects=False, timeout=10)
            assert "__Secure-flyte_auth" in login.headers["set-cookie"] and "; Secure" in login.headers["set-cookie"]
        finally:
            running.end()


def external(plane, folder, issuer: str, **server) -> planes.Plane:
    """A second plane that takes the tokens of another server."""
    port = closed_port()
    changes = {
        "server": {"httpPort": port},
        "auth": {
            "authorizedUris": [f"http://localhost:{port}"],
            "appAuth": {"authServerType": "External", "externalAuthServer": {"baseUrl": issuer, **server}},
        },
        "gateway": {"database": str(folder / "external.db")},
    }
    return planes.Plane(folder, planes.merged(plane.config, changes))


def test_d33_d34_an_external_server_that_is_down_or_slow_ends_nothing(plane, tmp_path):
    """It may come later; a 404 is asked for once, and the answer is kept."""
    port = closed_port()
    running = external(plane, tmp_path, f"http://127.0.0.1:{port}", retryAttempts=1, retryDelay="100ms")
    try:
        assert plane.get("/livez").status_code == 200
        began = time.monotonic()
        assert running.get("/.well-known/oauth-authorization-server").status_code == 503
        assert running.get("/me", "e30.e30.e30").status_code == 503
        assert time.monotonic() - began < 10
        late = planes.OidcProvider(tmp_path, OIDC_PORT=str(port), OIDC_AUDIENCE=running.url)
        try:
            until = time.monotonic() + 20
            while running.get("/.well-known/oauth-authorization-server").status_code != 200:
                assert time.monotonic() < until, "it never comes back"
                time.sleep(0.5)
            token = late.client_credentials("ci-basic", late.secrets["ci-basic"])
            assert running.get("/api/v1/x", token).status_code == 200
        finally:
            late.end()
    finally:
        running.end()


def test_d35_audiences_of_many_requests_do_not_mix(plane):
    """flyteadmin's shared slice has no counterpart; tokens for two audiences, many at once, are told apart."""
    good, bad = plane.machine_token(), signed(plane, {"aud": ["https://other.example"]})
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda token: plane.get("/me", token).status_code, [good, bad] * 50))
    assert found == [200, 401] * 50


def test_d36_what_is_refused_is_counted(plane):
    plane.get("/me", "garbage")
    text = plane.metrics()
    assert 'flyte_auth_http_requests_total{route="me",status="4xx"}' in text
    assert "flyte_auth_tokens_issued" in text


def test_d37_metadata_says_what_is_there_and_nothing_else(plane, alice):
    found = plane.metadata
    assert found["response_types_supported"] == ["code"]
    assert set(found["token_endpoint_auth_methods_supported"]) == {"client_secret_basic", "client_secret_post", "none"}
    for name in ("revocation_endpoint", "introspection_endpoint", "pushed_authorization_request_endpoint"):
        assert found[name].startswith(plane.url)
    answer, _ = alice.authorizes(response_type="token")
    assert answer["error"] == "unsupported_response_type"
    post = {
        "grant_type": "client_credentials",
        "scope": "all",
        "client_id": "flytepropeller",
        "client_secret": PROPELLER_SECRET,
    }
    assert requests.post(found["token_endpoint"], data=post, timeout=20).status_code == 200


def test_d38_a_refusal_is_a_bearer_challenge(plane):
    reply = plane.get("/api/v1/projects", "garbage")
    challenge = reply.headers["www-authenticate"]
    assert reply.status_code == 401 and challenge.startswith("Bearer ") and 'error="invalid_token"' in challenge


def test_d39_secrets_are_for_their_owner_and_are_never_overwritten(tmp_path):
    folder = tmp_path / "secrets"
    assert planes.run("secrets", "init", folder).returncode == 0
    before = {}
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        before[file] = file.read_bytes()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    again = planes.run("secrets", "init", folder)
    assert again.returncode == 0 and "kept" in again.stderr
    assert before == {file: file.read_bytes() for file in folder.iterdir()}
    assert (folder / "token_rsa_key.pem").read_text().startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert len((folder / "cookie_hash_key").read_text()) == 86 and len((folder / "cookie_block_key").read_text()) == 43


def test_d40_no_secret_is_logged_at_any_level(tmp_path):
    """The witness of every test looks for secrets in all logs at TRACE; here those of `serve` by name."""
    with planes.scene(tmp_path) as plane:
        alice = Visitor(plane).signs_in()
        body = alice.tokens()
        plane.machine_token()
        log = plane.service.logged()
        for secret in (
            PROPELLER_SECRET,
            planes.CONSOLE_SECRET,
            body["access_token"],
            body["refresh_token"],
            plane.keys.propeller_hash,
        ):
            assert secret not in log
        assert (plane.keys.folder / "cookie_hash_key").read_text() not in log


def test_d41_the_default_propeller_has_no_secret_that_anybody_knows(tmp_path):
    with planes.scene(tmp_path) as plane:
        config = planes.merged(plane.config, {})
        del config["auth"]["appAuth"]["selfAuthServer"]["staticClients"]
        config["server"]["httpPort"] = closed_port()
        config["auth"]["authorizedUris"] = [f"http://localhost:{config['server']['httpPort']}"]
        config["gateway"]["database"] = str(tmp_path / "default.db")
        running = planes.Plane(tmp_path / "default", config)
        try:
            assert running.ready["clients"] == ["flytectl", "flyte-cli", "flytepropeller"]
            for secret in ("foobar", "Change this", "", "flytepropeller"):
                form = {"grant_type": "client_credentials", "scope": "all"}
                reply = requests.post(
                    f"{running.url}/oauth2/token", data=form, auth=("flytepropeller", secret), timeout=20
                )
                assert reply.status_code == 401, secret
        finally:
            running.end()


def test_d42_the_way_back_from_the_login_knows_its_path(tmp_path):
    """flyteadmin's redirect is relative to the root and breaks below a path."""
    with planes.scene(tmp_path) as plane:
        port = plane.config["server"]["httpPort"]
        plane.write(planes.merged(plane.config, {"auth": {"authorizedUris": [f"http://localhost:{port}/flyte"]}}))
        until = time.monotonic() + 15
        while (
            plane.get("/.well-known/oauth-authorization-server").json()["token_endpoint"]
            != f"http://localhost:{port}/flyte/oauth2/token"
        ):
            assert time.monotonic() < until
            time.sleep(0.3)
        # The well-known part comes before the path (RFC 8414 section 3.1), and below it too.
        for place in ("/.well-known/oauth-authorization-server/flyte", "/flyte/.well-known/oauth-authorization-server"):
            assert plane.get(place).json()["issuer"] == f"http://localhost:{port}/flyte", place
        resource = plane.get("/.well-known/oauth-protected-resource/flyte").json()
        assert resource["resource"] == f"http://localhost:{port}/flyte"
        for prefix in ("", "/flyte"):
            reply = plane.get(f"{prefix}/login", headers={"accept": "text/html"})
            asked = parse_qs(urlsplit(reply.headers["location"]).query)
            assert asked["redirect_uri"] == [f"http://localhost:{port}/flyte/callback"], prefix
        query = f"client_id=flytectl&response_type=code&redirect_uri={CLI_REDIRECT}&scope=all"
        query += f"&code_challenge={'a' * 43}&code_challenge_method=S256"
        reply = plane.get(f"/flyte/oauth2/authorize?{query}", headers={"accept": "text/html"})
        assert reply.status_code == 303 and reply.headers["location"].startswith(
            "/flyte/login?return_to=%2Fflyte%2Foauth2%2Fconsent"
        )


def test_d43_an_expired_token_is_told_by_its_time(plane):
    """And not by the words of an error."""
    reply = plane.get("/me", signed(plane, {"exp": int(time.time()) - 1, "iat": int(time.time()) - 60}))
    assert reply.status_code == 401 and "expired" in reply.json()["error_description"]


def test_d44_d45_a_refusal_repeats_nothing_of_the_token(plane):
    token = signed(plane, {"aud": ["canary-audience"], "sub": "canary-subject", "iss": "https://canary.example"})
    wire, metadata = channel(plane, token)
    with wire, pytest.raises(grpc.RpcError) as caught:
        admin_pb2_grpc.AdminServiceStub(wire).ListProjects(project_pb2.ProjectListRequest(), metadata=metadata)
    assert "canary" not in caught.value.details() and "id token err" not in caught.value.details()
    assert "canary" not in plane.get("/me", token).text


def test_d46_there_is_one_command_for_secrets():
    listed = planes.run("--help").stdout
    assert listed.count("\n  secrets ") == 1
