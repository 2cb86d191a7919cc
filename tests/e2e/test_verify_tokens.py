"""Tokens made by other implementations, verified by ours; an opaque token asked about; keys rotated meanwhile."""

import time

import jwt
import pytest
import requests
from harness.peers import OidcProvider
from harness.verifying import ALGORITHMS, Jose, Joserfc, PyJwt, Verifying, with_another_payload

ISSUER = "https://idp.example"
AUDIENCE = "https://flyte.example"


@pytest.fixture
def verifying(tmp_path):
    """Starts verifiers: `verifying(issuer=…, audience=…)`."""
    started = []

    def start(**settings):
        started.append(Verifying(tmp_path, **settings))
        return started[-1]

    yield start
    for process in started:
        process.end()


@pytest.fixture(scope="module")
def joserfc():
    return Joserfc()


@pytest.fixture(scope="module")
def pyjwt():
    return PyJwt()


def claims(**changes) -> dict:
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "client_id": "flytectl",
        "scope": "all offline",
        "iat": now,
        "exp": now + 600,
        "jti": "j",
    }
    return {**good, **changes}


def every_algorithm(maker: str) -> list[tuple[str, dict, dict]]:
    """All ten algorithms, with the key named and not, as access token and as plain JWT."""
    return [
        (alg, {"alg": alg, "typ": typ, **kid}, claims())
        for alg in ALGORITHMS
        for kid in ({"kid": f"{maker}-{alg}"}, {})
        for typ in ("at+jwt", "JWT")
    ]


def expect_all(verifying, keys: list[dict], tokens: list[str]):
    assert len(tokens) == 40
    verifier = verifying(issuer=ISSUER, audience=AUDIENCE, jwks={"keys": keys})
    expected = {"subject": "alice", "client_id": "flytectl", "scopes": ["all", "offline"], "audience": [AUDIENCE]}
    for token in tokens:
        header = jwt.get_unverified_header(token)
        assert verifier.access_token(token) == expected, header
        assert verifier.access_token(with_another_payload(token))["refused"] == "token_signature", header
    strict = verifying(issuer=ISSUER, audience=AUDIENCE, jwks={"keys": keys}, rfc9068=True)
    accepted = [token for token in tokens if "subject" in strict.access_token(token)]
    assert {jwt.get_unverified_header(token)["typ"] for token in accepted} == {"at+jwt"} and len(accepted) == 20


def test_tokens_of_joserfc(verifying, joserfc):
    tokens = [joserfc.sign(*token) for token in every_algorithm("joserfc")]
    expect_all(verifying, joserfc.jwks(), tokens)


def test_tokens_of_pyjwt(verifying, pyjwt):
    tokens = [pyjwt.sign(*token) for token in every_algorithm("pyjwt")]
    expect_all(verifying, pyjwt.jwks(), tokens)


def test_tokens_of_jose(verifying):
    keys, tokens = Jose.sign_all(every_algorithm("jose"))
    expect_all(verifying, keys, tokens)


