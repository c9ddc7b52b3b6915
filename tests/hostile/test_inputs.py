"""What strangers hand in: parameters, maps, pictures, lists. It is read, or named in one error."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.hostile.damage import KINDS, OTHERS, answer, damaged, exchanged, flipped
from wsolbench.acquire.mask_files import read_mask
from wsolbench.config.settings import Settings, read_settings
from wsolbench.data.images import read_image
from wsolbench.data.tables import read_boxes
from wsolbench.errors import DataError, SettingsError, WsolbenchError
from wsolbench.evaluation.lists import read_predictions, split_of_metadata
from wsolbench.evaluation.map_files import MapFile

PARAMS = """
methods: {cam: {}, adl: {args: {gamma: 0.8}}}
datasets: {shapes: {}}
tracks:
  small: {dataset: shapes, backbone: convnet, weights: null, resize: 32, crop: 32, epochs: 1, batch: 4, lr: 0.05,
    weight_decay: 0.0, head_lr_mult: 1.0, schedule: cosine}
run: {tracks: [small], methods: [cam, adl], seeds: [0]}
runtime: {cache_gib: 32}
evaluate: {threshold_step: 0.001}
"""


def refused(read: Callable[[], Any], kind: type[WsolbenchError], named: str) -> None:
    """Demand an error of one kind that names what is wrong."""
    _, error = answer(read)
    assert isinstance(error, kind), error
    assert named in str(error), error
    assert len(str(error)) < 2000


def read_or_refused(path: Path, read: Callable[[], Any], harms: list[Callable[[Path], Any]]) -> None:
    """Damage a file in many ways; each time it is read, or named."""
    for number, harm in enumerate(harms):
        with exchanged(path, harm):
            _, error = answer(read)
        assert error is None or path.name in str(error), (number, error)
        assert len(str(error)) < 2000


def harms_of(content: bytes, count: int, seed: int) -> list[Callable[[Path], Any]]:
    rng = np.random.default_rng(seed)
    contents = [*(damaged(content, rng) for _ in range(count)), *OTHERS.values()]
    return [*(partial(Path.write_bytes, data=each) for each in contents), *KINDS.values()]


def params(tmp_path: Path, text: str = PARAMS) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


VALUES = (
    *("2020-13-45", "2020-02-31 25:61:00", "!!int abc", "!!float abc", "!!bool 7", "!!binary '*'", "!!timestamp x"),
    *("!!python/object/apply:os.system [ls]", "!!set {a}", "!!omap [1]", "&a [*a]", "*nothing", "[[]]", "{1: 2}"),
    *(".inf", "-.inf", ".nan", "1e999", "9" * 5000, "0x" + "f" * 2000, "007", "1_2", "٣", "''", '"\\0"', "'\ud7ff'"),
    *("[" * 3000, "{a: " * 3000, "- " * 3000, "-1", "1e-12", "1:2:3", "=", "<<", "~", "? a", "%YAML 9", "--- a", "@"),
)  # fmt: skip
KEYS = ("epochs: 1", "lr: 0.05", "crop: 32", "seeds: [0]", "cache_gib: 32", "threshold_step: 0.001", "gamma: 0.8")


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_a_value_of_params_yaml_that_cannot_be_is_refused(tmp_path: Path, key: str) -> None:
    path = params(tmp_path)
    for value in VALUES:
        path.write_text(PARAMS.replace(key, f"{key.partition(':')[0]}: {value}"), encoding="utf-8")
        found, error = answer(lambda: read_settings(path))
        assert error is None or (isinstance(error, SettingsError) and "params.yaml" in str(error)), value
        if value in VALUES[:5] and not key.startswith("gamma"):
            assert error is not None, value
        assert found is None or isinstance(found, Settings)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("epochs: 1", "epochs: 2020-13-45", "params.yaml"),
        ("epochs: 1", "epochs: !!int abc", "params.yaml"),
        ("epochs: 1", "epochs: !!float abc", "params.yaml"),
        ("epochs: 1", f"epochs: {'[' * 3000}", "params.yaml"),
        ("crop: 32", "crop: 1", "crop"),
        ("cache_gib: 32", "cache_gib: .inf", "cache_gib"),
        ("cache_gib: 32", "cache_gib: .nan", "cache_gib"),
        ("threshold_step: 0.001", "threshold_step: 1e-12", "threshold_step"),
        ("threshold_step: 0.001", "threshold_step: 3.0e-5", "threshold_step"),
    ],
)
def test_a_value_out_of_its_range_is_named(tmp_path: Path, key: str, value: str, named: str) -> None:
    refused(lambda: read_settings(params(tmp_path, PARAMS.replace(key, value))), SettingsError, named)


@pytest.mark.parametrize("text", ["", "null", "[]", "7", "a: b", "# nothing"])
@pytest.mark.parametrize(
    "change", ["a.b=1", "run.seeds=[1]", "=", "a..b=1", "run.seeds.x=1", "a=!!int b", "a=[", "a=\0"]
)
def test_a_change_of_params_yaml_that_cannot_be_made_is_refused(tmp_path: Path, text: str, change: str) -> None:
    refused(lambda: read_settings(params(tmp_path, text), [change]), SettingsError, "")


@pytest.mark.slow
def test_params_yaml_is_read_or_named_however_it_is_damaged(tmp_path: Path) -> None:
    path = params(tmp_path)
    read_or_refused(path, lambda: read_settings(path), harms_of(path.read_bytes(), 120, 1))


def saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def announced(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    """Return a .npy file that announces more than it has."""
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


def zipped(content: bytes, name: str = "map.npy", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        made.writestr(name, content)
    return stream.getvalue()


def with_method(content: bytes, method: int, flags: int = 0) -> bytes:
    changed = bytearray(content)
    struct.pack_into("<H", changed, 8, method)
    struct.pack_into("<H", changed, changed.find(b"PK\1\2") + 10, method)
    struct.pack_into("<H", changed, 6, flags)
    struct.pack_into("<H", changed, changed.find(b"PK\1\2") + 8, flags)
    return bytes(changed)


MAP = np.random.default_rng(0).random((14, 14), np.float32)
NPY = saved(MAP)
NPZ = zipped(NPY)


@pytest.mark.parametrize(
    "content",
    {
        "npy header of 10^6 x 10^6": announced((10**6, 10**6)),
        "npy header of negative size": announced((-1, 5)),
        "npy header of a long shape": announced((1,) * 5000),
        "npy header of 5000 digits": announced((1, 1)).replace(b"(1, 1)", b"(1, " + b"9" * 5000 + b")"),
        "npy header of many brackets": announced((1, 1)).replace(b"(1, 1)", b"(" * 4000),
        "npy of objects": announced((1, 1), "|O"),
        "npy of records": announced((1, 1), "V99999999999"),
        "npy of texts": saved(np.array([["a"]])),
        "npy of numbers that are none": saved(np.full((3, 3), np.nan)),
        "npy of complex numbers": saved(np.ones((3, 3), complex)),
        "npy of dates": saved(np.zeros((3, 3), "datetime64[s]")),
        "npy version 9": NPY.replace(b"NUMPY\x01", b"NUMPY\x09"),
        "encrypted npz": with_method(NPZ, 8, 1),
        "damaged deflate": flipped(NPZ, 60, 3),
        "zip method 99": with_method(NPZ, 99),
        "zip method 14": with_method(NPZ, 14),
        "zip method 12": with_method(NPZ, 12),
        "npz of a member that is no npy": zipped(b"hello", "a.txt"),
        "npz of nothing": zipped(b"", "map.npy"),
        "npz in an npz": zipped(NPZ),
        "empty zip": b"PK\5\6" + bytes(18),
        "lzma": zipped(NPY, method=zipfile.ZIP_LZMA)[:-60],
        "compressed only": zlib.compress(NPY),
        "xz": lzma.compress(NPY),
        "pickle": b"cos\nsystem\n(S'true'\ntR.",
    }.items(),
    ids=lambda each: each[0],
)  # fmt: skip
def test_what_is_no_map_is_named(tmp_path: Path, content: tuple[str, bytes]) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content[1])
    refused(MapFile(path, "a.jpg", as_they_are=False).read, DataError, "a.npz (image 'a.jpg')")


@pytest.mark.slow
@pytest.mark.parametrize(("content", "seed"), [(NPY, 3), (NPZ, 4), (zipped(NPY, method=zipfile.ZIP_BZIP2), 5)])
def test_a_damaged_map_is_read_or_named(tmp_path: Path, content: bytes, seed: int) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    read_or_refused(path, MapFile(path, "a.jpg", as_they_are=False).read, harms_of(content, 80, seed))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it reads all the same
@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"])
def test_a_damaged_picture_or_mask_is_read_or_named(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (24, 20, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a.{kind.lower()}"
    Image.fromarray(pixels).save(path, kind, **({"exif": exif} if kind in {"JPEG", "PNG", "TIFF", "WEBP"} else {}))
    for number, read in enumerate((read_image, read_mask)):
        read_or_refused(path, partial(read, path), harms_of(path.read_bytes(), 80, number))


LISTS = {
    "image_ids.txt": "a/1.jpg\na/2.jpg\n",
    "class_labels.txt": "a/1.jpg,0\na/2.jpg,1\n",
    "image_sizes.txt": "a/1.jpg,30,20\na/2.jpg,30,20\n",
    "localization.txt": "a/1.jpg,1,2,10,12\na/2.jpg,0,0,30,20\n",
    "class_names.txt": "one\ntwo\n",
    "predictions.txt": "a/1.jpg,0,1\na/2.jpg,1,0\n",
    "boxes.csv": "id,x0,y0,x1,y1\na/1.jpg,1,2,10,12\n",
}
NUMBERS = ("--5", "9" * 5000, "9" * 30, "1e400", "1_2", "٣", "nan", "0x1", "", " ", "1.5.2", "+-1", "\0")


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    for name, text in LISTS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def reader_of(folder: Path, name: str) -> Callable[[], Any]:
    if name == "predictions.txt":
        return lambda: read_predictions(folder / name)
    if name == "boxes.csv":
        return lambda: read_boxes(folder / name, {"a/1.jpg", "a/2.jpg"}, "the images")
    return lambda: split_of_metadata(folder, "test")


@pytest.mark.slow
@pytest.mark.parametrize("name", LISTS)
def test_a_damaged_list_is_read_or_named(lists: Path, name: str) -> None:
    path, read = lists / name, reader_of(lists, name)
    assert answer(read)[1] is None
    for number, harm in enumerate(harms_of(path.read_bytes(), 60, 6)):
        with exchanged(path, harm):
            _, error = answer(read)
        # An id that is damaged in one list may be missing in another.
        assert error is None or any(other in str(error) for other in LISTS), (number, error)


@pytest.mark.parametrize("name", [name for name in LISTS if name not in {"image_ids.txt", "class_names.txt"}])
@pytest.mark.parametrize("number", NUMBERS)
def test_what_is_no_number_is_named_with_file_and_line(lists: Path, name: str, number: str) -> None:
    path = lists / name
    head, _, _ = path.read_text().rstrip("\n").rpartition(",")
    path.write_text(f"{head},{number}\n")
    line = len(LISTS[name].strip().split("\n"))
    refused(reader_of(lists, name), DataError, f"{name}:{line}")
