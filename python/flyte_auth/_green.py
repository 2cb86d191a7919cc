"""Waiting where gevent has put greenlets in the place of threads."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._native import Call


def is_patched() -> bool:
    """Whether `threading` is gevent's."""
    from gevent import monkey

    return bool(monkey.is_module_patched("threading"))


def wait(call: Call) -> object:
    """Waits for the call while the other greenlets go on."""
    from gevent import get_hub
    from gevent.event import Event

    ended = Event()
    watcher = get_hub().loop.async_()
    watcher.start(ended.set)
    try:
        # `send` is what libev lets other threads call.
        call.notify(watcher.send)
        ended.wait()
    except BaseException:
        # A killed greenlet, a gevent.Timeout, Ctrl-C.
        call.cancel()
        raise
    finally:
        watcher.stop()
        watcher.close()
    return call.result()
