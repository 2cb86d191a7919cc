"""What both small Flyte control planes do with a token: verify it at its issuer, count, and refuse what a test says."""

import threading
from dataclasses import dataclass, field

from harness.issuer import Issuer


@dataclass
class Call:
    """One call that reached the control plane."""

    method: str
    token: str | None
    subject: str | None


@dataclass
class Gate:
    """Lets calls pass whose token in `header` the issuer has signed and no test has `refused`."""

    issuer: Issuer
    header: str
    refused: set[str] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def subject(self, method: str, value: str | None) -> str | None:
        """The subject of the bearer token in header `value`; None if the call must be refused."""
        token = value.removeprefix("Bearer ") if value else None
        subject = None
        if token and token not in self.refused and self.issuer.accepts(token):
            claims = self.issuer.claims(token)
            subject = claims.get("sub") or claims.get("client_id")
        with self._lock:
            self.calls.append(Call(method, token, subject))
        return subject

    @property
    def served(self) -> list[Call]:
        """The calls that were let through."""
        return [call for call in self.calls if call.subject]

    @property
    def tokens(self) -> list[str]:
        """The distinct tokens that arrived, in order."""
        return list(dict.fromkeys(call.token for call in self.calls if call.token))
