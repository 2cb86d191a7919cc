"""Somebody who wants a token that is not theirs, and the repositories and metadata that lead to them."""

import json
import os
import subprocess
from pathlib import Path
from urllib.parse import quote

from harness.cli import Cli
from harness.fault_proxy import Connection, Fault, FaultProxy, Reply, says

TOKENS = {"access_token": "of-the-stranger", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "strange"}


class Stranger(FaultProxy):
    """Takes whatever comes and answers with tokens, so that nothing ends before everything was handed over."""

    def __init__(self):
        super().__init__()
        self.breaks(says(200, json.dumps(TOKENS).encode()))

    def got_nothing_of(self, *secrets: str):
        """Fails if one of the secrets arrived, in whatever part of whatever request."""
        for request in list(self.requests):
            whole = f"{request.method} {request.path} {request.headers} {request.body!r}"
            found = [secret for secret in secrets if secret in whole]
            assert not found, f"the stranger received {found}: {whole}"

    def was_not_asked(self):
        assert not self.requests, f"the stranger was asked: {self.requests}"


def rewrites(*changes: tuple[str, str]) -> Fault:
    """The server's own answer with other words in it, and in the parameters of its redirects."""

    def fault(connection: Connection):
        reply = connection.forward()
        body, headers = reply.body, dict(reply.headers)
        for old, new in changes:
            body = body.replace(old.encode(), new.encode())
            headers = {name: value.replace(quote(old, ""), quote(new, "")) for name, value in headers.items()}
        connection.client.sendall(Reply(reply.status, headers, body).encoded())

    return fault


def names(**members: str) -> Fault:
    """The server's own answer with further members, in the spelling of Flyte 2."""

    def fault(connection: Connection):
        reply = connection.forward()
        body = json.dumps({**json.loads(reply.body), **members}).encode() if reply.status == 200 else reply.body
        connection.client.sendall(Reply(reply.status, reply.headers, body).encoded())

    return fault


def repository(folder: Path, config: str, at=".flyte/config.yaml") -> Path:
    """A checked-out repository with a configuration file in it."""
    path = folder / at
    path.parent.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q")
    path.write_text(config)
    return folder


def git(folder: Path, *arguments: str):
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, env=env, capture_output=True)


def stored_secrets(cli: Cli) -> list[str]:
    """Access and refresh tokens of every session that is stored in plain files."""
    found = []
    for path in (cli.home / "state" / "sessions").glob("*.json"):
        record = json.loads(path.read_text())
        found += [record["access_token"], record.get("refresh_token")]
    assert found, "nothing is stored"
    return [secret for secret in found if secret]
