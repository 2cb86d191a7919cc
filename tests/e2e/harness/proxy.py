"""A CONNECT proxy that counts what passes it."""

import select
import socket
import threading


class ConnectProxy:
    """Listens on a free loopback port; `passed` lists the authorities that clients connected to through it."""

    def __init__(self):
        self.passed: list[str] = []
        self.others: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                data = client.recv(4096)
                if not data:
                    return
                head += data
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            if method != "CONNECT":
                self.others.append(target)
                client.sendall(b"HTTP/1.1 405 only CONNECT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return
            self.passed.append(target)
            host, port = target.rsplit(":", 1)
            with socket.create_connection((host, int(port))) as upstream:
                client.sendall(b"HTTP/1.1 200 connected\r\n\r\n")
                self._pump(client, upstream)

    @staticmethod
    def _pump(client, upstream):
        other = {client: upstream, upstream: client}
        while True:
            for ready in select.select([client, upstream], [], [], 30)[0]:
                try:
                    data = ready.recv(65536)
                    other[ready].sendall(data)
                except OSError:
                    return
                if not data:
                    return

    def end(self):
        self._listener.close()
