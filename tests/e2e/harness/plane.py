"""`flyte-auth serve` in a process of its own, with the identity provider and the services that stand around it."""

import base64
import hashlib
import json
import re
import secrets
import threading
from concurrent import futures
from contextlib import contextmanager
from functools import cached_property
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import grpc
import requests
import yaml
from flyteidl.admin import project_pb2, version_pb2
from flyteidl.service import admin_pb2_grpc

from harness import witness
from harness.cli import BINARY, plain_environment
from harness.issuer import Issuer
from harness.peers import OidcProvider
from harness.ports import closed_port
from harness.service import Service

# What the relying party is called at the provider, and flytepropeller's secret.
CONSOLE = "console"
CONSOLE_SECRET = "console-secret-0123456789"
PROPELLER_SECRET = "propeller secret: p+a s%s&w=o"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
CLI_REDIRECT = "http://localhost:53593/callback"
_FORM = re.compile(r"<form[^>]*action=\"([^\"]+)\"")
_INPUT = re.compile(r"<input[^>]*type=\"hidden\"[^>]*name=\"([^\"]+)\"[^>]*value=\"([^\"]*)\"")


def run(*argv, **more):
    """A command of the binary under test that ends by itself."""
    import subprocess

    return subprocess.run([str(BINARY), *map(str, argv)], capture_output=True, text=True, timeout=60, **more)


def provider(folder: Path, *ports: int, **settings: str) -> OidcProvider:
    """An identity provider that knows the consoles at these ports."""
    origins = [f"http://localhost:{port}" for port in ports] + [f"https://localhost:{port}" for port in ports]
    console = {
        "client_id": CONSOLE,
        "client_secret": CONSOLE_SECRET,
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "redirect_uris": [f"{origin}/callback" for origin in origins],
        "post_logout_redirect_uris": [f"{origin}/console" for origin in origins],
    }
    return OidcProvider(folder, OIDC_EXTRA_CLIENTS=json.dumps([console]), **settings)


def merged(under: dict, over: dict) -> dict:
    """`over` laid on `under`; None takes a key away."""
    whole = dict(under)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(whole.get(key), dict):
            whole[key] = merged(whole[key], value)
        elif value is None:
            whole.pop(key, None)
        else:
            whole[key] = value
    return whole


class Keys:
    """A secrets folder, as `secrets init` makes it."""

    def __init__(self, folder: Path, algorithm="rs256"):
        done = run("secrets", "init", folder, "--algorithm", algorithm)
        assert done.returncode == 0, done.stderr
        self.folder = folder
        self.put("oidc_client_secret", CONSOLE_SECRET)
        hashed = run("secrets", "hash", input=PROPELLER_SECRET)
        assert hashed.returncode == 0, hashed.stderr
        self.propeller_hash = hashed.stdout.strip()
        for name in ("cookie_hash_key", "cookie_block_key"):
            witness.current.knows((folder / name).read_text(), kind="cookie_key")
        witness.current.knows(CONSOLE_SECRET, PROPELLER_SECRET, kind="client_secret")

    def put(self, name: str, content: str):
        path = self.folder / name
        path.write_text(content)
        path.chmod(0o600)


def configuration(port: int, keys: Keys, issuer: str, folder: Path, changes: dict | None = None) -> dict:
    """flyteadmin's file for a built-in authorization server, with our section beside it."""
    code_grants = ["authorization_code", "refresh_token", DEVICE_GRANT]
    public = {
        "public": True,
        "redirect_uris": [CLI_REDIRECT, "http://127.0.0.1/callback"],
        "grant_types": code_grants,
        "response_types": ["code", "token"],
        "scopes": ["all", "offline", "access_token"],
    }
    machine = {
        "client_secret": keys.propeller_hash,
        "grant_types": ["refresh_token", "client_credentials"],
        "scopes": ["all", "offline", "access_token"],
    }
    whole = {
        "server": {
            "httpPort": port,
            "grpc": {"port": 0},
            "security": {"useAuth": True, "allowedOrigins": [f"http://localhost:{port}"]},
        },
        "secrets": {"secrets-prefix": str(keys.folder)},
        "auth": {
            "authorizedUris": [f"http://localhost:{port}"],
            "userAuth": {
                "openId": {
                    "baseUrl": issuer,
                    "clientId": CONSOLE,
                    "scopes": ["openid", "profile", "email", "offline_access"],
                }
            },
            "appAuth": {
                "selfAuthServer": {
                    "staticClients": {
                        "flytectl": {"id": "flytectl", **public},
                        "flytepropeller": {"id": "flytepropeller", **machine},
                    }
                }
            },
        },
        "gateway": {"address": "127.0.0.1", "metricsPort": 0, "database": str(folder / "serve.db")},
    }
    return merged(whole, changes or {})


