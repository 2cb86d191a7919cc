"""The real Flyte clients as callers of a token command: their configuration and their command lines."""

import json
from pathlib import Path

from harness.cli import VENV

_TASK = """\
from flytekit import task

@task
def double(n: int) -> int:
    return 2 * n
"""

# A library user's program: prints the projects that the control plane names.
_REMOTE_PROGRAM = """\
import sys
from flytekit.configuration import Config
from flytekit.remote import FlyteRemote

remote = FlyteRemote(Config.auto(sys.argv[1]), default_project="flytesnacks", default_domain="development")
projects, _ = remote.client.list_projects_paginated(limit=1)
print("projects:", *(project.id for project in projects))
"""

# flyte 2.12's background runtime can abort the interpreter while it shuts down: the program leaves before that.
_FLYTE2_PROGRAM = """\
import os, sys
import flyte, flyte.remote

flyte.init_from_config(sys.argv[1])
print("projects:", *(project.pb2.id for project in flyte.remote.Project.listall()), flush=True)
os._exit(0)
"""


def config(path: Path, endpoint: str, command, insecure=False, **admin) -> Path:
    """A `config.yaml` that all three clients read, with `authType: ExternalCommand`."""
    settings = {"endpoint": endpoint, "insecure": insecure, "authType": "ExternalCommand", "command": command, **admin}
    settings = {key: [str(part) for part in value] if key == "command" else value for key, value in settings.items()}
    # JSON is YAML, and needs no quoting rules of ours.
    path.write_text("admin:\n" + "".join(f"  {key}: {json.dumps(value)}\n" for key, value in settings.items()))
    return path


def pyflyte_run(folder: Path, config_file: Path) -> list:
    """`pyflyte run --remote`: uploads the script, registers and starts the task."""
    (folder / "tasks.py").write_text(_TASK)
    options = ["--remote", "--image", "example.org/image:v1"]
    return [VENV / "pyflyte", "--config", config_file, "run", *options, folder / "tasks.py", "double", "--n", "2"]


def flytekit_program(folder: Path, config_file: Path) -> list:
    """A Python program with `FlyteRemote`."""
    (folder / "remote.py").write_text(_REMOTE_PROGRAM)
    return [VENV / "python", folder / "remote.py", config_file]


def flyte_whoami(config_file: Path) -> list:
    return [VENV / "flyte", "--config", config_file, "whoami"]


def flyte_get_project(config_file: Path) -> list:
    return [VENV / "flyte", "--config", config_file, "get", "project"]


def flyte_program(folder: Path, config_file: Path) -> list:
    """A Python program with flyte 2."""
    (folder / "flyte2.py").write_text(_FLYTE2_PROGRAM)
    return [VENV / "python", folder / "flyte2.py", config_file]


def fake_command(path: Path, body: str) -> Path:
    """A shell script in the place of the token command."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path
