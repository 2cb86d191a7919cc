"""The example programs, run as their first lines say; and the README, whose Python is run as it stands there."""

import builtins
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import flyte_auth
import pytest
import requests
import yaml
from harness.cli import REPOSITORY, VENV
from harness.peers import Sandbox
from harness.scenes import ALICE, CODE, URL, machine

EXAMPLES = REPOSITORY / "examples/python"
README = (REPOSITORY / "python/README.md").read_text()
ROBOT = machine("flytepropeller", "foobar")


def example(name, *arguments):
    return [VENV / "python", EXAMPLES / f"{name}.py", *arguments]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("who_am_i", ["/me answered 200", "signed in as flytepropeller", "elsewhere: foreign_host"]),
        ("many_calls", ["20 of 20 calls went through"]),
    ],
)
def test_with_machine_credentials(cli, sandbox, name, says):
    result = cli.run_any(example(name, sandbox.http), env=ROBOT)
    assert result.code == 0, result
    assert result.stdout.splitlines() == says
    assert sandbox.stats()["tokens_issued"] == 1


@pytest.mark.parametrize("name", ["who_am_i", "many_calls"])
def test_who_is_not_signed_in_learns_the_next_step(cli, sandbox, name):
    result = cli.run_any(example(name, sandbox.http))
    assert result.code == 1 and "Run: flyte-auth login" in result.stderr and "Traceback" not in result.stderr
    assert sandbox.requests_to("/me") == 0


def answers_the_code(program, seen):
    """Opens the address that the program prints; the sandbox approves by itself."""
    for line in program.stdout:
        seen.append(line)
        if (url := URL.search(line)) and CODE.search(line):
            requests.get(url[0], timeout=10).raise_for_status()


def signs_in(program) -> str:
    seen: list[str] = []
    reader = threading.Thread(target=answers_the_code, args=(program, seen), daemon=True)
    reader.start()
    reader.join(40)
    assert program.wait(10) == 0, program.stderr.read()
    return "".join(seen)


def test_two_steps_of_a_login(cli, start):
    server = start(Sandbox, "--auto-approve", ALICE)
    assert f"signed in as {ALICE}" in signs_in(cli.start_any(example("two_step_login", server.http)))
    result = cli.run_any(example("who_am_i", server.http))
    assert f"signed in as {ALICE}" in result.stdout, "every tool on the machine has it now"


def test_the_service_takes_tokens_and_refuses_the_rest(cli, sandbox):
    service = cli.start_any(example("service", sandbox.http, sandbox.http)).stdout.readline().strip()

    def asked(token: str | None) -> tuple[int, str]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{service}/me", headers=headers), timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["WWW-Authenticate"]

    good = cli.run("token", "--endpoint", sandbox.http, env=ROBOT).stdout.strip()
    assert asked(good) == (200, "flytepropeller by flytepropeller may all offline\n")
    assert asked(None) == (401, 'Bearer error="invalid_request"')
    assert asked(f"{good}x") == (401, 'Bearer error="invalid_token"')
    narrow = sandbox.client_credentials("flytepropeller", "foobar", scope="offline")
    assert asked(narrow) == (403, 'Bearer error="insufficient_scope"')


BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)


def block_for(server, number) -> str:
    """The block, with the addresses of the sandbox in the place of its own."""
    text = BLOCKS[number]
    if "flyte_auth.grpc" in text:
        text = text.replace("dns:///flyte.example.org", f"http://{server.grpc}")
    return text.replace("https://flyte.example.org", server.http).replace("https://idp.example.org", server.http)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_readmes_python_runs(cli, start, number):
    server = start(Sandbox, "--auto-approve", ALICE)
    program = cli.home / "test_readme.py"
    program.write_text(block_for(server, number))
    if "import pytest" in BLOCKS[number]:
        result = cli.run_any([VENV / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", program], timeout=60)
        assert result.code == 0 and "1 passed" in result.stdout, result
    elif "begin_login" in BLOCKS[number]:
        assert f"signed in as {ALICE}" in signs_in(cli.start_any([VENV / "python", program]))
    else:
        result = cli.run_any([VENV / "python", program], env=ROBOT)
        assert result.code == 0, result


def test_the_readme_shows_every_way_in():
    assert len(BLOCKS) == 12
    for name in ("requests", "httpx", "grpc", "connect", "testing"):
        assert any(f"flyte_auth.{name}" in block for block in BLOCKS), name


def test_the_readmes_configuration_is_what_configure_writes(cli):
    shown = yaml.safe_load(re.search(r"^```yaml\n(.*?)^```$", README, re.M | re.S)[1])
    written = cli.run_any([VENV / "flyte-auth", "configure", "flyte.example.org"])
    assert written.code == 0, written
    admin = yaml.safe_load(written.stdout)["admin"]
    assert admin["command"][0] == str(VENV / "flyte-auth")
    admin["command"][0] = "/abs/flyte-auth"
    assert shown == {"admin": admin}


def test_the_readmes_tables_are_the_packages():
    calls = re.findall(r"^\| `session\.(\w+)\(", README, re.M)
    assert len(calls) == 9
    for name in calls:
        assert callable(getattr(flyte_auth.Session, name)) and callable(getattr(flyte_auth.Session, f"{name}_async"))
    errors = re.findall(r"^\| `(\w+Error)`", README, re.M)
    assert sorted([*errors, "FlyteAuthError"]) == sorted(flyte_auth.errors.__all__)
    for name, base in re.findall(r"^\| `(\w+Error)`, an? `(\w+)`", README, re.M):
        assert issubclass(getattr(flyte_auth, name), getattr(builtins, base))
    for module, names in re.findall(r"^\| `flyte_auth\.(\w+)` \| [^|]* \| (.*) \|$", README, re.M):
        listing = f"import flyte_auth.{module} as m; print(*dir(m), *getattr(m, '__all__', ()))"
        there = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, timeout=60).stdout
        for name in re.findall(r"`(\w+)(?:\(\w*\))?`", names):
            if name not in ("login", "logout", "status"):
                assert name in there.split(), f"{module}.{name}"
