"""COCO annotations of own images: boxes, masks, classes, splits, and what is refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.datasets.roots import write_images
from wsolbench.acquire.annotated import split_in
from wsolbench.acquire.policy import Policy
from wsolbench.config.settings import validated_arguments
from wsolbench.data.dataset import Contents
from wsolbench.data.index import read_split, write_index
from wsolbench.data.masks import decode
from wsolbench.datasets.coco_folder import CocoFolder
from wsolbench.errors import DataError, SettingsError

WIDTH, HEIGHT = 40, 30
CLASSES = {1: "wren", 5: "auk"}
SQUARE = [[10, 5, 20, 5, 20, 15, 10, 15]]


def thing(image: int, category: int, bbox: list[float] | None = None, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": bbox or [10, 5, 10, 10]} | more


def write_coco(
    root: Path, *annotations: dict[str, Any], file: str = "annotations.json", names: int = 3, folder: str = "images"
) -> Path:
    """Write images 0.png, 1.png, ... of a folder and the annotations of them."""
    pictures = [f"{number}.png" for number in range(names)]
    write_images(root / folder, pictures)
    images = [{"id": at, "file_name": name, "width": WIDTH, "height": HEIGHT} for at, name in enumerate(pictures)]
    categories = [{"id": number, "name": name} for number, name in CLASSES.items()]
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / file).write_text(json.dumps(content))
    return root


def read(dataset: CocoFolder) -> Contents:
    return dataset.contents(Path("unused"))


def examine(root: Path, **arguments: Any) -> Contents:
    """Read a set of COCO's all of whose images are test images."""
    return read(CocoFolder(str(root), test_share=1, val_share=0, **arguments))


def test_a_box_of_x_y_width_height_is_half_open_and_labels_follow_the_names(tmp_path: Path) -> None:
    contents = examine(write_coco(tmp_path, thing(0, 1, [2.5, 3, 10, 20]), thing(1, 5), thing(2, 1)))
    assert list(contents.class_names) == ["auk", "wren"]
    assert [(item.id, item.label) for item in contents.items] == [
        ("images/0.png", 1),
        ("images/1.png", 0),
        ("images/2.png", 1),
    ]
    assert contents.truth["images/0.png"].boxes.tolist() == [[2.5, 3, 12.5, 23]]


@pytest.mark.parametrize(
    ("bbox", "corners"), [([20, 15, 35, 28], True), ([20, 15, 15, 13], None), ([20, 15, 41, 13], False)]
)
def test_boxes_written_as_two_corners_are_told_from_others_that_reach_beyond(
    tmp_path: Path, bbox: list[float], corners: bool | None
) -> None:
    write_coco(tmp_path, *(thing(at, 1, bbox) for at in range(11)), names=11)
    if corners is None:
        assert len(examine(tmp_path).items) == 11
        return
    with pytest.raises(DataError, match="11 of 11 boxes") as raised:
        examine(tmp_path)
    assert ("x0, y0, x1, y1 instead of x, y, width, height?" in str(raised.value)) == corners


def test_polygons_and_both_kinds_of_run_lengths_are_the_same_square(tmp_path: Path) -> None:
    square = np.zeros((HEIGHT, WIDTH), bool)
    square[5:15, 10:20] = True
    runs = [10 * HEIGHT + 5, 10, *[20, 10] * 9, 15 + 20 * HEIGHT]
    assert sum(runs) == WIDTH * HEIGHT
    plain = {"size": [HEIGHT, WIDTH], "counts": runs}
    compressed = {"size": [HEIGHT, WIDTH], "counts": "a9:d0" + "0" * 17 + "cb0"}
    write_coco(
        tmp_path,
        thing(0, 1, segmentation=SQUARE),
        thing(1, 1, segmentation=plain),
        thing(2, 1, segmentation=compressed),
    )
    contents = examine(tmp_path)
    write_index(tmp_path / "index", contents, tmp_path)
    test = read_split(tmp_path / "index", "test")
    for item in test.items:
        assert np.array_equal(decode(*test.truth(item.id).masks), square), item.id
    around = Policy(boxes="masks").applied(contents)
    assert all(each.boxes.tolist() == [[10, 5, 20, 15]] for each in around.truth.values())


