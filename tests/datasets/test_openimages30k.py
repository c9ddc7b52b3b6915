"""OpenImages30k in its layout: real images where they are at hand, and made-up ones for what can go wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.roots import write_images, write_lists
from wsolbench.acquire.choe_metadata import read_metadata
from wsolbench.acquire.mask_files import read_mask
from wsolbench.config import registry
from wsolbench.data.dataset import Split, WsolDataset
from wsolbench.data.index import read_split, write_index
from wsolbench.errors import DataError


def dataset(root: Path | None, **arguments: str) -> WsolDataset:
    made: WsolDataset = registry.load("dataset", "openimages30k")(root=None if root is None else str(root), **arguments)
    return made


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WSOLBENCH_OPENIMAGES30K_ROOT", raising=False)


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    base = tmp_path / "root"
    for split, names in {"train": ["a/1", "b/2"], "val": ["a/3"], "test": ["a/4", "b/5"]}.items():
        labels = {f"{split}/{name}.jpg": "ab".index(name[0]) for name in names}
        write_images(base / "OpenImages", labels)
        located = []
        for stem in [] if split == "train" else [name[:-4] for name in labels]:
            Image.new("L", (40, 30)).save(base / "OpenImages" / f"{stem}_ignore.png")
            for k, ignore in enumerate((f"{stem}_ignore.png", "")):
                Image.new("L", (20, 15), 255).save(base / "OpenImages" / f"{stem}_m{k}.png")
                located.append(f"{stem}.jpg,{stem}_m{k}.png,{ignore}")
        folder = base / "metadata" / "OpenImages" / split
        write_lists(folder, labels, located)
        (folder / "image_sizes.txt").write_text("")
    return base


def prepared(found: WsolDataset, tmp_path: Path, name: str = "test") -> Split:
    write_index(tmp_path / "index", found.contents(tmp_path), found.image_root(tmp_path))
    return read_split(tmp_path / "index", name)  # type: ignore[arg-type]


def test_splits_labels_masks_and_sizes(made_up: Path, tmp_path: Path) -> None:
    test = prepared(dataset(made_up), tmp_path)
    assert [(item.id, item.label, item.width, item.height) for item in test.items] == [
        ("test/a/4.jpg", 0, 40, 30), ("test/b/5.jpg", 1, 40, 30),
    ]  # fmt: skip
    truth = test.truth("test/b/5.jpg")
    assert [mask.all() for mask in truth.object_masks()] == [True, True]
    assert truth.object_masks()[0].shape == (15, 20)
    assert truth.ignored().shape == (30, 40)
    assert not truth.ignored().any()
    assert truth.boxes.shape == (0, 4)
    assert list(test.class_names) == ["a", "b"]
    assert [len(read_split(tmp_path / "index", name)) for name in ("train", "val")] == [2, 1]


def test_evaluation_only(made_up: Path, tmp_path: Path) -> None:
    prepared(dataset(made_up, train="none", val="none"), tmp_path)
    assert [len(read_split(tmp_path / "index", name)) for name in ("train", "val", "test")] == [0, 0, 2]


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("localization.txt", "test/a/4.jpg,test/a/4_m0.png", r"no mask for 1 image:\n.*test/b/5\.jpg"),
        ("localization.txt", "test/a/9.jpg,test/a/4_m0.png", r"localization\.txt:1: image 'test/a/9\.jpg' is not in"),
        ("localization.txt", "test/a/4.jpg", r"localization\.txt:1: expected id,x0,y0,x1,y1 or id,mask,ignore"),
        ("class_labels.txt", "test/a/4.jpg,0\ntest/a/4.jpg,1", r"class_labels\.txt:2: image .* has a line already"),
        ("class_labels.txt", "test/a/4.jpg,0\ntest/b/5.jpg,0", r"label 0 belongs to folder a, not b"),
        ("image_ids.txt", "test/a/4.jpg\ntest/a/4.jpg", r"image_ids\.txt: image 'test/a/4\.jpg' occurs twice"),
    ],
)
def test_a_wrong_list_is_named(made_up: Path, tmp_path: Path, file: str, line: str, message: str) -> None:
    (made_up / "metadata" / "OpenImages" / "test" / file).write_text(line)
    with pytest.raises(DataError, match=message):
        dataset(made_up).contents(tmp_path)


def test_what_is_missing_is_said_with_what_to_do(made_up: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not configured.*datasets\.openimages30k\.root"):
        dataset(None).contents(tmp_path)
    with pytest.raises(DataError, match="does not hold a directory OpenImages"):
        dataset(tmp_path).contents(tmp_path)
    (made_up / "OpenImages" / "test" / "b" / "5_ignore.png").unlink()
    with pytest.raises(DataError, match=r"1 of 3 masks cannot be used:\n.*5_ignore\.png is missing"):
        dataset(made_up).contents(tmp_path)


def test_real_images(test_data: Path, tmp_path: Path) -> None:
    found = dataset(test_data / "data" / "openimages-mini", train="none", val="none")
    test = prepared(found, tmp_path)
    root, lists = found.image_root(tmp_path), test_data / "data/openimages-mini/metadata/OpenImages/test"
    assert len(test.class_names) == 3
    for item in test.items:
        truth = test.truth(item.id)
        found = read_metadata(lists)[item.id]
        for mask, name in zip(truth.object_masks(), found.masks, strict=True):
            assert mask.any()
            assert np.array_equal(mask, read_mask(root / name))
        assert truth.ignored() is None or np.array_equal(truth.ignored(), read_mask(root / found.ignore))
