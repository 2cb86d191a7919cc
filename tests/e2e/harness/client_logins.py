"""A desktop's keyring on a private bus, and logins that the shipped clients keep in it.

The keyring is gnome-keyring; the items are written and read by the clients' own code (flytekit, flyte), and for
flytectl by Python's keyring in flytectl's form, which on Linux is the same item.
"""

import base64
import hashlib
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests

from harness.cli import VENV, plain_environment
from harness.issuer import Issuer

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


class Desktop:
    """dbus-daemon and an unlocked gnome-keyring in a home of their own; ended by their ids."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True)
        # A socket's path is short: the test's own folder may be too deep.
        self.address = f"unix:abstract=flyte-auth-e2e-{os.getpid()}-{time.monotonic_ns()}"
        env = plain_environment(folder)
        for place in ("run", ".config", "tmp", ".local/share"):
            (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / "run").chmod(0o700)
        env.update(XDG_DATA_HOME=str(folder / ".local/share"), DBUS_SESSION_BUS_ADDRESS=self.address)
        self._log = (folder / "desktop.log").open("w")
        self._children = []
        self._start(["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={self.address}"], env)
        self._until("the bus", ["dbus-send", "--session", "--dest=org.freedesktop.DBus", "--print-reply", "/",
                                "org.freedesktop.DBus.GetId"], env)  # fmt: skip
        keyring = self._start(["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"], env)
        keyring.stdin.write(b"password")
        keyring.stdin.close()
        # The collection is there only after the unlock.
        self._until("the keyring", ["dbus-send", "--session", "--dest=org.freedesktop.secrets", "--print-reply",
                                    "/org/freedesktop/secrets/collection/login", "org.freedesktop.DBus.Properties.Get",
                                    "string:org.freedesktop.Secret.Collection", "string:Label"], env)  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program use it."""
        return {
            "DBUS_SESSION_BUS_ADDRESS": self.address,
            "PYTHON_KEYRING_BACKEND": "keyring.backends.SecretService.Keyring",
        }

    def _start(self, argv, env):
        child = subprocess.Popen(
            argv, env=env, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, start_new_session=True
        )
        self._children.append(child)
        return child

    def _until(self, what, argv, env, within=30):
        until = time.monotonic() + within
        while subprocess.run(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
            if time.monotonic() > until:
                self.end()
                raise AssertionError(f"{what} did not come up")
            time.sleep(0.05)

    def end(self):
        for child in reversed(self._children):
            child.kill()
            child.wait()
            child.stdin.close()
        self._log.close()


class SilentBus:
    """A session bus that takes connections and never says a word."""

    def __init__(self, folder: Path):
        self.path = folder / "bus"
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self._socket.listen(64)

    @property
    def environment(self) -> dict[str, str]:
        return {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.path}"}

    def end(self):
        self._socket.close()


class ClientLogin:
    """One client's login for one host, through the client's own code."""

    def __init__(self, name: str, cli, desktop: Desktop, host: str):
        self.name, self._cli, self._desktop, self._host = name, cli, desktop, host

    def _run(self, verb: str, input=None):
        argv = [VENV / "python", "-c", PROGRAMS[self.name], verb, self._host]
        done = self._cli.run_any(argv, env=self._desktop.environment, input=input, timeout=120)
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
