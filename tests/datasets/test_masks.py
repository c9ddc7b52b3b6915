"""Masks as annotation tools save them: one disc, and whatever file it is drawn in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsolbench.acquire.inspection import inspect_masks
from wsolbench.acquire.mask_files import Greys
from wsolbench.data.dataset import Item, Split, Truth
from wsolbench.data.masks import decode
from wsolbench.data.scoremaps import StoredMaps
from wsolbench.errors import DataError
from wsolbench.evaluation.protocols import CHOE2020, threshold_grid
from wsolbench.evaluation.pxap import curve
from wsolbench.evaluation.scoring import Rules, score_split

ROWS, COLUMNS = np.mgrid[:80, :120]
DISC = (COLUMNS - 60) ** 2 + (ROWS - 40) ** 2 <= 398
VOID = ((COLUMNS - 60) ** 2 + (ROWS - 40) ** 2 <= 529) & ~DISC
VOC = [0, 0, 0, 128, 0, 0] + [0] * 759 + [224, 224, 192]  # the palette's first two colours and its last
NONE = np.zeros((0, 4))


def palette(indices: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.frombytes("P", (120, 80), indices.astype(np.uint8).tobytes())
    image.putpalette(colours)
    return image


def coloured(*levels: int, mode: str = "RGB") -> Image.Image:
    """The disc in one colour on black."""
    return Image.fromarray((DISC[..., None] * np.array(levels)).astype(np.uint8), mode)


def layered(colours: np.ndarray, alpha: np.ndarray) -> Image.Image:
    layers = [*np.broadcast_to(colours, (3, 80, 120)), alpha]
    return Image.merge("RGBA", [Image.fromarray(layer.astype(np.uint8)) for layer in layers])


def grey_alpha(grey: np.ndarray, alpha: np.ndarray) -> Image.Image:
    layers = [np.broadcast_to(grey, (80, 120)), alpha]
    return Image.merge("LA", [Image.fromarray(layer.astype(np.uint8)) for layer in layers])


OPAQUE, HALF = np.full((80, 120), 255), np.where(COLUMNS < 60, 255, 0)
FILES: dict[str, Callable[[], Image.Image]] = {
    "grey": lambda: Image.fromarray((DISC * 255).astype(np.uint8)),
    "grey, 16 bits, an instance of number 256": lambda: Image.fromarray((DISC * 256).astype(np.uint16)),
    "black and white": lambda: Image.fromarray(DISC),
    "palette, black index 1 on white index 0": lambda: palette(DISC, [255, 255, 255, 0, 0, 0]),
    "palette of PASCAL VOC": lambda: palette(DISC, VOC),
    "red": lambda: coloured(255, 0, 0),
    "green": lambda: coloured(0, 255, 0),
    "colour 0,0,3": lambda: coloured(0, 0, 3),
    "colour 1,0,0": lambda: coloured(1, 0, 0),
    "alpha over black": lambda: layered(np.zeros(1), DISC * 255),
    "alpha over white": lambda: layered(OPAQUE, DISC * 255),
    "grey alpha over black": lambda: grey_alpha(np.zeros(1), DISC * 255),
    "opaque colours": lambda: layered(DISC * 255, OPAQUE),
    "opaque grey": lambda: grey_alpha(DISC * 255, OPAQUE),
    "white on transparent black": lambda: layered(DISC * 255, DISC * 255),
}


@pytest.mark.parametrize("draw", FILES.values(), ids=FILES)
def test_a_disc_is_its_1245_pixels(tmp_path: Path, draw: Callable[[], Image.Image]) -> None:
    draw().save(tmp_path / "mask.png")
    mask = decode(code_of(tmp_path))
    assert mask.sum() == 1245
    assert np.array_equal(mask, DISC)


@pytest.mark.parametrize("draw", FILES.values(), ids=FILES)
def test_a_map_that_is_the_disc_has_its_pixels_average_precision(
    tmp_path: Path, draw: Callable[[], Image.Image]
) -> None:
    """Below 100 by the corners that bicubic interpolation of the map and the mask's nearest pixels round apart."""
    draw().save(tmp_path / "mask.png")
    split = Split(
        "test", [Item("a", "a.png", 0, 120, 80, "test")], ["disc"], "", {"a": Truth(NONE, (code_of(tmp_path),))}
    )
    nothing = np.zeros((1, 0))
    maps = StoredMaps(
        np.array(["a"]), np.zeros(1, np.int64), DISC[None].astype(np.float32), nothing.astype(int), nothing
    )
    scores = score_split(list(maps.maps), split, Rules(threshold_grid(0.001)), 1)
    assert curve(scores.histogram(CHOE2020.name)).px_ap == pytest.approx(99.97, abs=0.005)


VOIDS: dict[str, Callable[[], Image.Image]] = {
    "grey": lambda: Image.fromarray((DISC + VOID * 255).astype(np.uint8)),
    "palette, drawn 224,224,192": lambda: palette(DISC + VOID * 255, VOC),
    "colours": lambda: Image.fromarray(np.stack([DISC * 3 + VOID * 255, VOID * 255, VOID * 255], 2).astype(np.uint8)),
}


@pytest.mark.parametrize("draw", VOIDS.values(), ids=VOIDS)
def test_void_counts_for_neither_side(tmp_path: Path, draw: Callable[[], Image.Image]) -> None:
    draw().save(tmp_path / "mask.png")
    (facts,) = inspect_masks(tmp_path, ["mask.png"], Greys(0, 255))
    assert np.array_equal(decode(facts.mask), DISC)
    assert np.array_equal(decode(facts.ignored), VOID)
    assert (facts.width, facts.height) == (120, 80)
    assert (facts.object_share, facts.ignored_share) == (DISC.mean(), VOID.mean())


def code_of(folder: Path) -> str:
    (facts,) = inspect_masks(folder, ["mask.png"], Greys())
    return facts.mask


def turned() -> Image.Image:
    image = FILES["grey"]()
    image.getexif()[0x0112] = 6
    return image


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: layered(DISC * 255, HALF), "its colours and its alpha show different objects"),
        (lambda: grey_alpha(DISC * 255, HALF), "its colours and its alpha show different objects"),
        (turned, "has an EXIF orientation"),
    ],
)
def test_what_may_mean_two_things_is_refused(tmp_path: Path, draw: Callable[[], Image.Image], message: str) -> None:
    image = draw()
    image.save(tmp_path / "mask.png", exif=image.getexif())
    with pytest.raises(DataError, match=rf"mask\.png:? {message}"):
        code_of(tmp_path)


def test_pixels_that_are_no_levels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(DISC.astype(np.float32)).save(tmp_path / "mask.tiff")
    with pytest.raises(DataError, match=r"mask\.tiff: pixels of mode 'F'"):
        inspect_masks(tmp_path, ["mask.tiff"], Greys())
