"""requests (`requests.auth.AuthBase`) with a session's token.

```python
flyte = requests.Session()
flyte.auth = flyte_auth.requests.FlyteAuth(flyte_auth.Session.from_config())
flyte.get("https://flyte.example/api/v1/projects")
```
"""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urljoin, urlsplit

from requests import PreparedRequest, Response
from requests.auth import AuthBase
from requests.cookies import extract_cookies_to_jar
from requests.exceptions import RequestException, UnrewindableBodyError
from requests.sessions import SessionRedirectMixin
from requests.utils import requote_uri, rewind_body

from ._bearer import Secret
from ._hosts import Hosts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ._native import Token
    from .session import Session

__all__ = ["FlyteAuth"]

# Untyped in some of the stubs that requests has.
_take_cookies: Callable[..., object] = extract_cookies_to_jar


class FlyteAuth(AuthBase):
    """Puts the session's token into every request.

    - The header that the server asks for (`Token.header_name`) is there once: one that the request brought is replaced.
      An endpoint without auth: the request goes untouched.
    - The token goes to the session's own origin and to `hosts`, never along a redirect to another one.
    - After 401 the request is sent once more with a new token, if there is another one and the body can be sent again
      (bytes, text, a file that can seek; no generator). The 401 is then in `history`. 403 is an answer.

    Safe for threads; one for any number of requests and `requests.Session`s.

    Args:
        session: whose token it is.
        hosts: further origins of the same control plane, `https://host` or `https://host:port`.

    Raises:
        TypeError: an argument of the wrong type.
        ConfigError: one of `hosts` is no origin. From a request: code `foreign_host` or `plaintext_refused` for an
            address that the token is not for (nothing is sent), and all that `Session.token` raises.
    """

    def __init__(self, session: Session, *, hosts: Iterable[str] = ()) -> None:
        self._hosts = Hosts(session, hosts)
        self._session = session

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        self._hosts.check(request.url or "", _host(request))
        hooks: list[Any] = request.hooks.setdefault("response", [])
        # A request that is prepared again is watched once.
        hooks[:] = [hook for hook in hooks if not isinstance(hook, _Watch)]
        token = self._session.token()
        if token is not None:
            request.headers[token.header_name] = Secret(token.header_value)
            hooks.append(_Watch(self._session, self._hosts, token))
        return request

    def __repr__(self) -> str:
        return f"<flyte_auth.requests.FlyteAuth for {self._hosts!r}>"


class _Watch:
    """Sees the answers to one request, those of its redirects too."""

    def __init__(self, session: Session, hosts: Hosts, token: Token) -> None:
        self._session = session
        self._hosts = hosts
        self._token = token

    def __call__(self, response: Response, **kwargs: Any) -> Response:
        first = response.request
        if response.status_code == 401 and self._is_own(first):
            try:
                response = self._once_more(response, kwargs)
            except BaseException:
                response.close()
                raise
        if response.is_redirect and not self._hosts.allow(_target(response), _host(first)):
            # requests copies the headers of `first` into the next request, and would only leave out an `Authorization`.
            for request in (first, response.request):
                request.headers.pop(self._token.header_name, None)
        return response

    def _is_own(self, request: PreparedRequest) -> bool:
        return self._hosts.allow(request.url or "", _host(request))

    def _once_more(self, rejection: Response, kwargs: dict[str, Any]) -> Response:
        first = rejection.request
        token = self._token
        # On its way here by redirects the request may have lost the header: then nothing was rejected.
        carried = first.headers.get(token.header_name) == token.header_value
        if carried:
            self._session.invalidate(token)
        request = first.copy()
        if not _is_rewound(request):
            return rejection
        another = self._session.token()
        if another is None or (carried and another.value == token.value):
            return rejection
        self._token = another
        rejection.request = first.copy()
        # Redirects, and whoever sends the same prepared request again, start from `first`.
        for each in (first, request):
            each.headers.pop(token.header_name, None)
            each.headers[another.header_name] = Secret(another.header_value)
        # Read to its end, so that its connection takes the next request.
        with suppress(RequestException, RuntimeError):
            _ = rejection.content
        rejection.close()
        # As requests does between two requests: a balancer's cookie leads to the same server.
        cookies: Any = getattr(request, "_cookies", None)
        if cookies is not None:
            _take_cookies(cookies, first, rejection.raw)
            request.prepare_cookies(cookies)
        response: Response = rejection.connection.send(request, **kwargs)
        response.history.append(rejection)
        response.request = request
        return response


def _host(request: PreparedRequest) -> str | None:
    host = request.headers.get("Host")
    return host.decode("latin-1") if isinstance(host, bytes) else host


def _is_rewound(request: PreparedRequest) -> bool:
    """Whether the body can be sent from its beginning again; a file is there now."""
    if request.body is None or isinstance(request.body, (str, bytes)):
        return True
    try:
        rewind_body(request)
    except (UnrewindableBodyError, ValueError):
        return False
    return True


def _target(response: Response) -> str:
    """Where requests follows a redirect to (as `SessionRedirectMixin.resolve_redirects` finds it)."""
    url = SessionRedirectMixin().get_redirect_target(response) or ""
    if url.startswith("//"):
        url = f"{urlsplit(response.url).scheme}:{url}"
    return requote_uri(url) if urlsplit(url).netloc else urljoin(response.url, requote_uri(url))
