"""The person's browser: real Chromium, through peers/browser.mjs, as `BROWSER` or on a device page."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from harness.peers import PEERS

DRIVER = PEERS / "browser.mjs"
NODE = shutil.which("node")
CURL = shutil.which("curl")


class Person:
    """Somebody who signs in when a browser opens, and what she saw there."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / "browser.log"
        self.log.touch()

    def _settings(self) -> dict[str, str]:
        shots = os.environ.get("E2E_SHOTS") or str(self.folder / "shots")
        return {"E2E_BROWSER_LOG": str(self.log), "E2E_SHOTS": shots, "E2E_BROWSER_SECONDS": "40"}

    def browser(self, deny=False, user="alice@example.org") -> dict[str, str]:
        """The environment variable that makes a program open her browser."""
        script = self.folder / "browser.sh"
        settings = " ".join(f"{name}='{value}'" for name, value in self._settings().items())
        flags = f"--user '{user}'" + (" --deny" if deny else "")
        # Her desktop is not the program's scratch home: Chromium needs short paths for its sockets.
        desktop = 'env -i HOME=/tmp PATH="$PATH"'
        script.write_text(f'#!/bin/sh\nexec {desktop} {settings} {NODE} "{DRIVER}" --detach {flags} "$1"\n')
        script.chmod(0o755)
        return {"BROWSER": str(script)}

    def quick_browser(self) -> dict[str, str]:
        """A browser for servers that approve by themselves: follows the redirects to the callback, shows nothing."""
        script = self.folder / "quick.sh"
        script.write_text(f'#!/bin/sh\n{CURL} -skL --noproxy "*" --max-time 20 -o /dev/null "$1" > /dev/null 2>&1 &\n')
        script.chmod(0o755)
        return {"BROWSER": str(script)}

    def no_browser(self) -> dict[str, str]:
        """A browser that opens and shows nothing: she never answers. The URLs are kept in `opened`."""
        script = self.folder / "silent.sh"
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >> "{self.folder}/opened"\n')
        script.chmod(0o755)
        return {"BROWSER": str(script)}

    @property
    def opened(self) -> list[str]:
        """The URLs that the silent browser was given."""
        path = self.folder / "opened"
        return path.read_text().split() if path.exists() else []

    def opened_url(self, within=20.0) -> str:
        """The URL that the silent browser was given, when it has it: a program prints it before the browser runs."""
        until = time.monotonic() + within
        while not self.opened:
            assert time.monotonic() < until, "no browser was opened"
            time.sleep(0.05)
        return self.opened[0]

    def visits(self, url: str, code: str | None = None, deny=False, user="alice@example.org") -> str:
        """Goes to `url` herself (a device page), enters `code` where it is asked for; returns how it ended."""
        argv = [NODE, str(DRIVER), "--user", user]
        argv += ["--deny"] if deny else []
        argv += ["--code", code] if code else []
        done = subprocess.run(
            [*argv, url], env={**os.environ, **self._settings()}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"the browser got stuck:\n{done.stderr[-2000:]}"
        return self.lines[-1]["end"]

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    @property
    def times_asked(self) -> int:
        """How often her browser was opened."""
        return len([line for line in self.lines if "pid" in line])

    @property
    def pages(self) -> list[str]:
        """The titles of the pages that she saw."""
        return [line["title"] for line in self.lines if "title" in line]

    def end(self):
        """Waits for browsers that are still open, at most 5 s, then ends them by id."""
        pids = [line["pid"] for line in self.lines if "pid" in line]
        until = time.monotonic() + 5
        for pid in pids:
            while _runs(pid) and time.monotonic() < until:
                time.sleep(0.05)
            if _runs(pid):
                os.kill(pid, signal.SIGTERM)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False