class Plane(Issuer):
    """A running `serve`, driven through its ready line; `config` may be written anew while it runs."""

    def __init__(self, folder: Path, config: dict, environment: dict | None = None, log_level="debug"):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.file = folder / "flyteadmin.yaml"
        self.write(config)
        env = {**plain_environment(folder), **(environment or {})}
        argv = [BINARY, "serve", "--config", self.file, "--exit-with-stdin", "--log-level", log_level]
        self.service = Service(argv, env, folder / "serve.log")
        self.ready = self.service.ready
        self.url: str = config["auth"]["authorizedUris"][0].rstrip("/")
        self.grpc: str = self.ready["grpc"]
        super().__init__(self.url)

    @cached_property
    def metadata(self) -> dict:
        reply = requests.get(f"{self.url}/.well-known/oauth-authorization-server", timeout=10)
        reply.raise_for_status()
        return reply.json()

    def write(self, config: dict):
        """Replaces the file in one step, as an editor or a mounted secret does."""
        self.config = config
        fresh = self.file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(config))
        fresh.replace(self.file)

    def token(self, scope="all", **form) -> requests.Response:
        """flytepropeller's request for a token."""
        form = {"grant_type": "client_credentials", "scope": scope, **form}
        form = {key: value for key, value in form.items() if value is not None}
        basic = base64.b64encode(f"flytepropeller:{quoted(PROPELLER_SECRET)}".encode()).decode()
        return requests.post(
            f"{self.url}/oauth2/token", data=form, headers={"authorization": f"Basic {basic}"}, timeout=20
        )

    def machine_token(self) -> str:
        reply = self.token()
        assert reply.status_code == 200, reply.text
        return reply.json()["access_token"]

    def post(self, path: str, **form) -> requests.Response:
        """A form of a public client."""
        return requests.post(f"{self.url}{path}", data={"client_id": "flytectl", **form}, timeout=20)

    def get(self, path: str, token: str | None = None, **more) -> requests.Response:
        headers = more.pop("headers", {})
        if token:
            headers = {"authorization": f"Bearer {token}", **headers}
        return requests.get(f"{self.url}{path}", headers=headers, allow_redirects=False, timeout=20, **more)

    def metrics(self) -> str:
        return requests.get(self.ready["metrics"], timeout=10).text

    def end(self) -> int:
        return self.service.end()


def quoted(text: str) -> str:
    """RFC 6749 section 2.3.1: each part of a Basic header is form-encoded first."""
    from urllib.parse import quote_plus

    return quote_plus(text)


def inputs(page: requests.Response) -> dict[str, str]:
    """What a page's form holds already."""
    return {unescape(name): unescape(value) for name, value in _INPUT.findall(page.text)}


