"""Fixtures: a scratch home, the command under test, the peers. Whatever starts here is ended here, by id."""

import fcntl
import os
import tempfile

import pytest
from harness import witness
from harness.certificates import Authority
from harness.cli import Cli
from harness.fault_scene import Scene, SignedIn
from harness.flyte1 import Flyte1
from harness.flyte2 import Flyte2
from harness.peers import OidcProvider, Sandbox
from harness.person import Person


def pytest_sessionstart(session):
    """One run at a time on a machine: every login listens on the one port that Flyte registers. Whoever runs tests
    without such a login may name another lock."""
    if not session.config.option.collectonly:
        lock = os.environ.get("E2E_LOCK") or f"{tempfile.gettempdir()}/flyte-auth-e2e.lock"
        session.config.one_run = os.open(lock, os.O_WRONLY | os.O_CREAT)
        fcntl.flock(session.config.one_run, fcntl.LOCK_EX)


def pytest_report_header():
    from harness.cli import BINARY

    return f"flyte-auth: {BINARY}{'' if BINARY.exists() else ' (MISSING)'}"


@pytest.fixture(scope="session", autouse=True)
def only_loopback():
    """No proxy of the machine may come between the tests and loopback."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("FLYTE", "_FLYTE")) and name != "FLYTE_AUTH_BIN":
            del os.environ[name]


@pytest.fixture(scope="session", autouse=True)
def whole_run_is_watched(tmp_path_factory):
    """No secret anywhere in the whole run where none may be: the leaks that no single test could see."""
    watching = witness.begin(tmp_path_factory.mktemp("witness"))
    yield watching
    leaks = watching.ends_for_good()
    assert not leaks, "\n".join(["a secret leaked:", *leaks])


@pytest.fixture(autouse=True)
def is_watched(whole_run_is_watched, request):
    """No secret in what this test left: logs, messages, arguments, files that should be encrypted."""
    whole_run_is_watched.goes_to(request.node.name)
    yield
    leaks = whole_run_is_watched.ends()
    whole_run_is_watched.goes_to("between")
    assert not leaks, "\n".join(["a secret leaked:", *leaks])


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def cli(tmp_path):
    """The command under test with a home of its own."""
    command = Cli(tmp_path / "home")
    yield command
    command.end()


@pytest.fixture
def home(cli):
    return cli.home


@pytest.fixture
def person(tmp_path):
    somebody = Person(tmp_path / "person")
    yield somebody
    somebody.end()


@pytest.fixture
def start(tmp_path):
    """Starts peers of any kind: `start(Sandbox, "--tls")`, `start(OidcProvider, OIDC_ACCESS_TTL="2")`."""
    started = []

    def starter(kind, *arguments, **settings):
        if kind in (Sandbox, OidcProvider):
            folder = tmp_path / f"peer-{len(started)}"
            folder.mkdir()
            arguments = (folder, *arguments)
        peer = kind(*arguments, **settings)
        started.append(peer)
        return peer

    yield starter
    for peer in reversed(started):
        peer.end()


@pytest.fixture(scope="session")
def shared_issuer(tmp_path_factory):
    """One oidc-provider for every test that does not change its settings."""
    provider = OidcProvider(tmp_path_factory.mktemp("issuer"))
    yield provider
    provider.end()


@pytest.fixture
def sandbox(start):
    """The sandbox with its defaults."""
    return start(Sandbox)


@pytest.fixture
def flyte1(start, shared_issuer):
    """A Flyte 1 control plane whose tokens come from oidc-provider."""
    return start(Flyte1, shared_issuer)


@pytest.fixture
def flyte2(start, shared_issuer, authority):
    """A Flyte 2 control plane over TLS whose tokens come from oidc-provider."""
    return start(Flyte2, shared_issuer, authority.leaf())


@pytest.fixture(scope="module")
def signed_in(tmp_path_factory):
    """One login behind a proxy that can break, for all scenes of a suite."""
    made = SignedIn.make(tmp_path_factory.mktemp("signed-in"))
    yield made
    made.end()


@pytest.fixture
def scene(signed_in, cli):
    """A test's own copy of that login, under a clock that can be moved."""
    yield Scene(signed_in, cli)
    signed_in.proxy.heals()
