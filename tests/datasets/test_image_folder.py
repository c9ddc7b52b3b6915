"""Somebody's own images with Choe et al.'s metadata files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsolbench.data.index import read_split, write_index
from wsolbench.dataset import Contents
from wsolbench.datasets.image_folder import ROOT_VARIABLE, ImageFolder
from wsolbench.errors import DataError

IMAGES = {"train": ["cat/1.png", "dog/2.png"], "val": ["dog/3.png"], "test": ["cat/4.png", "dog/5.png"]}
LABELS = {"cat": 0, "dog": 1}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    base = tmp_path / "own"
    for split, names in IMAGES.items():
        metadata = base / "metadata" / split
        metadata.mkdir(parents=True)
        (metadata / "image_ids.txt").write_text("".join(f"{name}\n" for name in names))
        (metadata / "class_labels.txt").write_text("".join(f"{name},{LABELS[name[:3]]}\n" for name in names))
        for name in names:
            (base / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((30, 40, 3), int(name[4]), np.uint8)).save(base / "images" / name)
        if split != "train":
            (metadata / "image_sizes.txt").write_text("".join(f"{name},40,30\n" for name in names))
            (metadata / "localization.txt").write_text("".join(f"{name},0,0,9,9\n{name},1,2,30,20\n" for name in names))
    return base


def read(root: Path) -> Contents:
    return ImageFolder(root=str(root)).contents(root)


def test_splits_labels_and_boxes_are_those_of_the_lists(root: Path) -> None:
    contents = read(root)
    assert {split: [item.id for item in contents.items if item.split == split] for split in IMAGES} == IMAGES
    assert [item.label for item in contents.items] == [0, 1, 1, 0, 1]
    assert {(item.width, item.height) for item in contents.items} == {(40, 30)}
    assert contents.truth.keys() == {*IMAGES["val"], *IMAGES["test"]}
    assert contents.truth["cat/4.png"].boxes.tolist() == [[0, 0, 9, 9], [1, 2, 30, 20]]


def test_classes_are_named_by_their_list_or_their_number(root: Path) -> None:
    assert list(read(root).class_names) == ["0", "1"]
    (root / "class_names.txt").write_text("cat\ndog\n")
    assert list(read(root).class_names) == ["cat", "dog"]
    (root / "class_names.txt").write_text("cat\n")
    with pytest.raises(DataError, match=r"class_names\.txt names 1 classes, but label 1 occurs"):
        read(root)


def test_a_set_with_test_images_only_can_be_indexed(root: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        (root / "metadata" / split).rename(root / split)
    write_index(tmp_path / "index", read(root), root / "images")
    assert [len(read_split(tmp_path / "index", split)) for split in ("train", "val", "test")] == [0, 0, 2]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("train/class_labels.txt", "cat/1.png,0\n", r"(?s)1 images of image_ids.txt have no label.*dog/2\.png"),
        ("train/class_labels.txt", "cat/1.png,-1\n", r"class_labels.txt:1: expected an image id and a class from 0"),
        (
            "test/image_sizes.txt",
            "cat/4.png,40,30\ndog/5.png,80,30\n",
            r"(?s)1 of 2 .*dog/5.png: 40x30 pixels, not 80x30",
        ),
        ("test/image_ids.txt", "cat/4.png\ndog/9.png\n", r"dog/5\.png|dog/9\.png"),
        ("val/image_ids.txt", "dog/2.png\n", r"dog/[23]\.png"),
    ],
)
def test_lists_that_do_not_fit_are_refused_by_name(root: Path, file: str, text: str, message: str) -> None:
    (root / "metadata" / file).write_text(text)
    with pytest.raises(DataError, match=message):
        read(root)


def test_an_image_without_a_box_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "metadata" / "test" / "localization.txt").write_text("cat/4.png,0,0,9,9\n")
    with pytest.raises(DataError, match=r"'dog/5\.png' of split 'test' has neither box nor mask"):
        write_index(tmp_path / "index", read(root), root / "images")


def test_a_root_that_is_missing_or_wrong_is_answered_with_the_layout(root: Path) -> None:
    with pytest.raises(DataError, match=f"(?s)not configured.*image_ids.txt.*{ROOT_VARIABLE}"):
        ImageFolder().contents(root)
    with pytest.raises(DataError, match="does not hold a directory images"):
        ImageFolder(root=str(root / "metadata")).contents(root)


def test_real_images_and_lists_are_read_as_they_are(root: Path, test_data: Path, tmp_path: Path) -> None:
    mini = test_data / "data" / "ilsvrc-mini"
    (tmp_path / "real" / "metadata").mkdir(parents=True)
    (tmp_path / "real" / "images").symlink_to(mini / "ILSVRC" / "Data" / "CLS-LOC")
    (tmp_path / "real" / "metadata" / "test").symlink_to(mini / "metadata" / "ILSVRC" / "test")
    contents = read(tmp_path / "real")
    assert len(contents.items) == 1300
    assert sum(len(truth.boxes) for truth in contents.truth.values()) == 1943
    lines = (mini / "metadata" / "ILSVRC" / "test" / "localization.txt").read_text().split()
    boxes = [[name, *box] for name, truth in contents.truth.items() for box in truth.boxes.astype(int).tolist()]
    assert sorted(",".join(map(str, box)) for box in boxes) == sorted(lines)


def test_masks_need_no_sizes_and_no_ignore_files(root: Path) -> None:
    metadata = root / "metadata" / "test"
    (metadata / "image_sizes.txt").unlink()
    names = IMAGES["test"]
    for name in names:
        Image.new("L", (40, 30), 255).save(root / "images" / f"{name}.mask.png")
    (metadata / "localization.txt").write_text("".join(f"{name},{name}.mask.png\n" for name in names))
    truth = read(root).truth["dog/5.png"]
    assert (truth.masks, truth.ignore, len(truth.boxes)) == (("dog/5.png.mask.png",), None, 0)
    (root / "images" / "dog/5.png.mask.png").unlink()
    with pytest.raises(DataError, match=r"1 masks of localization\.txt are missing:\n.*dog/5\.png\.mask\.png"):
        read(root)
