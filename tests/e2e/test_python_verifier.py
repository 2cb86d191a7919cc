"""`flyte_auth.Verifier`: tokens that others make, checked in a service's own process; sync, async, by many threads."""

import asyncio
import base64
import datetime
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flyte_auth import AccessDeniedError, ConfigError, NetworkError, ServerError, VerifiedToken, Verifier
from harness.fault_proxy import FaultProxy, html_200
from harness.in_process import moves_in
from harness.peers import OidcProvider
from harness.ports import closed_port
from harness.verifying import ALGORITHMS, Joserfc, PyJwt, with_another_payload

ISSUER = "https://idp.example"
AUDIENCE = "https://flyte.example"
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
THREADS = 32


@pytest.fixture(autouse=True)
def at_home(monkeypatch, tmp_path):
    return moves_in(monkeypatch, tmp_path / "own-home")


@pytest.fixture(scope="module", params=["joserfc", "pyjwt"])
def maker(request):
    """Signs tokens; `name` begins its key ids."""
    made = Joserfc() if request.param == "joserfc" else PyJwt()
    made.name = request.param
    return made


def claims(**changes) -> dict:
    now = int(time.time())
    good = {"iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "client_id": "flytectl", "scope": "all offline"}
    whole = {**good, "iat": now, "exp": now + 600, "jti": "j", **changes}
    return {name: value for name, value in whole.items() if value is not None}


def signed(maker, alg="RS256", typ="at+jwt", kid: str | None = None, **changes) -> str:
    header = {"alg": alg, "typ": typ, "kid": kid or f"{maker.name}-{alg}"}
    return maker.sign(alg, header, claims(**changes))


def verifier_of(maker, **settings) -> Verifier:
    return Verifier(**{"issuer": ISSUER, "audience": AUDIENCE, "jwks": {"keys": maker.jwks()}, **settings})


def encoded(part: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def without_signature(maker) -> str:
    return f"{encoded({'alg': 'none', 'typ': 'at+jwt'})}.{encoded(claims())}."


def with_a_shared_secret(maker) -> str:
    """HS256 with the public key for a secret (RFC 8725 section 2.1)."""
    key = next(key for key in maker.jwks() if key["alg"] == "RS256")
    head = f"{encoded({'alg': 'HS256', 'typ': 'at+jwt', 'kid': key['kid']})}.{encoded(claims())}"
    pem = jwt.PyJWK(key).key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signature = hmac.digest(pem, head.encode(), hashlib.sha256)
    return f"{head}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def refusal(work: Callable[[], object], token: str | None = None) -> str:
    """The code of the refusal; its text holds nothing of the token."""
    with pytest.raises(AccessDeniedError) as caught:
        work()
    error = caught.value
    assert error.kind == "denied" and error.retryable is False and error.next_step
    for part in (token or "").split("."):
        assert len(part) < 8 or part not in f"{error} {error!r} {vars(error)}"
    return error.code


def both(verifier: Verifier, token: str) -> str:
    """The code with which both twins refuse it."""
    codes = {
        refusal(lambda: verifier.verify(token), token),
        refusal(lambda: asyncio.run(verifier.verify_async(token)), token),
    }
    assert len(codes) == 1
    return codes.pop()


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_good_token(maker, alg):
    verifier, token = verifier_of(maker), signed(maker, alg, extra={"list": [1, 2.5, None, True], "big": 2**60})
    found = verifier.verify(token)
    assert type(found) is VerifiedToken
    assert (found.issuer, found.subject, found.client_id) == (ISSUER, "alice", "flytectl")
    assert (found.audience, found.scopes) == ([AUDIENCE], ["all", "offline"])
    assert found.has_scope("all") and not found.has_scope("al")
    assert found.expires_at - found.issued_at == datetime.timedelta(seconds=600)
    assert found.expires_at.tzinfo is datetime.UTC
    written = jwt.decode(token, options={"verify_signature": False})
    assert found.claims == written and type(found.claims) is dict
    found.claims["sub"] = "mallory"
    assert found.claims["sub"] == "alice", "a caller changes its own dict"
    assert "alice" in repr(found) and all(part not in repr(found) for part in token.split("."))
    # Remembered: as good, and the same answer from the twin.
    assert asyncio.run(verifier.verify_async(token)).claims == verifier.verify(token).claims == written


BAD: dict[str, tuple[Callable, str]] = {
    "expired": (lambda maker: signed(maker, iat=1, exp=int(time.time()) - 120), "token_expired"),
    "not yet valid": (lambda maker: signed(maker, nbf=int(time.time()) + 600), "token_not_yet_valid"),
    "from the future": (lambda maker: signed(maker, iat=int(time.time()) + 600), "token_issued_in_future"),
    "for somebody else": (lambda maker: signed(maker, aud="https://other.example"), "token_audience"),
    "for nobody": (lambda maker: signed(maker, aud=None), "token_audience"),
    "of another issuer": (lambda maker: signed(maker, iss="https://evil.example"), "token_issuer"),
    "with an unknown key id": (lambda maker: signed(maker, kid="nobody's"), "token_key_unknown"),
    "with another key": (lambda maker: signed_by_a_stranger(maker), "token_signature"),
    "with another payload": (lambda maker: with_another_payload(signed(maker)), "token_signature"),
    "cut": (lambda maker: signed(maker)[:-2], "token_signature"),
    "without a signature": (without_signature, "token_algorithm"),
    "with a shared secret": (with_a_shared_secret, "token_algorithm"),
    "an ID token": (lambda maker: signed(maker, typ="JWT", client_id=None, scope=None, nonce="n"), "token_type"),
    "a logout token": (lambda maker: signed(maker, typ="logout+jwt"), "token_type"),
    "no token": (lambda maker: "no-token", "token_malformed"),
    "half a character": (lambda maker: "\ud800" + signed(maker), "token_malformed"),
    "too large": (lambda maker: signed(maker, filler="x" * 300_000), "token_too_large"),
}


def signed_by_a_stranger(maker) -> str:
    other = type(maker)()
    other.name = maker.name
    return signed(other)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token(maker, name):
    make, code = BAD[name]
    verifier = verifier_of(maker)
    assert verifier.verify(signed(maker)).subject == "alice", "the verifier takes good ones"
    assert both(verifier, make(maker)) == code
    assert verifier.verify(signed(maker)).subject == "alice", "and goes on doing so"


def test_settings(maker):
    token = signed(maker)
    assert both(verifier_of(maker, required_scopes=["all", "admin"]), token) == "insufficient_scope"
    assert verifier_of(maker, required_scopes=["all"]).verify(token)
    assert verifier_of(maker, audience=["https://other.example", AUDIENCE]).verify(token)
    assert verifier_of(maker, audience=None, any_audience=True).verify(token)
    assert both(verifier_of(maker, algorithms=["ES256"]), token) == "token_algorithm"
    assert verifier_of(maker, algorithms=["RS256"]).verify(token)
    assert both(verifier_of(maker, profile="rfc9068"), signed(maker, typ="JWT")) == "token_type"
    assert verifier_of(maker, profile="rfc9068").verify(token)
    late = signed(maker, iat=int(time.time()) - 600, exp=int(time.time()) - 30)
    assert verifier_of(maker).verify(late) and verifier_of(maker, clock_skew=60.0).verify(late)
    assert both(verifier_of(maker, clock_skew=0), late) == "token_expired"
    keys = json.dumps({"keys": maker.jwks()})
    assert verifier_of(maker, jwks=keys).verify(token) and verifier_of(maker, jwks=keys.encode()).verify(token)
    assert verifier_of(maker, remember=0).verify(token)
    assert verifier_of(maker).issuer == ISSUER and ISSUER in repr(verifier_of(maker))


def test_what_is_remembered_expires(maker):
    verifier = verifier_of(maker, clock_skew=0)
    token = signed(maker, iat=int(time.time()) - 1, exp=int(time.time()) + 2)
    assert verifier.verify(token).subject == "alice"
    time.sleep(2.5)
    assert both(verifier, token) == "token_expired"


def twin_of(verifier: Verifier, check: str, twin: str) -> Callable:
    """The check as a plain call."""
    call = getattr(verifier, check + twin)
    return call if not twin else lambda *arguments, **more: asyncio.run(call(*arguments, **more))


@pytest.mark.parametrize("twin", ["", "_async"])
def test_an_id_token(maker, twin):
    verifier, access = verifier_of(maker, audience="flytectl"), "an-access-token"
    half = hashlib.sha256(access.encode()).digest()[:16]
    at_hash = base64.urlsafe_b64encode(half).decode().rstrip("=")
    person = {"email": "alice@example.org", "preferred_username": "alice", "client_id": None, "scope": None}
    token = signed(maker, typ="JWT", aud="flytectl", nonce="n", at_hash=at_hash, **person)
    verify = twin_of(verifier, "verify_id_token", twin)
    right = {"client_id": "flytectl", "nonce": "n", "access_token": access}
    found = verify(token, **right)
    assert (found.subject, found.email, found.preferred_username) == ("alice", "alice@example.org", "alice")
    assert verify(token, client_id="flytectl", nonce="n").subject == "alice"
    for wrong in ({"client_id": "other"}, {"nonce": "another"}, {"access_token": "another"}):
        assert refusal(lambda wrong=wrong: verify(token, **{**right, **wrong}), token) == "id_token_invalid"
    assert refusal(lambda: verify(with_another_payload(token), **right), token) == "id_token_invalid"
    assert both(verifier, token) == "token_type"


@pytest.mark.parametrize("twin", ["", "_async"])
def test_a_logout_token(maker, twin):
    verifier = verifier_of(maker, audience="flytectl")
    shape = {"client_id": None, "scope": None, "aud": "flytectl", "sid": "session-1", "events": {LOGOUT_EVENT: {}}}
    token = signed(maker, typ="logout+jwt", **shape)
    verify = twin_of(verifier, "verify_logout_token", twin)
    found = verify(token, client_id="flytectl")
    assert (found.subject, found.session_id, found.token_id) == ("alice", "session-1", "j")
    assert found.expires_at.tzinfo is datetime.UTC
    for change in ({"events": None}, {"events": {}}, {"nonce": "n"}, {"jti": None}, {"sub": None, "sid": None}):
        wrong = signed(maker, typ="logout+jwt", **{**shape, **change})
        assert refusal(lambda wrong=wrong: verify(wrong, client_id="flytectl"), wrong)
    assert refusal(lambda: verify(token, client_id="other"), token) == "token_audience"
    assert both(verifier, token) == "token_type"


def test_of_the_sandbox(sandbox):
    """Keys that are fetched; a token that our own server wrote."""
    secret = next(client["secret"] for client in sandbox.ready["clients"] if client["id"] == "flytepropeller")
    token = sandbox.client_credentials("flytepropeller", secret)
    verifier = Verifier(issuer=sandbox.url, audience=sandbox.url)
    before = sandbox.requests_to("jwks")
    assert verifier.verify(token).client_id == "flytepropeller"
    assert asyncio.run(verifier.verify_async(token)).client_id == "flytepropeller"
    assert sandbox.requests_to("jwks") == before + 1
    assert both(verifier, with_another_payload(token)) == "token_signature"


def test_of_oidc_provider(shared_issuer):
    token = shared_issuer.client_credentials("ci-basic", shared_issuer.secrets["ci-basic"])
    audience = shared_issuer.service.ready["audience"]
    for profile in ("jwt", "rfc9068"):
        verifier = Verifier(issuer=shared_issuer.url, audience=audience, profile=profile)
        # The twin first: it fetches the keys.
        found = asyncio.run(verifier.verify_async(token))
        assert (found.client_id, found.scopes) == ("ci-basic", ["all"]) and verifier.verify(
            token
        ).claims == found.claims
        assert both(verifier, with_another_payload(token)) == "token_signature"
    assert both(Verifier(issuer=shared_issuer.url, audience="other"), token) == "token_audience"
    uri = Verifier(issuer=shared_issuer.url, audience=audience, jwks_uri=shared_issuer.metadata["jwks_uri"])
    assert uri.verify(token).client_id == "ci-basic"


def test_opaque_tokens_are_asked_about(start):
    issuer = start(OidcProvider, OIDC_FORMAT="opaque")
    secret = issuer.secrets["ci-basic"]
    asking = {"introspection_client_id": "ci-basic", "introspection_client_secret": secret}
    verifier = Verifier(issuer=issuer.url, any_audience=True, **asking)
    token, revoked = (issuer.client_credentials("ci-basic", secret) for _ in range(2))
    assert "." not in token
    found = verifier.verify(token)
    assert (found.client_id, found.scopes, found.claims["active"]) == ("ci-basic", ["all"], True)
    assert found.expires_at.tzinfo is datetime.UTC
    assert asyncio.run(verifier.verify_async(token)).client_id == "ci-basic"
    endpoint = issuer.metadata["introspection_endpoint"]
    named = Verifier(issuer=issuer.url, any_audience=True, **asking, introspection_endpoint=endpoint)
    assert named.verify(token).client_id == "ci-basic"
    reply = requests.post(
        issuer.metadata["revocation_endpoint"], data={"token": revoked}, auth=("ci-basic", secret), timeout=10
    )
    assert reply.status_code == 200
    assert both(verifier, revoked) == "token_inactive"
    assert both(verifier, "no-token-of-anybody") == "token_inactive"
    assert both(Verifier(issuer=issuer.url, any_audience=True), token) == "token_malformed"
    assert both(Verifier(issuer=issuer.url, audience=AUDIENCE, **asking), token) == "token_audience"
    wrong = Verifier(issuer=issuer.url, any_audience=True, **{**asking, "introspection_client_secret": "wrong-secret"})
    assert both(wrong, token) == "introspection_refused"


def test_keys_that_cannot_be_had(maker, shared_issuer):
    """Says nothing of the token: no refusal, but an error that may be over later."""
    token = signed(maker)
    nobody = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(NetworkError) as caught:
        Verifier(issuer=nobody, audience=AUDIENCE).verify(token)
    assert caught.value.retryable and isinstance(caught.value, OSError)
    proxy = FaultProxy(shared_issuer.url)
    proxy.breaks(html_200)
    try:
        with pytest.raises(ServerError):
            asyncio.run(Verifier(issuer=proxy.url, audience=AUDIENCE).verify_async(token))
    finally:
        proxy.end()
    with pytest.raises(ConfigError) as caught:
        Verifier(issuer="http://idp.example", audience=AUDIENCE)
    assert isinstance(caught.value, ValueError)


def test_many_threads_fetch_the_keys_once(sandbox):
    secret = next(client["secret"] for client in sandbox.ready["clients"] if client["id"] == "flytepropeller")
    good = [sandbox.client_credentials("flytepropeller", secret) for _ in range(4)]
    bad = [with_another_payload(token) for token in good]
    verifier = Verifier(issuer=sandbox.url, audience=sandbox.url)
    before, together = sandbox.requests_to("jwks"), threading.Barrier(THREADS)

    def work(number: int) -> int:
        together.wait(30)
        done = 0
        for turn in range(50):
            token = good[(number + turn) % len(good)]
            assert verifier.verify(token).client_id == "flytepropeller"
            if turn % 10 == 0:
                assert refusal(lambda turn=turn: verifier.verify(bad[turn % len(bad)])) == "token_signature"
            done += 1
        return done

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(work, range(THREADS), timeout=60)) == THREADS * 50
    assert sandbox.requests_to("jwks") == before + 1


def test_many_tasks_fetch_the_keys_once(sandbox):
    secret = next(client["secret"] for client in sandbox.ready["clients"] if client["id"] == "flytepropeller")
    token = sandbox.client_credentials("flytepropeller", secret)
    verifier, before = Verifier(issuer=sandbox.url, audience=sandbox.url), sandbox.requests_to("jwks")

    async def all_of_them():
        return await asyncio.wait_for(asyncio.gather(*(verifier.verify_async(token) for _ in range(100))), 30)

    assert {found.client_id for found in asyncio.run(all_of_them())} == {"flytepropeller"}
    assert sandbox.requests_to("jwks") == before + 1
    # Not bound to the loop that is over.
    assert asyncio.run(verifier.verify_async(token)).client_id == "flytepropeller"
