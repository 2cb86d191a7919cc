"""A peer as a child process that says in one JSON line when it is ready."""

import json
import os
import queue
import signal
import subprocess
import threading
from pathlib import Path


class Service:
    """Starts `argv`, waits for the first line of its stdout (a JSON object) and ends it by its own id."""

    def __init__(self, argv, env, log: Path, ready_within=20.0):
        self.log = log
        self._log_file = log.open("w")
        # A session of its own: what it starts ends with it, and no signal of the test's terminal reaches it.
        self.process = subprocess.Popen(
            [str(argument) for argument in argv],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log_file,
            text=True,
            start_new_session=True,
        )
        lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(lines,), daemon=True)
        self._reader.start()
        try:
            first = lines.get(timeout=ready_within)
            self.ready = json.loads(first)
        except (queue.Empty, json.JSONDecodeError) as cause:
            self.end()
            raise AssertionError(f"{argv[0]} did not become ready; its log:\n{self.logged()[-3000:]}") from cause

    def _read(self, lines):
        for line in self.process.stdout:
            lines.put(line)
        lines.put("")

    def logged(self) -> str:
        """Everything that it wrote to stderr."""
        return self.log.read_text(errors="replace")

    def end(self) -> int:
        """SIGTERM to its process group, SIGKILL if that does not help within 5 s; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                os.killpg(self.process.pid, number)
            try:
                self.process.wait(timeout=5)
                break
            except subprocess.TimeoutExpired:
                continue
        self.process.stdin.close()
        self._reader.join(timeout=5)
        self.process.stdout.close()
        self._log_file.close()
        return self.process.returncode
