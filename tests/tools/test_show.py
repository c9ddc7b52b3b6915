"""The contact sheet shows what the index says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.test_policy import settings_with
from wsolbench.acquire.prepare import prepare
from wsolbench.config.paths import Layout
from wsolbench.data.index import read_split
from wsolbench.data.masks import decode
from wsolbench.errors import DataError
from wsolbench.tools.predictions import label_font
from wsolbench.tools.show import choose_items, contact_sheet


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    prepare(settings_with(), "small", made)
    return made


def test_images_are_spread_over_the_classes(layout: Layout) -> None:
    split = read_split(layout.prepared("small"), "val")
    for count in (3, 7, 15, 99):
        chosen = choose_items(split, count, 0)
        assert len(chosen) == min(count, 15)
        per_class = Counter(item.label for item in chosen)
        assert max(per_class.values()) - min(per_class.values()) <= 1
        assert [item for item in split.items if item in chosen] == chosen
        assert choose_items(split, count, 0) == chosen
    assert choose_items(split, 3, 0) != choose_items(split, 3, 1)


def test_boxes_and_masks_are_drawn_on_the_pictures_of_val_and_test_only(layout: Layout, tmp_path: Path) -> None:
    sheets = {}
    for split in ("train", "test"):
        said = contact_sheet(settings_with(), "small", split, 6, 0, layout, tmp_path / f"{split}.png")
        assert f"6 of 6 images of '{split}', 3 classes" in said
        sheets[split] = np.asarray(Image.open(tmp_path / f"{split}.png"))
    cell, gap, side = 232, 8, 224
    for split, sheet in sheets.items():
        assert sheet.shape == (224 + 30 + 16, 6 * cell + gap, 3)
        found = read_split(layout.prepared("small"), split)
        for column, item in enumerate(found.items):
            with Image.open(layout.prepared("small") / item.path) as stored:
                plain = np.asarray(stored.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))
            tile = sheet[gap : gap + side, gap + column * cell : gap + column * cell + side]
            if split == "train":
                assert np.array_equal(tile, plain)
                continue
            truth = found.truth(item.id)
            x0, y0, x1, y1 = (truth.boxes[0] * side / item.width).tolist()
            edge = tile[int(y0) : int(y0) + 4, round((x0 + x1) / 2)].tolist()
            assert [0, 0, 0] in edge
            assert [255, 255, 255] in edge
            changed = (tile != plain).any(2)
            drawn = Image.fromarray(decode(*truth.masks))
            mask = np.asarray(drawn.resize((side, side), Image.Resampling.NEAREST))
            assert changed[mask].mean() > 0.9
            outside = np.ones_like(mask)
            outside[int(y0) - 1 : int(y1) + 2, int(x0) - 1 : int(x1) + 2] = False
            assert not changed[outside].any()


def test_what_cannot_be_shown_is_said(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be written"):
        contact_sheet(settings_with(), "small", "val", 2, 0, layout, tmp_path / "sheet.unknown")
    assert not list(tmp_path.glob("*sheet*"))
    with pytest.raises(DataError, match=r"index\.parquet is missing; run `wsolbench prepare small`"):
        contact_sheet(settings_with(), "small", "val", 2, 0, Layout(tmp_path / "new"), tmp_path / "sheet.png")


def test_names_with_accents_are_drawn() -> None:
    font = label_font(11)
    missing = bytes(font.getmask("\uffff"))
    assert all(bytes(font.getmask(letter)) not in {missing, b""} for letter in "éüßñçøÅ")
    assert bytes(font.getmask("é")) != bytes(font.getmask("e"))
