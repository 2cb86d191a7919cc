"""The command under test, run in each of the ways in which people and programs run it."""

import json
import os
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from harness import witness
from harness.terminal import Terminal

REPOSITORY = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("FLYTE_AUTH_BIN", REPOSITORY / "target/debug/flyte-auth")).resolve()
VENV = REPOSITORY / ".venv/bin"


@dataclass
class Result:
    """What a finished command left."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self):
        return json.loads(self.stdout)

    @property
    def errors(self) -> list[str]:
        """The lines of stderr."""
        return self.stderr.splitlines()


def plain_environment(home: Path) -> dict[str, str]:
    """The environment of somebody who has set nothing: no display, no CI, no session bus, no proxies, own home."""
    return {
        "HOME": str(home),
        "PATH": f"{VENV}:{os.path.dirname(os.sys.executable)}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "TMPDIR": str(home / "tmp"),
        "FLYTE_AUTH_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_RUNTIME_DIR": str(home / "run"),
        # flytekit and flyte would ask a desktop's keyring; there is none here and none is wanted.
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "PYTHONWARNINGS": "ignore",
        "FLYTE_SDK_LOGGING_LEVEL": "50",
        **witness.current.env,
    }


class Cli:
    """Runs the binary with a scratch home."""

    def __init__(self, home: Path, binary: Path = BINARY):
        self.home = home
        self.binary = binary
        for folder in ("tmp", "state", "run", ".config"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        (home / "run").chmod(0o700)
        self.env = plain_environment(home)
        witness.current.watches(home)
        self._terminals: list[Terminal] = []
        self._children: list[subprocess.Popen] = []

    def environment(self, env=None) -> dict[str, str]:
        whole = witness.joined(self.env, env or {})
        witness.current.sees(whole)
        return whole

    def run(self, *arguments, env=None, input=None, timeout=30, cwd=None) -> Result:
        """As a service manager or a Jupyter kernel does: captured output and no controlling terminal at all."""
        return self.run_any([self.binary, *arguments], env=env, input=input, timeout=timeout, cwd=cwd)

    def run_any(self, argv, env=None, input=None, timeout=30, cwd=None) -> Result:
        """Any program, in a session of its own (which is what leaves it without a controlling terminal)."""
        begin = time.monotonic()
        done = subprocess.run(
            [str(argument) for argument in argv],
            env=self.environment(env),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=cwd or self.home,
            start_new_session=True,
        )
        return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - begin)

    def start(self, *arguments, env=None) -> subprocess.Popen:
        """Leaves the command running; the fixture ends it."""
        return self.start_any([self.binary, *arguments], env=env, stdin=subprocess.DEVNULL)

    def start_any(self, argv, env=None, stdin=subprocess.PIPE) -> subprocess.Popen:
        """Leaves any program running, by default with a pipe as its input; the fixture ends it."""
        child = subprocess.Popen(
            [str(argument) for argument in argv],
            env=self.environment(env),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            start_new_session=True,
        )
        self._children.append(child)
        return child

    def terminal(self, *arguments, env=None, cwd=None) -> Terminal:
        """A person at a terminal: stdin, stdout and stderr are all the terminal."""
        return self.terminal_any([self.binary, *arguments], env=env, cwd=cwd)

    def terminal_any(self, argv, env=None, cwd=None) -> Terminal:
        terminal = Terminal(argv, self.environment(env), cwd or self.home)
        self._terminals.append(terminal)
        return terminal

    def captured_on_terminal(self, *arguments, env=None, within=60.0, stdin="/dev/null"):
        """As flytectl runs its command: stdin `/dev/null`, stdout and stderr captured, a controlling terminal.

        Returns the result and the terminal (whose `seen` is what the command wrote to /dev/tty).
        """
        stdout, stderr = self.home / "captured.out", self.home / "captured.err"
        command = shlex.join(str(argument) for argument in (self.binary, *arguments))
        redirected = f"{command} < {stdin} > {shlex.quote(str(stdout))} 2> {shlex.quote(str(stderr))}"
        terminal = self.terminal_any(["/bin/sh", "-c", redirected], env=env)
        code = terminal.wait(within)
        return Result(code, stdout.read_text(), stderr.read_text(), terminal.seconds), terminal

    def end(self):
        """Ends what the test left running, by id."""
        for terminal in self._terminals:
            terminal.end()
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe:
                    pipe.close()
