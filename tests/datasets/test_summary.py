"""``prepare`` says what there is, split by split, and stops where a class is tested that has no training image."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.datasets.conftest import prepare_whole
from tests.datasets.roots import write_image_folder
from wsolbench.acquire.summary import check_classes, split_table
from wsolbench.data.dataset import Contents, Item, SplitName, Truth
from wsolbench.errors import DataError

BOX = np.array([[0.0, 0.0, 3.0, 4.0]])


def made_up(splits: Mapping[SplitName, str], names: str = "abc", masks: tuple[str, ...] = ()) -> Contents:
    """Return contents with an image for each letter, which names its class."""
    items = [
        Item(f"{split}/{at}", f"{split}/{at}", names.index(name), 9, 9, split)
        for split, drawn in splits.items()
        for at, name in enumerate(drawn)
    ]
    return Contents(names, items, {item.id: Truth(BOX, masks) for item in items if item.split != "train"})


def test_a_line_for_each_split_counts_images_classes_boxes_and_masks() -> None:
    lines = split_table(made_up({"train": "aaaabbc", "test": "abbb"}, masks=("x.png", "y.png"))).splitlines()
    assert [line.split() for line in lines] == [
        ["split", "images", "classes", "per", "class", "boxes", "masks"],
        ["train", "7", "3", "1-4", "-", "-"],
        ["val", "0", "0", "-", "-", "-"],
        ["test", "4", "2", "1-3", "4", "8"],
    ]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("held", ["val", "test"])
def test_classes_that_are_tested_and_never_trained_are_all_named(held: SplitName) -> None:
    letters = "abcdefgh"
    with pytest.raises(DataError, match=r"6 of 8 classes .*\(b, c, d, e, f, h\)"):
        check_classes(made_up({"train": "ag", held: "abcdefh"}, letters))


@pytest.mark.parametrize("splits", [{"test": "abc"}, {"train": "aabbcc", "test": "ac"}, {"train": "ab", "test": "ab"}])
def test_evaluation_only_and_untested_classes_are_no_errors(splits: Mapping[SplitName, str]) -> None:
    check_classes(made_up(splits))


def test_prepare_says_the_table_and_stops_before_it_changes_an_index(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_image_folder(tmp_path / "root")
    caplog.set_level(logging.INFO)
    block = {"root": str(tmp_path / "root")}
    prepared = prepare_whole("image_folder", tmp_path, **block)
    rows = [line.split() for line in caplog.messages[-1].splitlines()]
    assert rows[-3:] == [
        ["train", "8", "2", "4-4", "-", "-"],
        ["val", "4", "2", "2-2", "4", "-"],
        ["test", "4", "2", "2-2", "4", "-"],
    ]
    (tmp_path / "root" / "splits.csv").write_text(
        "id,split\n"
        + "".join(
            f"{kind}/{n}.png,{'test' if kind == 'dog' else 'train'}\n" for kind in ("cat", "dog") for n in range(8)
        )
    )
    before = {path.name: path.read_bytes() for path in prepared.iterdir()}
    with pytest.raises(DataError, match=r"1 of 2 classes .*\(dog\)"):
        prepare_whole("image_folder", tmp_path, **block)
    assert {path.name: path.read_bytes() for path in prepared.iterdir()} == before  # what was prepared stays
