"""Steps that many scenarios share."""

import base64
import json
import re
import time

import jwt

from harness.cli import Cli, Result
from harness.peers import Sandbox
from harness.person import Person
from harness.terminal import Terminal

ALICE = "alice@example.org"
CODE = re.compile(r"\b[A-Z0-9]{4}-[A-Z0-9]{4}\b")
URL = re.compile(r"https?://\S+")
# The one line of the contract; HOST may carry its scheme, without which a plaintext endpoint could not be found again.
NOT_SIGNED_IN = r"flyte-auth: not signed in to \S*{host}\S*\. Run: flyte-auth login \S.*"


def signs_in(cli: Cli, person: Person, *arguments, env=None, within=60.0) -> Terminal:
    """Runs `login` at a terminal; the browser that opens signs in and approves."""
    terminal = cli.terminal("login", *arguments, env={**person.browser(), **(env or {})})
    assert terminal.wait(within) == 0, terminal.seen
    return terminal


def signed_in_quickly(cli: Cli, person: Person, sandbox: Sandbox, *arguments, endpoint=None) -> Terminal:
    """As `signs_in`, against a sandbox with `--auto-approve`: its redirect is all that a browser must follow."""
    terminal = cli.terminal("login", endpoint or sandbox.http, *arguments, env=person.quick_browser())
    assert terminal.wait(30) == 0, terminal.seen
    return terminal


def token_of(result: Result) -> str:
    """The token that a `token` command printed, and nothing else."""
    assert result.code == 0, result.stderr
    assert re.fullmatch(r"[\x21-\x7e]+\n", result.stdout), "stdout must be the token and one line feed"
    return result.stdout.strip()


def subject_of(token: str) -> str:
    return jwt.decode(token, options={"verify_signature": False})["sub"]


def until_expired(token: str):
    """Waits until the token's own `exp` has passed."""
    expires = jwt.decode(token, options={"verify_signature": False})["exp"]
    time.sleep(max(0.0, expires - time.time() + 0.1))


def api_key(endpoint: str, client_id: str, secret: str, org="None") -> str:
    return base64.b64encode(f"{endpoint}:{client_id}:{secret}:{org}".encode()).decode()


def machine(client_id: str, secret: str) -> dict[str, str]:
    """The environment of a CI job with client credentials (flytekit's names)."""
    return {
        "FLYTE_AUTH_TYPE": "ClientSecret",
        "FLYTE_CREDENTIALS_CLIENT_ID": client_id,
        "FLYTE_CREDENTIALS_CLIENT_SECRET": secret,
    }


def one_line(text: str) -> str:
    lines = text.splitlines()
    assert len(lines) == 1, f"one line was expected: {json.dumps(lines)}"
    return lines[0]
