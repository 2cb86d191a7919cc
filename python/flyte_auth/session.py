"""The session: one endpoint, one credential, one store, shared with every other program on this machine."""

from __future__ import annotations

from . import _native
from ._calls import awaited

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    import os
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Any, Literal, TypeAlias, TypedDict, TypeVar

    from typing_extensions import Self

    from ._native import LoginEvent, LoginOutcome, Token

    Flow = Literal["auto", "pkce", "device", "paste"]
    T = TypeVar("T")
    # A callback may be sync or async.
    MaybeAwaitable: TypeAlias = T | Awaitable[T]

    class Status(TypedDict):
        """What `status()` tells; times are RFC 3339 in UTC."""

        endpoint: str
        generation: Literal["1", "2", "none"] | None
        auth_type: str
        issuer: str | None
        client_id: str | None
        subject: str | None
        email: str | None
        scopes: list[str]
        signed_in: bool
        token_source: str
        access_token_expires_at: str | None
        has_refresh_token: bool
        session_expires_at: str | None
        store: str
        store_reason: str
        store_location: str | None
        profile: str | None
        account: str | None
        config_file: str | None

    class Identity(TypedDict):
        """What `whoami()` tells; what the server left out is None."""

        subject: str | None
        name: str | None
        email: str | None
        preferred_username: str | None


class LogoutOutcome:
    """What a logout did.

    Attributes:
        was_signed_in: whether there was a session on this machine.
        revoked: whether the server revoked the tokens; None if that was not asked for or there was nothing to revoke.
        copies_removed: other clients whose own copies of this session's tokens were removed.
        problem: why the revocation failed, or None. The local copy is gone all the same.
    """

    __slots__ = ("copies_removed", "problem", "revoked", "was_signed_in")

    def __init__(
        self, was_signed_in: bool, revoked: bool | None, copies_removed: list[str], problem: Exception | None
    ) -> None:
        self.was_signed_in = was_signed_in
        self.revoked = revoked
        self.copies_removed = copies_removed
        self.problem = problem

    def __repr__(self) -> str:
        return f"<LogoutOutcome was_signed_in={self.was_signed_in} revoked={self.revoked}>"


def _program() -> str:
    """Who asks, as a person knows it: for a prompt."""
    import sys

    from . import _notebook

    if _notebook.is_here():
        return "this notebook"
    # Neither backslashes nor slashes are in a program's name.
    name = (sys.argv[0] if getattr(sys, "argv", None) else "").replace("\\", "/").rsplit("/", 1)[-1]
    return name if name and not name.startswith("-") else "python"


