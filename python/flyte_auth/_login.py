"""Serves a login under way: what it wants to show, to open and to have pasted goes to callbacks."""

from __future__ import annotations

import threading

from ._calls import awaited

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

    from ._native import Ask, LoginEvent, LoginOutcome, LoginRun
    from ._notebook import Panel


class Callbacks:
    """The three callbacks; each may be sync or async."""

    def __init__(
        self,
        on_event: Callable[[LoginEvent], Any] | None,
        open_browser: Callable[[str], Any] | None,
        paste: Callable[[], Any] | None,
        panel: Panel | None = None,
    ) -> None:
        self.panel = panel
        for name, callback in (("on_event", on_event), ("open_browser", open_browser), ("paste", paste)):
            if callback is not None and not callable(callback):
                raise TypeError(f"{name} must be callable, not {type(callback).__name__}")
        self.on_event = on_event
        self.open_browser = open_browser
        self.paste = paste

    def ended(self, how: LoginOutcome | BaseException) -> None:
        """Tells a notebook's panel how the login ended."""
        if self.panel is not None:
            self.panel.ended(how)

    @property
    def wanted(self) -> tuple[bool, bool]:
        """Whether a browser is opened, and a line asked for, by callbacks."""
        return self.open_browser is not None, self.paste is not None

    def call(self, ask: Ask) -> Any:
        """What the callback for `ask` gives: its result, or something to await."""
        if ask.kind == "open":
            assert self.open_browser is not None and ask.url is not None
            return self.open_browser(ask.url)
        return self.on_event(ask.event) if self.on_event is not None and ask.event is not None else None


def callbacks(
    endpoint: str,
    on_event: Callable[[LoginEvent], Any] | None,
    open_browser: Callable[[str], Any] | None,
    paste: Callable[[], Any] | None,
) -> Callbacks | None:
    """Those that were given; a notebook's; None where the terminal serves."""
    from . import _notebook

    if on_event is None and open_browser is None and paste is None:
        if not _notebook.is_here():
            return None
        panel = _notebook.Panel(endpoint)
        return Callbacks(panel.show, None, None, panel)
    return Callbacks(on_event, open_browser, paste)


def _answer(ask: Ask, value: Any) -> None:
    if ask.kind == "open":
        # A callback that says nothing opened it.
        ask.opened(value is None or bool(value))


def _now(value: Any) -> Any:
    """The value of a sync callback, or of an async one, run to its end."""
    if not hasattr(value, "__await__"):
        return value
    import asyncio

    async def run() -> Any:
        return await value

    return asyncio.run(run())


def drive(run: LoginRun, callbacks: Callbacks) -> LoginOutcome:
    """Serves the login from this thread until it has ended."""
    failed: list[BaseException] = []

    def ask_for_line(ask: Ask) -> None:
        try:
            assert callbacks.paste is not None
            ask.pasted(_now(callbacks.paste()))
        except BaseException as error:
            failed.append(error)
            run.outcome.cancel()

    try:
        while (ask := run.next().wait()) is not None:
            if ask.kind == "paste":
                # A person who does not paste must not keep the login from ending.
                threading.Thread(target=ask_for_line, args=(ask,), name="flyte-auth-paste", daemon=True).start()
            else:
                _answer(ask, _now(callbacks.call(ask)))
        if failed:
            raise failed[0]
        found: LoginOutcome = run.outcome.wait()
    except BaseException as error:
        run.cancel()
        callbacks.ended(error)
        raise
    callbacks.ended(found)
    return found


async def drive_async(run: LoginRun, callbacks: Callbacks) -> LoginOutcome:
    """Serves the login from this event loop until it has ended."""
    import asyncio
    import inspect

    tasks: list[asyncio.Task[None]] = []

    async def ask_for_line(ask: Ask) -> None:
        try:
            paste = callbacks.paste
            assert paste is not None
            if inspect.iscoroutinefunction(paste):
                line = await paste()
            else:
                # It may block, as `input` does.
                line = await asyncio.to_thread(lambda: _now(paste()))
            ask.pasted(line)
        except asyncio.CancelledError:
            raise
        except BaseException:
            run.outcome.cancel()
            raise

    try:
        while (ask := await awaited(run.next())) is not None:
            if ask.kind == "paste":
                tasks.append(asyncio.ensure_future(ask_for_line(ask)))
            else:
                value = callbacks.call(ask)
                _answer(ask, await value if hasattr(value, "__await__") else value)
        for task in tasks:
            if task.done():
                task.result()
        found: LoginOutcome = await awaited(run.outcome)
    except BaseException as error:
        run.cancel()
        callbacks.ended(error)
        raise
    finally:
        for task in tasks:
            task.cancel()
    callbacks.ended(found)
    return found
