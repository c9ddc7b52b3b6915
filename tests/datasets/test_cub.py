"""Caltech-UCSD Birds: reading the official directory, choosing ``val``, and refusing what is damaged."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.conftest import edit_line
from tests.datasets.roots import boxes, write_images, write_lists
from wsolbench.acquire.choe_metadata import read_metadata
from wsolbench.data.dataset import Contents
from wsolbench.data.index import read_split, write_index
from wsolbench.data.masks import decode
from wsolbench.data.roots import root_variable
from wsolbench.datasets.cub import Cub
from wsolbench.errors import DataError, SettingsError

EVERY_FILE = ("bounding_boxes.txt", "classes.txt", "image_class_labels.txt", "images.txt", "train_test_split.txt")


def read(root: Path, **arguments: object) -> Contents:
    return Cub(root=str(root), **{"holdout_per_class": 1, **arguments}).contents(root / "unused")


def splits(contents: Contents) -> Counter[str]:
    return Counter(item.split for item in contents.items)


def test_images_have_their_official_label_size_and_half_open_box(cub_root: Path) -> None:
    contents = read(cub_root)
    last = contents.items[-1]
    assert (last.id, last.label, last.width, last.height) == ("002.Wren/Wren_5.jpg", 1, 40, 30)
    assert contents.truth[last.id].boxes.tolist() == [[11.0, 2.5, 31.0, 12.5]]
    assert list(contents.class_names) == ["001.Auk", "002.Wren"]


def test_holdout_takes_the_training_images_of_lowest_digest_of_each_class(cub_root: Path) -> None:
    contents = read(cub_root, holdout_per_class=2)
    assert splits(contents) == {"train": 4, "val": 4, "test": 4}
    for label in (0, 1):
        trainable = [item for item in contents.items if item.label == label and item.split != "test"]
        trainable.sort(key=lambda item: hashlib.sha256(item.id.encode()).digest())
        assert [item.split for item in trainable] == ["val", "val", "train", "train"]


def test_without_val_all_training_images_are_trained_on(cub_root: Path, tmp_path: Path) -> None:
    contents = read(cub_root, val="none")
    assert splits(contents) == {"train": 8, "test": 4}
    write_index(tmp_path, contents, Cub(root=str(cub_root)).image_root(tmp_path))
    assert len(read_split(tmp_path, "val")) == 0


def test_the_environment_variable_counts_where_no_root_is_stated(
    cub_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(root_variable("cub"), str(cub_root))
    assert Cub().image_root(Path("unused")) == cub_root / "CUB_200_2011" / "images"
    with pytest.raises(DataError, match=r"/nowhere, the root of data set cub, is not a directory"):
        Cub(root="/nowhere").image_root(Path("unused"))


def test_an_unset_root_explains_what_to_download_and_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(root_variable("cub"), raising=False)
    with pytest.raises(DataError, match=r"not configured.*datasets\.cub\.root.*WSOLBENCH_CUB_ROOT.*CUB_200_2011\.tgz"):
        Cub().contents(Path("unused"))


def test_naming_the_directory_itself_is_answered_with_its_parent(cub_root: Path) -> None:
    with pytest.raises(DataError, match="name its parent"):
        read(cub_root / "CUB_200_2011")


def test_a_holdout_that_leaves_a_class_without_training_images_is_refused(cub_root: Path) -> None:
    with pytest.raises(DataError, match=r"'001\.Auk' has 4 training images"):
        read(cub_root, holdout_per_class=4)


@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_missing_file_is_named(cub_root: Path, name: str) -> None:
    (cub_root / "CUB_200_2011" / name).unlink()
    with pytest.raises(DataError, match=f"{name} is missing"):
        read(cub_root)


@pytest.mark.parametrize(
    ("name", "line", "text", "message"),
    [
        ("image_class_labels.txt", 7, None, r"has 11 lines, images\.txt has 12: id 7 \(.*images\.txt:7\) is missing"),
        ("image_class_labels.txt", 3, "3 9", r"labels\.txt:3: '9' is not a class id"),
        ("train_test_split.txt", 4, "4 2", r"split\.txt:4: '2' is not 0 or 1"),
        ("train_test_split.txt", 4, "99 1", r"split\.txt:4: id 99 is not in images\.txt"),
        ("bounding_boxes.txt", 5, "5 1 2 3", r"boxes\.txt:5: expected an id and 4 value"),
        ("bounding_boxes.txt", 5, "5 1 2 3 x", r"boxes\.txt:5: .* must be numbers, found '1 2 3 x'"),
        ("bounding_boxes.txt", 12, "12 40 2 20 10", r"boxes\.txt:12: box .* of image '002\.Wren/Wren_5\.jpg' is empty"),
        ("bounding_boxes.txt", 12, "12 -8 2 8 10", r"boxes\.txt:12: box .* lies outside its 40x30 pixels"),
        ("bounding_boxes.txt", 12, "12 5 5 0 10", r"boxes\.txt:12: box .* is empty"),
        ("bounding_boxes.txt", 12, "12 nan 5 5 10", r"boxes\.txt:12: .* must be numbers"),
        ("images.txt", 2, "1 001.Auk/Auk_1.jpg", r"images\.txt:2: id 1 occurs for the second time"),
    ],
)
def test_a_wrong_line_is_named(cub_root: Path, name: str, line: int, text: str | None, message: str) -> None:
    edit_line(cub_root / "CUB_200_2011" / name, line, text)
    with pytest.raises(DataError, match=message):
        read(cub_root)


def test_real_photographs_are_read_as_the_official_lists_say(test_data: Path) -> None:
    root = test_data / "data" / "cub20"
    held_out, whole = Cub(root=str(root)), Cub(root=str(root), val="none")
    contents = held_out.contents(Path("unused"))
    assert splits(contents) == {"train": 500, "val": 100, "test": 588}
    assert len(contents.class_names) == 20
    assert Counter(item.label for item in contents.items if item.split == "val") == dict.fromkeys(range(20), 5)
    assert splits(whole.contents(Path("unused"))) == {"train": 600, "test": 588}
    assert all(np.isfinite(truth.boxes).all() for truth in contents.truth.values())


@pytest.fixture
def cubv2(tmp_path: Path) -> dict[str, str]:
    """Return the settings of a CUBV2 of one image per class, elsewhere than the birds."""
    names = {"001.Auk/77.jpg": 0, "002.Wren/88.jpg": 1}
    write_images(tmp_path / "v2", names)
    write_lists(tmp_path / "lists" / "val", names, boxes(names))
    return {"val": "cubv2", "cubv2": str(tmp_path / "v2"), "metadata": str(tmp_path / "lists")}


def test_cubv2_is_val_and_all_training_images_are_trained_on(
    cub_root: Path, cubv2: dict[str, str], tmp_path: Path
) -> None:
    contents = read(cub_root, **cubv2)
    assert splits(contents) == {"train": 8, "val": 2, "test": 4}
    wren = next(item for item in contents.items if item.id == "002.Wren/88.jpg")
    assert (wren.label, wren.width, wren.height, wren.split) == (1, 40, 30, "val")
    assert contents.truth[wren.id].boxes.tolist() == [[1, 2, 30, 29]]
    root = Cub(root=str(cub_root)).image_root(tmp_path)
    assert (root / wren.path).samefile(tmp_path / "v2" / wren.id)


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("class_labels.txt", ("1", "1"), r"label 1 of '001\.Auk/77\.jpg' is not"),
        ("class_labels.txt", ("0", "2"), r"label 2 of '002\.Wren/88\.jpg' is not"),
        ("image_sizes.txt", ("40,30", "40,20"), r"(?s)_sizes\.txt: 1 of 2 .*88\.jpg: 40x30 pixels, not 40x20"),
    ],
)
def test_cubv2_that_does_not_fit_its_lists_is_refused(
    cub_root: Path, cubv2: dict[str, str], file: str, values: tuple[str, str], message: str
) -> None:
    text = f"001.Auk/77.jpg,{values[0]}\n002.Wren/88.jpg,{values[1]}"
    (Path(cubv2["metadata"]) / "val" / file).write_text(text)
    with pytest.raises(DataError, match=message):
        read(cub_root, **cubv2)


def test_cubv2_lies_below_the_root_unless_its_directories_are_named(cub_root: Path, cubv2: dict[str, str]) -> None:
    with pytest.raises(DataError, match=r"unpack CUBV2\.tar"):
        read(cub_root, **{**cubv2, "cubv2": cubv2["cubv2"] + "-missing"})
    elsewhere = read(cub_root, **cubv2)
    Path(cubv2["cubv2"]).rename(cub_root / "CUBV2")
    (cub_root / "metadata").mkdir()
    Path(cubv2["metadata"]).rename(cub_root / "metadata" / "CUB")
    below = read(cub_root, val="cubv2")
    assert [(item.id, item.sha256) for item in below.items] == [(item.id, item.sha256) for item in elsewhere.items]
    assert {item.path for item in below.items if item.split == "val"} == {
        "../../CUBV2/001.Auk/77.jpg",
        "../../CUBV2/002.Wren/88.jpg",
    }


def test_segmentations_are_what_most_annotators_marked(cub_root: Path, tmp_path: Path) -> None:
    greys = np.array([[0, 51, 102, 127], [128, 153, 204, 255]], np.uint8)
    for path in (cub_root / "CUB_200_2011" / "images").rglob("*.jpg"):
        mask = cub_root / "segmentations" / path.parent.name / f"{path.stem}.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(greys).save(mask)
    found = Cub(root=str(cub_root), val="none", segmentations=True)
    write_index(tmp_path / "index", found.contents(tmp_path), found.image_root(tmp_path))
    test = read_split(tmp_path / "index", "test")
    mask = decode(*test.truth(test.items[0].id).masks)
    assert mask.tolist() == [[False] * 4, [True] * 4]
    assert len(test.truth(test.items[0].id).boxes) == 1
    (cub_root / "segmentations" / "001.Auk" / f"{Path(test.items[0].path).stem}.png").unlink()
    with pytest.raises(DataError, match=r"1 of 4 masks cannot be used"):
        found.contents(tmp_path)
    with pytest.raises(SettingsError, match="CUBV2 has no masks"):
        Cub(root=str(cub_root), segmentations=True, val="cubv2")


def test_full_size_lists_of_cubv2_have_a_thousand_images_five_of_nearly_every_class(test_data: Path) -> None:
    entries = read_metadata(test_data / "data" / "split_files" / "metadata" / "CUB" / "val").values()
    per_class = Counter(entry.label for entry in entries)
    assert (len(entries), set(per_class)) == (1000, set(range(200)))
    assert Counter(per_class.values()) == {5: 197, 6: 2, 3: 1}  # the paper says 5; these are the published files
    assert {len(entry.boxes) for entry in entries} == {1}
    assert all(int(entry.id[:3]) == entry.label + 1 for entry in entries)
