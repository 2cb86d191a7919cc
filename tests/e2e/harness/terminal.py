"""A person's terminal: a pseudo-terminal that is the controlling terminal of the program in it."""

import os
import re
import select
import signal
import time

from ptyprocess import PtyProcess

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")


class Terminal:
    """Runs a program on a terminal of its own; `seen` is all that the person has been shown."""

    def __init__(self, argv, env, cwd=None, columns=160):
        self.started = time.monotonic()
        self._pty = PtyProcess.spawn(
            [str(argument) for argument in argv], env=env, cwd=cwd and str(cwd), dimensions=(50, columns)
        )
        self.raw = ""

    @property
    def seen(self) -> str:
        """The text without colours and cursor movements."""
        return _CONTROL.sub("", self.raw)

    @property
    def pid(self) -> int:
        return self._pty.pid

    def _read(self, until: float) -> bool:
        """Reads what comes before `until`; False at the end of the output."""
        ready, _, _ = select.select([self._pty.fd], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return True
        try:
            data = os.read(self._pty.fd, 65536)
        except OSError:
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern: str, within=20.0) -> re.Match:
        """Waits until `pattern` has been shown."""
        until = time.monotonic() + within
        while True:
            found = re.search(pattern, self.seen)
            if found:
                return found
            if time.monotonic() >= until:
                raise AssertionError(f"{pattern!r} not shown in {within} s; on the terminal:\n{self.seen}")
            if not self._read(until):
                found = re.search(pattern, self.seen)
                assert found, f"ended without showing {pattern!r}; on the terminal:\n{self.seen}"
                return found

    def type(self, text: str):
        """Types `text`."""
        self._pty.write(text.encode())

    def signal(self, number: int):
        self._pty.kill(number)

    def wait(self, within=60.0) -> int:
        """Waits for the end; the exit code as a shell would tell it."""
        until = time.monotonic() + within
        while self._read(until):
            if time.monotonic() >= until:
                raise AssertionError(f"still running after {within} s; on the terminal:\n{self.seen}")
        self._pty.wait()
        self.seconds = time.monotonic() - self.started
        return self._pty.exitstatus if self._pty.signalstatus is None else 128 + self._pty.signalstatus

    def end(self):
        """Ends what still runs in the terminal's session."""
        if self._pty.isalive():
            os.killpg(self._pty.pid, signal.SIGKILL)
        else:
            self._pty.delayafterclose = 0
        self._pty.close(force=True)
