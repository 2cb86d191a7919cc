"""The real flyte 2 with the package: `flyte login`, `flyte logout`, `flyte status`, and a header that lives."""

import json
import re
import time

import pytest
from harness.callers import config, flyte_get_project, flyte_whoami
from harness.cli import VENV
from harness.flyte2 import Flyte2
from harness.forms import sign_in
from harness.herd import WORKER, stored
from harness.peers import Sandbox
from harness.python_programs import Program
from harness.scenes import ALICE, CODE

STORE = {"FLYTE_AUTH_STORE": "file"}


class Place:
    """A sandbox that speaks Flyte 2 over TLS, and the file that names it."""

    def __init__(self, cli, server):
        self.cli, self.server = cli, server
        self.host = server.https.removeprefix("https://").replace("127.0.0.1", "localhost")
        self.endpoint = f"dns:///{self.host}"
        self.file = self.writes(cli.home / "flyte.yaml")

    def writes(self, file):
        """A configuration whose command is the wheel's own script, as `flyte-auth configure` prints it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        command = [VENV / "flyte-auth", "token", "--endpoint", self.endpoint, "--ca-cert", self.server.ca_cert]
        return config(file, self.endpoint, command, caCertFilePath=self.server.ca_cert, disableKeyring=True)

    def flyte(self, *arguments, env=None, file=True, cwd=None):
        named = ["--config", self.file] if file else []
        argv = [VENV / "flyte", *named, *arguments]
        return self.cli.run_any(argv, env={**STORE, **(env or {})}, timeout=60, cwd=cwd)

    def flyte_on_terminal(self, *arguments, env):
        argv = [VENV / "flyte", "--config", self.file, *arguments]
        terminal = self.cli.terminal_any(argv, env={**STORE, **env})
        return terminal.wait(60), terminal

    def signs_in(self):
        """Alice's session, as a login would have left it."""
        client = self.server.ready["clients"][0]["id"]
        record = {**sign_in(self.server, ALICE, "all offline", client), "header_name": self.header()}
        env = {**STORE, "FLYTE_AUTH_ENDPOINT": self.endpoint, "FLYTE_AUTH_CA_CERT": self.server.ca_cert}
        done = self.cli.run_any([WORKER, "seed"], env=env, input=json.dumps(record))
        assert done.code == 0, done.stdout

    def header(self) -> str:
        url = f"{self.server.https}/flyteidl2.auth.AuthMetadataService/GetPublicClientConfig"
        answer = self.server._session.post(url, json={}, timeout=10).json()
        return answer.get("authorizationMetadataKey") or "authorization"

    def program(self, source, env=None) -> Program:
        return Program(self.cli, SOURCE + source, self.endpoint, self.server.ca_cert, env={**STORE, **(env or {})})


SOURCE = """
import flyte, flyte.remote, flyte_auth.flyte
session = Session.for_endpoint(sys.argv[1], ca_cert=sys.argv[2])
flyte.init(endpoint=sys.argv[1], ca_cert_file_path=sys.argv[2], auth_type="Passthrough")
def who(): return flyte.remote.User.get().subject()
def leave():
    # flyte's background runtime can abort the interpreter while it shuts down.
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.fixture
def place(cli, start):
    return Place(cli, start(Sandbox, "--tls", "--generation", "2", "--auto-approve", ALICE))


def test_a_whole_life(place, person):
    """Log in by `flyte`, call by `flyte`, look, log out by `flyte`."""
    nobody = place.flyte("status")
    assert nobody.code == 4 and "signed in:       no" in nobody.stdout, nobody
    code, terminal = place.flyte_on_terminal("login", env=person.quick_browser())
    assert code == 0, terminal.seen
    assert re.search(rf"signed in to \S*{re.escape(place.host)}", terminal.seen), terminal.seen
    told = place.flyte("status", "--json")
    assert told.code == 0 and told.json["signed_in"] and told.json["endpoint"].endswith(place.host), told
    assert told.json["config_file"] == str(place.file)
    for call in (flyte_get_project, flyte_whoami):
        called = place.cli.run_any(call(place.file), env={**STORE, **person.no_browser()}, timeout=60)
        assert called.code == 0, called.stdout + called.stderr
    assert not person.opened, "the login of `flyte login` is the one that `flyte` uses"
    ended = place.flyte("logout", "--json")
    assert ended.code == 0 and ended.json["was_signed_in"], ended
    assert place.flyte("status", "--json").code == 4


def test_ctrl_c_ends_a_login_at_once(place):
    argv = [VENV / "flyte", "--config", place.file, "login", "--flow", "device"]
    terminal = place.cli.terminal_any(argv, env={**STORE, "FLYTE_AUTH_INTERACTIVE": "always"})
    terminal.expect(CODE.pattern, within=30)
    terminal.type("\x03")
    began = time.monotonic()
    assert terminal.wait(10) == 130, terminal.seen
    assert time.monotonic() - began < 2 and "Traceback" not in terminal.seen


def test_the_same_words_as_flyte_auth(place):
    """Output and exit code are those of `flyte-auth`, also where it fails."""
    place.signs_in()
    for command in (["status"], ["status", "--json"], ["status", "--verify"], ["logout", "--revoke"], ["logout"]):
        mine = place.flyte(*command)
        if command[0] == "status":
            theirs = place.cli.run(command[0], "--config", place.file, *command[1:], env=STORE)
            assert (mine.code, mine.stdout) == (theirs.code, theirs.stdout), command
        assert mine.code == 0, mine
    wrong = place.flyte("login", "--flow", "telepathy")
    assert wrong.code == 2 and "telepathy" in wrong.stderr, wrong


def test_endpoint_on_the_command_line(place):
    place.signs_in()
    trust = {"FLYTE_AUTH_CA_CERT": place.server.ca_cert}
    before = place.flyte("--endpoint", place.endpoint, "status", "--json", file=False, env=trust)
    assert before.code == 0 and before.json["signed_in"] and before.json["config_file"] is None, before
    after = place.flyte("logout", place.endpoint, "--json", file=False, env=trust)
    assert after.json["was_signed_in"], after


def test_nobody_to_ask(place, person):
    """No terminal, as in CI: `flyte login` says what to do on stderr, and opens what it can; it does not hang."""
    env = {**person.no_browser(), "FLYTE_AUTH_INTERACTIVE": "never"}
    done = place.flyte("login", env=env)
    assert done.code == 2 and "interactive" in done.stderr, done
    assert not person.opened


def test_flyte_and_flyte_auth_read_different_files(place):
    """flyte takes the working folder's file before its variables, flyte-auth after them: neither is guessed."""
    folder = place.cli.home / "project"
    place.writes(folder / "config.yaml")
    other = place.cli.home / "other.yaml"
    other.write_text("admin:\n  endpoint: dns:///other.example.org\n")
    done = place.flyte("login", file=False, env={"FLYTECTL_CONFIG": str(other)}, cwd=folder)
    assert done.code == 2, done
    assert all(name in re.sub(r"[\s│]+", "", done.stderr) for name in ("other.yaml", "config.yaml"))


