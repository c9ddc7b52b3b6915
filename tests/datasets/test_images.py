"""Image files to arrays: every common pixel format, and a clear refusal of what cannot be used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wsolbench.acquire.inspection import inspect_images
from wsolbench.data.dataset import Item, Split
from wsolbench.data.images import read_image, resize
from wsolbench.errors import DataError


def noise(height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def saved(path: Path, image: Image.Image, **options: object) -> Item:
    image.save(path, **options)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Item(path.stem, path.name, 0, image.width, image.height, "test", digest)


def test_rgb_is_read_as_it_is(tmp_path: Path) -> None:
    item = saved(tmp_path / "a.png", Image.fromarray(noise()))
    assert np.array_equal(read_image(tmp_path / "a.png", item), noise())


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_is_repeated_in_all_channels(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(noise()[..., 0]).convert(mode)
    grey.save(tmp_path / "a.png")
    expected = np.asarray(grey.convert("L"))
    assert np.array_equal(read_image(tmp_path / "a.png"), np.stack([expected] * 3, 2))


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    indices = np.array([[0, 1], [1, 0]], np.uint8)
    image = Image.frombytes("P", (2, 2), indices.tobytes())
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0].tolist() == [[10, 20, 30], [200, 100, 50]]


def test_cmyk_becomes_the_colour_it_prints(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    red, green, blue = read_image(tmp_path / "a.jpg")[4, 4]
    assert red > 250
    assert max(green, blue) < 5


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_pixels_are_black_whatever_is_stored_under_them(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (2, 1), (90, 90, 90, 255))
    image.putpixel((1, 0), (90, 90, 90, 0))
    image.convert(mode).save(tmp_path / "a.tiff" if mode == "PA" else tmp_path / "a.png")
    assert read_image(tmp_path / ("a.tiff" if mode == "PA" else "a.png"))[0].tolist() == [[90] * 3, [0] * 3]


def test_a_transparent_palette_entry_is_black(tmp_path: Path) -> None:
    image = Image.frombytes("P", (2, 1), bytes([0, 1]))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(tmp_path / "a.png", transparency=1)
    assert read_image(tmp_path / "a.png")[0].tolist() == [[10, 20, 30], [0, 0, 0]]


def test_the_stored_raster_is_not_turned_by_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn right"
    Image.fromarray(noise(20, 30)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (20, 30, 3)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_more_than_8_bits_of_grey_are_refused_by_name(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(np.full((4, 4), 1000, dtype)).save(tmp_path / "deep.tiff")
    with pytest.raises(DataError, match=r"deep\.tiff: pixels of mode .* \(more than 8 bits\)"):
        read_image(tmp_path / "deep.tiff")


def truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def garbage(data: bytes) -> bytes:
    return b"<html>not found</html>"


def nothing(data: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("damage", [truncate, garbage, nothing])
def test_damaged_files_are_named(tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"broken.{suffix}"
    saved(path, Image.fromarray(noise(64, 64)))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"broken\.{suffix}: the image is truncated, damaged or not an image"):
        read_image(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png is missing; restore"):
        read_image(tmp_path / "gone.png")


def test_a_file_that_changed_since_prepare_is_refused(tmp_path: Path) -> None:
    item = saved(tmp_path / "a.png", Image.fromarray(noise()))
    saved(tmp_path / "a.png", Image.fromarray(255 - noise()))
    with pytest.raises(DataError, match=r"a\.png: the file has changed since prepare.*dvc repro"):
        read_image(tmp_path / "a.png", item)


def test_a_size_that_contradicts_the_index_is_refused(tmp_path: Path) -> None:
    item = saved(tmp_path / "a.png", Image.fromarray(noise(20, 30)))
    with pytest.raises(DataError, match=r"a\.png: the image is 30x20 pixels, the index says 31x20"):
        read_image(tmp_path / "a.png", replace(item, width=31))


@pytest.mark.parametrize("size", [(10, 12), (33, 17), (64, 90)])
def test_resize_is_antialiased_bilinear(size: tuple[int, int]) -> None:
    image = noise(40, 60)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    expected = torch.nn.functional.interpolate(planes, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    # PIL rounds to a grey level after each of its two passes: half a level each.
    assert np.abs(resize(image, size) - expected.numpy()).max() < 1 + 1e-9


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Return five images of different sizes."""
    items = [saved(tmp_path / f"{n}.png", Image.fromarray(noise(20 + n, 30))) for n in range(5)]
    return Split("test", items, ["only"], "digest")


def test_inspection_returns_size_and_digest_in_order(split: Split, tmp_path: Path) -> None:
    facts = inspect_images(tmp_path, [item.path for item in split.items])
    found = [(fact.width, fact.height, fact.sha256) for fact in facts]
    assert found == [(item.width, item.height, item.sha256) for item in split.items]


def test_inspection_lists_ten_bad_images_and_counts_the_rest(split: Split, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)12 of 17 images.*gone9\.png.*and 2 more") as caught:
        inspect_images(tmp_path, [*(item.path for item in split.items), *(f"gone{n}.png" for n in range(12))])
    assert "gone10" not in str(caught.value)
