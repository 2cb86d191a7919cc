"""Interceptors for clients of the package `connectrpc` (Flyte 2), sync and async.

```python
import flyte_auth.connect

client = ProjectServiceClientSync(url, interceptors=[flyte_auth.connect.AuthInterceptorSync(session)])
client = ProjectServiceClient(url, interceptors=[flyte_auth.connect.AuthInterceptor(session)])
```

Every call gets the session's header, which replaces what the caller had under its name. After `UNAUTHENTICATED` (HTTP
401) the token is invalidated, and the call is made once more with another one, within its deadline, where nothing was
delivered: no response handed out and no request pulled from the caller's iterator. No other code is touched; what a
proxy answers with a page of its own is one of those. Where the endpoint has no auth, calls pass as they are.

A call waits for a token only if none is in memory, at most until its deadline. What goes wrong with the session comes
out of the call as itself (`flyte_auth.LoginRequiredError`, …).

Put them last: interceptors before them, which may make a call again, then get a fresh token each time. The address that
a client connects to is its own affair: it must be the session's endpoint.
"""

from __future__ import annotations

from contextlib import aclosing, nullcontext

from connectrpc.code import Code
from connectrpc.errors import ConnectError

from ._bearer import AsyncPulled, Bearer, Pulled, TooLate, deadline_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from typing import Any, TypeVar

    from connectrpc.request import RequestContext

    from ._bearer import Header
    from .session import Session

    REQ = TypeVar("REQ")
    RES = TypeVar("RES")

__all__ = ["AuthInterceptor", "AuthInterceptorSync"]


def _deadline(ctx: RequestContext[Any, Any]) -> float | None:
    left = ctx.timeout_ms()
    return None if left is None else deadline_in(left / 1000)


def _too_late() -> ConnectError:
    return ConnectError(Code.DEADLINE_EXCEEDED, "the call's deadline passed before there was a token")


def _put(ctx: RequestContext[Any, Any], header: Header, rejected: Header | None = None) -> None:
    headers = ctx.request_headers()
    if rejected is not None:
        headers.pop(rejected.name, None)
    headers[header.name] = header.pair[1]


class AuthInterceptorSync:
    """The interceptor for `…ClientSync`, all four kinds of call."""

    def __init__(self, session: Session) -> None:
        self._bearer = Bearer(session)

    def _attach(self, ctx: RequestContext[Any, Any]) -> Header | None:
        try:
            header = self._bearer.wait(_deadline(ctx))
        except TooLate:
            raise _too_late() from None
        if header is not None:
            _put(ctx, header)
        return header

    def _attach_other(
        self, error: ConnectError, ctx: RequestContext[Any, Any], header: Header | None, whole: bool
    ) -> bool:
        """Whether the call, which ended with this error, can be made again; then it has another header."""
        if header is None or error.code is not Code.UNAUTHENTICATED:
            return False
        self._bearer.reject(header)
        if not whole:
            return False
        try:
            other = self._bearer.other(header, _deadline(ctx))
        except TooLate:
            raise _too_late() from None
        if other is not None:
            _put(ctx, other, header)
        return other is not None

    def intercept_unary_sync(
        self, call_next: Callable[[REQ, RequestContext[REQ, RES]], RES], request: REQ, ctx: RequestContext[REQ, RES]
    ) -> RES:
        header = self._attach(ctx)
        try:
            return call_next(request, ctx)
        except ConnectError as error:
            if not self._attach_other(error, ctx, header, True):
                raise
        return call_next(request, ctx)

    def intercept_client_stream_sync(
        self,
        call_next: Callable[[Iterator[REQ], RequestContext[REQ, RES]], RES],
        request: Iterator[REQ],
        ctx: RequestContext[REQ, RES],
    ) -> RES:
        header = self._attach(ctx)
        requests = Pulled(request)
        try:
            return call_next(requests, ctx)
        except ConnectError as error:
            if not self._attach_other(error, ctx, header, not requests.taken):
                raise
        return call_next(requests, ctx)

    def intercept_server_stream_sync(
        self,
        call_next: Callable[[REQ, RequestContext[REQ, RES]], Iterator[RES]],
        request: REQ,
        ctx: RequestContext[REQ, RES],
    ) -> Iterator[RES]:
        header = self._attach(ctx)
        delivered = False
        try:
            for response in call_next(request, ctx):
                delivered = True
                yield response
            return
        except ConnectError as error:
            if not self._attach_other(error, ctx, header, not delivered):
                raise
        yield from call_next(request, ctx)

    def intercept_bidi_stream_sync(
        self,
        call_next: Callable[[Iterator[REQ], RequestContext[REQ, RES]], Iterator[RES]],
        request: Iterator[REQ],
        ctx: RequestContext[REQ, RES],
    ) -> Iterator[RES]:
        header = self._attach(ctx)
        requests = Pulled(request)
        delivered = False
        try:
            for response in call_next(requests, ctx):
                delivered = True
                yield response
            return
        except ConnectError as error:
            if not self._attach_other(error, ctx, header, not delivered and not requests.taken):
                raise
        yield from call_next(requests, ctx)