def test_a_file_of_the_working_folder_is_not_trusted_unseen(place, person):
    """A repository's own file: its word is no word of the user's, also through flyte."""
    folder = place.cli.home / "project"
    place.writes(folder / "config.yaml")
    done = place.flyte("login", file=False, cwd=folder, env=person.no_browser())
    assert done.code == 2 and "not trusted" in done.stderr, done
    assert not person.opened and not (place.cli.home / "state/trust").exists()


def test_each_call_has_the_token_of_its_time(cli, start, authority):
    """The header is looked up per call: after the token was replaced, the next call has the new one and only that."""
    issuer = start(Sandbox, "--auto-approve", ALICE)
    plane = start(Flyte2, issuer, authority.leaf(), scopes=("all", "offline"))
    env = {**STORE, "FLYTE_AUTH_ENDPOINT": plane.endpoint, "FLYTE_AUTH_CA_CERT": str(authority.file)}
    record = sign_in(issuer, ALICE, "all offline")
    assert cli.run_any([WORKER, "seed"], env=env, input=json.dumps(record)).code == 0
    body = """
with flyte.remote.auth_metadata(flyte_auth.flyte.passthrough(session)):
    tell(who=who())
    session.invalidate()
    tell(who=who())
leave()
"""
    program = Program(cli, SOURCE + body, plane.endpoint, authority.file, env=STORE)
    assert program.finish().lines == [{"who": ALICE}] * 2
    assert [call.token for call in plane.gate.served] == [record["access_token"], stored(cli)["access_token"]]
    assert plane.gate.served[0].token != plane.gate.served[1].token
    assert plane.gate.calls == plane.gate.served, "no call was refused"


def test_an_expired_token_is_replaced_before_the_call(cli, start):
    """Two calls, an access token's life apart; no call is refused."""
    server = start(Sandbox, "--tls", "--generation", "2", "--auto-approve", ALICE, "--access-token-lifetime", "3")
    place = Place(cli, server)
    place.signs_in()
    program = place.program(
        """
with flyte.remote.auth_metadata(flyte_auth.flyte.passthrough(session)):
    for _ in range(3):
        tell(who=who())
        time.sleep(3.1)
leave()
"""
    )
    assert program.finish().lines == [{"who": ALICE}] * 3
    assert server.stats()["grants"]["refresh_token"] >= 2


def test_without_a_session_the_call_says_so(place, person):
    program = place.program(
        """
try:
    with flyte.remote.auth_metadata(flyte_auth.flyte.passthrough(session)): who()
except Exception as error:
    tell(error=type(error).__name__, text=str(error))
leave()
""",
        env=person.no_browser(),
    )
    told = program.finish().last
    assert told["error"] == "LoginRequiredError" and "flyte-auth login" in told["text"], told
    assert not person.opened


def test_the_pair(place):
    """It shows no secret, and is a pair also where there is no auth."""
    place.signs_in()
    program = place.program(
        """
pair = flyte_auth.flyte.passthrough(session)
name, value = pair
tell(name=name, bearer=value.startswith("Bearer "), length=len(pair), shown=value[7:] in repr(pair))
open_ = Session.for_endpoint(sys.argv[1], auth_type="none")
tell(none=list(flyte_auth.flyte.passthrough(open_)))
try: flyte_auth.flyte.passthrough(sys.argv[1])
except TypeError as error: tell(error=str(error))
leave()
"""
    )
    assert program.finish().lines == [
        {"name": place.header(), "bearer": True, "length": 2, "shown": False},
        {"none": ["x-flyte-auth", "none"]},
        {"error": "session must be flyte_auth.Session, not str"},
    ]


def test_nothing_of_flyte_is_imported_unasked(cli):
    names = "('flyte', 'click', 'rich_click', 'connectrpc')"
    found = f"tell(found=[name for name in sys.modules if name.split('.')[0] in {names}])"
    for wanted in ("", "import flyte_auth.flyte\n"):
        assert Program(cli, wanted + found).finish().lines == [{"found": []}]
