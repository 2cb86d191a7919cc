"""`serve` with Keycloak as its identity provider and, in `External` mode, as its authorization server.

Run by `make keycloak`: the server has 177 MB and takes half a minute to start."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import requests
from harness import plane as planes
from harness.plane import CONSOLE, CONSOLE_SECRET, GrpcAdmin, Keys, Web
from harness.ports import closed_port

# A slow start is part of the first test.
pytestmark = pytest.mark.timeout(300)

MACHINE_SECRET = "machine-secret-0123456789"
USER = "alice"
# What harness/person.py types.
PASSWORD = "any password"


class Keycloak:
    """A realm with a person, the console, a machine, and Flyte's scopes."""

    def __init__(self, folder: Path, console_port: int):
        home = folder / "keycloak"
        # Without what earlier runs and benchmarks kept.
        shutil.copytree(os.environ["KEYCLOAK_HOME"], home, ignore=shutil.ignore_patterns("data"))
        (home / "data/import").mkdir(parents=True, exist_ok=True)
        (home / "data/import/flyte.json").write_text(json.dumps(self._realm(console_port)))
        self.port = closed_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.issuer = f"{self.url}/realms/flyte"
        env = {
            **os.environ,
            "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
            "KC_BOOTSTRAP_ADMIN_PASSWORD": "admin",
            "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
            "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
        }
        argv = [home / "bin/kc.sh", "start-dev", "--import-realm", "--http-host=127.0.0.1"]
        self.log = (folder / "keycloak.log").open("w")
        self.process = subprocess.Popen(
            [*map(str, argv), f"--http-port={self.port}", "--cache=local"],
            env=env,
            stdout=self.log,
            stderr=self.log,
            # kc.sh may leave its JVM behind: they end together.
            start_new_session=True,
        )
        until = time.monotonic() + 180
        while not self._is_up():
            assert self.process.poll() is None and time.monotonic() < until, (folder / "keycloak.log").read_text()[
                -2000:
            ]
            time.sleep(1)
        self._add_scopes()

    @staticmethod
    def _realm(console_port: int) -> dict:
        origin = f"http://localhost:{console_port}"
        audience = {
            "name": "audience",
            "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": {"included.custom.audience": origin, "access.token.claim": "true"},
        }
        return {
            "realm": "flyte",
            "enabled": True,
            "sslRequired": "none",
            "users": [
                {
                    "username": USER,
                    "enabled": True,
                    "email": "alice@example.org",
                    "emailVerified": True,
                    "firstName": "Alice",
                    "lastName": "Liddell",
                    "credentials": [{"type": "password", "value": PASSWORD, "temporary": False}],
                    "realmRoles": ["offline_access", "default-roles-flyte"],
                }
            ],
            "clients": [
                {
                    "clientId": CONSOLE,
                    "secret": CONSOLE_SECRET,
                    "redirectUris": [f"{origin}/callback"],
                    "attributes": {
                        "pkce.code.challenge.method": "S256",
                        "post.logout.redirect.uris": f"{origin}/console",
                    },
                },
                {
                    "clientId": "machine",
                    "secret": MACHINE_SECRET,
                    "serviceAccountsEnabled": True,
                    "standardFlowEnabled": False,
                    "protocolMappers": [audience],
                },
            ],
        }

    def _is_up(self) -> bool:
        try:
            return requests.get(f"{self.issuer}/.well-known/openid-configuration", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def _add_scopes(self):
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": "admin"}
        token = requests.post(f"{self.url}/realms/master/protocol/openid-connect/token", data=form, timeout=20).json()
        headers = {"authorization": f"Bearer {token['access_token']}"}
        realm = f"{self.url}/admin/realms/flyte"
        [machine] = requests.get(f"{realm}/clients?clientId=machine", headers=headers, timeout=20).json()
        for name in ("all", "offline"):
            scope = {"name": name, "protocol": "openid-connect", "attributes": {"include.in.token.scope": "true"}}
            made = requests.post(f"{realm}/client-scopes", json=scope, headers=headers, timeout=20)
            made.raise_for_status()
            identifier = made.headers["location"].rsplit("/", 1)[1]
            path = f"{realm}/clients/{machine['id']}/optional-client-scopes/{identifier}"
            requests.put(path, headers=headers, timeout=20).raise_for_status()

    def token(self, scope: str | None) -> str:
        form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
        endpoint = f"{self.issuer}/protocol/openid-connect/token"
        reply = requests.post(endpoint, data=form, auth=("machine", MACHINE_SECRET), timeout=20)
        reply.raise_for_status()
        return reply.json()["access_token"]

    def end(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(30)
        self.log.close()


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keycloak")
    port = closed_port()
    keycloak, web, admin = Keycloak(folder, port), Web(), GrpcAdmin()
    external = {"metadataUrl": ".well-known/openid-configuration"}
    changes = {
        "auth": {"appAuth": {"authServerType": "External", "externalAuthServer": external}},
        "gateway": {
            "upstreams": [
                {"match": "flyteidl.", "url": f"http://127.0.0.1:{admin.port}"},
                {"match": "/console", "url": f"http://127.0.0.1:{web.port}"},
                {"match": "/api", "url": f"http://127.0.0.1:{web.port}"},
            ]
        },
    }
    keys = Keys(folder / "secrets")
    running = planes.Plane(folder / "plane", planes.configuration(port, keys, keycloak.issuer, folder, changes))
    running.keycloak, running.web = keycloak, web
    yield running
    for peer in (running, keycloak, web, admin):
        peer.end()


def test_a_person_signs_in_in_chromium(plane, person):
    assert person.visits(f"{plane.url}/console/x", user=USER) == "done"
    _, path, sent, _ = plane.web.calls[-1]
    assert path == "/console/x" and sent["x-user-email"] == "alice@example.org"
    assert sent["x-user-name"] == "Alice Liddell"


def test_its_tokens_are_taken_with_the_scope_alone(plane):
    assert plane.get("/api/v1/x", plane.keycloak.token("all")).status_code == 200
    assert plane.get("/api/v1/x", plane.keycloak.token("offline")).status_code == 403
    assert plane.get("/api/v1/x", plane.keycloak.token(None)).status_code == 403
    token = plane.keycloak.token("all")
    assert plane.get("/api/v1/x", token[:-8] + "AAAAAAAA").status_code == 401
    assert plane.get("/me", token).json()["additional_claims"]["azp"] == "machine"


def test_its_metadata_is_handed_on(plane):
    document = plane.get("/.well-known/oauth-authorization-server").json()
    assert document["issuer"] == plane.keycloak.issuer
    assert document["token_endpoint"] == f"{plane.keycloak.issuer}/protocol/openid-connect/token"