def _closing(responses: AsyncIterator[RES]) -> AbstractAsyncContextManager[AsyncIterator[RES]]:
    """Whoever leaves a stream early ends the request then, not when its generator happens to be collected."""
    return aclosing(responses) if hasattr(responses, "aclose") else nullcontext(responses)  # type: ignore[type-var]


class AuthInterceptor:
    """The interceptor for the async clients, all four kinds of call."""

    def __init__(self, session: Session) -> None:
        self._bearer = Bearer(session)

    async def _attach(self, ctx: RequestContext[Any, Any]) -> Header | None:
        try:
            header = await self._bearer.wait_async(_deadline(ctx))
        except TooLate:
            raise _too_late() from None
        if header is not None:
            _put(ctx, header)
        return header

    async def _attach_other(
        self, error: ConnectError, ctx: RequestContext[Any, Any], header: Header | None, whole: bool
    ) -> bool:
        if header is None or error.code is not Code.UNAUTHENTICATED:
            return False
        self._bearer.reject(header)
        if not whole:
            return False
        try:
            other = await self._bearer.other_async(header, _deadline(ctx))
        except TooLate:
            raise _too_late() from None
        if other is not None:
            _put(ctx, other, header)
        return other is not None

    async def intercept_unary(
        self,
        call_next: Callable[[REQ, RequestContext[REQ, RES]], Awaitable[RES]],
        request: REQ,
        ctx: RequestContext[REQ, RES],
    ) -> RES:
        header = await self._attach(ctx)
        try:
            return await call_next(request, ctx)
        except ConnectError as error:
            if not await self._attach_other(error, ctx, header, True):
                raise
        return await call_next(request, ctx)

    async def intercept_client_stream(
        self,
        call_next: Callable[[AsyncIterator[REQ], RequestContext[REQ, RES]], Awaitable[RES]],
        request: AsyncIterator[REQ],
        ctx: RequestContext[REQ, RES],
    ) -> RES:
        header = await self._attach(ctx)
        requests = AsyncPulled(request)
        try:
            return await call_next(requests, ctx)
        except ConnectError as error:
            if not await self._attach_other(error, ctx, header, not requests.taken):
                raise
        return await call_next(requests, ctx)

    async def intercept_server_stream(
        self,
        call_next: Callable[[REQ, RequestContext[REQ, RES]], AsyncIterator[RES]],
        request: REQ,
        ctx: RequestContext[REQ, RES],
    ) -> AsyncIterator[RES]:
        header = await self._attach(ctx)
        delivered = False
        try:
            async with _closing(call_next(request, ctx)) as responses:
                async for response in responses:
                    delivered = True
                    yield response
            return
        except ConnectError as error:
            if not await self._attach_other(error, ctx, header, not delivered):
                raise
        async with _closing(call_next(request, ctx)) as responses:
            async for response in responses:
                yield response

    async def intercept_bidi_stream(
        self,
        call_next: Callable[[AsyncIterator[REQ], RequestContext[REQ, RES]], AsyncIterator[RES]],
        request: AsyncIterator[REQ],
        ctx: RequestContext[REQ, RES],
    ) -> AsyncIterator[RES]:
        header = await self._attach(ctx)
        requests = AsyncPulled(request)
        delivered = False
        try:
            async with _closing(call_next(requests, ctx)) as responses:
                async for response in responses:
                    delivered = True
                    yield response
            return
        except ConnectError as error:
            if not await self._attach_other(error, ctx, header, not delivered and not requests.taken):
                raise
        async with _closing(call_next(requests, ctx)) as responses:
            async for response in responses:
                yield response
