"""Archives are taken from the user, or fetched, and refused when they are not the published ones."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.datasets.serving import Served, serving
from wsolbench.acquire import download, sources
from wsolbench.acquire.sources import CHOE_FILES, Archive, Sources
from wsolbench.errors import DataError


def packed() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in ("birds/1.jpg", "birds/2.jpg"):
            member = tarfile.TarInfo(name)
            member.size = 90_000
            tar.addfile(member, io.BytesIO(name.encode() * 8182))
    return stream.getvalue()


CONTENT = packed()
LISTS = {path: f"{path}\n".encode() for path in CHOE_FILES}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(download, "_PAUSE", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    facts = {path: (len(content), hashlib.sha256(content).hexdigest()) for path, content in LISTS.items()}
    monkeypatch.setattr(sources, "CHOE_FILES", facts)
    with serving({"/birds.tar": CONTENT, **{f"/lists/{path}": content for path, content in LISTS.items()}}) as found:
        monkeypatch.setattr(sources, "BASE", f"{found.address}/nothing")
        yield found


@pytest.fixture
def archive(server: Served) -> Archive:
    digest = hashlib.sha256(CONTENT).hexdigest()
    urls = (f"{server.address}/birds.tar",)
    return Archive("birds.tar", "birds", "Download it.", size=len(CONTENT), sha256=digest, urls=urls)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_an_archive_is_fetched_unpacked_and_then_left_alone(archive: Archive, server: Served, tmp_path: Path) -> None:
    assert Sources().provide(archive, tmp_path) == tmp_path / "birds"
    assert names(tmp_path / "birds") == ["1.jpg", "2.jpg"]
    (tmp_path / "birds.tar").unlink()
    Sources().provide(archive, tmp_path)
    assert len(server.asked) == 1


def test_an_archive_of_the_users_is_not_fetched(archive: Archive, server: Served, tmp_path: Path) -> None:
    (tmp_path / "birds.tar").write_bytes(CONTENT)
    Sources().provide(archive, tmp_path)
    assert names(tmp_path) == ["birds", "birds.tar"]
    assert server.asked == []


def test_an_archive_that_is_not_the_published_one_is_refused_and_kept(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "birds.tar").write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match=rf"birds\.tar has {len(CONTENT) - 1} bytes, expected are {len(CONTENT)}"):
        Sources().provide(archive, tmp_path)
    (tmp_path / "birds.tar").write_bytes(b"x" + CONTENT[1:])
    found = hashlib.sha256(b"x" + CONTENT[1:]).hexdigest()
    with pytest.raises(DataError, match=rf"sha256 is {found}, expected is {archive.sha256}"):
        Sources().provide(archive, tmp_path)
    assert names(tmp_path) == ["birds.tar"]


def test_a_mirror_is_tried_first_and_the_official_address_after_it(
    archive: Archive, server: Served, tmp_path: Path
) -> None:
    server.files["/mirror.tar"] = CONTENT
    rotten = replace(archive, urls=(f"{server.address}/gone",))
    Sources(mirrors={"birds.tar": f"{server.address}/mirror.tar"}).provide(rotten, tmp_path / "one")
    assert [path for path, _ in server.asked] == ["/mirror.tar"]
    Sources(mirrors={"birds.tar": [f"{server.address}/gone"]}).provide(archive, tmp_path / "two")
    assert [path for path, _ in server.asked] == ["/mirror.tar", "/gone", "/birds.tar"]
    with pytest.raises(DataError, match=r"(?s)gone: the server answers 404.*Download it\."):
        Sources().provide(rotten, tmp_path / "three")


@pytest.mark.parametrize("how", ["by account", "download is false"])
def test_what_may_not_be_downloaded_is_asked_for(archive: Archive, server: Served, tmp_path: Path, how: str) -> None:
    wanted = replace(archive, urls=()) if how == "by account" else archive
    with pytest.raises(DataError, match=r"has neither birds nor birds\.tar\. Download it\. Put it into .* or unpacked"):
        Sources(download=how == "by account").provide(wanted, tmp_path)
    assert server.asked == []


def test_the_terms_are_said_before_a_download(
    archive: Archive, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Sources().provide(replace(archive, terms="look, do not touch"), tmp_path)
    assert "look, do not touch" in caplog.text


def test_lists_are_fetched_checked_and_left_alone(server: Served, tmp_path: Path) -> None:
    mirrored = Sources(mirrors={"wsolevaluation": f"{server.address}/lists/"})
    mirrored.lists("CUB", "val", tmp_path)
    assert names(tmp_path) == ["class_labels.txt", "image_ids.txt", "image_sizes.txt", "localization.txt"]
    assert (tmp_path / "image_ids.txt").read_bytes() == b"metadata/CUB/val/image_ids.txt\n"
    asked = len(server.asked)
    mirrored.lists("CUB", "val", tmp_path)
    assert len(server.asked) == asked


def test_a_list_that_cannot_be_had_leaves_the_split_unlisted(server: Served, tmp_path: Path) -> None:
    """The list of ids comes last, so that an interrupted fetch is not taken for done."""
    server.files["/lists/metadata/CUB/val/localization.txt"] = b"wrong\n"
    mirrored = Sources(mirrors={"wsolevaluation": f"{server.address}/lists"})
    with pytest.raises(DataError, match=r"localization\.txt could not be fetched"):
        mirrored.lists("CUB", "val", tmp_path)
    assert "image_ids.txt" not in names(tmp_path)
    with pytest.raises(DataError, match=r"is missing, and download is false"):
        Sources(download=False).lists("CUB", "val", tmp_path)


def test_the_pinned_lists_are_the_real_ones(test_data: Path) -> None:
    folder = test_data / "data" / "split_files"
    present = {path: facts for path, facts in CHOE_FILES.items() if (folder / path).is_file()}
    assert len(present) > 20
    for path, (size, sha256) in present.items():
        content = (folder / path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)
