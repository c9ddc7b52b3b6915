"""Image files may be of the common formats only, because Pillow starts another program for some of the others."""

from __future__ import annotations

import ast
import io
import os
from pathlib import Path

import pytest
from PIL import EpsImagePlugin, Image

from wsolbench.acquire.inspection import inspect_images
from wsolbench.acquire.mask_files import read_mask
from wsolbench.data.images import FORMATS, measure, open_image, read_image
from wsolbench.errors import DataError
from wsolbench.tools.photographs import open_photographs

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n0 0 9 9 rectfill\n%%EOF\n"


@pytest.fixture(autouse=True)
def no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*arguments: object, **options: object) -> None:
        raise AssertionError("Pillow would start Ghostscript")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)


def test_pillow_would_start_a_program(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="Ghostscript"):
        Image.open(io.BytesIO(EPS)).load()


@pytest.mark.parametrize("content", [EPS, b"P6 1 1 255 abc", b"\x00\x00\x01\x00\x01\x00", b"", b"%PDF-1.4"])
def test_other_formats_are_refused_as_image_and_as_mask(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path}: .*it is none of BMP, GIF, JPEG, PNG, TIFF, WEBP"):
        read_image(path)
    with pytest.raises(DataError, match="it is none of"):
        measure(path, content)
    with pytest.raises(DataError, match="1 of 1 images cannot be used"):
        inspect_images(tmp_path, ["a.png"])
    with pytest.raises(DataError, match="it is none of"):
        read_mask(path)


def test_other_formats_are_refused_as_photograph_to_predict(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(EPS)
    assert ["it is none of" in str(each) for block in open_photographs(tmp_path, ["a.jpg"], 8, 1, 1) for each in block]


@pytest.mark.parametrize("kind", FORMATS)
def test_the_common_formats_are_read(kind: str) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (3, 2)).save(stream, kind)
    with open_image(stream.getvalue()) as image:
        assert (image.format, image.size) == (kind, (3, 2))


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "zero.png", "folder.png"):
        with pytest.raises(DataError, match=rf"{name} is not a regular file"):
            read_image(tmp_path / name)
        with pytest.raises(DataError, match="1 of 1 images cannot be used"):
            inspect_images(tmp_path, [name])
        with pytest.raises(DataError, match=rf"{name} is not a regular file"):
            read_mask(tmp_path / name)


@pytest.mark.parametrize("path", sorted([*Path("wsolbench").rglob("*.py"), *Path("datasets").glob("*.py")]), ids=str)
def test_no_file_opens_an_image_of_any_format(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("Image.open", "imread")):
            assert "formats" in {keyword.arg for keyword in node.keywords}, f"{path}:{node.lineno}"