class Session(_native.Session):
    """One endpoint, one credential, one store. Safe for threads, event loops and forks; cheap to keep.

    ```python
    session = flyte_auth.Session.from_config()
    requests.get(url, headers=session.headers())
    ```

    Every method that may wait has a twin `…_async` with the same meaning; nothing is bound to one event loop. A forked
    child may go on with its parent's session.
    """

    def __new__(cls, **options: Any) -> Self:
        """As `from_config(**options)`, where the file is called `config`."""
        made: Self = super().__new__(cls, options, _program())  # type: ignore[assignment]
        return made

    @classmethod
    def from_config(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        profile: str | None = None,
        endpoint: str | None = None,
        account: str | None = None,
        store: Literal["auto", "keyring", "encrypted-file", "file", "memory", "none"] | None = None,
        interactive: Literal["never", "auto", "always"] | None = None,
        insecure: bool | None = None,
        insecure_skip_verify: bool | None = None,
        ca_cert: str | os.PathLike[str] | None = None,
        client_cert: str | os.PathLike[str] | None = None,
        client_key: str | os.PathLike[str] | None = None,
        http_proxy_url: str | None = None,
        auth_type: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        issuer: str | None = None,
        scopes: Sequence[str] | None = None,
        audience: str | None = None,
        extra_params: Mapping[str, str] | None = None,
    ) -> Self:
        """A session from Flyte's configuration: the file at `path`, or the one that flytekit and flyte would read.

        Keyword arguments stand above the environment, and that above the file; `flyte-auth config explain` shows each
        value and where it came from. Touches no network.

        Args:
            path: a configuration file (YAML or INI).
            profile: one of the file's `profiles`.
            endpoint: the Flyte endpoint, in any form that a Flyte client takes (`dns:///host`, `https://host`, `host`).
            account: which of several accounts, by e-mail address or subject.
            store: where the session is kept.
            interactive: whether `token()` may ask the person at this terminal to sign in. A library asks nobody unless
                this is said.
            insecure: no TLS (Flyte's meaning).
            insecure_skip_verify: TLS without looking at certificates.
            ca_cert: roots that are trusted besides the platform's: a PEM file, or a folder of them.
            client_cert: client certificate chain (PEM).
            client_key: its key (PEM).
            http_proxy_url: the proxy for every call.
            auth_type: how the token is obtained: `auto` or any of Flyte's names (`Pkce`, `ClientSecret`, …).
            client_id: OAuth client id.
            client_secret: OAuth client secret: a machine's credential, never asks a person.
            issuer: the authorization server's issuer: skips Flyte's discovery.
            scopes: OAuth scopes.
            audience: OAuth audience.
            extra_params: further parameters for authorization and token requests.

        Raises:
            TypeError: an argument of the wrong type.
            ConfigError: no endpoint, a value that is none, a file that is missing, unusable or not trusted.
        """
        return cls(
            _path=path,
            profile=profile,
            endpoint=endpoint,
            account=account,
            store=store,
            interactive=interactive,
            insecure=insecure,
            insecure_skip_verify=insecure_skip_verify,
            ca_cert=ca_cert,
            client_cert=client_cert,
            client_key=client_key,
            http_proxy_url=http_proxy_url,
            auth_type=auth_type,
            client_id=client_id,
            client_secret=client_secret,
            issuer=issuer,
            scopes=scopes,
            audience=audience,
            extra_params=extra_params,
        )

    @classmethod
    def for_endpoint(
        cls,
        endpoint: str,
        *,
        profile: str | None = None,
        account: str | None = None,
        store: Literal["auto", "keyring", "encrypted-file", "file", "memory", "none"] | None = None,
        interactive: Literal["never", "auto", "always"] | None = None,
        insecure: bool | None = None,
        insecure_skip_verify: bool | None = None,
        ca_cert: str | os.PathLike[str] | None = None,
        client_cert: str | os.PathLike[str] | None = None,
        client_key: str | os.PathLike[str] | None = None,
        http_proxy_url: str | None = None,
        auth_type: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        issuer: str | None = None,
        scopes: Sequence[str] | None = None,
        audience: str | None = None,
        extra_params: Mapping[str, str] | None = None,
    ) -> Self:
        """A session for an endpoint. All else is as in `from_config`."""
        if not isinstance(endpoint, str):
            raise TypeError(f"endpoint must be str, not {type(endpoint).__name__}")
        return cls(
            endpoint=endpoint,
            profile=profile,
            account=account,
            store=store,
            interactive=interactive,
            insecure=insecure,
            insecure_skip_verify=insecure_skip_verify,
            ca_cert=ca_cert,
            client_cert=client_cert,
            client_key=client_key,
            http_proxy_url=http_proxy_url,
            auth_type=auth_type,
            client_id=client_id,
            client_secret=client_secret,
            issuer=issuer,
            scopes=scopes,
            audience=audience,
            extra_params=extra_params,
        )

    async def token_async(self) -> Token | None:
        """As `token()`. Cancelling ends the wait at once; the refresh finishes, saves and unlocks behind it."""
        token = self._fresh()
        return token if token is not None else await awaited(self._start_token())

    async def headers_async(self) -> dict[str, str]:
        """As `headers()`."""
        headers = self._fresh_headers()
        return headers if headers is not None else await awaited(self._start_headers())

    async def invalidate_async(self, token: Token | None = None) -> None:
        """As `invalidate()`, which never waits."""
        self.invalidate(token)

    def status(self) -> Status:
        """What is known of the session without the network. Nothing secret.

        Raises:
            TokenStoreError: the store cannot be read.
        """
        found: Status = self._start_status().wait()
        return found

    async def status_async(self) -> Status:
        """As `status()`."""
        found: Status = await awaited(self._start_status())
        return found

    def whoami(self) -> Identity:
        """The identity as the server sees it (Flyte's `IdentityService.UserInfo`, the issuer's user info): a real call.

        Raises:
            AccessDeniedError: code `unauthenticated` if the server rejects the token.
            FlyteAuthError: as `token()`; code `unimplemented` if the server cannot tell.
        """
        found: Identity = self._start_whoami().wait()
        return found

    async def whoami_async(self) -> Identity:
        """As `whoami()`."""
        found: Identity = await awaited(self._start_whoami())
        return found

    def logout(self, revoke: bool = False) -> LogoutOutcome:
        """Ends the session on this machine, also the copies of our token that other clients stored. With `revoke` the
        tokens are then revoked at the server (RFC 7009), best effort: `problem` says why not.

        Raises:
            TokenStoreError: the local copy cannot be removed.
        """
        return LogoutOutcome(*self._start_logout(revoke).wait())

    async def logout_async(self, revoke: bool = False) -> LogoutOutcome:
        """As `logout()`."""
        return LogoutOutcome(*await awaited(self._start_logout(revoke)))

    def login(
        self,
        *,
        flow: Flow = "auto",
        no_browser: bool = False,
        timeout: float = 300.0,
        on_event: Callable[[LoginEvent], MaybeAwaitable[object]] | None = None,
        open_browser: Callable[[str], MaybeAwaitable[object]] | None = None,
        paste: Callable[[], MaybeAwaitable[str]] | None = None,
    ) -> LoginOutcome:
        """Signs a person in and waits for them.

        Without callbacks the person is shown what to do at this terminal (stderr), in a notebook beneath the cell. With
        any callback nothing is printed: `on_event` is told everything. Callbacks run on the calling thread (`paste` on
        one of its own, where an `input()` goes on waiting after the login has ended) and may be sync or async; what
        they raise ends the login and comes out of here as it is.

        Args:
            flow: which way; `auto` takes the first that works here (browser, device grant, paste).
            no_browser: open no browser here.
            timeout: the whole login's deadline in seconds.
            on_event: is told what to show.
            open_browser: opens a browser; returns whether it did. Without it: `BROWSER`, else the system's.
            paste: asks for the address that the browser ended at.

        Raises:
            LoginCancelledError: the person declined or the deadline passed.
            ConfigError: this session is a machine's, or `interactive` is `never`.
            FlyteAuthError: as the server answers.
        """
        from . import _login

        callbacks = _login.callbacks(self.endpoint, on_event, open_browser, paste)
        if callbacks is None:
            found: LoginOutcome = self._start_login(flow, no_browser, timeout).wait()
            return found
        return _login.drive(self._run_login(flow, no_browser, timeout, *callbacks.wanted), callbacks)

    async def login_async(
        self,
        *,
        flow: Flow = "auto",
        no_browser: bool = False,
        timeout: float = 300.0,
        on_event: Callable[[LoginEvent], MaybeAwaitable[object]] | None = None,
        open_browser: Callable[[str], MaybeAwaitable[object]] | None = None,
        paste: Callable[[], MaybeAwaitable[str]] | None = None,
    ) -> LoginOutcome:
        """As `login()`. Callbacks run in the loop (a sync `paste` in a thread). Cancelling frees lock and port."""
        from . import _login

        callbacks = _login.callbacks(self.endpoint, on_event, open_browser, paste)
        if callbacks is None:
            found: LoginOutcome = await awaited(self._start_login(flow, no_browser, timeout))
            return found
        return await _login.drive_async(self._run_login(flow, no_browser, timeout, *callbacks.wanted), callbacks)

    def begin_login(
        self, *, flow: Flow = "auto", no_browser: bool = False, timeout: float = 300.0
    ) -> PendingLogin | None:
        """Starts a login and gives what the person needs; `finish()` ends it. None: the endpoint has no auth.

        For programs that show the address themselves: a web page, a chat, a notebook. The browser's way back is
        answered while `finish()` waits.

        Raises:
            LoginRequiredError: code `login_under_way`: another program's login for this session is.
            FlyteAuthError: as `login()`.
        """
        return PendingLogin._of(self._start_begin_login(flow, no_browser, timeout).wait())

    async def begin_login_async(
        self, *, flow: Flow = "auto", no_browser: bool = False, timeout: float = 300.0
    ) -> PendingLogin | None:
        """As `begin_login()`."""
        return PendingLogin._of(await awaited(self._start_begin_login(flow, no_browser, timeout)))

    async def close_async(self) -> None:
        """As `close()`, which never waits."""
        self.close()

    aclose = close_async

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a session cannot be pickled: it holds a credential; open one in the other process")


