"""Boxes that reach beyond their images: clipped for ``pixel``, as published for ``choe2020``, counted and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.datasets.conftest import edit_line, prepare_whole
from tests.datasets.roots import write_cub
from wsolbench.acquire.official_boxes import Listing, OfficialBoxes, check_sizes
from wsolbench.data.dataset import Item, Truth
from wsolbench.data.index import TRUTH_FILE, read_split
from wsolbench.errors import DataError
from wsolbench.evaluation.protocols import CHOE2020, PIXEL
from wsolbench.evaluation.scoring import Rules, score_image

# x, y, width, height of the official file; width and height of the image; x0, y0, x1, y1 of Choe et al.'s list.
PUBLISHED = [
    ((2, 69, 457, 311), (500, 375), [2, 69, 459, 374]),
    ((27, 6, 148, 127), (177, 131), [27, 6, 175, 130]),
    ((92, 51, 440, 303), (500, 410), [92, 51, 499, 354]),
    ((5, 127, 496, 131), (500, 275), [5, 127, 499, 258]),
    ((58, 70, 216, 306), (500, 375), [58, 70, 274, 374]),
    ((1, 2, 499, 286), (500, 335), [1, 2, 499, 288]),
    ((5, 4, 131, 149), (140, 153), [5, 4, 136, 152]),
    ((0, 0, 500, 375), (500, 375), [0, 0, 499, 374]),
    ((60, 27, 325, 304), (500, 335), [60, 27, 385, 331]),
]


def item_of(width: int, height: int) -> Item:
    return Item("a.jpg", "a.jpg", 0, width, height, "test")


@pytest.mark.parametrize(("box", "size", "published"), PUBLISHED)
def test_a_box_of_cub_is_the_published_one_for_choe2020_and_the_clipped_one_for_pixel(
    box: tuple[int, ...], size: tuple[int, int], published: list[int]
) -> None:
    x, y, width, height = box
    official = OfficialBoxes()
    truth = official.truth(
        np.array([[x, y, x + width, y + height]], float), item_of(*size), "here", "to the last pixel"
    )
    assert truth.choe2020_boxes.tolist() == [published]
    assert truth.boxes.tolist() == [[x, y, min(x + width, size[0]), min(y + height, size[1])]]
    assert official.clipped == (x + width > size[0] or y + height > size[1])


@pytest.mark.parametrize("listing", ["as written", "inside"])
def test_a_listed_box_stays_as_it_is_written_for_choe2020(listing: Listing) -> None:
    official, written = OfficialBoxes(), np.array([[0, 0, 40, 29], [3, 4, 41, 30], [-2, 1, 9.5, 8]])
    truth = official.truth(written, item_of(40, 30), "here", listing)
    assert truth.boxes.tolist() == [[0, 0, 40, 29], [3, 4, 40, 30], [0, 1, 9.5, 8]]
    inside = [[0, 0, 40, 29], [3, 4, 39, 30], [0, 1, 9.5, 8]]
    assert truth.choe2020_boxes.tolist() == (inside if listing == "inside" else written.tolist())
    assert official.clipped == 2


@pytest.mark.parametrize("box", [(40, 3, 55, 9), (-9, 3, 0, 9), (5, 5, 5, 9), (3, 30, 9, 31), (9, 3, 3, 9)])
def test_a_box_of_which_nothing_is_in_its_image_is_refused_with_the_image(box: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"^list\.txt:7: box .* of image 'a\.jpg' is empty or lies outside its 40x30"):
        OfficialBoxes().truth(np.array([box], float), item_of(40, 30), "list.txt:7")


def test_each_protocol_scores_against_its_own_boxes() -> None:
    """A map that marks columns 0 to 99 of 224: to choe2020 a box that ends at 100, to pixel one of 100 columns."""
    item = item_of(224, 224)
    score_map = np.zeros((224, 224))
    score_map[:, :100] = 1
    rules = Rules(np.array([0.5]), as_they_are=True)
    truth = Truth(np.array([[0.0, 0, 112, 224]]), published=np.array([[0.0, 0, 111, 223]]))
    drawn = score_image(score_map, item, truth, rules).drawn
    for protocol, iou in ((CHOE2020, 101 / 112), (PIXEL, 100 / 112)):
        true = protocol.true_boxes([item], [truth])
        assert protocol.best_ious_of(drawn[protocol.name].at(0), true).tolist() == [iou]


def test_a_box_without_a_map_is_scored_against_them_too() -> None:
    item = Item("a", "a.jpg", 0, 224, 224, "test")
    truth = Truth(np.array([[0.0, 0, 112, 224]]), published=np.array([[0.0, 0, 99, 223]]))
    drawn = score_image(np.array([0.0, 0, 224, 224]), item, truth, Rules(np.array([0.5]))).drawn
    for protocol, iou in ((CHOE2020, 100 / 224), (PIXEL, 112 / 224)):
        true = protocol.true_boxes([item], [truth])
        assert protocol.best_ious_of(drawn[protocol.name].at(0), true).tolist() == [iou]


def test_boxes_around_masks_take_the_place_of_both(tmp_path: Path) -> None:
    write_cub(tmp_path / "root")
    for path in (tmp_path / "root" / "segmentations").rglob("*.png"):
        mask = np.zeros((30, 40), np.uint8)
        mask[3:9, 4:14] = 255
        Image.fromarray(mask).save(path)
    block = {"root": str(tmp_path / "root"), "segmentations": True}
    given = read_split(prepare_whole("cub", tmp_path, **block), "test")
    drawn = read_split(prepare_whole("cub", tmp_path, **block, boxes="masks"), "test")
    assert given.truth("001.Auk/6.jpg").choe2020_boxes.tolist() == [[5, 2, 39, 12]]
    assert drawn.truth("001.Auk/6.jpg").choe2020_boxes.tolist() == [[4, 3, 14, 9]]


def test_prepare_clips_stores_both_and_says_once_how_many(
    cub_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edit_line(cub_root / "CUB_200_2011" / "bounding_boxes.txt", 12, "12 30 2 20.5 40")
    edit_line(cub_root / "CUB_200_2011" / "bounding_boxes.txt", 6, "6 10 5 30 10")
    with caplog.at_level("INFO", logger="wsolbench.prepare"):
        directory = prepare_whole("cub", tmp_path, root=str(cub_root), val="none")
    assert caplog.text.count("1 box reached beyond its image and was clipped to it") == 1
    assert pq.read_schema(directory / TRUTH_FILE).metadata[b"clipped"] == b"1"
    test = read_split(directory, "test")
    clipped, ending = test.truth("002.Wren/Wren_5.jpg"), test.truth("001.Auk/Auk_5.jpg")
    assert (clipped.boxes.tolist(), clipped.choe2020_boxes.tolist()) == ([[30, 2, 40, 30]], [[30, 2, 39, 29]])
    assert (ending.boxes.tolist(), ending.choe2020_boxes.tolist()) == ([[10, 5, 40, 15]], [[10, 5, 39, 15]])
    assert test.truth("001.Auk/Auk_4.jpg").published is None


def test_more_clipped_boxes_than_annotators_draw_are_taken_for_resized_images() -> None:
    official = OfficialBoxes()
    for _ in range(11):
        official.truth(np.array([[0, 0, 50, 30], [0, 0, 9, 9]], float), item_of(40, 30), "here")
    with pytest.raises(DataError, match=r"11 of 22 boxes reach beyond their images.*take the original files"):
        official.check()
    official.truth(np.tile([0.0, 0, 9, 9], (198, 1)), item_of(40, 30), "here")
    official.check()


def test_other_sizes_than_listed_are_refused_but_for_a_few_that_are_said(caplog: pytest.LogCaptureFixture) -> None:
    stated = [(item_of(40, 30), (40, 30))] * 99
    check_sizes(Path("sizes.txt"), stated)
    assert caplog.text == ""
    check_sizes(Path("sizes.txt"), [*stated, (item_of(40, 30), (30, 40))])
    assert "sizes.txt: 1 of 100 images have another size" in caplog.text
    with pytest.raises(DataError, match=r"6 of 98 images.*\n.*a\.jpg: 40x30 pixels, not 20x15"):
        check_sizes(Path("sizes.txt"), [*stated[:92], *[(item_of(40, 30), (20, 15))] * 6])
