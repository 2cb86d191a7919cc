"""
The native half of `flyte_auth`; use that.
"""

from _typeshed import SupportsGetItem
from datetime import datetime
from pathlib import Path
from typing import Any, Final, final
from typing_extensions import disjoint_base

__all__ = ["__version__", "Ask", "Call", "IdTokenClaims", "LoginEvent", "LoginOutcome", "LoginRun", "LogoutTokenClaims", "PendingLogin", "Session", "Target", "Token", "VerifiedToken", "Verifier", "at_exit", "ensure_main_interpreter", "run_cli"]

__version__: Final[str]
"""
The package's version.
"""

@final
class Ask:
    """
    What a login wants of Python: `kind` is `show`, `open` or `paste`.
    """
    @property
    def event(self, /) -> LoginEvent | None:
        """
        What to show.
        """
    @property
    def kind(self, /) -> str: ...
    def opened(self, /, was: bool) -> None:
        """
        Whether a browser was opened.
        """
    def pasted(self, /, line: str) -> None:
        """
        The line that the person pasted.
        """
    @property
    def url(self, /) -> str | None:
        """
        What to open a browser with.
        """

@final
class Call:
    """
    A call that is under way.
    """
    def cancel(self, /) -> None:
        """
        Ends the call. What it holds is let go at once.
        """
    def notify(self, /, wake: Any) -> None:
        """
        Has `wake` called, from any thread, once the call has ended; at once if it has.
        """
    def result(self, /) -> Any:
        """
        The result of a call that has ended.
        """
    def wait(self, /) -> Any:
        """
        Waits until the call has ended and gives its result. Signals are answered within 50 ms; one that raises ends the
        call.
        """

@final
class IdTokenClaims:
    """
    Claims of a verified ID token (OpenID Connect Core section 2).
    """
    @property
    def email(self, /) -> str | None:
        """
        `email`.
        """
    @property
    def preferred_username(self, /) -> str | None:
        """
        `preferred_username`.
        """
    @property
    def subject(self, /) -> str:
        """
        `sub`.
        """

@final
class LoginEvent:
    """
    What a login tells the person. `str` is a line for them.
    """
    def __repr__(self, /) -> str:
        """
        Without the address and the code: `state` and the user code are for the person, not for a log.
        """
    def __str__(self, /) -> str: ...
    @property
    def kind(self, /) -> str:
        """
        `explain`, `url`, `user_code`, `waiting` or `fallback`.
        """
    @property
    def message(self, /) -> str:
        """
        A line for the person.
        """
    @property
    def opened(self, /) -> bool:
        """
        `url`: a browser was started with it.
        """
    @property
    def paste(self, /) -> bool:
        """
        `url`: the address that the browser ends at may be pasted back.
        """
    @property
    def remaining(self, /) -> float | None:
        """
        `waiting`: seconds left.
        """
    @property
    def ssh_hint(self, /) -> str | None:
        """
        `url`: an `ssh -L …` line that makes the redirect reachable from the person's own machine.
        """
    @property
    def url(self, /) -> str | None:
        """
        `url`: the address to open.
        """
    @property
    def user_code(self, /) -> str | None:
        """
        `user_code`: the code to enter.
        """
    @property
    def verification_uri(self, /) -> str | None:
        """
        `user_code`: where to enter it.
        """
    @property
    def verification_uri_complete(self, /) -> str | None:
        """
        `user_code`: the same with the code in it, if the server gave one.
        """

@final
class LoginOutcome:
    """
    What a login did.
    """
    def __repr__(self, /) -> str: ...
    @property
    def email(self, /) -> str | None:
        """
        E-mail address or user name, where an ID token told.
        """
    @property
    def expires_at(self, /) -> datetime | None:
        """
        When the access token expires: an aware `datetime.datetime` in UTC, or `None`.
        """
    @property
    def has_auth(self, /) -> bool:
        """
        Whether the endpoint has auth at all; if not there was nothing to do.
        """
    @property
    def has_refresh_token(self, /) -> bool:
        """
        Whether the session can be refreshed; if not the person is asked again when the token expires.
        """
    @property
    def shared(self, /) -> bool:
        """
        Another program's login was shared.
        """
    @property
    def subject(self, /) -> str | None:
        """
        `sub` of the ID token, where there was one.
        """

@final
class LoginRun:
    """
    A login under way whose person Python serves.
    """
    def cancel(self, /) -> None:
        """
        Ends the login and waits until its lock and its port are free.
        """
    def next(self, /) -> Call:
        """
        A call that gives the next `Ask`; `None` once the login has ended.
        """
    @property
    def outcome(self, /) -> Call:
        """
        The login's own call: its result is a `LoginOutcome`.
        """

