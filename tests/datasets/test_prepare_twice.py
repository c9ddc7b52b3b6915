"""Two preparations of a track: at once, the second waits; one after the other, a failed one leaves the first."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.datasets.conftest import prepare_whole
from tests.datasets.roots import write_image_folder
from tests.tiny import TINY_SHAPES, TINY_TRACK
from wsolbench.acquire.prepare import prepare
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.dataset import SPLITS, Contents
from wsolbench.data.index import read_split
from wsolbench.datasets.shapes import Shapes
from wsolbench.errors import DataError


def test_the_second_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, original, ended, lost = threading.Event(), Shapes.contents, [], []

    def slow(self: Shapes, directory: Path) -> Contents:
        found = original(self, directory)
        drawn.set()
        time.sleep(0.5)  # time enough for another preparation to remove what this one has drawn
        lost.extend(item.path for item in found.items if not (directory / item.path).is_file())
        return found

    monkeypatch.setattr(Shapes, "contents", slow)

    def prepare(**block: Any) -> None:
        ended.append(prepare_whole("shapes", tmp_path, **block))

    first, second = (threading.Thread(target=prepare, kwargs=TINY_SHAPES) for _ in range(2))
    first.start()
    drawn.wait()
    second.start()
    first.join()
    second.join()
    assert (len(ended), lost) == (2, [])
    for split in SPLITS:
        assert all((ended[0] / item.path).is_file() for item in read_split(ended[0], split).items)


@pytest.mark.parametrize("name", ["image_folder", "shapes"])
def test_what_was_prepared_stays_until_there_is_better(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "shapes":
        block: dict[str, object] = dict(TINY_SHAPES)
    else:
        write_image_folder(tmp_path / "root")
        block = {"root": str(tmp_path / "root")}
    directory = prepare_whole(name, tmp_path, **block)
    before = contents_of(directory.parent)
    with pytest.raises(DataError, match=r"pseudo\.csv"):
        prepare_whole(name, tmp_path, **block, val_truth=str(tmp_path / "pseudo.csv"))
    assert contents_of(directory.parent) == before
    monkeypatch.setattr("wsolbench.acquire.prepare.write_index", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_whole(name, tmp_path, **block)
    assert contents_of(directory.parent) == before


def test_a_selection_that_cannot_be_made_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "root")
    directory = prepare_whole("image_folder", tmp_path, root=str(tmp_path / "root"))
    before = contents_of(directory.parent)
    tracks = {"small": TINY_TRACK | {"dataset": "image_folder", "selection": "val_boxes"}}
    block = {"root": str(tmp_path / "root"), "val_share": 0}
    settings = Settings.model_validate(
        {
            "methods": {},
            "tracks": tracks,
            "datasets": {"image_folder": block},
            "run": {"tracks": [], "methods": [], "seeds": [0]},
        }
    )
    with pytest.raises(DataError, match="val_boxes"):
        prepare(settings, "small", Layout(tmp_path))
    assert contents_of(directory.parent) == before


def test_files_of_a_former_preparation_go_with_it(tmp_path: Path) -> None:
    directory = prepare_whole("shapes", tmp_path, **TINY_SHAPES)
    (directory / "old.png").write_bytes(b"")
    (directory.parent / ".small.tmp").mkdir()
    (directory.parent / ".small.tmp" / "of-a-killed-process.png").write_bytes(b"")
    names = sorted(contents_of(prepare_whole("shapes", tmp_path, **TINY_SHAPES).parent))
    assert not [name for name in names if "old" in name or "killed" in name]


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def interrupted(*_: object) -> str:
    raise KeyboardInterrupt
