"""What programs with flytekit have in common: a client of the control plane that the test names."""

import sys
import time

from flytekit.clients.friendly import SynchronousFlyteClient
from flytekit.configuration import PlatformConfig
from telling import tell


def config(**settings) -> PlatformConfig:
    return PlatformConfig(endpoint=sys.argv[1], insecure=True, auth_mode="flyte_auth", **settings)


def client(**settings) -> SynchronousFlyteClient:
    return SynchronousFlyteClient(config(**settings))


def projects(of: SynchronousFlyteClient) -> list[str]:
    return [project.id for project in of.list_projects_paginated(limit=1)[0]]


def tell_projects(of: SynchronousFlyteClient):
    """Tells the projects, or how the call failed and how long that took."""
    began = time.monotonic()
    try:
        tell(projects=projects(of))
    except Exception as error:
        cause = error.__cause__
        tell(
            error=type(error).__name__,
            cause=type(cause).__name__,
            code=str(getattr(cause, "code", None)),
            text=str(cause),
            seconds=time.monotonic() - began,
        )