@final
class LogoutTokenClaims:
    """
    Claims of a verified logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4).
    """
    @property
    def expires_at(self, /) -> datetime | None:
        """
        `exp` as an aware `datetime.datetime` in UTC.
        """
    @property
    def session_id(self, /) -> str | None:
        """
        `sid`: this session.
        """
    @property
    def subject(self, /) -> str | None:
        """
        `sub`: every session of this user, unless `session_id` names one.
        """
    @property
    def token_id(self, /) -> str:
        """
        `jti`: remember it until `expires_at`, and refuse it the second time.
        """

@final
class PendingLogin:
    """
    A login that waits for the person. Use `flyte_auth.PendingLogin`.
    """
    def _start_finish(self, /, redirect_url: Any | None, timeout: Any | None) -> Call:
        """
        `finish()` as a call; the same one for everybody who waits.
        """
    def cancel(self, /) -> None:
        """
        Ends the attempt: its lock and its port are free at once.
        """
    @property
    def endpoint(self, /) -> str:
        """
        Whom the login is to, as a person names it.
        """
    @property
    def expires_at(self, /) -> datetime:
        """
        When it is too late.
        """
    @property
    def url(self, /) -> str:
        """
        The address to open.
        """
    @property
    def user_code(self, /) -> str | None:
        """
        The code to enter there (device grant), or `None`.
        """

@disjoint_base
class Session:
    """
    One endpoint, one credential, one store. Use `flyte_auth.Session`.
    """
    def __new__(cls, /, options: "dict[str, object]", program: "str") -> Session:
        """
        A session from keyword arguments; everything else from files and environment.
        """
    def __repr__(self, /) -> str: ...
    def _fresh(self, /) -> Token | None:
        """
        The token in memory, if it needs no refresh: never waits.
        """
    def _fresh_headers(self, /) -> "dict[str, str] | None":
        """
        The header in memory, if its token needs no refresh: never waits.
        """
    def _fresh_pair(self, /) -> "tuple[Token, tuple[str, str]] | None":
        """
        The token in memory with its header, `(token, (name, value))`, if it needs no refresh: never waits.
        """
    @property
    def _origin(self, /) -> str | None:
        """
        Scheme, host and port of the endpoint, for example `https://flyte.example.org`; `None` for a session with an
        issuer alone.
        """
    def _run_login(self, /, flow: Any, no_browser: Any, timeout: Any, opens_browser: bool, pastes: bool) -> LoginRun:
        """
        `login()` whose person is shown everything by Python.
        """
    def _start_begin_login(self, /, flow: Any, no_browser: Any, timeout: Any) -> Call:
        """
        `begin_login()` as a call.
        """
    def _start_headers(self, /) -> Call:
        """
        `headers()` as a call.
        """
    def _start_login(self, /, flow: Any, no_browser: Any, timeout: Any) -> Call:
        """
        `login()` with the person at this machine's terminal, as a call.
        """
    def _start_logout(self, /, revoke: Any) -> Call:
        """
        `logout()` as a call: `(was_signed_in, revoked, copies_removed, problem)`.
        """
    def _start_status(self, /) -> Call:
        """
        `status()` as a call.
        """
    def _start_token(self, /, opted_in: bool = False) -> Call:
        """
        `token()` as a call. `opted_in`: whoever calls chose that a person may be asked.
        """
    def _start_whoami(self, /) -> Call:
        """
        `whoami()` as a call.
        """
    @property
    def _target(self, /) -> Target | None:
        """
        What a channel to the endpoint needs; `None` for a session with an issuer alone.
        """
    def close(self, /) -> None:
        """
        Ends the use of this session; what is stored stays, and so do refreshes under way. Further calls raise
        `ConfigError` (`session_closed`). Never waits.
        """
    @property
    def endpoint(self, /) -> str:
        """
        The endpoint (or the issuer) as a person names it.
        """
    def headers(self, /) -> "dict[str, str]":
        """
        The header for the next call, `{name: value}`; `{}` if the endpoint has no auth. A new dict each time.

        Waits and raises as `token()`.
        """
    def invalidate(self, /, token: "Token | None" = None) -> "None":
        """
        The server rejected this token (401, gRPC 16): it is not served again, and the next `token()` refreshes. A late
        rejection of an older token starts nothing. Without a token the current one is meant. Never waits.
        """
    def token(self, /) -> Token | None:
        """
        A token for the next call; `None` if the endpoint has no auth.

        Fresh in memory: at once (under a microsecond). Inside the refresh margin: the old one at once, refreshed in the
        background. Otherwise all callers of all processes wait for one refresh. Waits without the GIL; Ctrl-C ends the
        wait within 100 ms and not the refresh.

        Raises `LoginRequiredError` if a person must sign in (nobody is asked unless `interactive` says so), and the other
        errors of `flyte_auth.errors`.
        """
    @property
    def warnings(self, /) -> list[str]:
        """
        What is unwise in the configuration: unknown keys, ignored values; one line each.
        """

