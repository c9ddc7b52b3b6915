"""The published lists at their full size, through the whole of prepare; placeholders stand for the images."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.datasets.conftest import prepare_whole, write_table
from wsolbench.data.dataset import SPLITS, SplitName
from wsolbench.data.index import TRUTH_FILE, read_split
from wsolbench.evaluation.protocols import CHOE2020

pytestmark = pytest.mark.slow

_FURTHER = (0, 1, 0, 1, 2, 1, 33)  # pixels

Box = tuple[int, ...]
Size = tuple[int, int]


class Lists:
    """What the files of a split say, read in the plainest way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids = (folder / "image_ids.txt").read_text().split("\n")
        self.labels = {name: int(label) for name, label in self._rows("class_labels.txt", 1)}
        self.sizes: dict[str, Size] = {}
        if (folder / "image_sizes.txt").is_file():
            self.sizes = {name: (int(width), int(height)) for name, width, height in self._rows("image_sizes.txt", 2)}

    def boxes(self) -> dict[str, list[Box]]:
        found: dict[str, list[Box]] = {name: [] for name in self.ids}
        for name, *box in self._rows("localization.txt", 4):
            found[name].append(tuple(map(int, box)))
        return found

    def scaled(self) -> dict[str, list[Box]]:
        """Return what the evaluator of Choe et al. scores against: 224 x / width and 224 y / height, truncated."""
        found = {}
        for name, boxes in self.boxes().items():
            width, height = map(float, self.sizes[name])
            sides = (width, height, width, height)
            found[name] = [tuple(int(x * 224 / side) for x, side in zip(box, sides, strict=True)) for box in boxes]
        return found

    def _rows(self, file: str, values: int) -> list[list[str]]:
        return [line.rsplit(",", values) for line in (self.folder / file).read_text().split("\n")]