class PendingLogin:
    """A login that waits for the person. `finish()` or `cancel()` ends it, and so does the end of a `with` block.

    In a notebook its display is a link with live state, and the login goes on while other cells run.
    """

    __slots__ = ("_native",)

    def __init__(self, native: _native.PendingLogin) -> None:
        self._native = native

    @classmethod
    def _of(cls, native: Any) -> PendingLogin | None:
        return None if native is None else cls(native)

    @property
    def endpoint(self) -> str:
        """Whom the login is to, as a person names it."""
        return self._native.endpoint

    @property
    def url(self) -> str:
        """The address to open: the authorization URL, or where the user code is entered."""
        return self._native.url

    @property
    def user_code(self) -> str | None:
        """The code to enter there (device grant, RFC 8628), or None."""
        return self._native.user_code

    @property
    def expires_at(self) -> datetime.datetime:
        """When it is too late: an aware `datetime.datetime` in UTC."""
        return self._native.expires_at

    def _finishing(self, redirect_url: str | None, timeout: float | None) -> _native.Call:
        if redirect_url is not None and not isinstance(redirect_url, str):
            raise TypeError(f"redirect_url must be str, not {type(redirect_url).__name__}")
        return self._native._start_finish(redirect_url, timeout)

    def finish(self, redirect_url: str | None = None, timeout: float | None = None) -> LoginOutcome:
        """Waits for the person and saves the session.

        Args:
            redirect_url: the address that the browser ended at, where the person pasted it.
            timeout: seconds, if less than the login's deadline.

        Raises:
            LoginCancelledError: declined, or too late.
            FlyteAuthError: as the server answers.
        """
        found: LoginOutcome = self._finishing(redirect_url, timeout).wait()
        return found

    async def finish_async(self, redirect_url: str | None = None, timeout: float | None = None) -> LoginOutcome:
        """As `finish()`. Cancelling ends the login."""
        found: LoginOutcome = await awaited(self._finishing(redirect_url, timeout))
        return found

    def cancel(self) -> None:
        """Ends the attempt; its lock and its port are free at once."""
        self._native.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def __repr__(self) -> str:
        return f"<PendingLogin until {self.expires_at}>"

    def _ipython_display_(self) -> None:
        from . import _notebook

        _notebook.follow(self)
