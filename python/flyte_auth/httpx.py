"""httpx (`httpx.Auth`) with a session's token, for `httpx.Client` and `httpx.AsyncClient`.

```python
async with httpx.AsyncClient(auth=flyte_auth.httpx.FlyteAuth(session), base_url="https://flyte.example") as flyte:
    await flyte.get("/api/v1/projects")
```
"""

from __future__ import annotations

import asyncio

from httpx import Auth, ByteStream, Cookies, Headers, Request, Response

from ._hosts import Hosts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
    from typing import Any

    from ._native import Token
    from .session import Session

__all__ = ["FlyteAuth"]


class FlyteAuth(Auth):
    """Puts the session's token into every request.

    - The header that the server asks for (`Token.header_name`) is there once: one that the request brought is replaced.
      An endpoint without auth: the request goes untouched.
    - The token goes to the session's own origin and to `hosts`, never along a redirect to another one.
    - After 401 the request is sent once more with a new token, if there is another one and the body can be sent again
      (bytes, text, JSON, forms, files that can seek; no generator). The 401 is then in `history`. 403 is an answer.

    Safe for threads and event loops; one for any number of requests and clients. With `AsyncClient` a wait for a token
    never holds up the event loop.

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

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """httpx's protocol for `Client`."""
        exchange = _Exchange(self._session, self._hosts, request)
        token = self._session.token()
        if token is None:
            yield request
            return
        response = yield exchange.first(token)
        while exchange.wants_token(response):
            again = exchange.again(response, self._session.token())
            if again is None:
                return
            response = yield again

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """httpx's protocol for `AsyncClient`."""
        exchange = _Exchange(self._session, self._hosts, request)
        token = await self._token()
        if token is None:
            yield request
            return
        response = yield exchange.first(token)
        while exchange.wants_token(response):
            again = exchange.again(response, await self._token())
            if again is None:
                return
            response = yield again

    async def _token(self) -> Token | None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            # The other event loop that httpx runs in.
            from trio.to_thread import run_sync

            return await run_sync(self._session.token, abandon_on_cancel=True)
        return await self._session.token_async()

    def __repr__(self) -> str:
        return f"<flyte_auth.httpx.FlyteAuth for {self._hosts!r}>"


class _Exchange:
    """One request, until its caller has the answer."""

    def __init__(self, session: Session, hosts: Hosts, request: Request) -> None:
        hosts.check(str(request.url), request.headers.get("host"))
        self._session = session
        self._hosts = hosts
        self._request = request
        self._rewind = _rewinder(request)
        self._token: Token | None = None
        # Each once: in place of a token that was rejected, and of one that a redirect left behind.
        self._refreshed = self._brought = False
        self._rejected = False

    def first(self, token: Token) -> Request:
        """The request with the token."""
        self._token = token
        _put(self._request, token)
        return self._request

    def wants_token(self, response: Response) -> bool:
        """Whether a request with another token may help."""
        request, token = response.request, self._token
        if response.status_code != 401 or token is None:
            return False
        if not self._hosts.allow(str(request.url), request.headers.get("host")):
            return False
        self._rejected = request.headers.get(token.header_name) == token.header_value
        if self._refreshed if self._rejected else self._brought:
            return False
        if self._rejected:
            self._refreshed = True
            self._session.invalidate(token)
        else:
            self._brought = True
        return isinstance(request.stream, ByteStream) or self._rewind(request)

    def again(self, response: Response, token: Token | None) -> Request | None:
        """The request that was answered (the last one, where there were redirects) with this token."""
        if token is None or (self._rejected and self._token is not None and token.value == self._token.value):
            return None
        old = response.request
        headers = Headers(old.headers)
        if self._token is not None:
            headers.pop(self._token.header_name, None)
        request = Request(old.method, old.url, headers=headers, stream=old.stream, extensions=old.extensions)
        if response.cookies:
            # As httpx does between two requests: a balancer's cookie leads to the same server.
            Cookies(response.cookies).set_cookie_header(request)
        self._token = token
        _put(request, token)
        return request


def _put(request: Request, token: Token) -> None:
    name = token.header_name
    if name == "authorization":
        # httpx itself leaves it out of a redirect to another origin.
        request.headers[name] = token.header_value
    else:
        request.headers = _Headers(request.headers, name, token.header_value)


def _rewinder(request: Request) -> Callable[[Request], bool]:
    """Brings a body that is no bytes back to where it is now; says whether it could."""
    stream: Any = request.stream
    if hasattr(stream, "fields"):
        # Multipart: httpx itself starts each file at its beginning.
        files = [field.file for field in stream.fields if hasattr(field, "file")]
        can = all(isinstance(file, (str, bytes)) or _can_seek(file) for file in files)
        return lambda again: can and again.stream is stream
    file: Any = getattr(stream, "_stream", None) if hasattr(stream, "__iter__") else None
    if not _can_seek(file):
        return lambda again: False
    position = file.tell()

    def rewind(again: Request) -> bool:
        if again.stream is not stream or not _can_seek(file):
            return False
        file.seek(position)
        return True

    return rewind


def _can_seek(file: Any) -> bool:
    try:
        return file.seekable() is True
    except (AttributeError, ValueError):
        return False


class _Headers(Headers):
    """Headers with one more that only this request has: httpx makes a redirect's headers of a copy, from which it would
    only leave out an `Authorization`."""

    def __init__(self, headers: Headers, name: str, value: str) -> None:
        rest = Headers(headers)
        rest.pop(name, None)
        super().__init__(rest)
        self._whole = Headers(headers)
        self._whole[name] = value
        self._name = name

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        return self._whole.raw

    def keys(self) -> Any:
        return self._whole.keys()

    def values(self) -> Any:
        return self._whole.values()

    def items(self) -> Any:
        return self._whole.items()

    def multi_items(self) -> list[tuple[str, str]]:
        return self._whole.multi_items()

    def get_list(self, key: str, split_commas: bool = False) -> list[str]:
        return self._whole.get_list(key, split_commas)

    def update(self, headers: Any = None) -> None:  # type: ignore[override]
        for key, value in Headers(headers).items():
            self[key] = value

    def __getitem__(self, key: str) -> str:
        return self._whole[key]

    def __setitem__(self, key: str, value: str) -> None:
        self._whole[key] = value
        if key.lower() != self._name:
            super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        del self._whole[key]
        if key.lower() != self._name:
            super().__delitem__(key)

    def __contains__(self, key: Any) -> bool:
        return key in self._whole

    def __iter__(self) -> Iterator[Any]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)

    def __repr__(self) -> str:
        shown = [(key, "[secure]" if key == self._name else value) for key, value in self.multi_items()]
        return repr(Headers(shown))