class Visitor:
    """Somebody in front of the console: follows redirects, fills in forms, keeps cookies. No script runs."""

    def __init__(self, plane: Plane, user="alice@example.org"):
        self.plane, self.user = plane, user
        self.browser = requests.Session()
        self.browser.trust_env = False
        self.browser.headers["accept"] = "text/html,application/xhtml+xml"
        self.seen: list[requests.Response] = []

    def step(self, method: str, url: str, **more) -> requests.Response:
        reply = self.browser.request(method, url, allow_redirects=False, timeout=30, **more)
        self.seen.append(reply)
        return reply

    def goes_to(self, url: str, until=None, answer="approve") -> requests.Response:
        """Follows and fills in until a page has no form, or an address begins with `until`; the last answer."""
        reply = self.step("GET", urljoin(self.plane.url + "/", url))
        for _ in range(30):
            if reply.is_redirect:
                target = urljoin(reply.url, reply.headers["location"])
                if until and target.startswith(until):
                    return reply
                reply = self.step("GET", target)
                continue
            action = _FORM.search(reply.text)
            if reply.status_code != 200 or not action or "text/html" not in reply.headers.get("content-type", ""):
                return reply
            if until and unescape(action[1]).startswith(until):
                return reply
            form = inputs(reply)
            if form.get("prompt") == "login":
                form.update({"login": self.user, "password": "any"})
            if 'name="action"' in reply.text:
                form["action"] = answer
            origin = "{0.scheme}://{0.netloc}".format(urlsplit(reply.url))
            reply = self.step("POST", urljoin(reply.url, unescape(action[1])), data=form, headers={"origin": origin})
        raise AssertionError("the way has no end")

    def signs_in(self) -> "Visitor":
        reply = self.goes_to("/login?redirect_url=/me")
        assert reply.status_code == 200 and "subject" in reply.json(), (reply.status_code, reply.text[:300])
        return self

    def authorizes(self, answer="approve", redirect=CLI_REDIRECT, **changes) -> tuple[dict, str]:
        """flytectl's authorization request with PKCE; what came back at the redirect, and the verifier."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": "flytectl",
            "redirect_uri": redirect,
            "scope": "offline all",
            "state": "a-state-of-the-client",
            "nonce": "a-nonce-of-the-client",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **changes,
        }
        asked = {key: value for key, value in asked.items() if value is not None}
        query = requests.models.PreparedRequest()
        query.prepare_url(f"{self.plane.url}/oauth2/authorize", asked)
        reply = self.goes_to(query.url, until=redirect, answer=answer)
        assert reply.is_redirect, (reply.status_code, reply.text[:500])
        answer = parse_qs(urlsplit(reply.headers["location"]).query)
        return {name: values[0] for name, values in answer.items()}, verifier

    def tokens(self, **changes) -> dict:
        """flytectl's tokens for this person."""
        answer, verifier = self.authorizes(**changes)
        assert answer["state"] == "a-state-of-the-client", answer
        reply = self.redeems(answer["code"], verifier)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def redeems(self, code: str, verifier: str | None, **changes) -> requests.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CLI_REDIRECT,
            "code_verifier": verifier,
            **changes,
        }
        return self.plane.post("/oauth2/token", **{key: value for key, value in form.items() if value is not None})

    def refreshes(self, refresh_token: str, **form) -> requests.Response:
        return self.plane.post("/oauth2/token", grant_type="refresh_token", refresh_token=refresh_token, **form)


