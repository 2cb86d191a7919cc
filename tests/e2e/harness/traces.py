"""What the processes of one run and their authorization server record, merged into a trace that `flyte-auth-model`
judges (tests/model/src/trace.rs tells the form)."""

import json
import subprocess
import time
from pathlib import Path

from harness.cli import BINARY
from harness.herd import Place, digest

MODEL = BINARY.with_name("flyte-auth-model")


class Trace:
    """One run's trace: begun before its first process, written after its last."""

    def __init__(self, file: Path, place: Place, server: str, record: dict | None):
        self._file, self._place = file, place
        self._steps = file.with_suffix(".steps")
        self._heard = len(place.trace_lines())
        self.env = {"FLYTE_AUTH_TESTING_TRACE": str(self._steps)}
        self._lines = []
        self._first = {"step": "begin", "server": server, "recorded": True, "record": record and _told(record)}

    def ends(self, pid: int, killed: bool):
        """A process was killed or ended by itself; said after its end."""
        step = "killed" if killed else "exited"
        self._lines.append({"at": time.monotonic_ns(), "process": pid, "step": step})

    def write(self):
        """All on one time line: the monotonic clock is one for every process of the machine."""
        steps = self._steps.read_text().splitlines() if self._steps.exists() else []
        served = [line for line in self._place.trace_lines()[self._heard :] if '"server.exchanged"' in line]
        lines = [*self._lines, *(json.loads(line) for line in [*steps, *served])]
        lines.sort(key=lambda line: line["at"])
        self._file.write_text("".join(json.dumps(line) + "\n" for line in [self._first, *lines]))
        self._steps.unlink(missing_ok=True)


def _told(record: dict) -> dict:
    refresh = record.get("refresh_token")
    return {
        "generation": record["generation"],
        "access": digest(record["access_token"])[:12],
        "refresh": refresh and digest(refresh)[:12],
    }


def judge(traces: list[Path]) -> str:
    """The model's word on these traces; fails with its reasons if one is no path of it."""
    done = subprocess.run([MODEL, "replay", *traces], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()