# What each issuer writes: header, claims beside or in place of the common ones (None: absent), and what is read.
TENANT = "11111111-2222-3333-4444-555555555555"
ISSUERS = {
    "Okta": (
        {},
        {
            "ver": 1,
            "aud": "api://default",
            "cid": "0oa1",
            "uid": "00u1",
            "scp": ["all", "offline_access"],
            "auth_time": 1,
        },
        ("alice", "0oa1", ["all", "offline_access"]),
    ),
    "Entra v1": (
        {"typ": "JWT", "x5t": "abc"},
        {
            "iss": f"https://sts.windows.net/{TENANT}/",
            "aud": "api://flyte",
            "appid": "app-1",
            "appidacr": "0",
            "scp": "all user_impersonation",
            "tid": TENANT,
            "ver": "1.0",
            "nbf": 1,
            "upn": "alice@example.org",
        },
        ("alice", "app-1", ["all", "user_impersonation"]),
    ),
    "Entra v2": (
        {"typ": "JWT"},
        {
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "aud": "flyte-app",
            "azp": "app-2",
            "azpacr": "0",
            "scp": "all",
            "tid": TENANT,
            "ver": "2.0",
            "roles": ["Flyte.Admin"],
        },
        ("alice", "app-2", ["all"]),
    ),
    "Entra, an application": (
        {"typ": "JWT"},
        {
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "aud": "flyte-app",
            "azp": "app-3",
            "azpacr": "1",
            "idtyp": "app",
            "roles": ["Flyte.All"],
        },
        ("alice", "app-3", ["Flyte.All"]),
    ),
    "Auth0": (
        {"typ": "JWT"},
        {
            "iss": "https://tenant.auth0.com/",
            "aud": [AUDIENCE, "https://tenant.auth0.com/userinfo"],
            "azp": "client-4",
            "scope": "openid profile all",
            "jti": None,
        },
        ("alice", "client-4", ["openid", "profile", "all"]),
    ),
    "Keycloak": (
        {"typ": "JWT"},
        {
            "iss": "https://keycloak.example/realms/flyte",
            "aud": ["flyte", "account"],
            "typ": "Bearer",
            "azp": "flytectl",
            "scope": "openid all",
            "sid": "s",
            "acr": "1",
            "realm_access": {"roles": ["user"]},
            "nonce": "of the login, in older releases",
        },
        ("alice", "flytectl", ["openid", "all"]),
    ),
    "Google, a service account's": (
        {"typ": "JWT"},
        {
            "iss": "https://accounts.google.com",
            "aud": AUDIENCE,
            "azp": "1234",
            "sub": "1234",
            "email": "sa@project.iam.gserviceaccount.com",
            "email_verified": True,
            "jti": None,
        },
        ("1234", "1234", []),
    ),
    "flyteadmin": (
        {"typ": "JWT", "key_id": "thumbprint"},
        {
            "aud": [AUDIENCE],
            "client_id": "flytectl",
            "scp": ["all", "offline", "f.all", "access_token"],
            "user_info": {"subject": "alice", "name": "Alice", "additional_claims": {}},
            "form": {"code_challenge": "x", "code_challenge_method": "y"},
        },
        ("alice", "flytectl", ["all", "offline", "f.all", "access_token"]),
    ),
}
# The common claims that only some write.
OWN = ("client_id", "scope")


@pytest.mark.parametrize("name", ISSUERS)
def test_claims_as_issuers_write_them(verifying, pyjwt, joserfc, name):
    header, theirs, (subject, client, scopes) = ISSUERS[name]
    common = {key: value for key, value in claims().items() if key not in OWN}
    written = {key: value for key, value in {**common, **theirs}.items() if value is not None}
    audience = written["aud"] if isinstance(written["aud"], str) else written["aud"][0]
    for maker, prefix in ((pyjwt, "pyjwt"), (joserfc, "joserfc")):
        # flyteadmin names its key in a member of its own.
        kid = {} if "key_id" in header else {"kid": f"{prefix}-RS256"}
        token = maker.sign("RS256", {"alg": "RS256", **kid, **header}, written)
        verifier = verifying(issuer=written["iss"], audience=audience, jwks={"keys": maker.jwks()})
        answer = verifier.access_token(token)
        assert (answer.get("subject"), answer.get("client_id"), answer.get("scopes")) == (subject, client, scopes), (
            answer
        )
        elsewhere = verifying(issuer=written["iss"], audience="https://other.example", jwks={"keys": maker.jwks()})
        assert elsewhere.access_token(token)["refused"] == "token_audience"


def test_access_tokens_of_oidc_provider(verifying, shared_issuer):
    """Keys found through its metadata."""
    token = shared_issuer.client_credentials("ci-basic", shared_issuer.secrets["ci-basic"])
    audience = shared_issuer.service.ready["audience"]
    for strict in (False, True):
        verifier = verifying(issuer=shared_issuer.url, audience=audience, rfc9068=strict)
        answer = verifier.access_token(token)
        assert (answer.get("client_id"), answer.get("scopes")) == ("ci-basic", ["all"]), answer
        assert verifier.access_token(with_another_payload(token))["refused"] == "token_signature"
    assert verifying(issuer=shared_issuer.url, audience="other").access_token(token)["refused"] == "token_audience"