class GrpcAdmin:
    """A small flyteadmin behind the plane: flyteidl's own AdminService, and streams of every kind.

    It keeps what it got."""

    def __init__(self):
        self.calls: list[tuple[str, dict[str, str]]] = []
        seen = self._seen

        class Admin(admin_pb2_grpc.AdminServiceServicer):
            def ListProjects(self, _request, context):
                seen("ListProjects", context)
                return project_pb2.Projects(projects=[project_pb2.Project(id="flytesnacks", name="flytesnacks")])

            def GetVersion(self, _request, context):
                seen("GetVersion", context)
                control_plane = version_pb2.Version(Version="1.16.8")
                return version_pb2.GetVersionResponse(control_plane_version=control_plane)

        self.gate = threading.Event()
        echo = {
            "Unary": grpc.unary_unary_rpc_method_handler(lambda message, context: seen("Unary", context) or message),
            "Down": grpc.unary_stream_rpc_method_handler(self._down),
            "Up": grpc.stream_unary_rpc_method_handler(lambda messages, context: b"".join(messages)),
            "Both": grpc.stream_stream_rpc_method_handler(self._both),
            "Fails": grpc.unary_unary_rpc_method_handler(self._fails),
        }
        self.server = grpc.server(
            futures.ThreadPoolExecutor(32),
            options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)],
        )
        admin_pb2_grpc.add_AdminServiceServicer_to_server(Admin(), self.server)
        handler = grpc.method_handlers_generic_handler("flyteidl.test.Echo", echo)
        self.server.add_generic_rpc_handlers((handler,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def _seen(self, method, context):
        self.calls.append((method, {key: value for key, value in context.invocation_metadata()}))

    def _down(self, message, context):
        self._seen("Down", context)
        yield message + b"-1"
        # The second message leaves only once the test has read the first.
        assert self.gate.wait(20)
        yield message + b"-2"

    def _both(self, messages, context):
        self._seen("Both", context)
        for message in messages:
            yield message + b"!"

    def _fails(self, _message, context):
        context.set_trailing_metadata((("x-trailing", "kept"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: 50% är")

    def end(self):
        self.server.stop(None).wait(5)


class Web:
    """A console and a REST API behind the plane; keeps the headers of each request."""

    def __init__(self):
        self.calls: list[tuple[str, str, dict[str, str], bytes]] = []
        calls = self.calls

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                calls.append(
                    (self.command, self.path, {key.lower(): value for key, value in self.headers.items()}, body)
                )
                content = b"<!doctype html><title>Flyte</title><h1>Flyte console</h1><p>You are signed in to Flyte.</p>"
                kind = "text/html"
                if self.headers.get("content-type", "").split(";")[0] == "application/proto":
                    # Every message of Flyte 2 that is asked for here may be empty.
                    content, kind = b"", "application/proto"
                elif not self.path.startswith("/console"):
                    content, kind = (
                        json.dumps({"path": self.path, "sent": body.decode("latin-1")}).encode(),
                        "application/json",
                    )
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.send_header("x-upstream", "web")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _any

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@contextmanager
def scene(folder: Path, changes: dict | None = None, idp=None, algorithm="rs256", environment=None):
    """A plane with a provider, a gRPC service and a web service around it."""
    folder.mkdir(parents=True, exist_ok=True)
    port = closed_port()
    issuer = provider(folder, port, **(idp or {}))
    admin, web = GrpcAdmin(), Web()
    upstreams = [
        {"match": "flyteidl.", "url": f"http://127.0.0.1:{admin.port}"},
        {"match": "flyteidl2.", "url": f"http://127.0.0.1:{web.port}"},
        {"match": "/console", "url": f"http://127.0.0.1:{web.port}"},
        {"match": "/api", "url": f"http://127.0.0.1:{web.port}"},
        {"match": "/v1", "url": f"http://127.0.0.1:{web.port}"},
    ]
    keys = Keys(folder / "secrets", algorithm)
    config = configuration(port, keys, issuer.metadata["issuer"], folder, {"gateway": {"upstreams": upstreams}})
    plane = None
    try:
        if (changes or {}).get("auth", {}).get("appAuth", {}).get("authServerType") == "External":
            # A key is looked for only where something is signed.
            (keys.folder / "token_rsa_key.pem").unlink()
        plane = Plane(folder / "plane", merged(config, changes or {}), environment)
        plane.provider, plane.admin, plane.web, plane.keys = issuer, admin, web, keys
        yield plane
    finally:
        if plane is not None:
            plane.end()
        for peer in (issuer, admin, web):
            peer.end()


def channel(plane: Plane, token: str | None = None, header="flyte-authorization", scheme="Bearer"):
    """A gRPC channel to the plane, and the metadata that bears the token."""
    options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
    metadata = ((header, f"{scheme} {token}"),) if token else ()
    return grpc.insecure_channel(
        plane.grpc, options=[*options, ("grpc.default_authority", urlsplit(plane.url).netloc)]
    ), metadata


def claims(token: str) -> dict:
    """The claims of a JWT, unverified."""
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def header(token: str) -> dict:
    head = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
