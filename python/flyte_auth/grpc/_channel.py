"""Channels to a session's endpoint, and call credentials for channels that others make."""

from __future__ import annotations

import pkgutil
from urllib.parse import urlsplit

import grpc
import grpc.aio

from .. import _native
from ..errors import _config_error
from ._aio import aio_interceptors
from ._interceptor import AuthInterceptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any

    from .._native import Target
    from ..session import Session


def _checked(session: Session) -> Session:
    if not isinstance(session, _native.Session):
        raise TypeError(f"session must be flyte_auth.Session, not {type(session).__name__}")
    return session


def _endpoint(session: Session) -> Target:
    endpoint = _checked(session)._target
    if endpoint is None:
        what = "this session has no Flyte endpoint to open a channel to"
        raise _config_error("endpoint_missing", what, "Open it with an endpoint", "endpoint")
    return endpoint


def _host(address: str, argument: str) -> tuple[str, int | None]:
    """Host and port of `host`, `host:port`, `dns:///host:port` or an address with a scheme."""
    bare = address.removeprefix("dns:///").removeprefix("dns:")
    try:
        parts = urlsplit(bare if "://" in bare else f"//{bare}")
        if parts.hostname and not parts.path.strip("/") and parts.username is None:
            return parts.hostname.rstrip("."), parts.port
    except ValueError:
        pass
    raise _config_error("target_invalid", f"{argument} names no host", "Give HOST:PORT", argument) from None


def _address(target: str | None, endpoint: Target) -> str:
    """gRPC's name of the target, which is on the session's host: no other is given the session's token."""
    host, port = endpoint.host, endpoint.port
    if target is not None:
        if not isinstance(target, str):
            raise TypeError(f"target must be str, not {type(target).__name__}")
        given, given_port = _host(target, "target")
        if given.lower() != host.lower().rstrip("."):
            what = f"{given} is not the host of the session's endpoint, {host}"
            raise _config_error("target_foreign", what, "Open a session for that endpoint", "target")
        port = port if given_port is None else given_port
    return f"dns:///[{host}]:{port}" if ":" in host else f"dns:///{host}:{port}"


def _credentials(endpoint: Target, given: grpc.ChannelCredentials | None) -> grpc.ChannelCredentials | None:
    """What the channel is secured with; None if the endpoint is plaintext."""
    if given is not None:
        if not isinstance(given, grpc.ChannelCredentials):
            raise TypeError(f"credentials must be grpc.ChannelCredentials, not {type(given).__name__}")
        return given
    if not endpoint.tls:
        return None
    if endpoint.insecure_skip_verify:
        what = "grpcio cannot leave certificates unchecked, as insecure_skip_verify asks"
        raise _config_error("skip_verify_unsupported", what, "Set ca_cert, or give credentials", "insecure_skip_verify")
    roots = None if endpoint.ca_cert is None else _roots(endpoint.ca_cert)
    chain = None if endpoint.client_cert is None else endpoint.client_cert.read_bytes()
    # The key may stand in the certificate's file.
    key = chain if endpoint.client_key is None else endpoint.client_key.read_bytes()
    return grpc.ssl_channel_credentials(roots, key, chain)


def _options(endpoint: Target, given: Sequence[tuple[str, Any]] | None) -> Sequence[tuple[str, Any]] | None:
    """Through the session's proxy; yours stand above it."""
    if endpoint.http_proxy_url is None:
        return given
    return [("grpc.http_proxy", endpoint.http_proxy_url), *(given or ())]


def _roots(ca_cert: Path) -> bytes:
    """Those that gRPC trusts, and the session's."""
    files = sorted(ca_cert.iterdir()) if ca_cert.is_dir() else [ca_cert]
    own = [file.read_bytes() for file in files if file.is_file()]
    return b"\n".join([pkgutil.get_data("grpc._cython", "_credentials/roots.pem") or b"", *own])


