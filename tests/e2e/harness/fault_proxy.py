"""A reverse proxy on loopback that does to chosen requests what broken networks and overloaded servers do.

It stands where the authorization server seems to be: `OidcProvider(folder, OIDC_ISSUER=proxy.url)` names it as the
issuer, and what arrives is passed on to `proxy.upstream`.
"""

import contextlib
import datetime
import email.utils
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from harness import witness

# In every body that the proxy makes up: must never come out of the program under test.
CANARY = "canary-of-the-body-8f3a1c"
_LOOKS_LIKE_TOKENS = json.dumps({"access_token": CANARY, "token_type": "Bearer", "expires_in": 3600}).encode()
_PAGE = f"<html><title>Gateway</title><body>{CANARY}</body></html>".encode()


@dataclass
class Request:
    """What arrived, and when (`time.monotonic`)."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)


@dataclass
class Reply:
    """An answer, the server's or ours."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    def encoded(self, announced: int | None = None) -> bytes:
        """On the wire; `announced` is a length that is not the body's own."""
        length = len(self.body) if announced is None else announced
        headers = {"content-length": str(length), "connection": "close", **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return (
            f"HTTP/1.1 {self.status} {http.client.responses.get(self.status, 'x')}\r\n{lines}\r\n".encode() + self.body
        )


class Connection:
    """One client connection, with what a fault needs of it."""

    def __init__(self, client: socket.socket, request: Request | None, forward: Callable[[], Reply]):
        self.client = client
        self.request = request
        self.forward = forward

    def reset(self):
        """RST instead of FIN."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()

    def until_it_hangs_up(self):
        """Says nothing until the client has had enough."""
        with contextlib.suppress(OSError):
            self.client.settimeout(60)
            while self.client.recv(4096):
                pass


Fault = Callable[[Connection], None]


def says(status: int, body=b"", content_type="application/json", **headers: str) -> Fault:
    """Answers by itself; the server never hears of the request."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = Reply(status, {"content-type": content_type, "date": http_date(), **named}, body)
    return lambda connection: connection.client.sendall(reply.encoded())


def http_date(seconds=0.0) -> str:
    """IMF-fixdate of RFC 9110, so many seconds from now."""
    return email.utils.format_datetime(
        datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds), usegmt=True
    )


def reset_before_the_request(connection: Connection):
    connection.reset()


reset_before_the_request.at_once = True


def reset_after_the_request(connection: Connection):
    connection.reset()


def closed_after_the_request(connection: Connection):
    """The caller closes."""


def reset_in_the_reply(connection: Connection):
    whole = Reply(200, {"content-type": "application/json"}, _LOOKS_LIKE_TOKENS).encoded()
    connection.client.sendall(whole[: len(whole) - 20])
    connection.reset()


def half_a_reply(connection: Connection):
    reply = Reply(200, {"content-type": "application/json"}, _LOOKS_LIKE_TOKENS)
    connection.client.sendall(reply.encoded(announced=2 * len(reply.body)))


def half_a_head(connection: Connection):
    connection.client.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: appl")


def slow_head(connection: Connection):
    connection.until_it_hangs_up()


def drip(connection: Connection):
    """Whole headers, then a body that never ends although something always comes."""
    reply = Reply(200, {"content-type": "application/json"}, b"")
    with contextlib.suppress(OSError):
        connection.client.sendall(reply.encoded(announced=100_000))
        for _ in range(300):
            connection.client.sendall(b" ")
            time.sleep(0.2)


def tls_alert(connection: Connection):
    """Fatal `internal_error`, instead of a handshake."""
    connection.client.sendall(bytes([21, 3, 3, 0, 2, 2, 80]))
    # To close with a request unread would be a reset.
    connection.client.shutdown(socket.SHUT_WR)
    connection.until_it_hangs_up()


tls_alert.at_once = True


def not_http(connection: Connection):
    connection.client.sendall(b"\x15\x03\x03\x00\x02\x02\x50 no HTTP at all\r\n\r\n")


