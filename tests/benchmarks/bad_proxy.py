"""A proxy before an S3 server that now and then answers as a bad network or a busy store does.

500, 503 with and without a body, a connection that is reset before or within the answer, a body that ends
early, an answer that comes late. What befalls a request is drawn from a seed and its number.
"""

import contextlib
import http.client
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("500", "503", "reset", "cut", "late")
SLOW = (
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>'
)


@contextlib.contextmanager
def serve(endpoint: str, seed: int, share: float) -> Iterator[str]:
    """The URL of a proxy before `endpoint`, where `share` of the requests meet a fault."""
    target, lock, count = urlsplit(endpoint), threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _fault(self) -> str:
            with lock:
                count[0] += 1
                draw = random.Random(f"{seed}/{count[0]}")
            return draw.choice(FAULTS) if draw.random() < share else ""

        def _pass_on(self) -> None:
            fault = self._fault()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if fault == "reset":
                self._reset()
                return
            if fault in ("500", "503"):
                self._answer(int(fault), [], SLOW if fault == "503" else b"")
                return
            if fault == "late":
                time.sleep(2)
            upstream = http.client.HTTPConnection(target.hostname or "", target.port or 80, timeout=60)
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            answer = upstream.getresponse()
            held = answer.read()
            upstream.close()
            self._answer(answer.status, answer.getheaders(), held, cut=fault == "cut" and len(held) > 1)

        def _answer(
            self, status: int, headers: list[tuple[str, str]], body: bytes, cut: bool = False
        ) -> None:
            self.send_response_only(status)
            own = {"content-length", "transfer-encoding", "connection"}
            length = next((v for k, v in headers if k.lower() == "content-length"), None)
            for name, value in headers:
                if name.lower() not in own:
                    self.send_header(name, value)
            size = length if self.command == "HEAD" and length is not None else str(len(body))
            self.send_header("Content-Length", size)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self._reset()

        def _reset(self) -> None:
            """End the connection as a dying peer does: with RST, not FIN."""
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    for method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._pass_on)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
