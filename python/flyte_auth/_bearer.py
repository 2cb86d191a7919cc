"""A session's header for RPC clients: which header goes out, and which goes out after a server rejected it."""

from __future__ import annotations

import threading
import time

from . import _native
from ._calls import awaited
from .errors import LoginCancelledError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
    from typing import Any

    from ._native import Token
    from .session import Session


class Secret(str):
    """A header's value. RPC libraries and loggers show metadata by its `repr`: the token is not in it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Header:
    """A token as a header, made once for each token: `name` in lower case, `pair` is name and value."""

    __slots__ = ("alone", "name", "pair", "token")

    def __init__(self, token: Token | None) -> None:
        self.token = token
        self.name = "" if token is None else token.header_name
        self.pair = (self.name, Secret("" if token is None else token.header_value))
        self.alone = (self.pair,)


class TooLate(Exception):
    """The call's own deadline passed while it waited for a token."""


def deadline_in(seconds: float | None) -> float | None:
    """The moment of a timeout, on the monotonic clock."""
    return None if seconds is None else time.monotonic() + seconds


def remaining(deadline: float | None) -> float | None:
    """Seconds until the deadline, not less than 0."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


class Bearer:
    """The session's header for the next call. Cheap: the header of the last token is kept."""

    __slots__ = ("_last", "fresh", "session")

    def __init__(self, session: Session) -> None:
        if not isinstance(session, _native.Session):
            raise TypeError(f"session must be flyte_auth.Session, not {type(session).__name__}")
        self.session = session
        self.fresh = session._fresh
        self._last = Header(None)

    def now(self) -> Header | None:
        """The header in memory, if its token needs no refresh: never waits."""
        token = self.fresh()
        if token is None:
            return None
        last = self._last
        return last if last.token is token else self._header(token)

    def _header(self, token: Token) -> Header:
        last = self._last
        if last.token is not token:
            last = self._last = Header(token)
        return last

    def wait(self, deadline: float | None = None) -> Header | None:
        """The header, waiting for a refresh; None if the endpoint has no auth.

        Raises:
            TooLate: the deadline passed first.
            FlyteAuthError: as `Session.token()`.
        """
        token = self.fresh()
        if token is None:
            token = self.session.token() if deadline is None else self._wait_until(deadline)
        return None if token is None else self._header(token)

    def _wait_until(self, deadline: float) -> Token | None:
        call = self.session._start_token()
        late = False

        def end() -> None:
            nonlocal late
            late = True
            call.cancel()

        timer = threading.Timer(max(0.0, deadline - time.monotonic()), end)
        timer.daemon = True
        timer.start()
        try:
            return call.wait()  # type: ignore[no-any-return]
        except LoginCancelledError:
            if late:
                raise TooLate from None
            raise
        finally:
            timer.cancel()

    async def wait_async(self, deadline: float | None = None) -> Header | None:
        """As `wait()`."""
        token = self.fresh()
        if token is None:
            import asyncio

            try:
                token = await asyncio.wait_for(awaited(self.session._start_token()), remaining(deadline))
            # Of 3.10 it is no `TimeoutError`; and one of ours is a `NetworkError`.
            except asyncio.TimeoutError:  # noqa: UP041
                raise TooLate from None
        return None if token is None else self._header(token)

    def reject(self, header: Header) -> None:
        """The server answered 401 or status 16 to this header: its token is not served again."""
        self.session.invalidate(header.token)

    def other(self, rejected: Header, deadline: float | None) -> Header | None:
        """A header other than the rejected one; None if there is none, so that asking again brings the same answer.

        Raises:
            TooLate, FlyteAuthError: as `wait()`.
        """
        return self._unlike(rejected, self.wait(deadline))

    async def other_async(self, rejected: Header, deadline: float | None) -> Header | None:
        """As `other()`."""
        return self._unlike(rejected, await self.wait_async(deadline))

    def _unlike(self, rejected: Header, header: Header | None) -> Header | None:
        return None if header is None or header.pair == rejected.pair else header


class Pulled:
    """A caller's iterator of requests, which can be sent again as long as nobody has asked it for one."""

    __slots__ = ("_requests", "taken")

    def __init__(self, requests: Iterable[Any]) -> None:
        self._requests: Iterator[Any] = iter(requests)
        self.taken = False

    def __iter__(self) -> Pulled:
        return self

    def __next__(self) -> Any:
        # Before it answers: who waits inside it would swallow what comes.
        self.taken = True
        return next(self._requests)


class AsyncPulled:
    """As `Pulled`, of an async iterator or a sync one."""

    __slots__ = ("_requests", "taken")

    def __init__(self, requests: AsyncIterable[Any] | Iterable[Any]) -> None:
        self._requests: AsyncIterator[Any] | Iterator[Any] = (
            requests.__aiter__() if hasattr(requests, "__aiter__") else iter(requests)
        )
        self.taken = False

    def __aiter__(self) -> AsyncPulled:
        return self

    async def __anext__(self) -> Any:
        self.taken = True
        if hasattr(self._requests, "__anext__"):
            return await self._requests.__anext__()
        try:
            return next(self._requests)
        except StopIteration:
            raise StopAsyncIteration from None
