"""The interceptor for `grpc` channels, all four kinds of call."""

from __future__ import annotations

import grpc

from .._bearer import Bearer, Pulled, TooLate, deadline_in, remaining
from . import _metadata
from ._call import Call
from ._expired import ExpiredCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .._bearer import Header
    from ..session import Session

    Continuation = Callable[[Any, Any], Any]

_UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


class Replay:
    """A call that has been sent with `header`, and can be sent once more with another."""

    __slots__ = ("_bearer", "_continuation", "_deadline", "_details", "_header", "_request")

    def __init__(
        self,
        bearer: Bearer,
        continuation: Continuation,
        details: _metadata.Details,
        request: Any,
        header: Header,
        deadline: float | None,
    ) -> None:
        self._bearer = bearer
        self._continuation = continuation
        self._details = details
        self._request = request
        self._header = header
        self._deadline = deadline

    @property
    def is_possible(self) -> bool:
        """Whether the request is still whole."""
        return not (isinstance(self._request, Pulled) and self._request.taken)

    def reject(self) -> None:
        """The header was rejected."""
        self._bearer.reject(self._header)

    def send(self, wanted: Callable[[], bool] = lambda: True) -> Any:
        """The second call; None if there is no other token, or once it was got nobody `wanted` the call.

        Raises:
            FlyteAuthError: as `Session.token()`.
        """
        try:
            header = self._bearer.other(self._header, self._deadline)
        except TooLate:
            return ExpiredCall()
        if header is None or not wanted():
            return None
        details = _metadata.again(self._details, self._header, header, remaining(self._deadline))
        return self._continuation(details, self._request)

    def time_remaining(self) -> float | None:
        """Seconds until the call's deadline."""
        return remaining(self._deadline)


class AuthInterceptor(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]
):
    """Gives every call of a channel the session's header.

    ```python
    channel = grpc.intercept_channel(channel, flyte_auth.grpc.AuthInterceptor(session))
    ```

    The header replaces what the caller had under its name. After UNAUTHENTICATED the token is invalidated, and the call
    is sent once more with another one, within its deadline, where nothing was delivered: no message and no initial
    metadata handed out, and no request pulled from the caller's iterator. No other status is touched. Where the
    endpoint has no auth, calls pass as they are.

    A call waits for a token only if none is in memory, at most until its deadline; `future()` then waits too. What goes
    wrong with the session comes out of the call as itself (`flyte_auth.LoginRequiredError`, …), out of a future by
    `result()`, out of a stream by iterating.

    Put it last: interceptors before it, which may send a call again, then get a fresh token each time.
    """

    def __init__(self, session: Session) -> None:
        self._bearer = Bearer(session)

    def intercept_unary_unary(self, continuation: Continuation, client_call_details: Any, request: Any) -> Any:
        # The way of nearly every call, in one piece: each step into a function costs what the rest does.
        header = self._bearer.now()
        if header is None:
            return self._send(continuation, client_call_details, request, False)
        timeout = client_call_details.timeout
        deadline = None if timeout is None else deadline_in(timeout)
        details = _metadata.with_header(client_call_details, header)
        call = continuation(details, request)
        try:
            if call.done() and call.exception() is None:
                return call
        except grpc.FutureCancelledError:
            return call
        return _followed(call, Replay(self._bearer, continuation, details, request, header, deadline))

    def intercept_unary_stream(self, continuation: Continuation, client_call_details: Any, request: Any) -> Any:
        return self._send(continuation, client_call_details, request, True)

    def intercept_stream_unary(
        self, continuation: Continuation, client_call_details: Any, request_iterator: Iterable[Any]
    ) -> Any:
        return self._send(continuation, client_call_details, Pulled(request_iterator), False)

    def intercept_stream_stream(
        self, continuation: Continuation, client_call_details: Any, request_iterator: Iterable[Any]
    ) -> Any:
        return self._send(continuation, client_call_details, Pulled(request_iterator), True)

    def _send(self, continuation: Continuation, details: Any, request: Any, streams: bool) -> Any:
        deadline = deadline_in(details.timeout)
        try:
            header = self._bearer.wait(deadline)
        except TooLate:
            return ExpiredCall()
        if header is None:
            return continuation(details, request)
        details = _metadata.with_header(details, header)
        if deadline is not None:
            details = details._replace(timeout=remaining(deadline))
        call = continuation(details, request)
        replay = Replay(self._bearer, continuation, details, request, header, deadline)
        return Call(call, replay) if streams else _followed(call, replay)


def _followed(call: Any, replay: Replay) -> Any:
    """The call of one response, or the one in its place: at once if the caller waits for it, else when it has ended."""
    if not call.done():
        return Call(call, replay)
    if call.code() is not _UNAUTHENTICATED:
        return call
    replay.reject()
    again = replay.send() if replay.is_possible else None
    return call if again is None else again
