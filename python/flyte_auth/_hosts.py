"""Which addresses a session's token may go to: the session's own origin, and those that the user named beside it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from .errors import ConfigError, _config_error
from .session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NamedTuple, NoReturn

    class _Origin(NamedTuple):
        """Scheme, host without brackets, port."""

        tls: bool
        host: str
        port: int
else:
    from collections import namedtuple

    _Origin = namedtuple("_Origin", "tls host port")


class Hosts:
    """The scope of a session's token. Immutable, so that threads share it.

    Args:
        session: whose token it is.
        hosts: further origins, `https://host` or `https://host:port`.

    Raises:
        TypeError: an argument of the wrong type.
        ConfigError: code `endpoint_invalid`: one of `hosts` is no origin.
    """

    __slots__ = ("_origins", "_place")

    def __init__(self, session: Session, hosts: Iterable[str]) -> None:
        if not isinstance(session, Session):
            raise TypeError(f"session must be flyte_auth.Session, not {type(session).__name__}")
        if isinstance(hosts, (str, bytes)) or not hasattr(hosts, "__iter__"):
            raise TypeError(f"hosts must be an iterable of str, not {type(hosts).__name__}")
        self._place = session.endpoint
        origins = [] if session._origin is None else [_named(session._origin)]
        for host in hosts:
            if not isinstance(host, str):
                raise TypeError(f"hosts must be an iterable of str, not of {type(host).__name__}")
            origins.append(_named(host))
        self._origins = frozenset(origins)

    def allow(self, url: str, host: str | None = None) -> bool:
        """Whether the token may go to `url`, where the request's Host header is `host`."""
        try:
            self.check(url, host)
        except ConfigError:
            return False
        return True

    def check(self, url: str, host: str | None = None) -> None:
        """As `allow`, but says why not.

        Raises:
            ConfigError: code `foreign_host`, `plaintext_refused`, or `no_endpoint` where no origin is known.
        """
        if not self._origins:
            raise _config_error(
                "no_endpoint",
                f"the session with {self._place} knows no Flyte endpoint that its token is for",
                "Configure an endpoint beside the issuer, or name one: FlyteAuth(session, hosts=[…])",
            )
        self._check(url)
        if host is not None:
            # Behind a shared entry the Host header chooses whom the request reaches.
            self._check(f"{url.partition('://')[0]}://{host}")

    def _check(self, url: str) -> None:
        asked = _origin(url)
        if asked is None:
            self._foreign("an address that is none")
        if asked in self._origins:
            return
        own = [origin for origin in self._origins if (origin.host, origin.port) == (asked.host, asked.port)]
        if not own:
            self._foreign(_shown(asked))
        if not asked.tls and all(origin.tls for origin in own) and not _is_loopback(asked.host):
            raise _config_error(
                "plaintext_refused",
                f"a token of {self._place} does not go out without TLS",
                "Use https:// in the request's address",
            )

    def _foreign(self, to: str) -> NoReturn:
        raise _config_error(
            "foreign_host",
            f"a token of {self._place} does not go to {to}",
            "Leave FlyteAuth out for other hosts; hosts=[…] of FlyteAuth allows more addresses of this control plane",
        )

    def __repr__(self) -> str:
        return ", ".join(sorted(map(_shown, self._origins)))


def _named(host: str) -> _Origin:
    """The origin that the user named."""
    origin = _origin(host)
    if origin is None or urlsplit(host).path.strip("/") or "?" in host or "#" in host:
        # Text before an `@` may be a password.
        shown = "" if "@" in host else f" {host!r}"
        raise _config_error(
            "endpoint_invalid", f"hosts{shown}: is not an origin", "Use https://HOST or https://HOST:PORT", "hosts"
        )
    return origin


def _origin(url: str) -> _Origin | None:
    """The origin of an address as HTTP libraries make them; None if there is any doubt about it."""
    # Where parsers differ, the library beneath might connect to another host than was checked here.
    if not url.isascii() or any(letter <= " " or letter in "\\\x7f" for letter in url):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or "%" in host:
        return None
    host = host.removesuffix(".")
    if ":" in host:
        host = ipaddress.IPv6Address(host).compressed
    tls = parts.scheme == "https"
    return _Origin(tls, host, (443 if tls else 80) if port is None else port)


def _is_loopback(host: str) -> bool:
    """This machine: `localhost`, 127.0.0.0/8, `::1`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(origin: _Origin) -> str:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return host if origin.port == (443 if origin.tls else 80) else f"{host}:{origin.port}"