def passes_and_resets(connection: Connection):
    """The worst moment: the server has done it, its answer is lost."""
    connection.forward()
    connection.reset()


html_200 = says(200, _PAGE, "text/html; charset=utf-8")
html_502 = says(502, _PAGE, "text/html")
json_called_html = says(200, _LOOKS_LIKE_TOKENS, "text/html")
truncated_json = says(200, _LOOKS_LIKE_TOKENS[:-10])
redirect = says(302, location="https://elsewhere.example/login")
not_found = says(404)


@dataclass
class Rule:
    fault: Fault
    path: str
    left: int


class FaultProxy:
    """Listens on a free port of 127.0.0.1; passes everything on until told otherwise."""

    def __init__(self, upstream: str | None = None):
        self.upstream = upstream
        self.requests: list[Request] = []
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.host = urlsplit(self.url).netloc
        witness.current.knows(CANARY, kind="body")
        threading.Thread(target=self._accept, daemon=True).start()

    def breaks(self, fault: Fault, path="", count=1_000_000):
        """From now on: the next `count` requests whose path contains `path` meet `fault`."""
        with self._lock:
            self._rules.append(Rule(fault, path, count))

    def heals(self):
        """Every fault is over."""
        with self._lock:
            self._rules.clear()

    def count(self, path="") -> int:
        """How many requests have arrived whose path contains `path`."""
        return len(self.seen(path))

    def seen(self, path="") -> list[Request]:
        return [request for request in list(self.requests) if path in request.path]

    def _fault(self, request: Request | None) -> Fault | None:
        with self._lock:
            for rule in self._rules:
                at_once = getattr(rule.fault, "at_once", False)
                if rule.left > 0 and (at_once if request is None else not at_once and rule.path in request.path):
                    rule.left -= 1
                    return rule.fault
        return None

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket):
        # Whatever a client does to its connection ends that connection only.
        with client, contextlib.suppress(OSError):
            client.settimeout(60)
            if fault := self._fault(None):
                self.requests.append(Request("", "", {}, b""))
                fault(Connection(client, None, lambda: Reply(500, {})))
                return
            request = _read(client)
            if request is None:
                return
            self.requests.append(request)
            if request.method == "PRI":
                client.sendall(Reply(400, {}).encoded())
                return
            connection = Connection(client, request, lambda: self._forward(request))
            if fault := self._fault(request):
                fault(connection)
            else:
                client.sendall(connection.forward().encoded())

    def _forward(self, request: Request) -> Reply:
        """The server's own answer; where it names itself it is made to name the proxy."""
        upstream = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=30)
        try:
            headers = {name: value for name, value in request.headers.items() if name != "connection"}
            upstream.request(request.method, request.path, request.body or None, {**headers, "connection": "close"})
            answer = upstream.getresponse()
            body = answer.read().replace(self.upstream.encode(), self.url.encode())
            kept = {
                name.lower(): value.replace(self.upstream, self.url)
                for name, value in answer.getheaders()
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "keep-alive", "set-cookie")
            }
            cookies = answer.headers.get_all("set-cookie") or []
            reply = Reply(answer.status, kept, body)
            # One header a cookie: joined by a comma they would be another cookie.
            if cookies:
                reply.headers["set-cookie"] = "\r\nset-cookie: ".join(cookies)
            return reply
        except (OSError, http.client.HTTPException) as cause:
            # Not of the test's making: its failure shall say what happened.
            return Reply(599, {"content-type": "text/plain"}, f"the upstream did not answer: {cause!r}".encode())
        finally:
            upstream.close()

    def end(self):
        # A thread in accept() would keep the port open.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _read(client: socket.socket) -> Request | None:
    """One request with its body; `None` if the client sends none."""
    stream = client.makefile("rb")
    line = stream.readline(65536).decode("latin-1").split()
    if len(line) != 3:
        return None
    headers = {}
    while (header := stream.readline(65536).decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Request(line[0], line[1], headers, body)
