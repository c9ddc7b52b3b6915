"""A look at the files of a data set: the same while they are, another when anything was added, removed or rewritten."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.test_policy import settings_with
from wsolbench.acquire.prepare import look, prepare
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.index import INDEX_FILE, TRUTH_FILE, read_split
from wsolbench.data.masks import decode
from wsolbench.data.roots import root_variable
from wsolbench.errors import DataError


def seen(settings: Settings, root: Path) -> str:
    layout = Layout(root)
    look(settings, "small", layout)
    return layout.look("small").read_text()


@pytest.fixture
def of_birds(cub_root: Path) -> Settings:
    base = settings_with()
    tracks = {"small": base.tracks["small"].model_copy(update={"dataset": "cub"})}
    cub = {"root": str(cub_root), "holdout_per_class": 1}
    return base.model_copy(update={"tracks": tracks, "datasets": {"cub": cub}})


def add(base: Path) -> None:
    (base / "images" / "001.Auk" / "new.jpg").write_bytes(b"")


def remove(base: Path) -> None:
    (base / "images" / "001.Auk" / "Auk_0.jpg").unlink()


def rename(base: Path) -> None:
    (base / "images" / "001.Auk" / "Auk_0.jpg").rename(base / "images" / "001.Auk" / "Auk_00.jpg")


def edit_list(base: Path) -> None:
    (base / "bounding_boxes.txt").write_text((base / "bounding_boxes.txt").read_text() + "\n")


def empty(base: Path) -> None:
    (base / "images").rename(base / "elsewhere")


@pytest.mark.parametrize("change", [add, remove, rename, edit_list, empty])
def test_a_change_is_seen(of_birds: Settings, cub_root: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    before = seen(of_birds, tmp_path)
    assert seen(of_birds, tmp_path) == before
    base = cub_root / "CUB_200_2011"
    for path in base.rglob("*"):
        os.utime(path, ns=(1, 1))
    settled = seen(of_birds, tmp_path)
    change(base)
    assert seen(of_birds, tmp_path) != settled


def test_the_place_does_not_matter(of_birds: Settings, cub_root: Path, tmp_path: Path) -> None:
    before = seen(of_birds, tmp_path)
    cub_root.rename(tmp_path / "moved")
    moved = of_birds.model_copy(update={"datasets": {"cub": {"root": str(tmp_path / "moved")}}})
    assert seen(moved, tmp_path) == before


def test_a_data_set_that_is_not_there_or_generated_is_looked_at_without_complaint(
    of_birds: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(root_variable("cub"), raising=False)
    unset = of_birds.model_copy(update={"datasets": {"cub": {"root": None}}})
    assert seen(unset, tmp_path) == '{"dataset": "cub", "state": null}\n'
    assert seen(settings_with(), tmp_path) == '{"dataset": "shapes", "state": null}\n'


def test_what_was_prepared_stands_where_its_files_are_not_here(
    of_birds: Settings, cub_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = seen(of_birds, tmp_path)
    prepare(of_birds, "small", Layout(tmp_path))
    cub_root.rename(tmp_path / "elsewhere")
    with caplog.at_level("WARNING", "wsolbench.prepare"):
        assert seen(of_birds, tmp_path) == before
    assert str(cub_root) in caplog.text
    (Layout(tmp_path).prepared("small") / INDEX_FILE).unlink()
    assert seen(of_birds, tmp_path) != before


def test_a_second_prepare_decodes_nothing(of_birds: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wsolbench.acquire import inspection

    monkeypatch.setattr(inspection, "_SETTLED", -(10**12))
    layout = Layout(tmp_path)
    digest = prepare(of_birds, "small", layout)
    monkeypatch.setattr(inspection, "measure", lambda *_: pytest.fail("an image was decoded again"))
    assert prepare(of_birds, "small", layout) == digest


def test_looking_imports_no_torch() -> None:
    code = "import sys; import wsolbench.acquire.prepare, wsolbench.datasets.cub; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_class_folder_that_is_a_link_is_looked_into(of_birds: Settings, cub_root: Path, tmp_path: Path) -> None:
    folder = cub_root / "CUB_200_2011" / "images" / "001.Auk"
    folder.rename(tmp_path / "auks")
    folder.symlink_to(tmp_path / "auks", target_is_directory=True)
    before = seen(of_birds, tmp_path)
    (tmp_path / "auks" / "new.jpg").write_bytes(b"")
    assert seen(of_birds, tmp_path) != before


@pytest.mark.parametrize("task", [look, prepare])
def test_a_folder_that_may_not_be_listed_is_named(
    of_birds: Settings, tmp_path: Path, task: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path) -> object:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", forbidden)
    monkeypatch.setattr(registry.load("dataset", "cub"), "obtain", lambda self, sources: os.scandir(Path("images")))
    with pytest.raises(DataError, match="images: Permission denied; give this user the right"):
        task(of_birds, "small", Layout(tmp_path))


@pytest.fixture
def of_a_folder(tmp_path: Path) -> Settings:
    """An own folder of two classes with a mask for each picture, the object being its left half."""
    root = tmp_path / "own"
    for name in ("auk", "wren"):
        for folder in ("images", "masks"):
            (root / folder / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.full((20, 30, 3), 40 * number + len(name), np.uint8)
            Image.fromarray(pixels).save(root / "images" / name / f"{number}.png")
            mask = np.zeros((20, 30), np.uint8)
            mask[:, :15] = 255
            Image.fromarray(mask).save(root / "masks" / name / f"{number}.png")
    base = settings_with()
    tracks = {"small": base.tracks["small"].model_copy(update={"dataset": "image_folder"})}
    return base.model_copy(update={"tracks": tracks, "datasets": {"image_folder": {"root": str(root)}}})


def invert_masks(root: Path) -> None:
    for path in root.glob("masks/*/*.png"):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def test_masks_inverted_in_place_are_seen_and_change_what_evaluation_depends_on(
    of_a_folder: Settings, tmp_path: Path
) -> None:
    layout, before = Layout(tmp_path), seen(of_a_folder, tmp_path)
    prepare(of_a_folder, "small", layout)
    index, truth = (layout.prepared("small") / name for name in (INDEX_FILE, TRUTH_FILE))
    old_index, old_truth = index.read_bytes(), truth.read_bytes()
    invert_masks(tmp_path / "own")
    assert seen(of_a_folder, tmp_path) != before
    prepare(of_a_folder, "small", layout)
    assert index.read_bytes() == old_index
    assert truth.read_bytes() != old_truth
    changed = read_split(layout.prepared("small"), "test")
    again = decode(*changed.truth(changed.items[0].id).masks)
    assert again[:, 15:].all()
    assert not again[:, :15].any()


@pytest.mark.parametrize("name", ["metadata/test/localization.txt", "masks/auk/deeper/1.png", "boxes.csv"])
def test_a_file_of_truth_that_is_rewritten_in_place_is_seen(of_a_folder: Settings, tmp_path: Path, name: str) -> None:
    path = tmp_path / "own" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("one")
    before = seen(of_a_folder, tmp_path)
    with path.open("r+") as stream:
        stream.write("two")
    assert seen(of_a_folder, tmp_path) != before


def test_a_file_of_pseudo_boxes_that_is_rewritten_is_seen(of_birds: Settings, tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("one")
    cub = of_birds.datasets["cub"] | {"val_truth": str(path)}
    settings = of_birds.model_copy(update={"datasets": {"cub": cub}})
    before = seen(settings, tmp_path)
    path.write_text("other")
    assert seen(settings, tmp_path) != before
