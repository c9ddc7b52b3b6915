"""PASCAL VOC annotations of own images: boxes, masks, splits, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.datasets.roots import write_images
from wsolbench.data.dataset import Contents
from wsolbench.datasets.coco_folder import CocoFolder
from wsolbench.datasets.voc_folder import VocFolder
from wsolbench.errors import DataError

WIDTH, HEIGHT = 40, 30


def read(dataset: VocFolder) -> Contents:
    return dataset.contents(Path("unused"))


def voc(name: str, *boxes: str, size: str = "<width>40</width><height>30</height>") -> str:
    objects = "".join(
        f"<object><name>{kind}</name>{_corners(box)}</object>" for kind, _, box in (b.partition(" ") for b in boxes)
    )
    return f"<annotation><filename>{name}</filename><size>{size}</size>{objects}</annotation>"


def _corners(box: str) -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in zip(names, box.split(), strict=True))
    return f"<bndbox>{inner}</bndbox>"


def write_voc(root: Path, *boxes: str, names: int = 3, folder: str = "Annotations", images: str = "JPEGImages") -> Path:
    """Write images 0.png, ... and an annotation of each, all with the same objects."""
    write_images(root / images, [f"{number}.png" for number in range(names)])
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(names):
        (root / folder / f"{number}.xml").write_text(voc(f"{number}.png", *(boxes or ("wren 11 6 20 15",))))
    return root


def examine_voc(root: Path, **arguments: Any) -> Contents:
    return read(VocFolder(str(root), test_share=1, val_share=0, **arguments))


def test_corners_from_1_to_the_last_pixel_are_half_open_from_0(tmp_path: Path) -> None:
    contents = examine_voc(write_voc(tmp_path, "wren 1 1 40 30", "wren 11 6 20 15"))
    assert contents.truth["JPEGImages/0.png"].boxes.tolist() == [[0, 0, 40, 30], [10, 5, 20, 15]]
    assert VocFolder.recognises(tmp_path)
    assert not CocoFolder.recognises(tmp_path)


def test_coordinates_from_0_are_said_and_read_as_such(tmp_path: Path) -> None:
    write_voc(tmp_path, "wren 0 5 20 15")
    with pytest.raises(DataError, match=r"0\.xml: .*'wren'.*datasets\.voc_folder\.first_pixel"):
        examine_voc(tmp_path)
    truth = examine_voc(tmp_path, first_pixel=0).truth
    assert truth["JPEGImages/0.png"].boxes.tolist() == [[0, 5, 20, 15]]


@pytest.mark.parametrize("trained", ["train", "trainval"])
def test_lists_say_the_splits_and_what_they_do_not_name_is_left_out(
    tmp_path: Path, trained: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_voc(tmp_path, names=5)
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("1\n")
    (lists / "test.txt").write_text("2  1\n3 -1\n")
    (lists / f"{trained}.txt").write_text("0\n" + ("1\n" if trained == "trainval" else ""))
    items = read(VocFolder(str(tmp_path))).items
    assert {item.id[11]: item.split for item in items} == {"0": "train", "1": "val", "2": "test", "3": "test"}
    assert "1 of 5 images are in no list of a split and are left out: JPEGImages/4.png" in caplog.text
    (lists / "test.txt").write_text("1\n")
    with pytest.raises(DataError, match=r"'1' is in test\.txt and in val\.txt"):
        read(VocFolder(str(tmp_path)))
    (lists / "test.txt").write_text("77\n")
    with pytest.raises(DataError, match=r"names 1 image without annotations: 77"):
        read(VocFolder(str(tmp_path)))


def test_files_beside_their_images_are_found_and_their_folders_say_the_split(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        write_voc(tmp_path, folder=split, images=split, names=2)
    items = read(VocFolder(str(tmp_path))).items
    assert {item.id.split("/")[0]: item.split for item in items} == {"train": "train", "valid": "val", "test": "test"}
    assert VocFolder(str(tmp_path)).watched_truth() == [tmp_path]


def write_instances(root: Path, kind: str, levels: dict[int, tuple[int, int, int, int]], stem: str = "0") -> None:
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for level, (x0, y0, x1, y1) in levels.items():
        pixels[y0:y1, x0:x1] = level
    (root / kind).mkdir(exist_ok=True)
    image = Image.frombytes("P", (WIDTH, HEIGHT), pixels.tobytes())
    image.putpalette([0, 0, 0, 128, 0, 0] + [0] * 759 + [224, 224, 192])
    image.save(root / kind / f"{stem}.png")


def test_instances_are_those_of_the_boxes_they_fit_in_whatever_order(tmp_path: Path) -> None:
    write_voc(tmp_path, "wren 11 6 20 15", "auk 1 1 5 5", "wren 31 21 40 30", names=1)
    void = (22, 6, 24, 10)
    write_instances(
        tmp_path, "SegmentationObject", {1: (30, 20, 40, 30), 2: (0, 0, 5, 5), 7: (10, 5, 20, 15), 255: void}
    )
    truth = examine_voc(tmp_path, label="largest").truth["JPEGImages/0.png"]
    first, second = truth.object_masks()
    assert (first.sum(), second.sum()) == (100, 100)
    assert first[5:15, 10:20].all()
    assert second[20:30, 30:40].all()
    ignored = truth.ignored()
    assert ignored is not None
    assert ignored.sum() == 8


def test_masks_of_classes_serve_for_images_of_one_class(tmp_path: Path) -> None:
    write_voc(tmp_path, "wren 11 6 20 15", "wren 31 21 40 30", names=1)
    write_instances(tmp_path, "SegmentationClass", {9: (10, 5, 20, 15), 255: (0, 0, 2, 2)})
    truth = examine_voc(tmp_path).truth["JPEGImages/0.png"]
    assert [mask.sum() for mask in truth.object_masks()] == [100]
    write_voc(tmp_path, "wren 11 6 20 15", "auk 31 21 40 30", names=1)
    assert examine_voc(tmp_path, label="largest").truth["JPEGImages/0.png"].masks == ()


LAUGHS = (
    '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><annotation><object><name>&b;</name></object></annotation>'
)
OUTSIDE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;</annotation>'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (LAUGHS, "DOCTYPE"),
        (OUTSIDE, "DOCTYPE"),
        (LAUGHS.encode("utf-16"), "UTF-8"),
        ("<annotation>", r"0\.xml is damaged"),
        ("", r"0\.xml is damaged"),
        ("<?xml version='1.0' encoding='klingon'?><annotation/>", r"0\.xml is damaged"),
        ("<html/>", "<html>"),
        (voc("0.png", "wren 11 6 x 15"), "'wren'"),
        (voc("0.png", "wren 11 6 nan 15"), "'wren'"),
        (voc("0.png", " 11 6 20 15"), "no name"),
        (voc("0.png", "wren 11 6 11e9 15", size="<width>1e9</width><height>30</height>"), "not 1000000000x30"),
        (voc("0.png", "wren 20 6 11 15"), r"JPEGImages/0\.png"),
        (voc("0.png", "wren -5 6 11 15"), "'wren' begins at -5, before pixel 1;?"),
        (voc("0.png", "wren 11 6 20 15", size="<width>41</width><height>30</height>"), "40x30 pixels, not 41x30"),
        (voc("0.png", "wren 11 6 20 15", size="<width>many</width>"), "width and height"),
        ("<annotation>" + " " * 10_000_001 + "</annotation>", "10 MB"),
    ],
)
def test_xml_that_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str | bytes, named: str) -> None:
    write_voc(tmp_path)
    path = tmp_path / "Annotations" / "0.xml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError, match=named) as caught:
        examine_voc(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_an_annotation_without_an_image_or_with_two_is_refused(tmp_path: Path) -> None:
    write_voc(tmp_path)
    (tmp_path / "JPEGImages" / "1.png").rename(tmp_path / "JPEGImages" / "other.png")
    with pytest.raises(DataError, match=r"1\.xml: no image"):
        examine_voc(tmp_path)
    write_voc(tmp_path, images="more")
    with pytest.raises(DataError, match=r"0\.xml: two or more .*JPEGImages/0\.png, more/0\.png"):
        examine_voc(tmp_path)


def test_masks_in_colours_or_of_another_size_are_refused(tmp_path: Path) -> None:
    write_voc(tmp_path, names=1)
    (tmp_path / "SegmentationObject").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT), (1, 2, 3)).save(tmp_path / "SegmentationObject" / "0.png")
    with pytest.raises(DataError, match=r"SegmentationObject/0\.png has colours"):
        examine_voc(tmp_path)
    Image.new("L", (30, 40), 1).save(tmp_path / "SegmentationObject" / "0.png")
    write_voc(tmp_path, "wren 1 1 30 30", names=1)
    with pytest.raises(DataError, match=r"JPEGImages/0\.png' is 30x40 pixels"):
        examine_voc(tmp_path)


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "images", ["0.png"])
    with pytest.raises(DataError, match="holds no annotations"):
        examine_voc(tmp_path / "images")
