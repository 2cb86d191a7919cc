"""A call under way that is sent once more if the server rejects its token: a future or a stream of responses."""

from __future__ import annotations

import contextvars
import functools
import logging
import threading
import time
import weakref

import grpc

from .._bearer import deadline_in, remaining

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._interceptor import Replay

_UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
# As long as gRPC's own waits: a signal is seen meanwhile where a wait without end would not let it through.
_LOOK_UP = 0.2


def _wait_for(call: Any, deadline: float | None) -> None:
    """Waits for its end. Raises as the call's `exception()`."""
    if deadline is None:
        call.code()
    else:
        call.exception(remaining(deadline))


class Call(grpc.RpcError, grpc.Call, grpc.Future):  # type: ignore[misc]
    """What gRPC's own call is, of the attempt that counts.

    The first attempt counts until it has ended UNAUTHENTICATED and nothing of it was handed out; the second is got on a
    thread of its own, since gRPC tells the end of a call on a thread that must not wait.
    """

    def __init__(self, call: Any, replay: Replay) -> None:
        self._call = call
        self._replay = replay
        self._changed = threading.Condition()
        # May still become another attempt.
        self._open = True
        self._switching = False
        self._switched = False
        # Over for good; then the callbacks have been told.
        self._over = False
        # Cancelled when there was no attempt to cancel.
        self._dropped = False
        self._failure: BaseException | None = None
        self._reading = False
        self._callbacks: list[Callable[[], object]] = []
        self._context = contextvars.copy_context()
        self._watch()

    def _watch(self) -> None:
        """Has gRPC tell the end of this attempt."""
        call, switched = self._call, self._switched
        # An interceptor between here and gRPC may have made a plain iterator of the call.
        add_callback = getattr(call, "add_callback", None)
        if add_callback is None:
            return
        ended: Callable[[], object]
        if self._callbacks:
            ended = functools.partial(self._has_ended, call)
        else:
            # Whoever drops a call cancels it: gRPC must not keep it for our sake.
            this = weakref.ref(self)

            def ended() -> None:
                kept = this()
                if kept is not None and kept._switched == switched:
                    kept._has_ended(kept._call)

        if not add_callback(ended):
            self._has_ended(call)

    def _has_ended(self, call: Any, code: Any = None) -> None:
        """This attempt has ended: begins the second, or tells that the call is over."""
        code = call.code() if code is None else code
        with self._changed:
            if self._over or self._switching or call is not self._call or self._reading:
                return
            rejected = code is _UNAUTHENTICATED and not self._switched
            self._switching = rejected and self._open and self._replay.is_possible
            begins = self._switching
        if rejected:
            self._replay.reject()
        if begins:
            try:
                threading.Thread(target=self._context.run, args=(self._switch,), name="flyte-auth", daemon=True).start()
                return
            except RuntimeError:
                # The interpreter is on its way out.
                self._switching = False
        self._end()

    def _switch(self) -> None:
        """Gets the second attempt."""
        second = failure = None
        try:
            second = self._replay.send(lambda: not self._dropped)
        except BaseException as error:
            failure = error
        with self._changed:
            self._switching = False
            if not self._dropped:
                self._open = False
                self._failure = failure
                self._switched = second is not None
                self._call = second if self._switched else self._call
            self._changed.notify_all()
        if self._call is second:
            self._watch()
            return
        if second is not None and hasattr(second, "cancel"):
            second.cancel()
        self._end()

    def _end(self) -> None:
        with self._changed:
            if self._over:
                return
            self._over = True
            self._open = False
            callbacks, self._callbacks = self._callbacks, []
            self._changed.notify_all()
        for callback in callbacks:
            try:
                callback()
            except Exception:
                logging.getLogger(__name__).exception("a callback of a call raised")

    def _settled(self, call: Any, code: Any = None, deadline: float | None = None) -> Any:
        """The attempt that counts, once this one has ended."""
        self._wait(lambda: not self._reading, deadline)
        self._has_ended(call, code)
        self._wait(lambda: not self._switching, deadline)
        return self._call

    def _wait(self, until: Callable[[], bool], deadline: float | None = None) -> None:
        with self._changed:
            while not until():
                patience = _LOOK_UP if deadline is None else min(_LOOK_UP, deadline - time.monotonic())
                if patience <= 0:
                    raise grpc.FutureTimeoutError
                self._changed.wait(patience)

    def _final(self, timeout: float | None = None) -> Any:
        """The attempt that counts, when it has ended."""
        deadline = deadline_in(timeout)
        call = self._call
        _wait_for(call, deadline)
        final = self._settled(call, None, deadline)
        if final is not call:
            _wait_for(final, deadline)
        return final

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # The responses.

    def __iter__(self) -> Call:
        return self

    def __next__(self) -> Any:
        if not self._open:
            return self._next_of_final()
        with self._changed:
            # Until it is known what was read: a message makes an end that came with it final.
            self._reading = True
            call = self._call
        try:
            message = next(call)
        except StopIteration:
            self._has_read(call, False, grpc.StatusCode.OK)
            raise
        except grpc.RpcError as error:
            ask = getattr(error, "code", None)
            self._has_read(call, False, grpc.StatusCode.UNKNOWN if ask is None else ask())
            if self._settled(call) is call and self._failure is None:
                raise
            # It knows this frame, and so would keep a call that nobody else keeps.
            error.__traceback__ = None
        except BaseException:
            self._has_read(call, False)
            raise
        else:
            self._has_read(call, True)
            return message
        return self._next_of_final()

    next = __next__

    def _next_of_final(self) -> Any:
        self._wait(lambda: not self._switching)
        if self._dropped:
            raise self
        self._raise_failure()
        return next(self._call)

    def _has_read(self, call: Any, message: bool, code: Any = None) -> None:
        with self._changed:
            self._reading = False
            self._open = self._open and not message
            self._changed.notify_all()
        if code is not None or getattr(call, "done", bool)():
            self._has_ended(call, code)

    # The call.

    def initial_metadata(self) -> Any:
        call = self._call
        metadata = call.initial_metadata()
        with self._changed:
            if call is self._call and not self._switching:
                # A rejection without any is nothing that could contradict the second attempt's.
                self._open = self._open and not metadata
                return metadata
        final = self._settled(call)
        return metadata if final is call else final.initial_metadata()

    def trailing_metadata(self) -> Any:
        return self._final().trailing_metadata()

    def code(self) -> Any:
        code = self._final().code()
        return grpc.StatusCode.CANCELLED if self._dropped else code

    def details(self) -> Any:
        details = self._final().details()
        return "Locally cancelled by application!" if self._dropped else details

    def debug_error_string(self) -> Any:
        return self._final().debug_error_string()

    def is_active(self) -> bool:
        return not self._over

    def time_remaining(self) -> float | None:
        return self._replay.time_remaining()

    def cancel(self) -> bool:
        with self._changed:
            if self._over:
                return False
            self._open = False
            self._dropped = self._switching
            self._switching = False
            self._changed.notify_all()
            call = self._call
        if self._dropped:
            self._end()
            return True
        return bool(call.cancel())

    def add_callback(self, callback: Callable[[], object]) -> bool:
        with self._changed:
            if self._over:
                return False
            self._callbacks.append(callback)
            first = len(self._callbacks) == 1 and not self._switching
        if first:
            # From now on somebody waits for the end, whether or not the call is kept.
            self._watch()
        return True

    # The future.

    def cancelled(self) -> bool:
        return self._dropped or bool(self._call.cancelled())

    def running(self) -> bool:
        return not self._over

    def done(self) -> bool:
        return self._over

    def result(self, timeout: float | None = None) -> Any:
        final = self._final(timeout)
        self._raise_cancelled()
        self._raise_failure()
        return final.result()

    def exception(self, timeout: float | None = None) -> Any:
        final = self._final(timeout)
        self._raise_cancelled()
        return final.exception() if self._failure is None else self._failure

    def traceback(self, timeout: float | None = None) -> Any:
        final = self._final(timeout)
        self._raise_cancelled()
        return final.traceback() if self._failure is None else self._failure.__traceback__

    def add_done_callback(self, fn: Callable[[Call], object]) -> None:
        if not self.add_callback(functools.partial(fn, self)):
            fn(self)

    def _raise_cancelled(self) -> None:
        if self._dropped:
            raise grpc.FutureCancelledError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._call!r}>"

    __str__ = __repr__