def test_opaque_tokens_of_oidc_provider(verifying, start):
    issuer = start(OidcProvider, OIDC_FORMAT="opaque")
    secret = issuer.secrets["ci-basic"]

    def fresh() -> str:
        return issuer.client_credentials("ci-basic", secret)

    asking = verifying(issuer=issuer.url, introspection=["ci-basic", secret])
    token, revoked = fresh(), fresh()
    assert "." not in token
    answer = asking.access_token(token)
    assert (answer.get("client_id"), answer.get("scopes")) == ("ci-basic", ["all"]), answer
    reply = requests.post(
        issuer.metadata["revocation_endpoint"], data={"token": revoked}, auth=("ci-basic", secret), timeout=10
    )
    assert reply.status_code == 200
    assert asking.access_token(revoked)["refused"] == "token_inactive"
    assert asking.access_token("no-token-of-anybody")["refused"] == "token_inactive"
    # Its opaque tokens name no audience: a verifier that wants one does not take them.
    wanting = verifying(issuer=issuer.url, audience="https://flyte.example", introspection=["ci-basic", secret])
    assert wanting.access_token(token)["refused"] == "token_audience"
    # Without leave to ask, an opaque token is none.
    assert verifying(issuer=issuer.url).access_token(token)["refused"] == "token_malformed"
    # A wrong secret says nothing of the token.
    wrong = verifying(issuer=issuer.url, introspection=["ci-basic", "wrong"]).access_token(token)
    assert (wrong["kind"], wrong["refused"]) == ("denied", "introspection_refused"), wrong


def test_keys_rotate_while_tokens_are_verified(verifying, sandbox, tmp_path):
    """A new key is seen at the first token that it signed, and no sooner than a minute after the last look."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    secret = next(client["secret"] for client in sandbox.ready["clients"] if client["id"] == "flytepropeller")

    def fresh() -> str:
        return sandbox.client_credentials("flytepropeller", secret)

    verifier = verifying(issuer=sandbox.url, audience=sandbox.url, env={"FLYTE_AUTH_TESTING_CLOCK": str(clock)})
    before = fresh()
    assert verifier.access_token(before).get("client_id") == "flytepropeller"
    fetches = sandbox.requests_to("jwks")
    sandbox.rotate_keys()
    after = fresh()
    assert jwt.get_unverified_header(before)["kid"] != jwt.get_unverified_header(after)["kid"]
    for _ in range(20):
        assert verifier.access_token(after)["refused"] == "token_key_unknown"
    assert sandbox.requests_to("jwks") == fetches
    clock.write_text("61000")
    assert verifier.access_token(after).get("client_id") == "flytepropeller"
    # The earlier key is still among the issuer's.
    assert verifier.access_token(before).get("client_id") == "flytepropeller"
    assert sandbox.requests_to("jwks") == fetches + 1


def test_id_tokens(verifying, pyjwt, joserfc):
    """Good for the client and the login that they were made for, and never as access tokens."""
    written = {key: value for key, value in claims(aud="flytectl", nonce="n").items() if key not in OWN}
    for maker, prefix in ((pyjwt, "pyjwt"), (joserfc, "joserfc")):
        verifier = verifying(issuer=ISSUER, audience="flytectl", jwks={"keys": maker.jwks()})
        for alg in ALGORITHMS:
            token = maker.sign(alg, {"alg": alg, "kid": f"{prefix}-{alg}", "typ": "JWT"}, written)
            assert verifier.id_token(token, "flytectl", "n") == {"subject": "alice"}, alg
            for client, nonce in (("other", "n"), ("flytectl", "other")):
                assert verifier.id_token(token, client, nonce)["refused"] == "id_token_invalid", alg
            assert verifier.access_token(token)["refused"] == "token_type", alg