class Placeholders:
    """Images of two colours; those of one size are one file under many names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def write(self, path: Path, size: Size) -> None:
        first = self._folder / f"{size[0]}x{size[1]}.png"
        if not first.is_file():
            Image.new("1", size).save(first)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(first, path)


def scored_against(directory: Path, split: SplitName) -> dict[str, list[Box]]:
    """Return the boxes at 224 that ``choe2020`` scores against in a prepared split."""
    found = read_split(directory, split)
    return {
        item.id: list(map(tuple, CHOE2020.true_boxes([item], [found.truth(item.id)]).boxes.tolist()))
        for item in found.items
    }


def official_boxes(splits: Iterable[Lists], known: Path) -> dict[str, Box]:
    """Return ``x, y, width, height`` of every image as CUB has them, or could have them.

    Of images outside the file of known ones, a published box that ends with its image may have ended anywhere from its
    last pixel on; which it is goes by turns, and most lie within their images.
    """
    boxes = {}
    for lists in splits:
        for turn, (name, ((x0, y0, x1, y1),)) in enumerate(lists.boxes().items()):
            width, height = lists.sizes[name]
            further = _FURTHER[turn % len(_FURTHER)]
            across, down = (further if end == last - 1 else 0 for end, last in ((x1, width), (y1, height)))
            boxes[name] = (x0, y0, x1 - x0 + across, y1 - y0 + down)
    for row in csv.DictReader(known.read_text().splitlines()):
        boxes[row["image_name"]] = tuple(int(float(row[f"orig_{key}"])) for key in "xywh")
    return boxes


def test_choe2020_scores_all_of_cub_against_the_published_boxes(test_data: Path, tmp_path: Path) -> None:
    lists = {split: Lists(test_data / "data" / "split_files" / "metadata" / "CUB" / split) for split in SPLITS}
    root, base = tmp_path / "root", tmp_path / "root" / "CUB_200_2011"
    placeholders, official = Placeholders(tmp_path / "sizes"), [lists["train"], lists["test"]]
    for split, folder in (("train", base / "images"), ("test", base / "images"), ("val", root / "CUBV2")):
        for name, size in lists[split].sizes.items():
            placeholders.write(folder / name, size)
    (root / "metadata" / "CUB").mkdir(parents=True)
    (root / "metadata" / "CUB" / "val").symlink_to(lists["val"].folder)
    labels = official[0].labels | official[1].labels
    boxes = official_boxes(official, test_data / "data" / "cub20" / "original_sizes_and_boxes.csv")
    sizes = official[0].sizes | official[1].sizes
    write_table(base / "classes.txt", sorted({name.split("/")[0] for name in labels}))
    write_table(base / "images.txt", labels)
    write_table(base / "image_class_labels.txt", [label + 1 for label in labels.values()])
    write_table(base / "bounding_boxes.txt", [" ".join(f"{value}.0" for value in boxes[name]) for name in labels])
    clipped = []
    for examined in ("test", "train"):  # each part of the official split is the test images once
        write_table(base / "train_test_split.txt", [int(name not in lists[examined].labels) for name in labels])
        directory = prepare_whole("cub", tmp_path, root=str(root), val="cubv2", download=False)
        assert scored_against(directory, "test") == lists[examined].scaled()
        clipped.append(int(pq.read_schema(directory / TRUTH_FILE).metadata[b"clipped"]))
    assert scored_against(directory, "val") == lists["val"].scaled()
    outside = [x + w > sizes[name][0] or y + h > sizes[name][1] for name, (x, y, w, h) in boxes.items()]
    assert (len(boxes), sum(clipped)) == (11_788, sum(outside))
    assert sum(outside) > 50


def test_choe2020_scores_all_of_ilsvrc_against_the_published_boxes(test_data: Path, tmp_path: Path) -> None:
    """The test images have the boxes of the list, and the same ones where the challenge's own file gives them."""
    metadata, root = test_data / "data" / "split_files" / "metadata" / "ILSVRC", tmp_path / "root"
    placeholders, val, test = Placeholders(tmp_path / "sizes"), Lists(metadata / "val"), Lists(metadata / "test")
    for name, size in test.sizes.items():
        placeholders.write(root / "ILSVRC" / "Data" / "CLS-LOC" / name, size)
    for name, size in val.sizes.items():
        placeholders.write(root / "imagenetv2" / Path(name).relative_to("val2"), size)
    block = {"root": str(root), "train": "none", "metadata": str(metadata), "download": False}
    directory = prepare_whole("ilsvrc", tmp_path, val="imagenetv2", **block)
    assert scored_against(directory, "val") == val.scaled()
    assert scored_against(directory, "test") == test.scaled()
    assert (len(val.ids), len(test.ids)) == (10_000, 50_000)
    synsets = [f"n{number:08}" for number in range(1000)]
    (root / "LOC_synset_mapping.txt").write_text("".join(f"{synset} a name, another\n" for synset in synsets))
    with (root / "LOC_val_solution.csv").open("w") as stream:
        stream.write("ImageId,PredictionString\n")
        for name, boxes in test.boxes().items():
            groups = [f"{synsets[test.labels[name]]} {' '.join(map(str, box))} " for box in boxes]
            stream.write(f"{Path(name).stem},{''.join(groups)}\n")
    directory = prepare_whole("ilsvrc", tmp_path, **block)
    assert scored_against(directory, "test") == test.scaled()
    assert {item.id: item.label for item in read_split(directory, "test").items} == test.labels


def test_all_of_openimages_has_the_masks_of_the_published_lists(test_data: Path, tmp_path: Path) -> None:
    published, root = test_data / "data" / "split_files" / "metadata" / "OpenImages", tmp_path / "root"
    placeholders = Placeholders(tmp_path / "sizes")
    masks: dict[str, dict[str, list[list[str]]]] = {}
    for split in SPLITS:
        lists, listed = Lists(published / split), root / "metadata" / "OpenImages" / split
        listed.mkdir(parents=True)
        for path in lists.folder.iterdir():
            (listed / path.name).symlink_to(path)
        (listed / "image_sizes.txt").touch()
        for name in lists.ids:
            placeholders.write(root / "OpenImages" / name, (40, 30))
        masks[split] = {name: [] for name in lists.ids}
        lines = (listed / "localization.txt").read_text().split("\n") if split != "train" else []
        for name, *files in (line.split(",") for line in lines):
            masks[split][name].append(files)
            for file in filter(None, files):
                placeholders.write(root / "OpenImages" / file, (20, 15))
    directory = prepare_whole("openimages30k", tmp_path, root=str(root), download=False)
    counts = []
    for split in SPLITS:
        found = read_split(directory, split)
        assert [item.id for item in found.items] == list(masks[split])
        truth = {} if split == "train" else {item.id: found.truth(item.id) for item in found.items}
        assert all(len(each.masks) == len(masks[split][name]) for name, each in truth.items())
        counts.append((len(found), sum(len(each.masks) for each in truth.values())))
    assert counts == [(29_819, 0), (2_500, 3_854), (5_000, 7_632)]
    assert found.num_classes == 100
