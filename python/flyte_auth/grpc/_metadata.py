"""A call's details with the session's header in its metadata."""

from __future__ import annotations

import collections

import grpc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._bearer import Header

_tuple = tuple.__new__


class Details(
    collections.namedtuple(
        "Details", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")
    ),
    grpc.ClientCallDetails,  # type: ignore[misc]
):
    """What an interceptor hands on."""


def _without(metadata: Any, *names: str) -> list[Any]:
    return [item for item in metadata if item[0].lower() not in names]


def with_header(details: Any, header: Header) -> Details:
    """The details with this header in the place of whatever the caller had under its name."""
    metadata = details.metadata
    if not metadata:
        metadata = header.alone
    else:
        kept = _without(metadata, header.name)
        kept.append(header.pair)
        metadata = kept if isinstance(metadata, list) else tuple(kept)
    return _tuple(
        Details,
        (
            details.method,
            details.timeout,
            metadata,
            details.credentials,
            details.wait_for_ready,
            details.compression,
        ),
    )


def again(first: Details, rejected: Header, header: Header, timeout: float | None) -> Details:
    """The first attempt's details with another header and the time that is left."""
    metadata = _without(first.metadata, rejected.name, header.name)
    metadata.append(header.pair)
    return first._replace(metadata=metadata if isinstance(first.metadata, list) else tuple(metadata), timeout=timeout)


def _aio_details(details: Any, metadata: Any, timeout: float | None) -> grpc.aio.ClientCallDetails:
    # The interceptors of `grpc.aio` expect its own metadata, and hand on what details they like.
    return grpc.aio.ClientCallDetails(
        details.method,
        timeout,
        grpc.aio.Metadata(*metadata),
        getattr(details, "credentials", None),
        getattr(details, "wait_for_ready", None),
    )


def aio_with_header(details: Any, header: Header, timeout: float | None) -> grpc.aio.ClientCallDetails:
    """As `with_header`, and the time that is left."""
    metadata = _without(details.metadata or (), header.name)
    metadata.append(header.pair)
    return _aio_details(details, metadata, timeout)


def aio_again(first: Any, rejected: Header, header: Header, timeout: float | None) -> grpc.aio.ClientCallDetails:
    """As `again`."""
    metadata = _without(first.metadata, rejected.name, header.name)
    metadata.append(header.pair)
    return _aio_details(first, metadata, timeout)
