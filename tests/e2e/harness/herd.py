"""Many processes that share one session: started, held at the gate, released at one instant, and counted."""

import hashlib
import json
import time
from pathlib import Path

from harness.cli import BINARY, Cli
from harness.forms import expired, sign_in
from harness.peers import OidcProvider, Sandbox
from harness.scenes import ALICE

WORKER = BINARY.with_name("flyte-auth-worker")
# Time between "all are at the gate" and the instant at which they start.
HEAD_START = 0.3


class Place:
    """An authorization server, how a client is told about it, and what it has counted."""

    scopes = "openid all offline offline_access"

    def __init__(self, server: Sandbox | OidcProvider):
        self.server = server
        if isinstance(server, Sandbox):
            self.env = {"FLYTE_AUTH_ENDPOINT": server.http}
            self.scopes = "all offline"
        else:
            self.env = {
                "FLYTE_AUTH_ISSUER": server.url,
                "FLYTE_AUTH_CLIENT_ID": "flytectl",
                "FLYTE_AUTH_SCOPES": ",".join(self.scopes.split()),
            }
        # The suites look into the store.
        self.env["FLYTE_AUTH_STORE"] = "file"

    def counted(self) -> dict[str, int]:
        """Token requests so far: all, granted, refused."""
        if isinstance(self.server, Sandbox):
            stats = self.server.stats()
            # Faults and refusals included: the path counts every request.
            requests = stats["requests"].get("/oauth2/token", 0)
            return {"all": requests, "granted": stats["tokens_issued"], "reused": stats["reuse_detections"]}
        lines = [line for line in self.server.service.logged().splitlines() if line.startswith("POST /token ")]
        granted = sum(line.startswith("POST /token 200") for line in lines)
        return {"all": len(lines), "granted": granted, "reused": sum("invalid_grant" in line for line in lines)}

    def trace_lines(self) -> list[str]:
        """What the server has recorded so far."""
        return self.server.trace.read_text().splitlines() if self.server.trace.exists() else []

    def since(self, before: dict[str, int]) -> dict[str, int]:
        return {name: count - before[name] for name, count in self.counted().items()}

    def answers_late(self, millis: int):
        """From now on the token endpoint's answers come this much later (the sandbox alone can do that)."""
        if isinstance(self.server, Sandbox):
            self.server.clear_faults()
            if millis:
                self.server.fault(f"delay-{millis}", 1_000_000, path="/oauth2/token")

    def sign_in(self, cli: Cli, is_expired=True) -> dict:
        """Signs Alice in and makes that the stored session, whose access token is expired unless told otherwise."""
        record = sign_in(self.server, ALICE, self.scopes)
        seed(cli, self, expired(record) if is_expired else record)
        return record


def seed(cli: Cli, place: Place, record: dict):
    result = cli.run_any([WORKER, "seed"], env=place.env, input=json.dumps(record))
    assert result.code == 0, result.stdout


def record_file(cli: Cli) -> Path:
    """The one record in the file store."""
    (file,) = (cli.home / "state/sessions").glob("*.json")
    return file


def stored(cli: Cli) -> dict:
    """The stored session; fails if the file is damaged."""
    return json.loads(record_file(cli).read_text())


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Herd:
    """`count` processes of `argv`, each with pipes of its own."""

    def __init__(self, cli: Cli, argv, env, count: int):
        self.began = time.monotonic()
        self.children = [cli.start_any(argv, env) for _ in range(count)]

    def go(self):
        """Waits until every worker is at the gate, then names the instant at which all start."""
        for child in self.children:
            line = child.stdout.readline()
            assert '"ready"' in line, (line, child.stderr.read())
        instant = int((time.time() + HEAD_START) * 1000)
        for child in self.children:
            child.stdin.write(f"{instant}\n")
            child.stdin.flush()

    def finish(self, within=80) -> list[tuple[int, str, str]]:
        """Exit code, stdout and stderr of each; `seconds` is when the last was done."""
        until = time.monotonic() + within
        done = []
        for child in self.children:
            stdout, stderr = child.communicate(timeout=max(1.0, until - time.monotonic()))
            done.append((child.returncode, stdout, stderr))
        self.seconds = time.monotonic() - self.began
        return done


def workers(cli: Cli, place: Place, processes: int, threads: int, env=None, own_runtimes=False) -> list[dict]:
    """`processes` x `threads` calls of `token()` at one instant; what each got."""
    argv = [WORKER, "once", "--threads", threads, *(["--own-runtimes"] if own_runtimes else [])]
    herd = Herd(cli, argv, {**place.env, **(env or {})}, processes)
    herd.go()
    calls = []
    for code, stdout, stderr in herd.finish():
        assert code == 0, (code, stdout, stderr)
        calls += json.loads(stdout.splitlines()[-1])["calls"]
    return calls


def commands(cli: Cli, place: Place, processes: int, *arguments, env=None) -> tuple[list[tuple[int, str, str]], float]:
    """`processes` x `flyte-auth token` at once, nobody to ask; what each left, and when the last was done (seconds)."""
    herd = Herd(cli, [cli.binary, "token", *arguments], {**place.env, **(env or {})}, processes)
    done = herd.finish()
    return done, herd.seconds


def wait_for(condition, within=60.0):
    """Looks again and again until `condition` holds."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, f"it did not happen in {within} s"
        time.sleep(0.02)
