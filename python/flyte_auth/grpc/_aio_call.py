"""Calls of `grpc.aio` under way that are sent once more if the server rejects their token."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator
    from typing import Any

    from ._aio import AioReplay

_UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


class _Call:
    """What gRPC's own call is, of the attempt that counts: the first until it has ended UNAUTHENTICATED and nothing of
    it was handed out."""

    def __init__(self, call: Any, replay: AioReplay) -> None:
        self._call = call
        self._replay = replay
        # May still become another attempt.
        self._open = True
        self._over = False
        # Between two attempts; and cancelled there.
        self._switching = False
        self._dropped = False
        self._failure: BaseException | None = None
        self._reading = False
        self._callbacks: list[Callable[[Any], object]] = []
        self._settling: asyncio.Task[None] | None = None
        self._responses: AsyncIterator[Any] | None = None
        call.add_done_callback(self._has_ended)

    def _has_ended(self, _call: object = None) -> None:
        # A reader says what it has read: a message makes an end that came with it final.
        if self._settling is None and not self._reading:
            self._settling = asyncio.ensure_future(self._settle())

    async def _settle(self) -> None:
        """The first attempt has ended: gets the second, or the call is over."""
        second = None
        try:
            if await self._ending() is _UNAUTHENTICATED:
                self._replay.reject()
                if self._open and self._replay.is_possible:
                    self._switching = True
                    second = await self._replay.send()
        except (Exception, asyncio.CancelledError) as error:
            self._dropped = isinstance(error, asyncio.CancelledError)
            self._failure = error
        self._open = self._switching = False
        if second is None:
            self._end()
        else:
            self._call = second
            second.add_done_callback(self._end)

    async def _ending(self) -> Any:
        """The status of an attempt that has ended."""
        return await self._call.code()

    def _end(self, _call: object = None) -> None:
        self._over = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    async def _settled(self, cancels: bool = False) -> None:
        """Once the first attempt has ended: until it is known which one counts. `cancels`: whoever stops waiting ends
        the call."""
        while self._reading:
            await asyncio.sleep(0)
        self._has_ended()
        assert self._settling is not None
        try:
            # Others wait for it too.
            await asyncio.wait([self._settling])
        except asyncio.CancelledError:
            if cancels:
                self.cancel()
            raise

    async def _final(self) -> Any:
        """The attempt that counts, when it has ended."""
        if self._settling is None:
            await self._call.code()
        await self._settled()
        return self._call

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # The call.

    def cancel(self) -> bool:
        if self._over:
            return False
        self._open = False
        if self._switching:
            assert self._settling is not None
            return self._settling.cancel()
        return bool(self._call.cancel())

    def cancelled(self) -> bool:
        return self._dropped or bool(self._call.cancelled())

    def done(self) -> bool:
        return self._over

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        if self._over:
            callback(self)
        else:
            self._callbacks.append(callback)

    def time_remaining(self) -> float | None:
        return self._call.time_remaining()  # type: ignore[no-any-return]

    async def initial_metadata(self) -> Any:
        first = self._call
        metadata = await first.initial_metadata()
        if self._call is first and (self._settling is None or not self._open):
            # A rejection without any is nothing that could contradict the second attempt's.
            self._open = self._open and not metadata
            return metadata
        await self._settled()
        return metadata if self._call is first else await self._call.initial_metadata()

    async def trailing_metadata(self) -> Any:
        return await (await self._final()).trailing_metadata()

    async def code(self) -> Any:
        code = await (await self._final()).code()
        if isinstance(self._failure, grpc.aio.AioRpcError):
            return self._failure.code()
        return grpc.StatusCode.CANCELLED if self._dropped else code

    async def details(self) -> Any:
        details = await (await self._final()).details()
        if isinstance(self._failure, grpc.aio.AioRpcError):
            return self._failure.details()
        return "Locally cancelled by application!" if self._dropped else details

    async def debug_error_string(self) -> Any:
        return await (await self._final()).debug_error_string()

    async def wait_for_connection(self) -> None:
        first = self._call
        try:
            await first.wait_for_connection()
        except grpc.aio.AioRpcError:
            await self._settled()
            self._raise_failure()
            if self._call is first:
                raise
        else:
            return
        await self._call.wait_for_connection()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._call!r}>"


class _Responses(_Call):
    """Many responses."""

    def __aiter__(self) -> AsyncIterator[Any]:
        if self._responses is None:
            self._responses = self._read()
        return self._responses

    async def read(self) -> Any:
        try:
            return await self.__aiter__().__anext__()
        except StopAsyncIteration:
            return grpc.aio.EOF

    async def _read(self) -> AsyncIterator[Any]:
        first = self._call
        responses = first.__aiter__()
        message = rejection = None
        ended = False
        self._reading = self._settling is None
        try:
            message = await responses.__anext__()
            self._open = False
        except StopAsyncIteration:
            ended = True
        except grpc.aio.AioRpcError as error:
            rejection = error
        finally:
            self._reading = False
            if first.done():
                self._has_ended()
        if rejection is not None:
            await self._settled(cancels=True)
            self._raise_failure()
            if self._call is first:
                raise rejection
            responses = self._call.__aiter__()
        elif ended:
            return
        else:
            yield message
        async for message in responses:
            yield message


class _Requests(_Call):
    """Many requests. The calls of an intercepted channel write to the iterator that the interceptor was given."""

    async def _ending(self) -> Any:
        # Where a request could not be written, gRPC says INTERNAL until it has the status, and does not tell when.
        for pause in (0.0, 0.01, 0.1):
            code = await self._call.code()
            if code is not grpc.StatusCode.INTERNAL:
                break
            await asyncio.sleep(pause)
        return await self._call.code()

    async def write(self, request: Any) -> None:
        await self._call.write(request)

    async def done_writing(self) -> None:
        await self._call.done_writing()

    @property
    def _done_writing_flag(self) -> bool:
        # gRPC asks for it before it hands a request to that iterator.
        return bool(self._call._done_writing_flag)


class UnaryStreamCall(_Responses, grpc.aio.UnaryStreamCall):  # type: ignore[misc]
    """A call of one request and many responses."""


class StreamStreamCall(_Requests, _Responses, grpc.aio.StreamStreamCall):  # type: ignore[misc]
    """A call of many requests and many responses."""


class StreamUnaryCall(_Requests, grpc.aio.StreamUnaryCall):  # type: ignore[misc]
    """A call of many requests and one response."""

    def __await__(self) -> Generator[Any, None, Any]:
        return self._response().__await__()

    async def _response(self) -> Any:
        first = self._call
        try:
            return await first
        except grpc.aio.AioRpcError:
            await self._settled(cancels=True)
            self._raise_failure()
            if self._call is first:
                raise
        return await self._call
