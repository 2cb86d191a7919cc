"""The interceptors for `grpc.aio` channels: one class for each kind of call, as it wants them."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio

from .._bearer import AsyncPulled, Bearer, TooLate, deadline_in, remaining
from . import _metadata
from ._aio_call import StreamStreamCall, StreamUnaryCall, UnaryStreamCall
from ._expired import expired_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._bearer import Header
    from ..session import Session

    Continuation = Callable[[Any, Any], Any]

_UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


class AioReplay:
    """As `Replay`, for an event loop. Without a `header` there was no token to send."""

    __slots__ = ("_bearer", "_continuation", "_deadline", "_details", "_request", "header")

    def __init__(
        self,
        bearer: Bearer,
        continuation: Continuation,
        details: Any,
        request: Any,
        header: Header | None,
        deadline: float | None,
    ) -> None:
        self._bearer = bearer
        self._continuation = continuation
        self._details = details
        self._request = request
        self.header = header
        self._deadline = deadline

    @property
    def is_possible(self) -> bool:
        """Whether the request is still whole."""
        return not (isinstance(self._request, AsyncPulled) and self._request.taken)

    def reject(self) -> None:
        """The header was rejected."""
        assert self.header is not None
        self._bearer.reject(self.header)

    async def begin(self) -> Any:
        """The first call."""
        return await self._continuation(self._details, self._request)

    async def send(self) -> Any:
        """The second call, or None: as `Replay.send`."""
        assert self.header is not None
        try:
            header = await self._bearer.other_async(self.header, self._deadline)
        except TooLate:
            raise expired_error() from None
        if header is None:
            return None
        details = _metadata.aio_again(self._details, self.header, header, remaining(self._deadline))
        return await self._continuation(details, self._request)


class _Interceptor:
    """What all kinds of call begin with."""

    def __init__(self, session: Session) -> None:
        self._bearer = Bearer(session)

    async def _prepare(self, continuation: Continuation, details: Any, request: Any) -> AioReplay:
        deadline = deadline_in(details.timeout)
        try:
            header = await self._bearer.wait_async(deadline)
        except TooLate:
            raise expired_error() from None
        if header is not None:
            details = _metadata.aio_with_header(details, header, remaining(deadline))
        return AioReplay(self._bearer, continuation, details, request, header, deadline)


class AioUnaryUnaryInterceptor(_Interceptor, grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """As `AuthInterceptor`, for calls of one request and one response."""

    async def intercept_unary_unary(self, continuation: Continuation, client_call_details: Any, request: Any) -> Any:
        replay = await self._prepare(continuation, client_call_details, request)
        call = None
        try:
            call = await replay.begin()
            if replay.header is None or await call.code() is not _UNAUTHENTICATED:
                return call
        except asyncio.CancelledError:
            if call is not None:
                call.cancel()
            raise
        except grpc.aio.AioRpcError as error:
            # An interceptor after this one waited for the response itself.
            if replay.header is None or error.code() is not _UNAUTHENTICATED:
                raise
            replay.reject()
            second = await replay.send()
            if second is None:
                raise
            return second
        replay.reject()
        second = await replay.send()
        return call if second is None else second


class AioUnaryStreamInterceptor(_Interceptor, grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[misc]
    """As `AuthInterceptor`, for calls of one request and many responses."""

    async def intercept_unary_stream(self, continuation: Continuation, client_call_details: Any, request: Any) -> Any:
        replay = await self._prepare(continuation, client_call_details, request)
        call = await replay.begin()
        return call if replay.header is None else UnaryStreamCall(call, replay)


class AioStreamUnaryInterceptor(_Interceptor, grpc.aio.StreamUnaryClientInterceptor):  # type: ignore[misc]
    """As `AuthInterceptor`, for calls of many requests and one response."""

    async def intercept_stream_unary(
        self, continuation: Continuation, client_call_details: Any, request_iterator: Any
    ) -> Any:
        replay = await self._prepare(continuation, client_call_details, AsyncPulled(request_iterator))
        call = await replay.begin()
        return call if replay.header is None else StreamUnaryCall(call, replay)


class AioStreamStreamInterceptor(_Interceptor, grpc.aio.StreamStreamClientInterceptor):  # type: ignore[misc]
    """As `AuthInterceptor`, for calls of many requests and many responses."""

    async def intercept_stream_stream(
        self, continuation: Continuation, client_call_details: Any, request_iterator: Any
    ) -> Any:
        replay = await self._prepare(continuation, client_call_details, AsyncPulled(request_iterator))
        call = await replay.begin()
        return call if replay.header is None else StreamStreamCall(call, replay)


def aio_interceptors(session: Session) -> list[grpc.aio.ClientInterceptor]:
    """The interceptors of all four kinds, for `grpc.aio.insecure_channel(…, interceptors=…)` and its like.

    What happens to a call is told in `AuthInterceptor`. They belong at the end of the list.
    """
    return [
        AioUnaryUnaryInterceptor(session),
        AioUnaryStreamInterceptor(session),
        AioStreamUnaryInterceptor(session),
        AioStreamStreamInterceptor(session),
    ]
