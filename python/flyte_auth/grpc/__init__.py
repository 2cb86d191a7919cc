"""gRPC with a session's token: channels, interceptors for `grpc` and `grpc.aio`, call credentials.

```python
import flyte_auth, flyte_auth.grpc

session = flyte_auth.Session.from_config()
stub = AdminServiceStub(flyte_auth.grpc.channel(session))
```

`AuthInterceptor` tells what happens to a call.
"""

from __future__ import annotations

from ._aio import (
    AioStreamStreamInterceptor,
    AioStreamUnaryInterceptor,
    AioUnaryStreamInterceptor,
    AioUnaryUnaryInterceptor,
    aio_interceptors,
)
from ._channel import AuthMetadataPlugin, aio_channel, call_credentials, channel
from ._interceptor import AuthInterceptor

__all__ = [
    "AioStreamStreamInterceptor",
    "AioStreamUnaryInterceptor",
    "AioUnaryStreamInterceptor",
    "AioUnaryUnaryInterceptor",
    "AuthInterceptor",
    "AuthMetadataPlugin",
    "aio_channel",
    "aio_interceptors",
    "call_credentials",
    "channel",
]
