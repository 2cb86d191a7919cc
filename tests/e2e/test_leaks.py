"""The witness that watches every test sees a leak in each place where one could be; and a panic tells nothing.

What the witness finds in the ordinary run fails the test that it ran beside (conftest.py, `is_watched`).
"""

import base64
import json
import subprocess
import urllib.parse

import pytest
from harness.cli import BINARY, Cli, plain_environment
from harness.peers import Sandbox
from harness.scenes import ALICE, machine, signed_in_quickly
from harness.witness import Witness

SECRET = "planted-Secret.0123456789~abcdefghijklmnop/q+r=s"
PLANTED = "https://planted.example/"


@pytest.fixture
def other(tmp_path):
    """A second witness, who knows of the planted secret; the one who watches the run does not."""
    other = Witness(tmp_path / "other")
    other.goes_to("planted")
    other.knows(SECRET, kind="planted")
    return other


@pytest.fixture
def home(tmp_path, other):
    home = tmp_path / "home"
    (home / "state/sessions").mkdir(parents=True)
    other.watches(home)
    return home


def says(other, home, *arguments, env=None):
    """Runs the real program under the second witness."""
    environment = {**plain_environment(home), **other.env, **(env or {})}
    other.sees(environment)
    return subprocess.run([BINARY, *arguments], env=environment, capture_output=True, text=True, cwd=home, timeout=30)


def test_nothing_is_reported_where_nothing_leaks(other, home):
    assert says(other, home, "list").returncode == 0
    assert other.ends() == [] and other.ends_for_good() == []
    assert any(file.suffix == ".log" or file.name == "argv" for file in other.place.iterdir()), "but it looked"


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        SECRET[:24],
        json.dumps(SECRET),
        urllib.parse.quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(b"x:" + SECRET.encode()).decode(),
        SECRET.encode().hex(),
        str(list(SECRET.encode())),
    ],
)
def test_a_secret_in_a_log_is_seen_in_every_form(other, form):
    (other.place / "flyte-auth-1.log").write_text(f"TRACE request: body={form}\n")
    assert any(leak.startswith("planted in ") for leak in other.ends())


def test_a_secret_in_argv_is_seen(other, home):
    subprocess.run(["/bin/true", "--token", SECRET], env=other.env, check=True)
    assert any("/argv: " in leak for leak in other.ends())


def test_a_secret_in_a_message_is_seen(other, home):
    done = says(other, home, "status", "--endpoint", PLANTED, "--profile", SECRET)
    assert SECRET in done.stderr, "the message repeats the profile, which is no secret"
    assert any(".err: " in leak for leak in other.ends())


def test_a_secret_in_an_error_document_is_seen(other, home):
    done = says(other, home, "token", "--json", "--endpoint", PLANTED, "--profile", SECRET)
    assert SECRET in done.stdout + done.stderr
    assert any(".err: " in leak or ".out: " in leak for leak in other.ends())


@pytest.mark.parametrize(
    ("name", "store", "leaks"),
    [
        ("sessions/x.json", "encrypted-file", True),
        ("sessions/x.json", "file", False),
        ("sessions/.x.json.tmp-7", "encrypted-file", True),
        ("notes/x", "file", True),
    ],
)
def test_a_secret_in_a_file_that_should_hold_none_is_seen(other, home, name, store, leaks):
    file = home / "state" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(SECRET)
    file.chmod(0o600)
    says(other, home, "list", "--store", store, env={"FLYTE_AUTH_STORE": store})
    assert any(" in the file " in leak for leak in other.ends()) is leaks


def test_a_record_that_others_may_read_is_a_leak(other, home):
    file = home / "state/sessions/x.json"
    file.write_text(SECRET)
    file.chmod(0o644)
    says(other, home, "list", "--store", "file", env={"FLYTE_AUTH_STORE": "file"})
    assert any(" in the file " in leak for leak in other.ends())


@pytest.mark.parametrize("point", ["exchange.before", "save.before"])
def test_a_panic_with_tokens_in_scope_tells_none(cli, sandbox, point):
    """RUST_BACKTRACE=full and TRACE; the witness of the run looks at what was said."""
    panics = {**machine("flytepropeller", "foobar"), "FLYTE_AUTH_TESTING_PANIC": point}
    result = cli.run("token", "--endpoint", sandbox.http, env=panics)
    assert result.code != 0 and "panicked at" in result.stderr, result
    assert result.stdout == ""


def test_the_log_of_a_users_program_has_no_secret(cli: Cli, person, start):
    """A login and calls through the library's integrations, logged at TRACE with all that the dependencies say."""
    server = start(Sandbox, "--auto-approve", ALICE)
    signed_in_quickly(cli, person, server)
    for program in ("flyte-auth-example", "flyte-auth-example-reqwest"):
        result = cli.run_any([BINARY.with_name(program), server.http], env={"RUST_LOG": "trace"})
        assert result.code == 0, result
