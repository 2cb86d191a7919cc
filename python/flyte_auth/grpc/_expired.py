"""The outcome of a call whose deadline passed before there was a token: gRPC would still send it now and then."""

from __future__ import annotations

import grpc
import grpc.aio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

_DETAILS = "Deadline Exceeded while waiting for a token"


class ExpiredCall(grpc.RpcError, grpc.Call, grpc.Future):  # type: ignore[misc]
    """A call that ended with DEADLINE_EXCEEDED and was not sent."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.DEADLINE_EXCEEDED

    def details(self) -> str:
        return _DETAILS

    def debug_error_string(self) -> str:
        return _DETAILS

    def initial_metadata(self) -> tuple[()]:
        return ()

    trailing_metadata = initial_metadata

    def is_active(self) -> bool:
        return False

    cancel = cancelled = running = is_active

    def done(self) -> bool:
        return True

    def time_remaining(self) -> float:
        return 0.0

    def add_callback(self, callback: Callable[[], object]) -> bool:
        return False

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        fn(self)

    def result(self, timeout: float | None = None) -> Any:
        raise self

    def exception(self, timeout: float | None = None) -> ExpiredCall:
        return self

    def traceback(self, timeout: float | None = None) -> TracebackType | None:
        return self.__traceback__  # type: ignore[no-any-return]

    def __iter__(self) -> ExpiredCall:
        return self

    def __next__(self) -> Any:
        raise self

    def __str__(self) -> str:
        return f"<{type(self).__name__}: DEADLINE_EXCEEDED, {_DETAILS}>"

    __repr__ = __str__


def expired_error() -> grpc.aio.AioRpcError:
    """The same for `grpc.aio`."""
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, nothing, nothing, details=_DETAILS)