def channel(
    session: Session,
    target: str | None = None,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, Any]] | None = None,
    compression: grpc.Compression | None = None,
    interceptors: Sequence[Any] = (),
) -> grpc.Channel:
    """A channel to the session's endpoint whose calls carry the session's token.

    ```python
    stub = AdminServiceStub(flyte_auth.grpc.channel(session))
    ```

    CA (besides those that gRPC trusts), client certificate and proxy are the session's; plaintext is for endpoints that
    the session takes without TLS.

    Args:
        session: whose endpoint and token.
        target: another port of the endpoint's host (`HOST:PORT`, `dns:///HOST:PORT`).
        credentials: in the place of the session's certificates.
        options: as in `grpc.secure_channel`.
        compression: as in `grpc.secure_channel`.
        interceptors: yours; they see each call before it has the token.

    Raises:
        TypeError: an argument of the wrong type.
        ConfigError: no endpoint, a target on another host, `insecure_skip_verify`, which grpcio does not have.
    """
    endpoint = _endpoint(session)
    address, secured = _address(target, endpoint), _credentials(endpoint, credentials)
    options = _options(endpoint, options)
    if secured is None:
        bare = grpc.insecure_channel(address, options, compression)
    else:
        bare = grpc.secure_channel(address, secured, options, compression)
    return grpc.intercept_channel(bare, *interceptors, AuthInterceptor(session))


def aio_channel(
    session: Session,
    target: str | None = None,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, Any]] | None = None,
    compression: grpc.Compression | None = None,
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """As `channel`, of `grpc.aio`."""
    endpoint = _endpoint(session)
    address, secured = _address(target, endpoint), _credentials(endpoint, credentials)
    options = _options(endpoint, options)
    chain = [*interceptors, *aio_interceptors(session)]
    if secured is None:
        return grpc.aio.insecure_channel(address, options, compression, chain)
    return grpc.aio.secure_channel(address, secured, options, compression, chain)


class AuthMetadataPlugin(grpc.AuthMetadataPlugin):  # type: ignore[misc]
    """Gives gRPC the session's header for each call. Never waits on gRPC's thread."""

    def __init__(self, session: Session) -> None:
        self._session = _checked(session)
        # As `dns:///HOST` or bare; an issuer's address where there is no endpoint.
        self._host = _host(session.endpoint, "endpoint")[0].lower()

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        headers = call = error = None
        try:
            host = urlsplit(context.service_url).hostname
            if host != self._host:
                what = f"{host} is not the host of the session's endpoint, {self._host}"
                raise _config_error("target_foreign", what, "Open a session for that endpoint", "target")
            headers = self._session._fresh_headers()
            if headers is None:
                call = self._session._start_headers()
        except Exception as failure:
            error = failure
        # What it raises goes to gRPC, which must not be answered a second time.
        if call is None:
            _answer(callback, headers, error)
        else:
            call.notify(lambda: _finish(call, callback))


def _finish(call: _native.Call, callback: Callable[[Any, Exception | None], None]) -> None:
    headers = error = None
    try:
        headers = call.result()
    except Exception as failure:
        error = failure
    _answer(callback, headers, error)


def _answer(callback: Callable[[Any, Exception | None], None], headers: Any, error: Exception | None) -> None:
    callback(None if headers is None else tuple(headers.items()), error)


def call_credentials(session: Session) -> grpc.CallCredentials:
    """The session's header as call credentials, for channels that others make.

    ```python
    grpc.composite_channel_credentials(grpc.ssl_channel_credentials(), flyte_auth.grpc.call_credentials(session))
    ```

    gRPC sends them over TLS only, tells them of no rejection (so nothing is sent again), and shows what goes wrong with
    the session as UNAVAILABLE with the error's text. They refuse any host but the session's. `AuthInterceptor` does
    more.

    Raises:
        TypeError: not a session.
    """
    return grpc.metadata_call_credentials(AuthMetadataPlugin(session), "flyte-auth")
