"""A local server of files that misbehaves on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Served(ThreadingHTTPServer):
    """Serves ``files`` by path, with ranges; ``asked`` lists what came in.

    Attributes:
        files: content by path.
        broken: paths whose connection ends after half of what was asked for, the first time.
        asked: path and ``Range`` header of every request.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = dict(files)
        self.broken: set[str] = set()
        self.asked: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Served

    def do_GET(self) -> None:
        header = self.headers.get("Range")
        self.server.asked.append((self.path, header))
        body = self.server.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = int(header.removeprefix("bytes=").removesuffix("-")) if header else 0
        if header and start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if header else 200)
        if header:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = len(body)
        if self.path in self.server.broken:
            self.server.broken.discard(self.path)
            end = start + (len(body) - start) // 2
        self.wfile.write(body[start:end])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Served]:
    with Served(files) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
