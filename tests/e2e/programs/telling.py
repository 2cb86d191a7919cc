"""What the programs here have in common: they tell the test one JSON line at a time, a token only by its hash."""

import hashlib
import json
import os
import sys
import threading
import time


def tell(**members):
    """One line, in one piece and at once, also in a forked child."""
    os.write(1, (json.dumps(members) + "\n").encode())


def digest(token) -> str:
    """The hash of a token, or of a header's token."""
    value = token if isinstance(token, str) else token.value
    return hashlib.sha256(value.removeprefix("Bearer ").encode()).hexdigest()


def digest_of(headers: dict) -> str:
    (value,) = headers.values()
    return digest(value)


def waits_for_the_word():
    """Until the test says so."""
    sys.stdin.readline()


def ended(child: int) -> int:
    """The exit code of a forked child, as a shell would tell it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(body) -> int:
    """Forks; the child runs `body` and leaves without the parent's clean-up."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        body()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


class Ticks:
    """A second thread that counts while another waits: who keeps the GIL stops it."""

    PACE = 0.005

    def __enter__(self):
        self.gaps = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _run(self):
        last = time.monotonic()
        while not self._ends.is_set():
            time.sleep(self.PACE)
            now = time.monotonic()
            self.gaps.append(now - last)
            last = now

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()

    @property
    def longest(self) -> float:
        """Seconds in which it could not count."""
        return max(self.gaps)


def interrupts(after: float, meanwhile=lambda: None) -> list[float]:
    """Ctrl-C to this process in so many seconds; the list gets the moment."""
    import signal

    at: list[float] = []

    def run():
        time.sleep(after)
        meanwhile()
        at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=run, daemon=True).start()
    return at