@final
class Target:
    """
    Where a session's endpoint is, and how it is spoken to. `http_proxy_url` may hold a password.
    """
    @property
    def ca_cert(self, /) -> Path | None:
        """
        Roots that are trusted besides the platform's: a PEM file, or a folder of them.
        """
    @property
    def client_cert(self, /) -> Path | None: ...
    @property
    def client_key(self, /) -> Path | None: ...
    @property
    def host(self, /) -> str: ...
    @property
    def http_proxy_url(self, /) -> str | None: ...
    @property
    def insecure_skip_verify(self, /) -> bool: ...
    @property
    def port(self, /) -> int: ...
    @property
    def tls(self, /) -> bool: ...

@final
class Token:
    """
    An access token, ready for a call. `str` and `repr` show no secret.
    """
    def __eq__(self, other: object, /) -> bool: ...
    def __repr__(self, /) -> str: ...
    def __str__(self, /) -> str: ...
    @property
    def expires_at(self, /) -> datetime | None:
        """
        When it expires: an aware `datetime.datetime` in UTC; `None` if nobody knows.
        """
    @property
    def header_name(self, /) -> str:
        """
        The header that takes it, in lower case: the server's `authorization_metadata_key` (Flyte's
        `AuthMetadataService`), else `authorization`.
        """
    @property
    def header_value(self, /) -> str:
        """
        The header's value: `Bearer` and the token: a secret.
        """
    @property
    def value(self, /) -> str:
        """
        The token itself: a secret.
        """

@final
class VerifiedToken:
    """
    An access token that was verified: by its signature, or by the authorization server's word (RFC 7662).
    """
    def __repr__(self, /) -> str: ...
    @property
    def audience(self, /) -> list[str]:
        """
        `aud`.
        """
    @property
    def claims(self, /) -> dict[str, Any]:
        """
        Every claim, as `json.loads` gives it. A new dict each time.
        """
    @property
    def client_id(self, /) -> str | None:
        """
        The client that it was issued to: the first of `client_id`, `azp`, `cid`, `appid` that is there.
        """
    @property
    def expires_at(self, /) -> datetime | None:
        """
        `exp` as an aware `datetime.datetime` in UTC; `None` only where an introspection reply has none.
        """
    def has_scope(self, /, scope: str) -> bool:
        """
        Whether `scope` was granted.
        """
    @property
    def issued_at(self, /) -> datetime | None:
        """
        `iat`, as `expires_at`.
        """
    @property
    def issuer(self, /) -> str | None:
        """
        `iss`; `None` only where an introspection reply has none.
        """
    @property
    def scopes(self, /) -> list[str]:
        """
        Granted scopes: `scope` and `scp`, as a text or a list; `roles` where neither is there.
        """
    @property
    def subject(self, /) -> str | None:
        """
        `sub`: whom the token is about; a client's own id where it acts for itself.
        """

@disjoint_base
class Verifier:
    """
    Verifies tokens of one issuer. Use `flyte_auth.Verifier`.
    """
    def __new__(cls, /, options: "dict[str, object]") -> Verifier:
        """
        A verifier from keyword arguments.
        """
    def __repr__(self, /) -> str: ...
    def _start_verify(self, /, token: "str") -> "Call":
        """
        `verify()` as a call.
        """
    def _start_verify_id_token(self, /, token: Any, client_id: Any, nonce: Any | None, access_token: Any | None) -> Call:
        """
        `verify_id_token()` as a call.
        """
    def _start_verify_logout_token(self, /, token: Any, client_id: Any) -> Call:
        """
        `verify_logout_token()` as a call.
        """
    def _verify_now(self, /, token: "str") -> "VerifiedToken | None":
        """
        As `verify` where nothing has to be fetched; `None` otherwise.
        """
    @property
    def issuer(self, /) -> str:
        """
        The issuer.
        """
    def verify(self, /, token: "str") -> "VerifiedToken":
        """
        Verifies an access token (RFC 9068, and what issuers write who do not follow it): a JWT by its signature and
        claims, an opaque one by introspection where that is configured. What was verified is remembered by its hash.

        Raises `AccessDeniedError` whose `code` is the failed check (`token_expired`, `token_audience`, …); `NetworkError` or
        `ServerError` if the issuer's keys cannot be had. The message holds nothing of the token.
        """

def at_exit() -> None:
    """
    What the package registers with `atexit`: waits for refreshes that are on their way to the store, and keeps the
    threads away from an interpreter that ends. A second Ctrl-C ends the wait.
    """

def ensure_main_interpreter() -> None:
    """
    Raises `ImportError` in any interpreter but the process's first: errors and threads are that one's. Python before 3.12
    does not ask a module whether it bears a second one (mod_wsgi makes them).
    """

def run_cli(program: SupportsGetItem[int, str], arguments: SupportsGetItem[int, str]) -> int:
    """
    Runs `flyte-auth` with `arguments` to its end; `program` starts it again. Gives the exit code.
    """
