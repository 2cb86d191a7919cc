"""Verification for services that receive Flyte tokens."""

from __future__ import annotations

from . import _native
from ._calls import awaited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Literal

    from typing_extensions import Self

    from ._native import IdTokenClaims, LogoutTokenClaims, VerifiedToken


class Verifier(_native.Verifier):
    """Verifies tokens of one issuer. Safe for threads, event loops and forks: make one and keep it.

    ```python
    verifier = flyte_auth.Verifier(issuer="https://idp.example", audience="https://flyte.example")
    token = verifier.verify(bearer)
    if token.has_scope("all"): ...
    ```

    Only asymmetric algorithms, bound to the key's type, curve, `alg`, `use` and `key_ops` (RFC 8725); the issuer's keys
    are fetched when they are needed, once for all callers, kept, and fetched again when an unknown key id comes, at
    most once in 60 seconds; `jku`, `x5u`, `jwk` and `x5c` are never followed.
    """

    def __new__(
        cls,
        *,
        issuer: str,
        audience: str | Sequence[str] | None = None,
        any_audience: bool = False,
        jwks: Mapping[str, Any] | str | bytes | None = None,
        jwks_uri: str | None = None,
        algorithms: Sequence[str] | None = None,
        profile: Literal["jwt", "rfc9068"] = "jwt",
        clock_skew: float | None = None,
        required_scopes: Sequence[str] = (),
        introspection_client_id: str | None = None,
        introspection_client_secret: str | None = None,
        introspection_endpoint: str | None = None,
        remember: int | None = None,
        plaintext: bool = False,
    ) -> Self:
        """A verifier; connects to nothing yet.

        Args:
            issuer: `iss`, exactly; its metadata names the keys.
            audience: what must be in `aud`: one, or any of several.
            any_audience: take any audience; say so by name or give one.
            jwks: the issuer's keys (RFC 7517), where they are not to be fetched.
            jwks_uri: where they are, over what the issuer's metadata says.
            algorithms: which are allowed; all asymmetric ones unless said.
            profile: `jwt` takes what Okta, Entra, Auth0, Keycloak, Google and flyteadmin write; `rfc9068` is that RFC
                to the letter.
            clock_skew: seconds that the two clocks may differ, at most 300; 60 unless said.
            required_scopes: what every access token must have.
            introspection_client_id: asks the authorization server about opaque tokens (RFC 7662) as this client.
            introspection_client_secret: its secret.
            introspection_endpoint: where, over what the issuer's metadata says.
            remember: about how many verified tokens are remembered, by hash; 4096 unless said.
            plaintext: accept addresses without TLS beyond this machine.

        Raises:
            TypeError: an argument of the wrong type.
            ConfigError: no audience, an address that is none or is plaintext, an unknown algorithm.
        """
        made: Self = super().__new__(  # type: ignore[assignment]
            cls,
            {
                "issuer": issuer,
                "audience": audience,
                "any_audience": any_audience,
                "jwks": jwks,
                "jwks_uri": jwks_uri,
                "algorithms": algorithms,
                "profile": profile,
                "clock_skew": clock_skew,
                "required_scopes": required_scopes,
                "introspection_client_id": introspection_client_id,
                "introspection_client_secret": introspection_client_secret,
                "introspection_endpoint": introspection_endpoint,
                "remember": remember,
                "plaintext": plaintext,
            },
        )
        return made

    async def verify_async(self, token: str) -> VerifiedToken:
        """As `verify()`."""
        found = self._verify_now(token)
        return found if found is not None else await awaited(self._start_verify(token))

    def verify_id_token(
        self, token: str, *, client_id: str, nonce: str | None = None, access_token: str | None = None
    ) -> IdTokenClaims:
        """Verifies an ID token for the client `client_id` (OpenID Connect Core section 3.1.3.7).

        Args:
            token: the ID token.
            client_id: must be in `aud`, and be `azp` where there is one.
            nonce: the one that was sent.
            access_token: the one that came with it: `at_hash`, where there is one, must be its hash.

        Raises:
            AccessDeniedError: code `id_token_invalid`; the message says which check failed.
            NetworkError, ServerError: the issuer's keys cannot be had.
        """
        found: IdTokenClaims = self._start_verify_id_token(token, client_id, nonce, access_token).wait()
        return found

    async def verify_id_token_async(
        self, token: str, *, client_id: str, nonce: str | None = None, access_token: str | None = None
    ) -> IdTokenClaims:
        """As `verify_id_token()`."""
        found: IdTokenClaims = await awaited(self._start_verify_id_token(token, client_id, nonce, access_token))
        return found

    def verify_logout_token(self, token: str, *, client_id: str) -> LogoutTokenClaims:
        """Verifies a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.6). That it comes only once is
        yours to check, by `token_id`.

        Raises:
            AccessDeniedError: its `code` is the failed check.
            NetworkError, ServerError: the issuer's keys cannot be had.
        """
        found: LogoutTokenClaims = self._start_verify_logout_token(token, client_id).wait()
        return found

    async def verify_logout_token_async(self, token: str, *, client_id: str) -> LogoutTokenClaims:
        """As `verify_logout_token()`."""
        found: LogoutTokenClaims = await awaited(self._start_verify_logout_token(token, client_id))
        return found
