"""Answers as Microsoft's hosts do, over TLS on loopback: msal, azure-identity and msal-node speak to nobody else.

Makes a certificate and prints one JSON line when it is ready: {"authority", "ca"}, the latter a file. Serves the
instance discovery, the tenant's openid-configuration and its token endpoint, each from memory; ends when its stdin
closes.
"""

import datetime
import ipaddress
import json
import ssl
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TENANT = "tenant"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own root, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "flyte-auth benchmark")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca, private = folder / "stand-in.pem", folder / "stand-in.key"
    ca.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    no_password = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password))
    return ca, private


def answers(origin: str) -> dict:
    authority = f"{origin}/{TENANT}"
    return {
        "/common/discovery/instance": {
            "tenant_discovery_endpoint": f"{authority}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [],
        },
        f"/{TENANT}/v2.0/.well-known/openid-configuration": {
            "issuer": f"{authority}/v2.0",
            "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
            "token_endpoint": f"{authority}/oauth2/v2.0/token",
            "jwks_uri": f"{authority}/discovery/v2.0/keys",
            "tenant_region_scope": None,
            "cloud_instance_name": "example",
        },
        f"/{TENANT}/oauth2/v2.0/token": {
            "token_type": "Bearer",
            "expires_in": 7200,
            "ext_expires_in": 7200,
            "access_token": "x" * 900,
        },
    }


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # No write waits for the client's delayed acknowledgement of the one before (TLS 1.3 writes tickets first).
    disable_nagle_algorithm = True
    known: dict = {}

    def setup(self):
        # Here and not at accept: each connection's handshake is its own thread's.
        self.request.do_handshake()
        super().setup()

    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        found = self.known.get(self.path.partition("?")[0])
        body = json.dumps(found or {"error": "not_found"}).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments):
        # A client that ends without a farewell is none of ours.
        pass


def serve(folder: Path):
    ca, key = certificate(folder)
    server = Server(("127.0.0.1", 0), Answer)
    origin = f"https://127.0.0.1:{server.server_port}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    Answer.known = answers(origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"authority": f"{origin}/{TENANT}", "ca": str(ca)}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        serve(Path(name))
