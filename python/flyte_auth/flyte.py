"""flyte 2: `flyte login`, `flyte logout`, `flyte status`, and a header for each call of a Python program."""

from __future__ import annotations

from .session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["LiveHeader", "passthrough"]

# flyte needs a pair, also where the endpoint has no auth: a header that means nothing.
_NO_AUTH = ("x-flyte-auth", "none")


def __getattr__(name: str) -> Any:
    """The commands that flyte's command line loads: a program that only wants a header has no use for click."""
    if name in ("login", "logout", "status"):
        from . import _flyte_commands

        return getattr(_flyte_commands, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class LiveHeader:
    """A pair of name and value that is looked up each time it is read. `repr` shows no secret."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def __iter__(self) -> Iterator[str]:
        """The header of a token that is valid now, name and value: a secret.

        Raises:
            FlyteAuthError: as `Session.headers()`.
        """
        for header in self._session.headers().items():
            return iter(header)
        return iter(_NO_AUTH)

    def __len__(self) -> int:
        return 2

    def __repr__(self) -> str:
        return f"<LiveHeader of {self._session!r}>"


def passthrough(session: Session) -> tuple[str, str]:
    """A pair for `flyte.remote.auth_metadata()` that gives each call the token of its time.

    ```python
    session = flyte_auth.Session.for_endpoint("dns:///flyte.example.org")
    session.token()  # whoever must sign in is told so here, and not within a call
    flyte.init_passthrough("dns:///flyte.example.org")
    with flyte.remote.auth_metadata(flyte_auth.flyte.passthrough(session)):
        flyte.run(...)
    ```

    flyte makes a dict of the pairs for every call (flyte/remote/_client/auth/_authenticators/passthrough.py), in its
    event loop: a refresh that cannot be put off holds that loop. It does not say when a token was rejected, and with
    `insecure=True` it sends no header at all.

    Args:
        session: whose tokens.

    Returns:
        a `LiveHeader`, under the type with which `auth_metadata` is annotated.

    Raises:
        TypeError: `session` is no `flyte_auth.Session`.
    """
    if not isinstance(session, Session):
        raise TypeError(f"session must be flyte_auth.Session, not {type(session).__name__}")
    return LiveHeader(session)  # type: ignore[return-value]
