"""Downloads from a server that misbehaves on demand."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wsolbench.data import download
from wsolbench.data.download import fetch
from wsolbench.errors import DataError

CONTENT = bytes(range(256)) * 20_000  # 5 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; the path says how."""

    def do_GET(self) -> None:
        asked = self.server.asked  # type: ignore[attr-defined]
        asked.append((self.path, self.headers.get("Range")))
        body, status, start = CONTENT, 200, 0
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/corrupt":
            body = b"\xff" + CONTENT[1:]
        header = self.headers.get("Range")
        if header and self.path != "/no-ranges":
            start = int(header.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_error(416)
                return
            status = 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = len(body)
        if self.path == "/breaks" or (self.path == "/breaks-once" and len(asked) == 1):
            end = start + (len(body) - start) // 2
        self.wfile.write(body[start:end])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr(download, "_PAUSE", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def address(server: ThreadingHTTPServer, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


@pytest.mark.parametrize("checks", [{"sha256": SHA256}, {"sha256": SHA256[:8]}, {"md5": MD5, "size": len(CONTENT)}, {}])
def test_a_file_arrives_whole(server: ThreadingHTTPServer, tmp_path: Path, checks: dict[str, object]) -> None:
    fetch(address(server, "/file"), tmp_path / "sub" / "file", **checks)  # type: ignore[arg-type]
    assert (tmp_path / "sub" / "file").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["file"]


def test_a_file_that_is_there_is_not_fetched_again(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    fetch(address(server, "/file"), tmp_path / "file", sha256=SHA256)
    assert server.asked == []  # type: ignore[attr-defined]
    (tmp_path / "file").write_bytes(CONTENT[:-1])
    fetch(address(server, "/file"), tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_broken_connection_is_resumed(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    fetch(address(server, "/breaks-once"), tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    first, second = (asked[1] for asked in server.asked)  # type: ignore[attr-defined]
    assert first is None
    half = len(CONTENT) // 2
    assert half - 2**16 < int(second.removeprefix("bytes=").removesuffix("-")) <= half


def test_a_later_call_goes_on_where_an_earlier_one_was_killed(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    fetch(address(server, "/file"), tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [("/file", "bytes=1000-")]  # type: ignore[attr-defined]


def test_a_complete_part_is_only_verified(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    fetch(address(server, "/file"), tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_anew(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"something else" * 1_000_000)
    fetch(address(server, "/no-ranges"), tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_digest_is_refused_with_both_values_and_nothing_is_left(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        fetch(address(server, "/corrupt"), tmp_path / "file", sha256=SHA256)
    assert SHA256 in str(caught.value)
    assert hashlib.sha256(b"\xff" + CONTENT[1:]).hexdigest() in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_size_is_refused_with_both_values(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"has {len(CONTENT)} bytes, expected are 5"):
        fetch(address(server, "/file"), tmp_path / "file", size=5)


def test_a_mirror_takes_over(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    urls = [address(server, path) for path in ("/missing", "/corrupt", "/file")]
    fetch(urls, tmp_path / "file", md5=MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_every_address_that_failed_is_named(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    closed = "http://127.0.0.1:9/file"
    with pytest.raises(DataError) as caught:
        fetch([address(server, "/missing"), closed], tmp_path / "file", sha256=SHA256)
    assert "/missing: the server answers 404 Not Found" in str(caught.value)
    assert f"{closed}: no connection" in str(caught.value)


def test_a_connection_that_keeps_breaking_is_given_up_and_kept(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="could not be fetched"):
        fetch(address(server, "/breaks"), tmp_path / "file", sha256=SHA256)
    kept = (tmp_path / "file.part").read_bytes()
    assert CONTENT.startswith(kept)
    assert len(kept) > len(CONTENT) // 2 - 2**16
