"""`FLYTE_CREDENTIALS_AUTH_MODE=flyte_auth` with the real flytekit: pyflyte as people start it, and programs."""

import json
import re

import pytest
from harness.admin import Admin
from harness.callers import config, flytekit_program, pyflyte_run
from harness.cli import VENV
from harness.flyte1 import HEADER, Flyte1
from harness.forms import expired, sign_in
from harness.herd import WORKER, digest, stored
from harness.peers import Sandbox
from harness.python_programs import Program
from harness.scenes import ALICE, signs_in

CHOSEN = {"FLYTE_CREDENTIALS_AUTH_MODE": "flyte_auth", "FLYTE_AUTH_STORE": "file"}
SCOPES = "all offline"


def settings(home, plane, **admin):
    """A configuration file that says nothing of auth."""
    file = home / "config.yaml"
    file.write_text(json.dumps({"admin": {"endpoint": plane.endpoint, "insecure": True, **admin}}))
    return file


def api_calls(plane):
    """The calls but for the question whether this is a Flyte 2."""
    return [call for call in plane.gate.calls if not call.method.startswith("/flyteidl2.")]


class Place:
    """A control plane whose tokens come from a sandbox that replaces refresh tokens."""

    def __init__(self, cli, sandbox, plane, header):
        self.cli, self.sandbox, self.plane, self.header = cli, sandbox, plane, header
        self.env = {**CHOSEN, "FLYTE_AUTH_ENDPOINT": plane.endpoint, "FLYTE_AUTH_INSECURE": "true"}

    def signs_in(self, is_expired=False):
        """Alice's session, as a login would have left it."""
        record = {**sign_in(self.sandbox, ALICE, SCOPES), "header_name": self.header}
        record = expired(record) if is_expired else record
        done = self.cli.run_any([WORKER, "seed"], env=self.env, input=json.dumps(record))
        assert done.code == 0, done.stdout
        self.before = self.refreshes()

    def refreshes(self) -> int:
        """Token requests so far."""
        return self.sandbox.requests_to("/oauth2/token")

    @property
    def refreshed(self) -> int:
        """Token requests since the login."""
        return self.refreshes() - self.before

    def program(self, source, *arguments, env=None) -> Program:
        env = {**CHOSEN, **(env or {})}
        return Program(self.cli, "from remotes import *\n" + source, self.plane.endpoint, *arguments, env=env)

    def runs(self, source, env=None) -> list[dict]:
        """What the program tells."""
        done = self.program(source, env=env).finish()
        assert done.code == 0, done.stderr
        return done.lines


@pytest.fixture
def place(cli, start, tmp_path):
    sandbox = start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens")
    plane = start(Admin, tmp_path / "admin", sandbox)
    return Place(cli, sandbox, plane, plane.header)


CALL = "tell_projects(client())\n"
SERVED = [{"projects": ["flytesnacks"]}]


def test_pyflyte_signs_a_person_in(cli, person, flyte1):
    """No session yet: one prompt that names pyflyte, a real browser, and the workflow starts; then nobody is asked."""
    file = settings(cli.home, flyte1)
    terminal = cli.terminal_any(pyflyte_run(cli.home, file), env={**CHOSEN, **person.browser()})
    terminal.expect(rf"pyflyte needs a login to \S*{re.escape(flyte1.host)}", within=40)
    assert terminal.wait(60) == 0, terminal.seen
    assert flyte1.admin.executions == 1
    assert {call.subject for call in api_calls(flyte1)} == {ALICE}, "no call went without a token"
    assert person.times_asked == 1, "one login, one browser"
    again = cli.run_any(pyflyte_run(cli.home, file), env={**CHOSEN, **person.no_browser()}, timeout=60)
    assert again.code == 0, again.stdout + again.stderr
    assert "needs a login" not in again.stdout + again.stderr
    assert len(flyte1.gate.tokens) == 1 and not person.opened


def test_it_shares_the_login_of_flyte_auth(cli, person, flyte1):
    """`flyte-auth login` and the plugin mean the same session, with the settings of one file."""
    file = settings(cli.home, flyte1, clientId="flytectl", scopes=["openid", "all", "offline"])
    signs_in(cli, person, "--config", str(file), "--store", "file")
    result = cli.run_any(flytekit_program(cli.home, file), env={**CHOSEN, "FLYTECTL_CONFIG": str(file)}, timeout=60)
    assert result.stdout.strip() == "projects: flytesnacks", result.stderr
    assert {call.subject for call in api_calls(flyte1)} == {ALICE}


