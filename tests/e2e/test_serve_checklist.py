"""What flytectl, flytekit and propeller rely on (facts on flyteadmin v1.16.8, section 12), and the way of a browser."""

import time

import grpc
import pytest
import requests
from flyteidl.admin import project_pb2
from flyteidl.service import admin_pb2_grpc, auth_pb2, auth_pb2_grpc, identity_pb2, identity_pb2_grpc
from harness import plane as planes
from harness.plane import CLI_REDIRECT, PROPELLER_SECRET, Visitor, channel, claims, header


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    with planes.scene(tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture(scope="module")
def alice(plane):
    return Visitor(plane).signs_in()


@pytest.fixture(scope="module")
def tokens(alice):
    return alice.tokens()


def refused(call) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def test_1_an_anonymous_call_is_unauthenticated_and_nothing_else(plane):
    wire, _ = channel(plane)
    with wire:
        error = refused(lambda: admin_pb2_grpc.AdminServiceStub(wire).ListProjects(project_pb2.ProjectListRequest()))
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED
        error = refused(lambda: identity_pb2_grpc.IdentityServiceStub(wire).UserInfo(identity_pb2.UserInfoRequest()))
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED
        unknown = wire.unary_unary("/flyteidl.service.Nothing/Here")
        assert refused(lambda: unknown(b"", timeout=10)).code() == grpc.StatusCode.UNAUTHENTICATED


def test_1_a_server_without_auth_is_unimplemented(tmp_path):
    with planes.scene(tmp_path, {"server": {"security": {"useAuth": False}}}) as plane:
        wire, _ = channel(plane)
        with wire:
            stub = auth_pb2_grpc.AuthMetadataServiceStub(wire)
            error = refused(lambda: stub.GetPublicClientConfig(auth_pb2.PublicClientAuthConfigRequest()))
            assert error.code() == grpc.StatusCode.UNIMPLEMENTED
            assert admin_pb2_grpc.AdminServiceStub(wire).ListProjects(project_pb2.ProjectListRequest()).projects
        assert plane.get("/.well-known/oauth-authorization-server").status_code == 501


def test_2_either_header_in_any_case_of_the_scheme(plane, tokens):
    for name in ("flyte-authorization", "authorization"):
        for scheme in ("Bearer", "bearer", "BEARER"):
            wire, metadata = channel(plane, tokens["access_token"], name, scheme)
            with wire:
                reply = admin_pb2_grpc.AdminServiceStub(wire).ListProjects(
                    project_pb2.ProjectListRequest(), metadata=metadata
                )
                assert reply.projects[0].id == "flytesnacks"


def test_2_the_advertised_header_is_flytes(plane):
    wire, _ = channel(plane)
    with wire:
        stub = auth_pb2_grpc.AuthMetadataServiceStub(wire)
        config = stub.GetPublicClientConfig(auth_pb2.PublicClientAuthConfigRequest())
    assert config.authorization_metadata_key == "flyte-authorization"
    assert (config.client_id, config.redirect_uri) == ("flytectl", CLI_REDIRECT)
    assert list(config.scopes) == ["all", "offline"]


def test_3_the_token_endpoint_can_be_reached_from_the_name_that_grpc_used(plane):
    wire, _ = channel(plane)
    with wire:
        stub = auth_pb2_grpc.AuthMetadataServiceStub(wire)
        metadata = stub.GetOAuth2Metadata(auth_pb2.OAuth2MetadataRequest())
    assert metadata.token_endpoint == f"{plane.url}/oauth2/token"
    assert metadata.issuer == plane.url
    assert list(metadata.code_challenge_methods_supported) == ["S256"]
    # The same from the gRPC port's own name: the HTTP address, not the gRPC one.
    own = grpc.insecure_channel(
        plane.grpc, options=[("grpc.default_authority", f"localhost:{plane.grpc.split(':')[1]}")]
    )
    with own:
        stub = auth_pb2_grpc.AuthMetadataServiceStub(own)
        assert stub.GetOAuth2Metadata(auth_pb2.OAuth2MetadataRequest()).token_endpoint == f"{plane.url}/oauth2/token"


def test_4_flytectls_login_word_for_word(plane, alice):
    answer, verifier = alice.authorizes()
    assert set(answer) == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == ("a-state-of-the-client", plane.url)
    reply = alice.redeems(answer["code"], verifier)
    assert reply.status_code == 200
    body = reply.json()
    assert set(body) == {"access_token", "refresh_token", "expires_in", "scope", "token_type"}
    assert body["expires_in"] == 1800 and body["scope"] == "offline all"
    assert reply.headers["cache-control"] == "no-store" and reply.headers["pragma"] == "no-cache"


def test_5_flytectls_client_credentials_word_for_word(plane):
    reply = requests.post(
        f"{plane.url}/oauth2/token",
        data={"grant_type": "client_credentials", "scope": "all offline"},
        auth=("flytepropeller", planes.quoted(PROPELLER_SECRET)),
        timeout=20,
    )
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert "refresh_token" not in body and body["token_type"] == "Bearer"
    found = claims(body["access_token"])
    assert (found["sub"], found["client_id"]) == ("flytepropeller", "flytepropeller")


def test_6_a_short_state_comes_back_and_redirects_are_exact(plane, alice):
    # fosite refuses fewer than eight characters; no standard does, and no client sends fewer.
    answer, _ = alice.authorizes(state="12345678")
    assert answer["state"] == "12345678"
    for bad in (
        f"{CLI_REDIRECT}/",
        "http://localhost:53594/callback",
        "http://localhost/callback",
        "https://evil.example/",
    ):
        reply = alice.step(
            "GET", f"{plane.url}/oauth2/authorize", params={"client_id": "flytectl", "redirect_uri": bad}
        )
        assert reply.status_code == 400 and "location" not in reply.headers, bad
    answer, _ = alice.authorizes(redirect="http://127.0.0.1:4711/callback")
    assert "code" in answer


def test_6_lifetimes_are_flyteadmins(plane, alice):
    body = alice.tokens()
    access = claims(body["access_token"])
    assert access["exp"] - access["iat"] == 1800
    active = requests.post(
        f"{plane.url}/oauth2/introspect",
        data={"token": body["refresh_token"]},
        auth=("flytepropeller", planes.quoted(PROPELLER_SECRET)),
        timeout=20,
    ).json()
    assert active["active"] and 3590 <= active["exp"] - time.time() <= 3601


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html", None])
def test_7_metadata_is_in_snake_case_whatever_is_asked_for(plane, accept):
    headers = {"accept": accept} if accept else {}
    found = plane.get("/.well-known/oauth-authorization-server", headers=headers).json()
    assert found["token_endpoint"] == f"{plane.url}/oauth2/token"
    assert found["jwks_uri"] == f"{plane.url}/oauth2/jwks"
    assert found["response_types_supported"] == ["code"]
    assert found["authorization_response_iss_parameter_supported"] is True
    client = plane.get("/config/v1/flyte_client", headers=headers).json()
    assert client["authorization_metadata_key"] == "flyte-authorization" and client["service_http_endpoint"] == ""


def test_8_an_access_token_is_rfc_9068_and_a_real_flyteadmin_would_take_it(plane, tokens):
    token = tokens["access_token"]
    head, found = header(token), claims(token)
    assert head["typ"] == "at+jwt" and head["alg"] == "RS256"
    keys = requests.get(f"{plane.url}/oauth2/jwks", timeout=10).json()["keys"]
    assert head["kid"] in [key["kid"] for key in keys] and all(key["use"] == "sig" and key["alg"] for key in keys)
    assert found["iss"] == plane.url and found["aud"] == [plane.url]
    assert found["scp"] == ["offline", "all"] and found["scope"] == "offline all"
    assert found["client_id"] == "flytectl" and found["sub"] == "alice@example.org"
    assert {"jti", "iat", "exp", "auth_time"} <= set(found)
    assert plane.accepts(token)


def test_the_sequence_of_propeller_and_scheduler(plane):
    """An anonymous call, 16, discovery, client credentials, the call again; the health check with the same token."""
    wire, _ = channel(plane)
    with wire:
        admin = admin_pb2_grpc.AdminServiceStub(wire)
        assert (
            refused(lambda: admin.ListProjects(project_pb2.ProjectListRequest())).code()
            == grpc.StatusCode.UNAUTHENTICATED
        )
        discovery = auth_pb2_grpc.AuthMetadataServiceStub(wire)
        endpoint = discovery.GetOAuth2Metadata(auth_pb2.OAuth2MetadataRequest()).token_endpoint
        config = discovery.GetPublicClientConfig(auth_pb2.PublicClientAuthConfigRequest())
        form = {"grant_type": "client_credentials", "scope": " ".join(config.scopes)}
        basic = ("flytepropeller", planes.quoted(PROPELLER_SECRET))
        token = requests.post(endpoint, data=form, auth=basic, timeout=20).json()["access_token"]
        metadata = ((config.authorization_metadata_key, f"Bearer {token}"),)
        assert admin.ListProjects(project_pb2.ProjectListRequest(), metadata=metadata).projects
        check = wire.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", metadata=metadata) == b"\x08\x01"
        # A kubelet has no token.
        assert check(b"") == b"\x08\x01"
    method, sent = plane.admin.calls[-1]
    assert method == "ListProjects" and sent["x-user-subject"] == "flytepropeller"


def test_me_for_tokens_and_for_browsers(plane, alice, tokens):
    by_token = plane.get("/me", tokens["access_token"])
    assert by_token.status_code == 200
    assert by_token.json()["subject"] == "alice@example.org" and by_token.json()["email"] == "alice@example.org"
    assert by_token.headers["x-user-subject"] == "alice@example.org"
    assert by_token.headers["x-user-claim-client-id"] == '"flytectl"'
    by_cookie = alice.step("GET", f"{plane.url}/me")
    assert by_cookie.json()["subject"] == "alice@example.org"
    nobody = plane.get("/me")
    assert nobody.status_code == 401 and nobody.headers["www-authenticate"].startswith("Bearer ")


def test_probes(plane):
    for path in ("/livez", "/readyz", "/healthcheck"):
        assert plane.get(path).status_code == 200, path
    assert "flyte_auth_http_requests_total" in plane.metrics()


def test_a_navigation_goes_to_the_login_and_back_and_a_program_gets_401(plane):
    bob = Visitor(plane, "bob@example.org")
    reply = bob.goes_to("/console/projects?x=1")
    assert reply.status_code == 200 and reply.url.endswith("/console/projects?x=1") and "Flyte console" in reply.text
    _, path, sent, _ = plane.web.calls[-1]
    assert path == "/console/projects?x=1" and sent["x-user-subject"] == "bob@example.org"
    assert "flyte_auth" not in sent.get("cookie", ""), "the session's cookie stays here"
    refusal = plane.get("/api/v1/projects")
    assert refusal.status_code == 401
    assert (
        f'resource_metadata="{plane.url}/.well-known/oauth-protected-resource"' in refusal.headers["www-authenticate"]
    )
    resource = plane.get("/.well-known/oauth-protected-resource").json()
    assert resource["resource"] == plane.url and resource["authorization_servers"] == [plane.url]


def test_the_openid_document_is_the_providers(plane):
    reply = plane.get("/.well-known/openid-configuration")
    assert reply.status_code == 303
    assert reply.headers["location"] == f"{plane.provider.metadata['issuer']}/.well-known/openid-configuration"


# What the ingress of a Flyte deployment routes to flyteadmin (charts/flyte-core, ingress.yaml), and who answers here.
INGRESS = {
    "/healthcheck": "everybody",
    "/.well-known/oauth-authorization-server": "everybody",
    "/config/v1/flyte_client": "everybody",
    "/oauth2/jwks": "everybody",
    "/login": "the provider",
    "/logout": "a page",
    "/callback": "nobody without a state",
    "/me": "whoever is known",
    "/api": "whoever is known",
    "/api/v1/projects": "whoever is known",
    "/v1/x": "whoever is known",
    "/console": "whoever is known",
    "/console/select-project": "whoever is known",
}


@pytest.mark.parametrize("path", INGRESS)
def test_the_paths_of_the_ingress(plane, tokens, path):
    anonymous = plane.get(path)
    known = plane.get(path, tokens["access_token"])
    match INGRESS[path]:
        case "everybody":
            assert anonymous.status_code == known.status_code == 200
        case "the provider":
            assert anonymous.is_redirect and plane.provider.address in anonymous.headers["location"]
        case "a page":
            assert anonymous.status_code in (200, 302)
        case "nobody without a state":
            assert anonymous.status_code in (400, 401, 403)
        case _:
            assert anonymous.status_code == 401 and known.status_code == 200


@pytest.mark.parametrize(
    "service",
    ["SignalService", "AdminService", "DataProxyService", "AuthMetadataService", "IdentityService"],
)
def test_the_grpc_services_of_the_ingress(plane, tokens, service):
    """The service behind has AdminService alone; what it has not is its own UNIMPLEMENTED, and only for the known."""
    wire, metadata = channel(plane, tokens["access_token"])
    with wire:
        call = wire.unary_unary(f"/flyteidl.service.{service}/Nothing")
        anonymous = refused(lambda: call(b"", timeout=10)).code()
        known = refused(lambda: call(b"", metadata=metadata, timeout=10)).code()
    assert known == grpc.StatusCode.UNIMPLEMENTED
    is_own = service in ("AuthMetadataService", "IdentityService")
    expected = (grpc.StatusCode.UNAUTHENTICATED,) + ((grpc.StatusCode.UNIMPLEMENTED,) if is_own else ())
    assert anonymous in expected
