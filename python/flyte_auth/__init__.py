"""Flyte authentication: one login for every program on this machine, whatever its language.

```python
import flyte_auth

session = flyte_auth.Session.from_config()   # as flytekit and flyte would be configured
session.headers()                            # {"authorization": "Bearer …"}, refreshed when it is due
```

`Session` gets tokens, `Verifier` checks those that a service receives, `flyte_auth.errors` has what can go wrong. On
demand, each importing only what it plugs into: `flyte_auth.grpc`, `.requests`, `.httpx`, `.connect`, `.flytekit`,
`.flyte`, `.testing`.
"""

from __future__ import annotations

import atexit as _atexit

from . import _native
from ._native import LoginEvent, LoginOutcome, Token, VerifiedToken
from .errors import (
    AccessDeniedError,
    ConfigError,
    FlyteAuthError,
    InternalError,
    LoginCancelledError,
    LoginRequiredError,
    NetworkError,
    ServerError,
    TokenStoreError,
)
from .session import LogoutOutcome, PendingLogin, Session
from .verify import Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "AccessDeniedError",
    "ConfigError",
    "FlyteAuthError",
    "InternalError",
    "LoginCancelledError",
    "LoginEvent",
    "LoginOutcome",
    "LoginRequiredError",
    "LogoutOutcome",
    "NetworkError",
    "PendingLogin",
    "ServerError",
    "Session",
    "Token",
    "TokenStoreError",
    "VerifiedToken",
    "Verifier",
    "begin_login",
    "login",
]

__version__: str = _native.__version__

_native.ensure_main_interpreter()

# Before the interpreter takes itself apart: a refresh that is on its way to the store arrives, and our threads leave
# Python alone.
_atexit.register(_native.at_exit)


def login(endpoint: str | None = None, **options: Any) -> LoginOutcome:
    """Signs a person in: `Session.from_config(…).login(…)` in one call, with the keyword arguments of both."""
    ways, session = _split(endpoint, options, ("flow", "no_browser", "timeout", "on_event", "open_browser", "paste"))
    return session.login(**ways)


def begin_login(endpoint: str | None = None, **options: Any) -> PendingLogin | None:
    """Starts a login: `Session.from_config(…).begin_login(…)` in one call, with the keyword arguments of both."""
    ways, session = _split(endpoint, options, ("flow", "no_browser", "timeout"))
    return session.begin_login(**ways)


def _split(endpoint: str | None, options: dict[str, Any], names: tuple[str, ...]) -> tuple[dict[str, Any], Session]:
    ways = {name: options.pop(name) for name in names if name in options}
    return ways, Session(endpoint=endpoint, **options)