def test_parts_of_an_object_are_united_and_groups_of_its_class_count_for_neither_side(tmp_path: Path) -> None:
    parts = [SQUARE[0], [30, 20, 35, 20, 35, 25, 30, 25]]
    runs = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT, HEIGHT * (WIDTH - 1)]}
    group, other = thing(0, 1, segmentation=runs, iscrowd=1), thing(0, 5, segmentation=SQUARE, iscrowd=1)
    write_coco(tmp_path, thing(0, 1, segmentation=parts), group, other, names=1)
    truth = examine(tmp_path).truth["images/0.png"]
    mask, ignored = decode(*truth.masks), truth.ignored()
    assert mask.sum() == 125
    assert mask[20:25, 30:35].all()
    assert ignored is not None
    assert ignored[:, 0].all()
    assert ignored.sum() == HEIGHT
    assert len(truth.boxes) == 1


def test_an_object_without_a_box_has_that_around_its_segmentation(tmp_path: Path) -> None:
    runs = {"size": [HEIGHT, WIDTH], "counts": [10 * HEIGHT + 5, 10, *[20, 10] * 9, 15 + 20 * HEIGHT]}
    bare = [{**thing(at, 1, segmentation=each), "bbox": None} for at, each in enumerate((SQUARE, runs))]
    truth = examine(write_coco(tmp_path, *bare, names=2)).truth
    assert [each.boxes.tolist() for each in truth.values()] == [[[10, 5, 20, 15]]] * 2


def test_images_of_several_classes_are_left_out_or_have_that_of_the_largest_box(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small, large = [1, 1, 5, 5], [3, 3, 20, 20]
    write_coco(tmp_path, thing(0, 1, small), thing(0, 5, large), thing(0, 5, small), thing(1, 1))
    assert [item.id for item in examine(tmp_path).items] == ["images/1.png"]
    assert [record.getMessage().partition(" and are")[0] for record in caplog.records] == [
        "1 of 3 images have no object",
        "1 of 3 images have objects of several classes (datasets.coco_folder.label: largest would take them)",
    ]
    contents = examine(tmp_path, label="largest")
    assert [(item.id, contents.class_names[item.label]) for item in contents.items] == [
        ("images/0.png", "auk"),
        ("images/1.png", "wren"),
    ]
    assert contents.truth["images/0.png"].boxes.tolist() == [[3, 3, 23, 23], [1, 1, 6, 6]]


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("annotations/instances_train2017.json", "train"),
        ("valid/_annotations.coco.json", "val"),
        ("Test/a.xml", "test"),
        ("constraints/latest.json", None),
        ("train/test.json", None),
        ("validation.json", "val"),
    ],
)
def test_words_of_a_path_say_the_split(path: str, split: str | None) -> None:
    assert split_in(path) == split


