"""`python -m flyte_auth`, and the script `flyte-auth`: the command line."""

from __future__ import annotations

import os
import signal
import sys


def _program() -> list[str]:
    """What starts this command again."""
    script = sys.argv[0]
    stem = os.path.splitext(os.path.basename(script))[0].lower()
    if stem == "flyte-auth" and os.path.exists(script):
        return [os.path.abspath(script)]
    return [sys.executable, "-m", "flyte_auth"]


def main() -> int:
    """Runs the command line of this process; gives its exit code."""
    from ._native import run_cli

    # Python's own handler only notes a Ctrl-C for later; the command line ends by it, or catches it itself.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return run_cli(_program(), sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
