"""The types of the Python package: mypy --strict on it and on a user's program; the stub against the native module."""

import os
import re
import subprocess

import pytest
from harness.cli import REPOSITORY, VENV

PACKAGE = REPOSITORY / "python/flyte_auth"
SAMPLES = REPOSITORY / "tests/e2e/typing_samples.py"
# Integrations are checked where what they plug into has types.
UNTYPED = ("gevent", "flytekit", "IPython", "grpc", "flyteidl", "flyte")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shared by the checks: the second one finds what the first one has read."""
    return tmp_path_factory.mktemp("mypy")


def mypy(folder, *arguments) -> subprocess.CompletedProcess:
    settings = folder / "mypy.ini"
    untyped = "".join(f"[mypy-{name}.*]\nignore_missing_imports = True\n" for name in UNTYPED)
    settings.write_text(f"[mypy]\nstrict = True\n{untyped}")
    argv = [VENV / "python", "-m", "mypy", "--config-file", settings, "--cache-dir", folder / "cache", *arguments]
    env = {**os.environ, "MYPYPATH": str(REPOSITORY / "python")}
    return subprocess.run(argv, capture_output=True, text=True, timeout=280, cwd=folder, env=env)


@pytest.mark.parametrize("version", ["3.10", "3.13"])
def test_the_package(folder, version):
    done = mypy(folder, "--python-version", version, PACKAGE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_a_users_program(folder, version):
    """What is right passes; each wrong line is found, or mypy calls its `type: ignore` unused."""
    done = mypy(folder, "--python-version", version, SAMPLES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_sample_can_fail(folder, tmp_path):
    text = SAMPLES.read_text()
    spoilt = text.replace("session.token(), Token | None", "session.token(), Token")
    spoilt = re.sub(r"assert_type\(token, Token \| None\)", "assert_type(token, Token)", spoilt, count=1)
    (tmp_path / "spoilt.py").write_text(spoilt + "\n\nx: int = Session.from_config().headers()\n")
    done = mypy(folder, tmp_path / "spoilt.py")
    assert done.returncode == 1 and done.stdout.count("error:") == 2, done.stdout + done.stderr


def test_the_stub_is_what_the_native_module_is(folder):
    argv = [VENV / "python", "-m", "mypy.stubtest", "flyte_auth._native", "--mypy-config-file", folder / "stubtest.ini"]
    (folder / "stubtest.ini").write_text("[mypy]\n")
    env = {**os.environ, "MYPYPATH": str(REPOSITORY / "python")}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=280, cwd=folder, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_users_program_runs_as_it_is_typed(tmp_path):
    """The sample's imports are there: a type checker would not miss a name that only the stub has."""
    argv = [VENV / "python", "-c", f"import runpy; runpy.run_path({str(SAMPLES)!r})"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_marker_is_there():
    assert (PACKAGE / "py.typed").exists()