@pytest.mark.parametrize("unattended", [{}, {"CI": "true"}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}])
def test_nobody_to_ask(place, person, unattended):
    """flytekit tries four times; all of that takes less than a second and opens nothing."""
    told = place.runs("client()\n" + CALL, env={**unattended, **person.no_browser()})[-1]
    assert (told["error"], told["cause"]) == ("FlyteSystemException", "LoginRequiredError"), told
    assert told["seconds"] < 1
    assert len(told["text"].splitlines()) == 1
    assert re.search(rf"not signed in to \S*{re.escape(place.plane.host)}.*flyte-auth login", told["text"]), told
    assert not person.opened


@pytest.mark.parametrize("unattended", ["CI", "KUBERNETES_SERVICE_HOST"])
def test_nobody_is_asked_on_a_terminal_of_a_machine(cli, place, person, unattended):
    program = cli.home / "remote.py"
    file = settings(cli.home, place.plane)
    flytekit_program(cli.home, file)
    env = {**CHOSEN, unattended: "true", **person.no_browser()}
    terminal = cli.terminal_any([VENV / "python", program, file], env=env)
    assert terminal.wait(60) == 1
    assert "needs a login" not in terminal.seen and not person.opened
    assert "LoginRequiredError" in terminal.seen


def test_pyflyte_shows_the_next_step(cli, place):
    result = cli.run_any(pyflyte_run(cli.home, settings(cli.home, place.plane)), env=CHOSEN, timeout=60)
    assert result.code == 1
    assert "flyte-auth login" in re.sub(r"\s+", " ", result.stdout + result.stderr)


def test_a_refused_prompt_is_not_repeated(cli, person, flyte1):
    """flytekit tries four times; the person who said no is asked once."""
    file = settings(cli.home, flyte1)
    # Named for this call: she trusts it.
    env = {**CHOSEN, "FLYTECTL_CONFIG": str(file), **person.browser(deny=True)}
    terminal = cli.terminal_any(flytekit_program(cli.home, file), env=env)
    assert terminal.wait(60) == 1, terminal.seen
    assert person.times_asked == 1
    assert not api_calls(flyte1), "a call went without a token"


def test_every_call_has_one_header(place):
    place.signs_in()
    assert place.runs(CALL * 2) == SERVED * 2
    token = digest(stored(place.cli)["access_token"])
    assert [call["tokens"] for call in place.plane.calls] == [[token]] * 2
    assert place.refreshed == 0


def test_a_rejected_token_is_refreshed_once(place):
    place.signs_in()
    place.plane.refuses("UNAUTHENTICATED", 1)
    assert place.runs(CALL) == SERVED
    first, second = place.plane.calls
    assert (first["refused"], second["refused"]) == ("UNAUTHENTICATED", None)
    assert first["tokens"] != second["tokens"]
    assert place.refreshed == 1


def test_a_server_that_fails_for_reasons_of_its_own(place):
    """flytekit asks for new credentials after UNKNOWN too, in each of its four attempts. The token is as good as
    before, and the caller sees the server's own words."""
    place.signs_in()
    place.plane.refuses("UNKNOWN", 100)
    program = place.program("one = client()\ntell_projects(one)\nwaits_for_the_word()\ntell_projects(one)")
    told = program.line()
    assert told["error"] == "FlyteSystemException" and "as the test wants it" in told["text"], told
    place.plane.refuses("UNKNOWN", 0)
    program.says()
    assert program.finish().last == SERVED[0]
    assert place.refreshed == 0
    assert len({token for call in place.plane.calls for token in call["tokens"]}) == 1


