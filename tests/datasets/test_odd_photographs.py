"""What is among the photographs of the published sets: other formats than their names say, and damaged metadata."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsolbench.data.images import measure, read_image

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(5, 0).repeat(5, 1))


def encoded(format_name: str, picture: Image.Image = PICTURE, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format_name, **options)
    return stream.getvalue()


def with_segment(marker: int, content: bytes, *, instead_of_jfif: bool = False) -> bytes:
    """Return the JPEG file with a metadata segment, behind or in place of its first one, of 18 bytes."""
    jpeg = encoded("JPEG")
    segment = struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
    return jpeg[:2] + segment + jpeg[20 if instead_of_jfif else 2 :]


def as_rgb(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


HARMLESS = {
    "PNG": lambda: encoded("PNG"),
    "grey": lambda: encoded("JPEG", PICTURE.convert("L")),
    "CMYK": lambda: encoded("JPEG", PICTURE.convert("CMYK")),
    "progressive": lambda: encoded("JPEG", progressive=True),
    "several pictures": lambda: encoded("MPO", save_all=True, append_images=[PICTURE.rotate(180)]),
    "bytes behind its end": lambda: encoded("JPEG") + b"\0" * 100,
}
DAMAGED: dict[str, Callable[[], bytes]] = {
    "EXIF that ends early": lambda: with_segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01", instead_of_jfif=True),
    "EXIF of no entries": lambda: with_segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\0" * 20),
    "EXIF that is none": lambda: with_segment(0xE1, b"Exif\0\0nothing", instead_of_jfif=True),
    "an index of pictures that is none": lambda: with_segment(0xE2, b"MPF\0nothing"),
    "a colour profile that is none": lambda: with_segment(0xE2, b"ICC_PROFILE\0\x01\x01nothing"),
}


@pytest.mark.parametrize("data", HARMLESS.values(), ids=HARMLESS)
def test_the_name_of_a_file_does_not_matter(data: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "n02105855_2933.JPEG"
    path.write_bytes(data())
    assert np.array_equal(read_image(path), as_rgb(data()))


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damaged_metadata_leave_the_pixels_as_they_are(data: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "n02447366_23489.JPEG"
    path.write_bytes(data())
    assert np.array_equal(read_image(path), as_rgb(encoded("JPEG")))
    assert measure(path, data()) == (40, 30, 1)


def test_damaged_metadata_print_nothing(tmp_path: Path) -> None:
    for name, data in DAMAGED.items():
        (tmp_path / f"{name}.JPEG").write_bytes(data())
    code = (
        "import sys; from pathlib import Path; from wsolbench.data.images import read_image; "
        "[read_image(path) for path in Path(sys.argv[1]).iterdir()]"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
