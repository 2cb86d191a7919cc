"""Tokens that come from elsewhere: an external command, a variable, a file; and endpoints that want none."""

import json
import socket
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness.callers import config, fake_command
from harness.scenes import one_line, token_of

NEVER_SHOWN = "opaque-token-0123456789"


@pytest.fixture
def settings(home, sandbox):
    def write(body, endpoint=None, **admin):
        command = fake_command(home / "source.sh", body)
        return config(home / "config.yaml", endpoint or sandbox.http, [command], **admin)

    return write


def test_raw_token(cli, settings):
    assert token_of(cli.run("token", "--config", settings(f"echo {NEVER_SHOWN}"))) == NEVER_SHOWN


def test_json_with_an_expiry(cli, settings):
    expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    answer = json.dumps({"access_token": NEVER_SHOWN, "expires_at": expires})
    result = cli.run("token", "--format", "json", "--config", settings(f"echo '{answer}'"))
    assert result.json["access_token"] == NEVER_SHOWN
    assert datetime.fromisoformat(result.json["expires_at"]) == datetime.fromisoformat(expires)


def test_exec_credential(cli, settings):
    answer = json.dumps(
        {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {"token": NEVER_SHOWN},
        }
    )
    assert token_of(cli.run("token", "--config", settings(f"echo '{answer}'"))) == NEVER_SHOWN


def test_stderr_is_passed_through_and_the_token_is_not_logged(cli, settings):
    path = settings(f"echo 'pick an account' >&2; echo {NEVER_SHOWN}")
    result = cli.run("token", "--config", path, "--log-level", "trace")
    assert "pick an account" in result.stderr
    assert NEVER_SHOWN not in result.stderr
    assert token_of(result) == NEVER_SHOWN


@pytest.mark.parametrize("body", ["exit 3", "true", "echo two words", "head -c 3000000 /dev/zero"])
def test_a_failing_command_is_explained(cli, settings, body):
    result = cli.run("token", "--config", settings(body), timeout=20)
    assert result.code in (1, 2, 5, 8), result
    assert result.stdout == "" and result.stderr.strip()


def test_a_missing_command_is_a_configuration_error(cli, home, sandbox):
    path = config(home / "config.yaml", sandbox.http, ["/nowhere/at/all"])
    result = cli.run("token", "--config", path)
    assert result.code == 2 and "/nowhere/at/all" in result.stderr


def test_token_variable(cli, sandbox):
    result = cli.run("token", "--endpoint", sandbox.http, env={"FLYTE_TOKEN": NEVER_SHOWN})
    assert token_of(result) == NEVER_SHOWN


def test_token_file(cli, sandbox, home):
    (home / "token").write_text(NEVER_SHOWN + "\n")
    result = cli.run("token", "--endpoint", sandbox.http, env={"FLYTE_TOKEN_FILE": str(home / "token")})
    assert token_of(result) == NEVER_SHOWN


def test_a_missing_token_file_is_named(cli, sandbox):
    result = cli.run("token", "--endpoint", sandbox.http, env={"FLYTE_TOKEN_FILE": "/nowhere/token"})
    assert result.code == 2 and "/nowhere/token" in result.stderr


class _Answers(BaseHTTPRequestHandler):
    """Every request gets the same answer."""

    status, content_type, body, headers_more = 404, "text/plain", b"not found", {}

    def _answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(self.status)
        for name, value in {
            "content-type": self.content_type,
            "content-length": len(self.body),
            **self.headers_more,
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST = _answer

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def answering():
    """Starts a server that gives one answer to everything; returns its URL."""
    servers = []

    def start(**answer):
        handler = type("Answers", (_Answers,), answer)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [404, 405, 501])
def test_an_endpoint_without_authentication(cli, answering, status):
    result = cli.run("token", "--endpoint", answering(status=status))
    assert (result.code, result.stdout) == (0, ""), result
    one_line(result.stderr)


HTML = {"content-type": "text/html", "body": b"<html><body>Sign in to the console SECRET-BODY</body></html>"}


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 200, "content_type": "text/html", "body": HTML["body"]},
        {
            "status": 302,
            "content_type": "text/html",
            "body": b"",
            "headers_more": {"location": "https://login.example/"},
        },
        {"status": 502, "content_type": "text/html", "body": HTML["body"]},
        {"status": 503, "content_type": "text/plain", "body": b"SECRET-BODY"},
    ],
)
def test_a_proxy_or_a_broken_server_is_an_unusable_answer(cli, answering, answer):
    url = answering(**answer)
    result = cli.run("token", "--endpoint", url)
    assert (result.code, result.stdout) == (8, ""), result
    assert url.removeprefix("http://") in result.stderr
    assert "SECRET-BODY" not in result.stderr


def test_a_server_that_never_answers_has_a_deadline(cli):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        result = cli.run(
            "token",
            "--endpoint",
            url,
            env={
                "FLYTE_AUTH_TYPE": "ClientSecret",
                "FLYTE_CREDENTIALS_CLIENT_SECRET": "x",
                "FLYTE_CREDENTIALS_CLIENT_ID": "y",
            },
            timeout=60,
        )
    assert result.code == 3