def test_a_token_that_many_threads_see_rejected_is_refreshed_once(place):
    """Eight clients of one process call at once; some learn of the rejection when the new token is there."""
    place.signs_in()
    place.plane.revokes(digest(stored(place.cli)["access_token"]))
    lines = place.runs(
        """
import threading
clients = [client() for _ in range(8)]
gate = threading.Barrier(8)
def call(one):
    gate.wait()
    tell_projects(one)
threads = [threading.Thread(target=call, args=(one,)) for one in clients]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    )
    assert lines == SERVED * 8
    assert len({token for call in place.plane.calls for token in call["tokens"]}) == 2
    assert place.refreshed == 1


def test_a_late_rejection_costs_nothing(place):
    """This thread's call was rejected, but another thread has refreshed since: its token stays."""
    place.signs_in()
    lines = place.runs(
        """
import threading
from flyte_auth.flytekit import authenticator
mine, theirs = authenticator(config(), None), authenticator(config(), None)
def here(one): return digest(one.fetch_grpc_call_auth_metadata()[1])
before = here(mine)
def rejected():
    here(theirs)
    theirs.refresh_credentials()
thread = threading.Thread(target=rejected)
thread.start()
thread.join()
mine.refresh_credentials()
tell(before=before, after=here(mine))
"""
    )
    assert lines[0]["before"] != lines[0]["after"] == digest(stored(place.cli)["access_token"])
    assert place.refreshed == 1


def test_eight_pyflytes_find_the_token_expired(cli, start):
    sandbox = start(Sandbox, "--auto-approve", ALICE, "--rotate-refresh-tokens")
    place = Place(cli, sandbox, start(Flyte1, sandbox, scopes=("all", "offline")), HEADER)
    place.signs_in(is_expired=True)
    argv = pyflyte_run(cli.home, settings(cli.home, place.plane))
    children = [cli.start_any(argv, env=CHOSEN) for _ in range(8)]
    for child in children:
        stdout, stderr = child.communicate(timeout=100)
        assert child.returncode == 0, stdout + stderr
    assert place.refreshed == 1
    assert {digest(token) for token in place.plane.gate.tokens} == {digest(stored(cli)["access_token"])}


@pytest.mark.parametrize(("fault", "kind"), [("503", "ServerError"), ("reset", "NetworkError")])
def test_a_hiccup_at_the_token_endpoint_costs_a_call_and_no_session(place, fault, kind):
    place.signs_in(is_expired=True)
    kept = stored(place.cli)
    place.sandbox.fault(fault, 1000, path="/oauth2/token")
    told = place.runs(CALL)[0]
    assert (told["error"], told["cause"]) == ("FlyteSystemException", kind), told
    assert stored(place.cli)["refresh_token"] == kept["refresh_token"]
    assert not place.plane.calls, "a call went without a token"
    place.sandbox.clear_faults()
    assert place.runs(CALL) == SERVED


def test_an_endpoint_without_auth_needs_nothing(cli, start, person, tmp_path):
    plane = start(Admin, tmp_path / "admin")
    lines = Place(cli, None, plane, plane.header).runs(CALL, env=person.no_browser())
    assert lines == SERVED
    assert [call["tokens"] for call in plane.calls] == [[]] and not person.opened


def test_what_platform_config_says_counts(place):
    """A machine's credentials in the program's own configuration; they end in no file but the store's."""
    lines = place.runs('tell_projects(client(client_id="flytepropeller", client_credentials_secret="foobar"))\n')
    assert lines == SERVED
    assert [call["subject"] for call in place.plane.calls] == ["flytepropeller"]
    assert place.sandbox.stats()["grants"] == {"client_credentials": 1}


def test_credentials_in_flytekits_variables(place, person):
    """As a CI job has them: nobody is asked."""
    variables = {"FLYTE_CREDENTIALS_CLIENT_ID": "flytepropeller", "FLYTE_CREDENTIALS_CLIENT_SECRET": "foobar"}
    assert place.runs(CALL, env={"CI": "true", **variables, **person.no_browser()}) == SERVED
    assert [call["subject"] for call in place.plane.calls] == ["flytepropeller"]


def test_a_repositorys_own_file_gets_no_secret_of_the_environment(place):
    """flytekit reads `./flytekit.config`: who works in somebody's repository has not chosen where their token goes."""
    (place.cli.home / "flytekit.config").write_text(f"[platform]\nurl={place.plane.host}\ninsecure=true\n")
    lines = place.runs(
        """
from flytekit.clients.friendly import SynchronousFlyteClient
cfg = PlatformConfig.auto()
assert cfg.endpoint in sys.argv[1]
tell_projects(SynchronousFlyteClient(cfg))
""",
        env={"FLYTE_TOKEN": "a-token-for-another-endpoint"},
    )
    assert lines[0]["code"] == "untrusted_config", lines
    assert not place.plane.calls, "the token went to whom the repository names"


def test_one_session_for_a_configuration(place):
    place.signs_in()
    lines = place.runs(
        """
from concurrent.futures import ThreadPoolExecutor
from flyte_auth.flytekit import authenticator
with ThreadPoolExecutor(16) as pool:
    many = list(pool.map(lambda _: authenticator(config(), None), range(200)))
tell(sessions=len({id(one._session) for one in many}))
tell(other=authenticator(config(scopes=["all"]), None)._session is many[0]._session)
"""
    )
    assert lines == [{"sessions": 1}, {"other": False}]


def test_after_a_fork(place):
    """The parent has called; the child's call and the child's refresh are its own."""
    place.signs_in()
    lines = place.runs(
        """
from flyte_auth.flytekit import authenticator
one = authenticator(config(), None)
before = digest(one.fetch_grpc_call_auth_metadata()[1])
def child():
    one.refresh_credentials()
    tell(child=digest(one.fetch_grpc_call_auth_metadata()[1]))
assert ended(in_child(child)) == 0
one.refresh_credentials()
tell(before=before, parent=digest(one.fetch_grpc_call_auth_metadata()[1]))
"""
    )
    now = digest(stored(place.cli)["access_token"])
    assert lines[0] == {"child": now}
    assert lines[1]["parent"] == now != lines[1]["before"]
    assert place.refreshed == 1, "the parent took over what its child had stored"


def test_flytekits_requests_adapter(place):
    """A 401 of an HTTP service is answered by one refresh."""
    place.signs_in()
    lines = place.runs(
        f"""
import requests
from flytekit.clients.auth_helper import AuthenticationHTTPAdapter
from flyte_auth.flytekit import authenticator
one = authenticator(config(), None)
tell(credentials=one.get_credentials() is None)
session = requests.Session()
session.trust_env = False
session.mount("http://", AuthenticationHTTPAdapter(one))
tell(status=session.get("{place.sandbox.http}/me", timeout=20).status_code)
tell(same=digest(one.get_credentials().access_token) == digest(one.fetch_grpc_call_auth_metadata()[1]))
"""
    )
    assert lines == [{"credentials": True}, {"status": 200}, {"same": True}]
    assert place.refreshed == 0


def test_an_older_flytekit_runs_the_wheels_command(cli, person, flyte1):
    """`command: [/abs/flyte-auth, token, --endpoint, dns:///HOST]` with the console script."""
    where = ["--endpoint", flyte1.endpoint, "--insecure"]
    file = config(cli.home / "c.yaml", flyte1.endpoint, [VENV / "flyte-auth", "token", *where], insecure=True)
    terminal = cli.terminal_any(flytekit_program(cli.home, file), env=person.browser())
    terminal.expect(rf"python needs a login to \S*{re.escape(flyte1.host)}", within=40)
    assert terminal.wait(60) == 0, terminal.seen
    assert "projects: flytesnacks" in terminal.seen
    assert person.times_asked == 1


def test_wrong_arguments(place):
    lines = place.runs(
        """
from flyte_auth.flytekit import Authenticator, authenticator
def fails(call):
    try: call()
    except Exception as error: tell(error=type(error).__name__, text=str(error))
fails(lambda: authenticator("flyte.example.org"))
fails(lambda: Authenticator("flyte.example.org", "x"))
fails(lambda: authenticator(config(scopes=[1])))
fails(lambda: authenticator(config(ca_cert_file_path="/nowhere.pem")).fetch_grpc_call_auth_metadata())
"""
    )
    assert [line["error"] for line in lines] == ["TypeError", "TypeError", "TypeError", "ConfigError"]
    for line, name in zip(lines, ("cfg", "session", "scopes", "/nowhere.pem"), strict=True):
        assert name in line["text"]


def test_nothing_of_flytekit_is_imported_unasked(cli):
    found = "tell(found=[name for name in sys.modules if name.split('.')[0] in ('flytekit', 'flyte', 'grpc')])"
    for wanted in ("", "import flyte_auth.flytekit\n"):
        assert Program(cli, wanted + found).finish().lines == [{"found": []}]
