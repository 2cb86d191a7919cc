"""Small Python programs that use the package as anybody's do, each in a process of its own and with a bounded life."""

import atexit
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import textwrap
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness import witness
from harness.cli import REPOSITORY, VENV, Cli

PYTHON = VENV / "python"
PROGRAMS = REPOSITORY / "tests/e2e/programs"
# What every program begins with.
_BEGIN = "from telling import *\nimport flyte_auth\nfrom flyte_auth import Session\n"


@dataclass
class Done:
    """What a finished program left: `lines` is each JSON object that it printed."""

    code: int
    lines: list[dict]
    stderr: str
    seconds: float

    @property
    def last(self) -> dict:
        return self.lines[-1]


@cache
def installed_alone() -> Path:
    """A folder with the installed package and nothing of its environment, for other interpreters."""
    where = "import pathlib, flyte_auth; print(pathlib.Path(flyte_auth.__file__).parent)"
    found = subprocess.run([PYTHON, "-c", where], cwd="/", capture_output=True, text=True, check=True)
    folder = Path(tempfile.mkdtemp(prefix="flyte-auth-alone-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "flyte_auth").symlink_to(found.stdout.strip())
    return folder


def environment(cli: Cli, env=None, python: Path = PYTHON) -> dict[str, str]:
    """For a program of that interpreter; with faulthandler, so that a hang or a crash says where."""
    path = [str(PROGRAMS)]
    if python != PYTHON:
        path.append(str(installed_alone()))
    return cli.environment({"PYTHONPATH": ":".join(path), "PYTHONFAULTHANDLER": "1", **(env or {})})


def written(cli: Cli, source: str, bare=False) -> Path:
    """The program in a file, as multiprocessing and tracebacks need it."""
    number = len(list(cli.home.glob("program-*.py")))
    file = cli.home / f"program-{number}.py"
    file.write_text(("" if bare else _BEGIN) + textwrap.dedent(source))
    return file


class Program:
    """A program that runs; nothing waits for it without an end."""

    def __init__(self, cli: Cli, source: str, *arguments, env=None, python: Path = PYTHON, bare=False):
        self.began = time.monotonic()
        argv = [python, written(cli, source, bare), *arguments]
        self.process = cli.start_any(argv, env=environment(cli, env, python))
        self.lines: list[dict] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._noise: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._hear, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def _read(self):
        for line in self.process.stdout:
            self._queue.put(line)
        self._queue.put(None)

    def _hear(self):
        for line in self.process.stderr:
            self._noise.append(line)

    @property
    def stderr(self) -> str:
        return "".join(self._noise)

    def line(self, within=30.0) -> dict:
        """The next line that it tells."""
        try:
            text = self._queue.get(timeout=within)
        except queue.Empty:
            self._fails(f"it told nothing in {within} s")
        assert text is not None, f"it ended without telling more: {self.process.wait(5)}\n{self.stderr}"
        self.lines.append(json.loads(text))
        return self.lines[-1]

    def says(self):
        """The word that it waits for."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self, within=60.0) -> Done:
        """Waits for its end, and for that of what it has started."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            self._fails(f"still running after {within} s")
        seconds = time.monotonic() - self.began
        until = time.monotonic() + within
        while True:
            try:
                text = self._queue.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"what it started still runs\n{self.stderr}") from None
            if text is None:
                break
            self.lines.append(json.loads(text))
        for reader in self._readers:
            reader.join(5)
        return Done(code, self.lines, self.stderr, seconds)

    def ends_well(self, within=60.0) -> Done:
        """As `finish`, and nothing went wrong: code 0, no word on stderr."""
        done = self.finish(within)
        assert (done.code, done.stderr) == (0, ""), f"exit code {done.code}, after {done.lines}\n{done.stderr}"
        return done

    def _fails(self, why: str):
        # faulthandler shows the stack of every thread.
        self.process.send_signal(signal.SIGABRT)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
        time.sleep(0.2)
        raise AssertionError(f"{why}; it had told {self.lines}\n{self.stderr}")


def runs(cli: Cli, source: str, *arguments, env=None, python: Path = PYTHON, within=60.0, bare=False) -> Done:
    """Runs a program to its good end."""
    return Program(cli, source, *arguments, env=env, python=python, bare=bare).ends_well(within)


def start_server(cli: Cli, argv, env=None) -> subprocess.Popen:
    """A Python server (gunicorn, celery) whose modules are among the programs; its output goes to `server.log`."""
    log = (cli.home / "server.log").open("w")
    whole = environment(cli, env)
    witness.current.sees(whole)
    child = subprocess.Popen(
        [str(argument) for argument in argv],
        env=whole,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=cli.home,
        start_new_session=True,
    )
    log.close()
    return child


def end_server(child: subprocess.Popen, within=15.0) -> float:
    """SIGTERM, as a service manager sends it; how long the end took. Whoever stays is killed, and the test fails."""
    begin = time.monotonic()
    child.terminate()
    try:
        child.wait(within)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise AssertionError(f"it did not end in {within} s") from None
    return time.monotonic() - begin


def promptly(limit=0.1, loaded=0.25) -> float:
    """What "at once" may last: `limit` seconds, or `loaded` where others keep the machine busy."""
    return limit if os.getloadavg()[0] < (os.cpu_count() or 1) else loaded
