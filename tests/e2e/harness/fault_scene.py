"""A session that exists, behind a proxy that can break, under a clock that can be moved."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from harness.cli import Cli, Result
from harness.fault_proxy import CANARY, FaultProxy
from harness.peers import OidcProvider, Sandbox
from harness.person import Person
from harness.scenes import ALICE, CODE, URL, machine, token_of

HOUR = 3600
LIFETIME = HOUR
# Seconds after the login: within the refresh margin (lifetime / 5) and past the token's end.
IN_MARGIN = 3200
EXPIRED = 4000
JOB = "ci-basic"


def sign_in_by_device(cli: Cli, person: Person, *arguments: str):
    """A login without the loopback port."""
    terminal = cli.terminal("login", *arguments, "--flow", "device")
    code = terminal.expect(CODE.pattern, within=30).group()
    url = next(url for url in URL.findall(terminal.seen) if "device" in url)
    assert person.visits(url.rstrip(".,)"), code=code) == "done"
    assert terminal.wait(30) == 0, terminal.seen


@dataclass
class SignedIn:
    """What all scenes of a suite share: one server, one login, and the state folder right after it."""

    proxy: FaultProxy
    provider: OidcProvider | Sandbox
    home: Path
    at: float
    flags: list[str]

    @classmethod
    def make(cls, folder: Path) -> "SignedIn":
        """With oidc-provider."""
        proxy = FaultProxy()
        (folder / "provider").mkdir()
        # Without rotation, so that every scene can use the one refresh token of the one login.
        provider = OidcProvider(
            folder / "provider", OIDC_ISSUER=proxy.url, OIDC_ROTATE="0", OIDC_ACCESS_TTL=str(LIFETIME)
        )
        proxy.upstream = provider.address
        scopes = "openid,offline_access,all,offline"
        flags = ["--issuer", proxy.url, "--client-id", "flytectl", "--scopes", scopes, "--store", "file"]
        made = cls(proxy, provider, folder / "home", time.time(), flags)
        cli, person = Cli(made.home), Person(folder / "person")
        try:
            sign_in_by_device(cli, person, *made.flags)
        finally:
            cli.end()
            person.end()
        return made

    @classmethod
    def make_flyte(cls, folder: Path) -> "SignedIn":
        """With a Flyte endpoint, which can be asked what it thinks of a token."""
        provider = Sandbox(folder / "sandbox", "--auto-approve", ALICE, "--access-token-lifetime", str(LIFETIME))
        proxy = FaultProxy(provider.http)
        made = cls(proxy, provider, folder / "home", time.time(), ["--endpoint", proxy.url, "--store", "file"])
        cli = Cli(made.home)
        # The device grant: its answer names no issuer, which here goes by two names.
        done = cli.run("login", *made.flags, "--flow", "device")
        assert done.code == 0, done
        return made

    @property
    def secrets(self) -> set[str]:
        return {secret for secret in getattr(self.provider, "secrets", {}).values() if secret}

    def end(self):
        self.provider.end()
        self.proxy.end()


class Scene:
    """One test's own copy of the session, at a moment of its choice."""

    def __init__(self, shared: SignedIn, cli: Cli):
        self.shared, self.cli, self.proxy = shared, cli, shared.proxy
        self.proxy.heals()
        self.state = Path(cli.env["FLYTE_AUTH_HOME"])
        shutil.rmtree(self.state)
        shutil.copytree(shared.home / "state", self.state)
        self.clock = cli.home / "clock"
        cli.env["FLYTE_AUTH_TESTING_CLOCK"] = str(self.clock)
        self.offset = 0.0
        self.moves(0)
        self.job: dict[str, str] = {}

    def after(self, seconds: float):
        """The clock shows so many seconds after the login."""
        self.moves(seconds - (time.time() - self.shared.at) - self.offset)

    def moves(self, seconds: float):
        """The clock jumps, back too."""
        self.offset += seconds
        self.clock.write_text(str(int(self.offset * 1000)))

    def as_a_job(self):
        """From now on a CI job with client credentials of its own asks."""
        self.job = machine(JOB, self.shared.provider.secrets[JOB])

    def token(self, *arguments: str, timeout=60) -> Result:
        flags = self.shared.flags
        if self.job:
            flags = ["--issuer", self.proxy.url, "--scopes", "all", "--store", "file"]
        return self.cli.run("token", *flags, *arguments, env=self.job, timeout=timeout)

    def served(self, *arguments: str) -> str:
        return token_of(self.token(*arguments))

    def records(self) -> dict[str, dict]:
        """Every stored session with what a fault must not change."""
        kept = {}
        for path in sorted((self.state / "sessions").glob("*.json")):
            record = json.loads(path.read_text())
            names = ("access_token", "refresh_token", "generation", "issuer", "client_id", "expires_at")
            kept[path.name] = {name: record.get(name) for name in names}
        return kept

    def secrets(self) -> set[str]:
        """What no message may contain."""
        tokens = {record[name] for record in self.records().values() for name in ("access_token", "refresh_token")}
        return {secret for secret in tokens | self.shared.secrets | {CANARY} if secret}

    def says_nothing_secret(self, *results: Result):
        """No secret on stderr, nor in the document of an error."""
        for result in results:
            said = result.stderr + (result.stdout if result.code else "")
            assert not [secret for secret in self.secrets() if secret in said], said
