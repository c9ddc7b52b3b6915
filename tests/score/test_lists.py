"""Truth as lists: what no image can have is refused, and what may be meant otherwise is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsolbench import split_of_metadata
from wsolbench.data.dataset import Split
from wsolbench.errors import DataError
from wsolbench.tools.score import Folder, Truths, run_score


def listed(folder: Path, names: list[str], located: list[str], size: str = "448,224") -> Split:
    lists = {
        "image_ids": names,
        "class_labels": [f"{name},{k}" for k, name in enumerate(names)],
        "image_sizes": [f"{name},{size}" for name in names],
        "localization": [f"{name},{line}" for name, line in zip(names, located, strict=True)],
    }
    (folder / "lists").mkdir(exist_ok=True)
    for file, lines in lists.items():
        (folder / "lists" / f"{file}.txt").write_text("\n".join(lines))
    return split_of_metadata(folder / "lists", "test", folder)


def test_an_image_of_a_list_without_box_and_mask_is_named(tmp_path: Path) -> None:
    listed(tmp_path, ["x.jpg"], ["0,0,9,9"])
    (tmp_path / "lists" / "localization.txt").write_text("")
    with pytest.raises(DataError, match=r"image 'x\.jpg' has neither box nor mask"):
        split_of_metadata(tmp_path / "lists", "test")


@pytest.mark.parametrize(
    ("size", "located", "message"),
    [
        ("120,80", ["40,20,30,40", "40,20,50,40", "40,20,20,40"], r"2 of 3 boxes .*\(x,y,w,h\?\)"),
        ("120,80", ["10,30,60,100", "10,30,60,70", "10,30,60,110"], r"2 of 3 boxes .*\(h,w\?\)"),
        ("120,80", ["40,20,90,60", "40,20,90,60", "90,60,40,20"], r"1 of 3 .*\(are corners swapped\?\).*'2\.jpg'"),
        ("120,80", ["0.1,0.1,0.7,0.6"] * 3, r"3 of 3 boxes lie within the first pixel: relative\?"),
        ("120,80", ["40,20,90,60", "40,20,1e30,60", "40,20,90,60"], r"1 of 3 .*'1\.jpg' \[40\.0, 20\.0, 1e\+30"),
        ("120,80", ["40,20,90,60", "40,20,40,60", "40,20,90,60"], r"1 of 3 .*'1\.jpg' \[40\.0, 20\.0, 40\.0"),
        ("120,80", ["40,20,90,60", "130,20,140,60", "40,20,90,60"], r"1 of 3 .*'1\.jpg' \[130\.0"),
        ("0,0", ["40,20,90,60"] * 3, r"image_sizes\.txt:1: image '0\.jpg' has 0"),
        ("9999999,80", ["40,20,90,60"] * 3, r"image_sizes\.txt:1: image '0\.jpg' has 9999999"),
    ],
)
def test_lists_that_no_image_can_have_are_refused(tmp_path: Path, size: str, located: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        listed(tmp_path, ["0.jpg", "1.jpg", "2.jpg"], located, size)


def test_a_box_that_reaches_a_pixel_beyond_its_image_is_clipped_for_pixel(tmp_path: Path) -> None:
    truth = listed(tmp_path, ["0.jpg"], ["40,20,121,60"], "120,80").truth("0.jpg")
    assert (truth.boxes.tolist(), truth.choe2020_boxes.tolist()) == ([[40, 20, 120, 60]], [[40, 20, 121, 60]])


def relabelled(folder: Path, *labels: int) -> Split:
    listed(folder, [f"{k}.jpg" for k in range(len(labels))], ["0,0,9,9"] * len(labels))
    (folder / "lists" / "class_labels.txt").write_text("".join(f"{k}.jpg,{each}\n" for k, each in enumerate(labels)))
    return split_of_metadata(folder / "lists", "test", folder)


def test_labels_that_seem_to_count_from_1_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert relabelled(tmp_path, 1, 2, 3).num_classes == 4
    assert "no image has class 0, and every other one up to 3 occurs: are labels counted from 1?" in caplog.text
    caplog.clear()
    relabelled(tmp_path, 0, 2, 1)
    relabelled(tmp_path, 1, 3)
    assert caplog.text == ""
    (tmp_path / "lists" / "class_names.txt").write_text("auk\nowl\nwren\n")
    assert list(relabelled(tmp_path, 0, 1, 0).class_names) == ["auk", "owl", "wren"]
    with pytest.raises(DataError, match=r"class_names\.txt names 3 classes, but label 3 occurs; counted from 1\?"):
        relabelled(tmp_path, 1, 2, 3)


def test_a_label_of_a_billion_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"class_labels\.txt:2: image '1\.jpg' has 1000000000, .* at most 99999"):
        relabelled(tmp_path, 0, 10**9)


@pytest.mark.parametrize(("named", "near"), [("", "ILSVRC/test"), ("ILSVRC", "ILSVRC/test"), ("ILSVRC/none", "")])
def test_a_directory_above_the_lists_is_answered_with_theirs(tmp_path: Path, named: str, near: str) -> None:
    for split in ("test", "train", "val"):
        (tmp_path / "ILSVRC" / split).mkdir(parents=True)
        (tmp_path / "ILSVRC" / split / "image_ids.txt").touch()
    (tmp_path / "ILSVRC" / "none").mkdir()
    expected = rf"did you mean {tmp_path / near}\?$" if near else "name the directory of a split's lists"
    with pytest.raises(DataError, match=expected):
        split_of_metadata(tmp_path / named, "test")


def test_masks_of_lists_are_opened_before_anything_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("1", (30, 20), 1).save(tmp_path / "x.png")
    listed(tmp_path, ["x.jpg"], ["x.png"], "30,20")
    truths = Truths(None, tmp_path / "lists", tmp_path, None)
    Image.fromarray(np.eye(30, 20, dtype=np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"1 image has masks of another aspect.*'x\.jpg' 30x20, mask 20x30"):
        run_score(None, truths, "test", [Folder("a", tmp_path / "maps")], tmp_path / "out", 1)
