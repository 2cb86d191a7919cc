"""The package as a user gets it: the wheel and the source distribution, each alone in an empty environment."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from harness.cli import REPOSITORY, plain_environment
from harness.peers import Sandbox
from harness.scenes import ALICE

MATURIN = REPOSITORY / ".venv/bin/maturin"
USES_IT = """
import asyncio, json, sys
import flyte_auth
session = flyte_auth.Session.for_endpoint(sys.argv[1], store="memory")
token = session.token()
assert session.headers() == {token.header_name: token.header_value}
assert asyncio.run(session.token_async()) == token
assert token.expires_at.utcoffset().total_seconds() == 0
print(json.dumps({"file": flyte_auth.__file__, "version": flyte_auth.__version__}))
"""


def environment(home: Path) -> dict[str, str]:
    for folder in ("tmp", "state", "run", ".config"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    return plain_environment(home)


def installed(tmp_path: Path, package: Path, python: str = sys.executable, **settings: str) -> Path:
    """The interpreter of an environment that holds nothing else."""
    subprocess.run([python, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [tmp_path / "venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
    done = subprocess.run(pip, env={**os.environ, **settings}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return tmp_path / "venv/bin/python"


def works(python: Path, server: Sandbox, home: Path) -> None:
    """Everything through public imports, and the command, from a folder that is not the repository."""
    env = environment(home)
    env["PATH"] = "/usr/bin:/bin"
    machine = {**env, "FLYTE_AUTH_CLIENT_ID": "flytepropeller", "FLYTE_AUTH_CLIENT_SECRET": "foobar"}
    done = subprocess.run(
        [python, "-c", USES_IT, server.http], env=machine, cwd=home, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert str(python.parent.parent) in done.stdout
    for command in ([python.parent / "flyte-auth"], [python, "-m", "flyte_auth"]):
        shown = subprocess.run(
            [*command, "--version"], env=env, cwd=home, capture_output=True, text=True, timeout=30, check=True
        )
        assert shown.stdout.startswith("flyte-auth ")
        missing = subprocess.run(
            [*command, "token", "--endpoint", server.http],
            env=env,
            cwd=home,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (missing.returncode, missing.stdout) == (4, ""), missing
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "freeze"], capture_output=True, text=True, check=True
    )
    names = {line.partition("==")[0] for line in listed.stdout.splitlines()}
    assert names <= {"flyte-auth", "pip", "setuptools"}, "it needs nothing else"


@pytest.fixture(scope="module")
def wheel() -> Path:
    """What `make e2e` built and installed."""
    (found,) = (REPOSITORY / "target/wheels").glob("flyte_auth-*.whl")
    return found


def test_the_wheel_alone(tmp_path, wheel, start):
    works(installed(tmp_path, wheel), start(Sandbox, "--auto-approve", ALICE), tmp_path / "home")


def test_the_wheel_is_for_every_python_from_310_and_is_typed(wheel):
    assert "-cp310-abi3-" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert {"flyte_auth/py.typed", "flyte_auth/_native.pyi", "flyte_auth/_native.abi3.so"} <= set(names)
    assert any(name.endswith("LICENSE") for name in names)
    assert not [name for name in names if "test" in name and not name.endswith("testing.py")]
    (points,) = [name for name in names if name.endswith("entry_points.txt")]
    text = zipfile.ZipFile(wheel).read(points).decode()
    assert "[flytekit.auth]\nflyte_auth=flyte_auth.flytekit:authenticator" in text
    assert "[flyte.plugins.cli.commands]" in text and "flyte-auth=flyte_auth.__main__:main" in text


@pytest.mark.timeout(600)
def test_the_source_distribution_alone(tmp_path, start):
    """pip builds it with whatever cargo is there; here as a debug build."""
    made = [MATURIN, "sdist", "--out", tmp_path / "dist"]
    subprocess.run(made, cwd=REPOSITORY / "python", check=True, capture_output=True)
    (package,) = (tmp_path / "dist").iterdir()
    # Its own folder, where only libraries stay: all files of a source distribution are of one age, by which cargo tells
    # what changed.
    target = REPOSITORY / "target/sdist"
    for old in target.glob("debug/.fingerprint/flyte-auth*"):
        shutil.rmtree(old)
    python = installed(tmp_path, package, MATURIN_PEP517_ARGS="--profile dev", CARGO_TARGET_DIR=str(target))
    works(python, start(Sandbox, "--auto-approve", ALICE), tmp_path / "home")
