"""Logins that the shipped clients keep in the keyring of a desktop (harness/secret_service.py).

The items are written and read by the clients' own code (flytekit, flyte), and for
flytectl by Python's keyring in flytectl's form, which on Linux is the same item.
"""

import base64
import hashlib
import json
from urllib.parse import parse_qs, urlsplit

import requests

from harness.cli import VENV
from harness.issuer import Issuer
from harness.secret_service import SecretService

# What each client runs on itself: `store SERVICE` with a JSON pair on stdin, `retrieve SERVICE` prints one.
_FLYTEKIT = """\
import json, sys
from flytekit.clients.auth.keyring import Credentials, KeyringStore
if sys.argv[1] == "store":
    pair = json.load(sys.stdin)
    KeyringStore.store(Credentials(pair["access_token"], pair["refresh_token"], for_endpoint=sys.argv[2]))
else:
    held = KeyringStore.retrieve(sys.argv[2])
    print(json.dumps(held and {"access_token": held.access_token, "refresh_token": held.refresh_token}))
"""
_FLYTE = """\
import json, sys
from flyte.remote._client.auth._keyring import Credentials, KeyringStore
if sys.argv[1] == "store":
    pair = json.load(sys.stdin)
    KeyringStore.store(Credentials(for_endpoint=sys.argv[2], **pair))
else:
    held = KeyringStore.retrieve(sys.argv[2])
    print(json.dumps(held and {"access_token": held.access_token, "refresh_token": held.refresh_token}))
"""
_FLYTECTL = """\
import json, sys, keyring
user = f"dns:///{sys.argv[2]}:flytectl-user"
if sys.argv[1] == "store":
    pair = json.load(sys.stdin)
    token = {**pair, "token_type": "Bearer", "expiry": "2020-01-01T00:00:00.123456789Z"}
    keyring.set_password("flytectl", user, json.dumps(token))
else:
    held = json.loads(keyring.get_password("flytectl", user) or "null")
    print(json.dumps(held and {"access_token": held["access_token"], "refresh_token": held["refresh_token"]}))
"""
PROGRAMS = {"flytekit": _FLYTEKIT, "flyte": _FLYTE, "flytectl": _FLYTECTL}


# The null backend of the plain environment keeps nothing.
BACKEND = {"PYTHON_KEYRING_BACKEND": "keyring.backends.SecretService.Keyring"}


class ClientLogin:
    """One client's login for one host, through the client's own code."""

    def __init__(self, name: str, cli, desktop: SecretService, host: str):
        self.name, self._cli, self._desktop, self._host = name, cli, desktop, host

    def _run(self, verb: str, input=None):
        argv = [VENV / "python", "-c", PROGRAMS[self.name], verb, self._host]
        done = self._cli.run_any(argv, env={**self._desktop.env, **BACKEND}, input=input, timeout=120)
        assert done.code == 0, done.stderr
        return done

    def store(self, pair: dict):
        self._run("store", json.dumps({name: pair[name] for name in ("access_token", "refresh_token")}))

    def retrieve(self) -> dict | None:
        return json.loads(self._run("retrieve").stdout)


class Approved:
    """What a client's own login would get from a server that approves by itself: the code flow, without a browser."""

    REDIRECT = "http://localhost:53593/callback"

    def __init__(self, issuer: Issuer, client_id="flytectl", scope="all offline"):
        self._issuer, self._client_id, self._scope = issuer, client_id, scope

    def _token(self, form: dict) -> requests.Response:
        endpoint = self._issuer.metadata["token_endpoint"]
        return requests.post(endpoint, data={"client_id": self._client_id, **form}, timeout=10)

    def login(self) -> dict:
        verifier = "a-verifier-that-is-long-enough-for-rfc-7636-and-used-once"
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "client_id": self._client_id, "response_type": "code", "redirect_uri": self.REDIRECT, "state": "s",
            "scope": self._scope, "code_challenge_method": "S256", "code_challenge": challenge,
        }  # fmt: skip
        url = requests.Request("GET", self._issuer.metadata["authorization_endpoint"], params=query).prepare().url
        for _ in range(10):
            reply = requests.get(url, allow_redirects=False, timeout=10)
            url = reply.headers.get("location", "")
            if url.startswith(self.REDIRECT):
                break
        code = parse_qs(urlsplit(url).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.REDIRECT}
        reply = self._token({**form, "code_verifier": verifier})
        reply.raise_for_status()
        return reply.json()

    def refresh(self, refresh_token: str) -> requests.Response:
        """As flytekit and flyte do it: no scope, no audience."""
        return self._token({"grant_type": "refresh_token", "refresh_token": refresh_token})
