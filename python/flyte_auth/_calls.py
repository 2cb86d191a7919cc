"""Waiting for a call in an event loop. Nothing is bound to one loop: each wait asks for the running one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from typing import Any

    from ._native import Call


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def awaited(call: Call) -> Any:
    """The call's result. Cancelling ends the wait at once and the call with it."""
    import asyncio

    loop = asyncio.get_running_loop()
    future = loop.create_future()
    call.notify(lambda: loop.call_soon_threadsafe(_wake, future))
    try:
        await future
    except asyncio.CancelledError:
        call.cancel()
        raise
    return call.result()
