"""An authorization server as its clients and resource servers see it: metadata, tokens and their verification."""

import base64
from functools import cached_property
from urllib.parse import quote_plus

import jwt
import requests


class Issuer:
    """Speaks to the authorization server at `url` without any code of ours."""

    def __init__(self, url: str, verify=True):
        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self.verify = self._session.verify = verify

    @cached_property
    def metadata(self) -> dict:
        reply = self._session.get(f"{self.url}/.well-known/openid-configuration", timeout=10)
        reply.raise_for_status()
        return reply.json()

    def claims(self, token: str) -> dict:
        """The claims of an access token whose signature, issuer and expiry hold; raises otherwise."""
        header = jwt.get_unverified_header(token)
        keys = jwt.PyJWKSet.from_dict(self._session.get(self.metadata["jwks_uri"], timeout=10).json())
        key = next(key for key in keys.keys if key.key_id == header.get("kid"))
        return jwt.decode(
            token,
            key,
            algorithms=["RS256", "ES256"],
            issuer=self.metadata["issuer"],
            options={"verify_aud": False},
        )

    def accepts(self, token: str) -> bool:
        try:
            self.claims(token)
            return True
        except (jwt.PyJWTError, StopIteration):
            return False

    def client_credentials(self, client_id: str, secret: str, scope="all") -> str:
        """An access token, by `client_secret_basic` as RFC 6749 section 2.3.1 says it."""
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
        reply = self._session.post(
            self.metadata["token_endpoint"],
            data={"grant_type": "client_credentials", "scope": scope},
            headers={"authorization": f"Basic {base64.b64encode(pair).decode()}"},
            timeout=10,
        )
        reply.raise_for_status()
        return reply.json()["access_token"]
