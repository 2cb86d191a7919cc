"""A Flyte auth plane for the tests of your own program: real discovery, sign-in, tokens and refresh, on this machine.

```python
import pytest
from flyte_auth.testing import sandbox

@pytest.fixture(scope="session")
def flyte():
    with sandbox() as server:
        yield server

def test_my_client(flyte):
    call_flyte(flyte.session())
```
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from .errors import _config_error
from .session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO, Any, Literal

    from ._native import LoginOutcome

__all__ = ["Client", "Sandbox", "sandbox"]

# Seconds that each step of the end may take, and each call of the admin interface.
_PATIENCE = 5.0


@dataclass(frozen=True)
class Client:
    """An OAuth client of the sandbox.

    Attributes:
        id: its `client_id`.
        secret: its `client_secret`; None for a public one.
        redirect_uris: where a browser may end.
    """

    id: str
    secret: str | None = field(default=None, repr=False)
    redirect_uris: tuple[str, ...] = ()


@contextmanager
def sandbox(
    *,
    tls: bool = False,
    generation: Literal["1", "2", "both"] = "both",
    auto_approve: str | None = None,
    access_token_lifetime: int | None = None,
    refresh_token_lifetime: int | None = None,
    rotate_refresh_tokens: bool = False,
    clients: Sequence[Client] = (),
    external_issuer: str | None = None,
    ready_within: float = 30.0,
) -> Iterator[Sandbox]:
    """Starts a Flyte auth plane (`flyte-auth sandbox`) in a process of its own, on free ports of loopback. The end of
    the `with` block ends it, and so does the end of this process.

    Args:
        tls: TLS with a CA of its own (`Sandbox.ca_cert`).
        generation: which Flyte API answers.
        auto_approve: this user is signed in without being asked (`Sandbox.sign_in`): one of `Sandbox.users`.
        access_token_lifetime: seconds; 1800 unless said.
        refresh_token_lifetime: seconds; 86400 unless said.
        rotate_refresh_tokens: a refresh token works once; using an old one ends the session.
        clients: OAuth clients besides Flyte's own two. Secrets made up for the test: they are arguments of a process.
        external_issuer: issue nothing; discover and verify the tokens of this authorization server.
        ready_within: seconds until it must answer.

    Raises:
        TypeError: an argument of the wrong type.
        ConfigError: code `sandbox_failed`: it did not start; the message is its own.
    """
    server = Sandbox(
        _arguments(
            tls=tls,
            generation=generation,
            auto_approve=auto_approve,
            access_token_lifetime=access_token_lifetime,
            refresh_token_lifetime=refresh_token_lifetime,
            rotate_refresh_tokens=rotate_refresh_tokens,
            clients=clients,
            external_issuer=external_issuer,
        ),
        _of_type("ready_within", ready_within, (int, float)),
    )
    try:
        yield server
    finally:
        server.close()


class Sandbox:
    """A sandbox that runs; `sandbox()` makes one.

    Attributes:
        http: its address without TLS, for example `http://127.0.0.1:40501`.
        https: its address with TLS, or None.
        grpc: host and port of its gRPC server (with TLS if it was asked for).
        issuer: `iss` of its tokens.
        ca_cert: the file of its CA, or None.
        clients: its OAuth clients.
        users: who may sign in.
    """

    def __init__(self, arguments: list[str], ready_within: float) -> None:
        command = [sys.executable, "-m", "flyte_auth", "sandbox", "--http-port", "0", "--grpc-port", "0"]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (`close` closes it)
        try:
            self._process = subprocess.Popen(
                [*command, "--exit-with-stdin", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                # A Ctrl-C at the terminal is for the tests.
                start_new_session=True,
            )
        except BaseException:
            self._log.close()
            raise
        try:
            ready = self._ready(ready_within)
        except BaseException:
            self.close()
            raise
        self._admin: str = ready["admin"]
        self.http: str = ready["http"]
        self.https: str | None = ready.get("https")
        self.grpc: str = ready["grpc"]
        self.issuer: str = ready["issuer"]
        self.ca_cert: str | None = ready.get("ca_cert")
        self.users: list[str] = ready["users"]
        self.clients = [Client(each["id"], each["secret"], tuple(each["redirect_uris"])) for each in ready["clients"]]

    @property
    def endpoint(self) -> str:
        """What to give a client as its Flyte endpoint: `https`, or `http` where there is no TLS."""
        return self.https or self.http

    def session(self, **options: Any) -> Session:
        """A session with this sandbox: its first client that has a secret, nothing stored (`store="memory"`).

        Args:
            options: as in `Session.for_endpoint`, in the place of these. With `auth_type` or `client_id` it is not that
                client's: `session(auth_type="Pkce")` is a person's, for `sign_in`.
        """
        given: dict[str, Any] = {"endpoint": self.endpoint, "store": "memory", "ca_cert": self.ca_cert}
        if not options.keys() & {"auth_type", "client_id"}:
            robot = next(client for client in self.clients if client.secret is not None)
            given |= {"auth_type": "ClientSecret", "client_id": robot.id, "client_secret": robot.secret}
        return Session.for_endpoint(**{**given, **options})

    def sign_in(self, session: Session, flow: Literal["pkce", "device"] = "pkce") -> LoginOutcome:
        """Signs the user of `auto_approve` in, in the place of a person with a browser.

        Args:
            session: a person's: `session(auth_type="Pkce")`.
            flow: `pkce` listens on the port that Flyte registers (53593), so that one can run at a time; `device` needs
                no port, and five seconds.

        Raises:
            TypeError: an argument of the wrong type.
            FlyteAuthError: as `Session.login`; `LoginCancelledError` without `auto_approve`.
        """
        if not isinstance(session, Session):
            raise TypeError(f"session must be flyte_auth.Session, not {type(session).__name__}")
        pending = session.begin_login(flow=flow, no_browser=True, timeout=4 * _PATIENCE)
        assert pending is not None
        # Where its redirects end is answered while `finish` waits.
        browser = threading.Thread(target=self._visit, args=(pending.url,), daemon=True)
        with pending:
            browser.start()
            outcome = pending.finish()
        browser.join(_PATIENCE)
        return outcome

    def _visit(self, url: str) -> None:
        # What goes wrong here leaves the login unfinished: its own error tells.
        with suppress(OSError):
            self._opener().open(url, timeout=_PATIENCE).close()

    def fault(self, kind: str, count: int = 1, path: str | None = None) -> None:
        """The next `count` requests go wrong, of those whose path begins with `path`.

        Args:
            kind: a status (`"503"`), `"html"`, `"slow"`, `"reset"`, `"garbage"` or `"delay-MILLISECONDS"`.
            count: how many requests; 0 takes back what was ordered.
            path: for example `/oauth2/token`; all paths unless said.
        """
        order = {"kind": _of_type("kind", kind, (str,)), "count": _of_type("count", count, (int,))}
        self._post("/faults", order if path is None else {**order, "path": _of_type("path", path, (str,))})

    def clock(self, offset: float) -> None:
        """The server's clock runs `offset` seconds ahead of this machine's: tokens expire without waiting."""
        self._post("/clock", {"offset": _of_type("offset", offset, (int, float))})

    def rotate_keys(self) -> None:
        """New tokens are signed with a new key; the old one stays published."""
        self._post("/keys/rotate", {})

    def stats(self) -> dict[str, Any]:
        """What it was asked: `requests` by path, `grants` by kind, `tokens_issued`, `refreshes`, `faults` and more."""
        with self._opener().open(f"{self._admin}/stats", timeout=_PATIENCE) as reply:
            found: dict[str, Any] = json.load(reply)
        return found

    def close(self) -> None:
        """Ends it, within 15 seconds in any case."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        with suppress(OSError):
            process.stdin.close()
        # A child that was forked meanwhile has a copy of its input: then that does not end it.
        for harder in (process.terminate, process.kill, None):
            try:
                process.wait(_PATIENCE)
                break
            except subprocess.TimeoutExpired:
                if harder is not None:
                    harder()
        if process.returncode is not None:
            # Otherwise the reader of its first line may hold it for ever.
            process.stdout.close()
        self._log.close()

    def _ready(self, within: float) -> Any:
        """Its first line."""
        assert self._process.stdout is not None
        lines: list[bytes] = []
        # Pipes have no deadline everywhere; the thread ends with the process.
        reader = threading.Thread(target=_read_line, args=(self._process.stdout, lines), daemon=True)
        reader.start()
        reader.join(within)
        if lines and lines[0].startswith(b"{"):
            return json.loads(lines[0])
        if reader.is_alive():
            raise _config_error(
                "sandbox_failed", f"the sandbox was not ready within {within} s", "Give it more with ready_within"
            )
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self._log.seek(0)
        # Its first line says it.
        said = self._log.readline().decode(errors="replace").strip().removeprefix("flyte-auth: ").rstrip(".")
        raise _config_error("sandbox_failed", f"the sandbox did not start: {said}", "See flyte-auth sandbox --help")

    def _opener(self) -> OpenerDirector:
        # No proxy of the environment leads to loopback.
        context = ssl.create_default_context(cafile=self.ca_cert)
        return build_opener(ProxyHandler({}), HTTPSHandler(context=context))

    def _post(self, path: str, order: dict[str, object]) -> None:
        request = Request(f"{self._admin}{path}", json.dumps(order).encode(), {"content-type": "application/json"})
        self._opener().open(request, timeout=_PATIENCE).close()

    def __repr__(self) -> str:
        return f"<flyte_auth.testing.Sandbox {self.endpoint}>"


