"""The verifier in a process of its own, and the makers of the tokens that it is given: none of them is ours."""

import base64
import json
import os
import subprocess
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

from harness.cli import REPOSITORY
from harness.peers import PEERS

PROGRAM = REPOSITORY / "target/debug/flyte-auth-verify"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


class Verifying:
    """`settings` as the program's source names them; one process, so that keys and tokens are remembered."""

    def __init__(self, folder: Path, env: dict[str, str] | None = None, **settings):
        self._log = (folder / "verify.log").open("w")
        self.process = subprocess.Popen(
            [PROGRAM],
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        answer = self._ask(settings)
        assert "ready" in answer, answer

    def _ask(self, line) -> dict:
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def access_token(self, token: str) -> dict:
        return self._ask({"access_token": token})

    def id_token(self, token: str, client_id: str, nonce: str | None = None) -> dict:
        return self._ask({"id_token": {"token": token, "client_id": client_id, "nonce": nonce}})

    def end(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()
        self._log.close()


class Joserfc:
    """PyPI's joserfc."""

    def __init__(self):
        self._keys = {}
        for alg in ALGORITHMS:
            if alg[:2] in ("RS", "PS"):
                key = joserfc_jwk.RSAKey.generate_key(2048)
            elif alg == "EdDSA":
                key = joserfc_jwk.OKPKey.generate_key("Ed25519")
            else:
                key = joserfc_jwk.ECKey.generate_key({"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[alg])
            self._keys[alg] = key

    def jwks(self) -> list[dict]:
        public = ((alg, key.as_dict(private=False)) for alg, key in self._keys.items())
        return [{**key, "alg": alg, "use": "sig", "kid": f"joserfc-{alg}"} for alg, key in public]

    def sign(self, alg: str, header: dict, claims: dict) -> str:
        # Its registry has the headers of the RFCs only; real issuers write others too.
        registry = joserfc_jwt.JWSRegistry(algorithms=[alg], strict_check_header=False)
        return joserfc_jwt.encode(header, claims, self._keys[alg], registry=registry)


class PyJwt:
    """PyPI's PyJWT."""

    CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}

    def __init__(self):
        shared = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._keys = {alg: self._key(alg, shared) for alg in ALGORITHMS}

    def _key(self, alg: str, shared):
        if alg == "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        return ec.generate_private_key(self.CURVES[alg]()) if alg in self.CURVES else shared

    def jwks(self) -> list[dict]:
        return [self._jwk(alg, key) for alg, key in self._keys.items()]

    def _jwk(self, alg: str, key) -> dict:
        # PyJWT lacks the algorithm's own JWK form for none of these.
        form = jwt.get_algorithm_by_name(alg).to_jwk(key.public_key(), as_dict=True)
        form.pop("key_ops", None)
        return {**form, "alg": alg, "use": "sig", "kid": f"pyjwt-{alg}"}

    def sign(self, alg: str, header: dict, claims: dict) -> str:
        return jwt.encode(claims, self._keys[alg], algorithm=alg, headers=header)


class Jose:
    """npm's jose: all tokens at once, since each call is a process."""

    @staticmethod
    def sign_all(tokens: list[tuple[str, dict, dict]]) -> tuple[list[dict], list[str]]:
        asked = [{"alg": alg, "header": header, "claims": claims} for alg, header, claims in tokens]
        document = json.dumps({"algorithms": ALGORITHMS, "tokens": asked})
        done = subprocess.run(
            ["node", PEERS / "sign.mjs"], input=document, capture_output=True, text=True, timeout=60, check=True
        )
        made = json.loads(done.stdout)
        return made["keys"], made["tokens"]


def with_another_payload(token: str) -> str:
    """The token, with `sub` changed and the old signature."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    changed = json.dumps({**claims, "sub": "mallory"}).encode()
    return ".".join([header, base64.urlsafe_b64encode(changed).decode().rstrip("="), signature])
