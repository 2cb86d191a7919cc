"""A service that takes tokens in one header, and writes down every request."""

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Seen:
    """A request that arrived."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A hundred clients may come at once.
    request_queue_size = 128


class RestService:
    """`/redirect?to=URL&status=N`, `/forbidden` and `/open` want no token; every other path answers 401 without a good
    one. `is_good` judges tokens that are not `revoked`."""

    def __init__(self, is_good=lambda token: True, header="authorization", host="127.0.0.1"):
        self.header = header
        self.seen: list[Seen] = []
        self.refuses_all = False
        self._is_good = is_good
        self._judged: dict[str, bool] = {}
        self.revoked: set[str] = set()
        self._lock = threading.Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self):
                service._answer(self)

            do_GET = do_POST = do_PUT = _answer

            def log_message(self, *_):
                pass

        self._server = _Server((host, 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def end(self):
        self._server.shutdown()
        self._server.server_close()

    def paths(self) -> list[str]:
        return [f"{seen.method} {seen.path}" for seen in self.seen]

    def tokens(self) -> list[str | None]:
        """The header of each request; a request with two of them is a mistake."""
        values = [seen.values(self.header) for seen in self.seen]
        assert all(len(each) < 2 for each in values), "the header is there twice"
        return [each[0] if each else None for each in values]

    def _takes(self, seen: Seen) -> bool:
        values = seen.values(self.header)
        if self.refuses_all or len(values) != 1 or not values[0].startswith("Bearer "):
            return False
        token = values[0].removeprefix("Bearer ")
        if token in self.revoked:
            return False
        with self._lock:
            if token not in self._judged:
                self._judged[token] = self._is_good(token)
        return self._judged[token]

    def _answer(self, handler: BaseHTTPRequestHandler):
        body = _body(handler)
        url = urlsplit(handler.path)
        seen = Seen(handler.command, url.path, list(handler.headers.items()), body)
        with self._lock:
            self.seen.append(seen)
        status, headers = 200, {}
        if url.path == "/redirect":
            wanted = parse_qs(url.query)
            status, headers["Location"] = int(wanted.get("status", ["302"])[0]), wanted["to"][0]
        elif url.path == "/forbidden":
            status = 403
        elif url.path != "/open" and not self._takes(seen):
            status, headers["WWW-Authenticate"] = 401, 'Bearer error="invalid_token"'
            headers["Set-Cookie"] = "balancer=one"
        answer = json.dumps({"status": status, "got": len(body)}).encode()
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer)


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    parts = []
    while size := int(handler.rfile.readline(), 16):
        parts.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(parts)