def _read_line(pipe: IO[bytes], lines: list[bytes]) -> None:
    with suppress(OSError, ValueError):
        lines.append(pipe.readline())


def _of_type(name: str, value: Any, types: tuple[type, ...]) -> Any:
    # A bool is an int, but nobody means one by it.
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        wanted = " or ".join(each.__name__ for each in types)
        raise TypeError(f"{name} must be {wanted}, not {type(value).__name__}")
    return value


def _arguments(*, clients: Sequence[Client], **options: Any) -> list[str]:
    """The command line of the options that were given."""
    types: dict[str, type] = {
        "tls": bool,
        "rotate_refresh_tokens": bool,
        "access_token_lifetime": int,
        "refresh_token_lifetime": int,
    }
    arguments = []
    for name, value in options.items():
        if value is None:
            continue
        _of_type(name, value, (types.get(name, str),))
        flag = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(flag)
        elif value is not False:
            arguments.append(f"{flag}={value}")
    for client in clients:
        if not isinstance(client, Client):
            raise TypeError(f"clients must be flyte_auth.testing.Client, not {type(client).__name__}")
        parts = [f"id={client.id}"]
        if client.secret is not None:
            parts.append(f"secret={client.secret}")
        arguments += ["--client", ",".join(parts + [f"redirect={uri}" for uri in client.redirect_uris])]
    return arguments
