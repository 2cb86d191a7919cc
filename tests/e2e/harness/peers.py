"""Starts the authorization servers: oidc-provider, and the sandbox of the command under test."""

import json
import os
from pathlib import Path

import requests

from harness.cli import BINARY, REPOSITORY, plain_environment
from harness.issuer import Issuer
from harness.service import Service

PEERS = REPOSITORY / "tests/e2e/peers"
# Deliberately awkward: each character means something in a form, in a Basic header or in a URL.
SYMBOLS = "p:a+s%/s&w=o?r#d 100%25"


class OidcProvider(Issuer):
    """npm's oidc-provider in a process of its own; `settings` as peers/oidc-provider.mjs documents them."""

    def __init__(self, folder: Path, **settings: str):
        env = {**os.environ, **settings}
        # The exchanges of refresh tokens, for the traces that the model judges (harness/traces.py).
        self.trace = folder / "oidc-provider.trace"
        env["OIDC_TRACE"] = str(self.trace)
        self.service = Service(["node", PEERS / "oidc-provider.mjs"], env, folder / "oidc-provider.log")
        super().__init__(self.service.ready["issuer"])
        # Where it listens: not its name where it stands behind a proxy (OIDC_ISSUER).
        self.address: str = self.service.ready["address"]
        self.secrets = {client["client_id"]: client["client_secret"] for client in self.service.ready["clients"]}

    def end(self):
        self.service.end()


class Sandbox(Issuer):
    """`flyte-auth sandbox` in a process of its own, driven through its ready line and its admin interface."""

    def __init__(self, folder: Path, *flags, binary: Path = BINARY):
        folder.mkdir(parents=True, exist_ok=True)
        ports = [] if "--http-port" in flags else ["--http-port", "0"]
        argv = [binary, "sandbox", *ports, "--grpc-port", "0", "--exit-with-stdin", *flags]
        self.trace = folder / "sandbox.trace"
        env = {**plain_environment(folder), "FLYTE_AUTH_TESTING_TRACE": str(self.trace)}
        self.service = Service(argv, env, folder / "sandbox.log")
        self.ready = self.service.ready
        self.http: str = self.ready["http"]
        self.https: str | None = self.ready.get("https")
        self.grpc: str = self.ready["grpc"]
        self.ca_cert: str | None = self.ready.get("ca_cert")
        super().__init__(self.ready["issuer"], verify=self.ca_cert or True)

    def _admin(self, path: str, body: dict):
        reply = requests.post(f"{self.ready['admin']}{path}", json=body, timeout=10)
        reply.raise_for_status()

    def fault(self, kind: str, count: int, **filters):
        """The next `count` requests go wrong: 503, html, slow, reset, garbage, delay-MILLISECONDS."""
        self._admin("/faults", {"kind": kind, "count": count, **filters})

    def clear_faults(self):
        requests.delete(f"{self.ready['admin']}/faults", timeout=10).raise_for_status()

    def clock(self, offset: int):
        """The server's clock runs `offset` seconds ahead of the machine's."""
        self._admin("/clock", {"offset": offset})

    def rotate_keys(self):
        self._admin("/keys/rotate", {})

    def stats(self) -> dict:
        return requests.get(f"{self.ready['admin']}/stats", timeout=10).json()

    def requests_to(self, path_part: str) -> int:
        """How many requests it has served on paths that contain `path_part`."""
        return count_paths(self.stats(), path_part)

    def accepts_at_me(self, token: str) -> bool:
        """Whether its resource server takes the token (`GET /me`)."""
        reply = self._session.get(f"{self.http}/me", headers={"authorization": f"Bearer {token}"}, timeout=10)
        return reply.status_code == 200

    def end(self):
        self.service.end()


def count_paths(stats, path_part: str) -> int:
    """Adds up the counters below every key that contains `path_part`, wherever the statistics keep them."""
    if not isinstance(stats, dict):
        return 0
    total = 0
    for key, value in stats.items():
        if path_part in key and isinstance(value, int):
            total += value
        else:
            total += count_paths(value, path_part)
    return total


def dump(value) -> str:
    return json.dumps(value, indent=1, sort_keys=True)
