"""Downloads from a server that misbehaves on demand."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wsolbench.acquire import download
from wsolbench.acquire.download import fetch
from wsolbench.errors import DataError, StorageError

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
            if start >= len(body) or self.path == "/never-satisfied":
                self.send_response(416)
                if self.path != "/no-total":
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status = 206
        self.send_response(status)
        if status == 206:
            said = 0 if self.path == "/from-the-start" else start
            self.send_header("Content-Range", f"bytes {said}-{len(body) - 1}/{len(body)}")
        if self.path in {"/endless", "/larger-than-the-disk"}:
            self.write_without_end({"/endless": None, "/larger-than-the-disk": 10**15}[self.path])
            return
        if self.path != "/no-length":
            self.send_header("Content-Length", "abc" if self.path == "/strange-length" else str(len(body) - start))
        self.end_headers()
        end = len(body)
        if self.path == "/breaks" or (self.path == "/breaks-once" and len(asked) == 1):
            end = start + (len(body) - start) // 2
        self.wfile.write(body[start:end])

    def write_without_end(self, stated: int | None) -> None:
        if stated is not None:
            self.send_header("Content-Length", str(stated))
        self.end_headers()
        try:
            while not self.server.closing:  # type: ignore[attr-defined]
                self.wfile.write(bytes(2**16))
        except OSError:
            self.server.closing = True  # type: ignore[attr-defined]

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr(download, "_PAUSE", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.asked, found.closing = [], False  # type: ignore[attr-defined]
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.closing = True  # type: ignore[attr-defined]
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


@pytest.mark.parametrize("path", ["/file", "/never-satisfied", "/from-the-start"])
def test_a_part_that_cannot_be_gone_on_with_is_fetched_anew(
    server: ThreadingHTTPServer, tmp_path: Path, path: str
) -> None:
    """A server that has no more than that part, or sends another, without any digest to notice it by."""
    (tmp_path / "file.part").write_bytes(b"x" * (len(CONTENT) + 1 if path == "/file" else 99))
    fetch(address(server, path), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(server.asked) == 2  # type: ignore[attr-defined]


def test_a_complete_part_of_unknown_length_is_fetched_anew(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    fetch(address(server, "/no-total"), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [asked[1] for asked in server.asked] == [f"bytes={len(CONTENT)}-", None]  # type: ignore[attr-defined]


def test_no_more_is_written_than_the_file_has(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/endless: the server sends more than the 200000 bytes"):
        fetch(address(server, "/endless"), tmp_path / "file", size=200_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("known", [{"sha256": SHA256}, {"md5": MD5}])
def test_an_answer_of_unknown_length_is_bounded(
    server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: dict[str, str]
) -> None:
    """A digest tells the right file only when it has ended."""
    assert download._MOST < 10**11
    monkeypatch.setattr(download, "_MOST", 200_000)
    with pytest.raises(DataError, match=r"/endless: the server sends more than the 200000 bytes"):
        fetch(address(server, "/endless"), tmp_path / "file", **known)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_the_disk_has_no_room_for_is_not_begun(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * 99)
    with pytest.raises(StorageError, match=rf"file has {10**15 + 99} bytes.*{tmp_path} has \d+ free"):
        fetch(address(server, "/larger-than-the-disk"), tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file.part").read_bytes() == b"x" * 99


@pytest.mark.parametrize("path", ["/no-length", "/strange-length"])
def test_an_answer_without_its_length_needs_something_to_be_checked_by(
    server: ThreadingHTTPServer, tmp_path: Path, path: str
) -> None:
    with pytest.raises(DataError, match="does not say where the file ends"):
        fetch(address(server, path), tmp_path / "file")
    for known in ({"size": len(CONTENT)}, {"sha256": SHA256}):
        (tmp_path / "file").unlink(missing_ok=True)
        fetch(address(server, path), tmp_path / "file", **known)  # type: ignore[arg-type]
        assert (tmp_path / "file").read_bytes() == CONTENT