def test_a_file_for_each_split_is_found_with_its_images(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        write_coco(tmp_path, *(thing(at, 1) for at in range(3)), file=f"{split}/_annotations.coco.json", folder=split)
    items = read(CocoFolder(str(tmp_path))).items
    assert {item.id.split("/")[0]: item.split for item in items} == {"train": "train", "valid": "val", "test": "test"}
    assert len(items) == 9


def test_in_cocos_own_layout_instances_count_and_val_is_dealt_to_val_and_test(tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        file = f"annotations/instances_{split}.json"
        write_coco(tmp_path, *(thing(at, 1) for at in range(6)), file=file, folder=split, names=6)
    (tmp_path / "annotations" / "captions_train2017.json").write_text("{}")
    items = read(CocoFolder(str(tmp_path))).items
    assert {item.id[:5] for item in items if item.split == "train"} == {"train"}
    assert {item.split for item in items if item.id.startswith("val")} == {"val", "test"}
    assert CocoFolder.recognises(tmp_path)
    assert len(CocoFolder(str(tmp_path)).watched_truth()) == 2


def test_files_may_be_named_where_more_than_one_may_be_meant(tmp_path: Path) -> None:
    for file in ("old.json", "new.json"):
        write_coco(tmp_path, thing(0, 1), file=file)
    with pytest.raises(DataError, match=r"new\.json, old\.json.*datasets\.coco_folder\.annotations"):
        examine(tmp_path)
    assert len(examine(tmp_path, annotations="old.json").items) == 1
    found = validated_arguments(CocoFolder, {"annotations": {"test": "old.json"}}, "datasets.coco_folder")
    assert [item.split for item in read(CocoFolder(str(tmp_path), **found)).items] == ["test"]
    with pytest.raises(SettingsError, match=r"datasets\.coco_folder\.annotations"):
        validated_arguments(CocoFolder, {"annotations": {"exam": "old.json"}}, "datasets.coco_folder")


def spoilt(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Return what changes the first image or annotation: ``images__width=3``."""

    def spoil(content: dict[str, Any]) -> None:
        for name, value in changes.items():
            group, _, key = name.partition("__")
            if key:
                content[group][0][key] = value
            else:
                content[group] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (spoilt(images__width=10**9), r"images\.0\.width"),
        (spoilt(images__width=HEIGHT, images__height=WIDTH), r"0\.png: 40x30 pixels, not 30x40"),
        (spoilt(images__file_name="../../etc/passwd"), r"'\.\./\.\./etc/passwd'"),
        (spoilt(images__file_name="/etc/passwd"), r"'/etc/passwd'"),
        (spoilt(images__file_name="a\\b.png"), r"a\\b"),
        (spoilt(images__file_name="none.png"), r"none\.png.*datasets\.coco_folder\.images"),
        (spoilt(images__id=1), "same id"),
        (spoilt(images={}), "images"),
        (spoilt(categories=[]), r"annotations\.0.*no category 1"),
        (spoilt(annotations__image_id=99), r"annotations\.0.*no image 99"),
        (spoilt(annotations__bbox=[1, 2, 3]), r"'0\.png'.*bbox"),
        (spoilt(annotations__bbox=["a", 2, 3, 4]), r"annotations\.0\.bbox\.0"),
        (spoilt(annotations__bbox=[1, 2, float("nan"), 4]), r"bbox\.2"),
        (spoilt(annotations__bbox=[1, 2, 1e300, 4]), r"bbox\.2"),
        (spoilt(annotations__bbox=[35, 25, 0, 4]), r"annotations\.json.*images/0\.png"),
        (spoilt(annotations__bbox=[50, 2, 3, 4]), r"annotations\.json.*images/0\.png"),
        (spoilt(annotations__bbox=[]), r"'0\.png'.*neither bbox nor segmentation"),
        (spoilt(annotations__segmentation=[[1, 2, 3]]), r"'0\.png'.*polygon of 3"),
        (spoilt(annotations__segmentation={"size": [30, 40], "counts": [5]}), r"'0\.png'.*30x40"),
        (spoilt(annotations__segmentation={"size": [3, 4], "counts": [12]}), r"images/0\.png.* 4x3 pixels"),
        (spoilt(annotations__segmentation={"size": [10**9, 10**9], "counts": [10**18]}), r"segmentation"),
        (spoilt(annotations__segmentation={"size": [30, 40], "counts": "~~"}), r"'0\.png'"),
        (spoilt(annotations__segmentation="x"), r"annotations\.0\.segmentation"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, spoil: Callable[[dict[str, Any]], None], named: str) -> None:
    write_coco(tmp_path, *(thing(at, 1) for at in range(3)))
    content = json.loads((tmp_path / "annotations.json").read_text())
    spoil(content)
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"(?s)annotations|{tmp_path}") as caught:
        examine(tmp_path)
    assert caught.match(f"(?s){named}")


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"images": 1e999}', "\x00"])
def test_files_that_are_none_of_cocos_are_refused(tmp_path: Path, text: str) -> None:
    write_coco(tmp_path, thing(0, 1))
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(DataError, match=r"annotations\.json"):
        examine(tmp_path)


def test_where_nothing_can_be_used_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with pytest.raises(DataError, match="none of 3 annotated images"):
        examine(write_coco(tmp_path / "coco"))
    assert "3 of 3 images have no object" in caplog.text
    with pytest.raises(DataError, match="holds no file of annotations"):
        examine(tmp_path / "coco" / "images")
