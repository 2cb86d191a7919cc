"""The package in the test's own process: as the user of a scratch home, who has set nothing."""

import os
from pathlib import Path

from harness import witness
from harness.cli import plain_environment

# Of these the test's own process needs its own.
_KEPT = ("PATH", "LD_PRELOAD")


def moves_in(monkeypatch, home: Path) -> Path:
    """From now on, to the test's end, this process reads and writes `home` alone; gives its state folder."""
    for folder in ("tmp", "state", "run", ".config"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "run").chmod(0o700)
    for name in list(os.environ):
        if name.startswith(("FLYTE", "_FLYTE", "SSH_", "XDG_", "CI", "GITHUB_", "BROWSER", "DISPLAY", "WAYLAND")):
            monkeypatch.delenv(name)
    for name, value in plain_environment(home).items():
        if name not in _KEPT:
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("FLYTE_AUTH_STORE", "file")
    monkeypatch.chdir(home)
    witness.current.watches(home)
    return home / "state"
