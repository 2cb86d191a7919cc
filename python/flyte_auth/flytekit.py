"""The authenticator of flytekit: `FLYTE_CREDENTIALS_AUTH_MODE=flyte_auth pyflyte …`, with flytekit 1.16.24 or later.

flytekit finds it by the entry point `flyte_auth` in the group `flytekit.auth` (flytekit/clients/auth_helper.py).
Whoever chooses that mode chose that the person at the terminal may be asked to sign in; where nobody can answer nobody
is asked.
"""

from __future__ import annotations

import sys
import threading

from .session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from flytekit.clients.auth.authenticator import ClientConfigStore
    from flytekit.clients.auth.keyring import Credentials
    from flytekit.configuration import PlatformConfig

    from ._native import Token

__all__ = ["Authenticator", "authenticator"]

# flytekit makes an authenticator for every client, from several threads at once, and forks. No lock that a fork could
# leave locked: `setdefault` is atomic, and a session that was made in vain has done nothing yet.
_sessions: dict[tuple[Any, ...], Session] = {}


class Authenticator:
    """What flytekit asks for the header of each call. Safe for threads and forks.

    A duck of flytekit/clients/auth/authenticator.py `Authenticator`.
    """

    def __init__(self, session: Session, endpoint: str) -> None:
        """An authenticator with the tokens of `session`; `endpoint` is what flytekit calls its credentials by.

        Raises:
            TypeError: an argument of the wrong type.
        """
        if not isinstance(session, Session):
            raise TypeError(f"session must be flyte_auth.Session, not {type(session).__name__}")
        if not isinstance(endpoint, str):
            raise TypeError(f"endpoint must be str, not {type(endpoint).__name__}")
        self._session = session
        self._endpoint = endpoint
        self._given = threading.local()

    def fetch_grpc_call_auth_metadata(self) -> tuple[str, str] | None:
        """The header of the next call, name and value: a secret. None if the endpoint has no auth.

        flytekit calls it before every RPC, on the caller's thread. A fresh token is there at once; otherwise waits,
        asking the person at the terminal if there is one.

        Raises:
            FlyteAuthError: as `Session.token()`; flytekit raises `FlyteSystemException` from it.
        """
        fresh = self._session._fresh_pair()
        if fresh is not None:
            self._given.token, header = fresh
            return header
        token: Token | None = self._session._start_token(True).wait()
        self._given.token = token
        return None if token is None else (token.header_name, token.header_value)

    def refresh_credentials(self) -> None:
        """The last call of this thread was rejected: its token is not served again, and a new one is fetched unless
        another thread or process has done so already.

        flytekit calls it for UNKNOWN too (flytekit/clients/grpc_utils/auth_interceptor.py), which says nothing against
        a token: then nothing happens, and the caller sees the server's own error.

        Raises:
            FlyteAuthError: as `Session.token()`.
        """
        # flytekit does not pass on why. Where its interceptor's `e` is not to be found, this is a rejection.
        if _is_unknown(sys._getframe(1).f_locals.get("e")):
            return
        rejected: Token | None = getattr(self._given, "token", None)
        if rejected is not None:
            self._session.invalidate(rejected)
        self.fetch_grpc_call_auth_metadata()

    def get_credentials(self) -> Credentials | None:
        """The token in memory as flytekit's requests adapter wants it; None if a refresh is due. Never waits."""
        from flytekit.clients.auth.keyring import Credentials

        token = self._session._fresh()
        return None if token is None else Credentials(access_token=token.value, for_endpoint=self._endpoint)


def authenticator(cfg: PlatformConfig, cfg_store: ClientConfigStore | None = None) -> Authenticator:
    """The factory that flytekit calls: an authenticator with the session of `cfg`, one per process.

    Args:
        cfg: what is set there counts as if it were a keyword argument of `Session.from_config`; all else is looked up
            as `flyte-auth` does.
        cfg_store: not used: flyte_auth asks the endpoint itself, and keeps the answer.

    Raises:
        TypeError: `cfg` is no `PlatformConfig`.
        ConfigError: as `Session.from_config`.
    """
    from flytekit.configuration import PlatformConfig

    if not isinstance(cfg, PlatformConfig):
        raise TypeError(f"cfg must be flytekit.configuration.PlatformConfig, not {type(cfg).__name__}")
    options = _options(cfg)
    key = tuple(options.values())
    session = _sessions.get(key)
    if session is None:
        session = _sessions.setdefault(key, Session(**options))
    return Authenticator(session, cfg.endpoint)


def _is_unknown(error: Any) -> bool:
    code = getattr(error, "code", None)
    return callable(code) and getattr(code(), "name", None) == "UNKNOWN"


def _options(cfg: PlatformConfig) -> dict[str, Any]:
    # flytekit's defaults (False, [], None, "") say nothing, but for `insecure`: so flytekit talks to the endpoint.
    return {
        "endpoint": cfg.endpoint or None,
        "insecure": cfg.insecure,
        "insecure_skip_verify": cfg.insecure_skip_verify or None,
        "ca_cert": cfg.ca_cert_file_path or None,
        "client_id": cfg.client_id or None,
        "client_secret": cfg.client_credentials_secret or None,
        "scopes": tuple(cfg.scopes or ()) or None,
        "audience": cfg.audience or None,
        "http_proxy_url": cfg.http_proxy_url or None,
        # flytekit does not say what is from a file of somebody else's repository.
        "_from_client": True,
    }
