"""What can go wrong: one base class, eight kinds, the same in every language that flyte-auth speaks.

=====================  =========  =====================================================
class                  retryable  what to do
=====================  =========  =====================================================
`ConfigError`          no         fix the setting that `setting` names; also `ValueError`
`NetworkError`         yes        no answer: try again later; also `OSError`
`ServerError`          by status  an unusable answer; `retryable` says whether to try again
`LoginRequiredError`   no         start a login
`AccessDeniedError`    no         tell the user
`LoginCancelledError`  no         stop quietly
`TokenStoreError`      no         check path, lock holder, keyring
`InternalError`        no         file a bug
=====================  =========  =====================================================

Their text is one line: what happened, where, and the next step. No token, secret or response body is ever in it. All
can be pickled, so that they cross process pools.
"""

from __future__ import annotations

__all__ = [
    "AccessDeniedError",
    "ConfigError",
    "FlyteAuthError",
    "InternalError",
    "LoginCancelledError",
    "LoginRequiredError",
    "NetworkError",
    "ServerError",
    "TokenStoreError",
]


class FlyteAuthError(Exception):
    """Every error of this package.

    Attributes:
        code: an RFC's error code (`invalid_grant`) or one of ours in snake case (`endpoint_invalid`); stable.
        kind: the row of the error table, for example `login_required`.
        message: what happened, without the next step.
        next_step: what to do, or None.
        retryable: whether trying again later can help.
        retry_after: seconds that the server asks to wait, or None.
        endpoint: the endpoint or issuer that it is about, or None.
        setting: the setting or argument that is wrong, as the user wrote it, or None.
        oauth_error: the server's `error` (RFC 6749 section 5.2), or None.
        oauth_error_description: the server's `error_description`, or None.
    """

    kind = "internal"
    code: str = "internal"
    message: str = ""
    next_step: str | None = None
    retryable: bool = False
    retry_after: float | None = None
    endpoint: str | None = None
    setting: str | None = None
    oauth_error: str | None = None
    oauth_error_description: str | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore, (type(self), self.args, dict(self.__dict__)))


class ConfigError(FlyteAuthError, ValueError):
    """A setting or argument is wrong: `setting` names it."""

    kind = "config"


class NetworkError(FlyteAuthError, OSError):
    """No answer (DNS, TCP, TLS, timeout): try again later."""

    kind = "network"

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ServerError(FlyteAuthError):
    """An unusable answer (5xx, 429, HTML, malformed): `retryable` says whether trying again can help."""

    kind = "server"


class LoginRequiredError(FlyteAuthError):
    """Nobody is signed in, or the session has ended: start a login."""

    kind = "login_required"


class AccessDeniedError(FlyteAuthError):
    """The authorization server or the resource refused: tell the user."""

    kind = "denied"


class LoginCancelledError(FlyteAuthError):
    """The person declined or the deadline passed: stop quietly."""

    kind = "cancelled"


class TokenStoreError(FlyteAuthError):
    """The token store could not be read, written or locked."""

    kind = "store"


class InternalError(FlyteAuthError):
    """A bug here."""

    kind = "internal"


class _Beneath(Exception):
    """What a library beneath said: the cause of an error."""


_CLASSES: dict[str, type[FlyteAuthError]] = {
    each.kind: each
    for each in (
        ConfigError,
        NetworkError,
        ServerError,
        LoginRequiredError,
        AccessDeniedError,
        LoginCancelledError,
        TokenStoreError,
        InternalError,
    )
}


def _from_native(kind: str, text: str, *, causes: list[str], **members: object) -> FlyteAuthError:
    error = _CLASSES.get(kind, InternalError)(text)
    error.__dict__.update(members)
    last: BaseException = error
    for cause in causes:
        last.__cause__ = _Beneath(cause)
        last = last.__cause__
    return error


def _config_error(code: str, message: str, next_step: str, setting: str | None = None) -> ConfigError:
    """For what only Python can see to be wrong."""
    error = ConfigError(f"{message}. {next_step}")
    error.__dict__.update(code=code, message=message, next_step=next_step, setting=setting)
    return error


def _restore(cls: type[FlyteAuthError], args: tuple[object, ...], members: dict[str, object]) -> FlyteAuthError:
    error = cls(*args)
    error.__dict__.update(members)
    return error
