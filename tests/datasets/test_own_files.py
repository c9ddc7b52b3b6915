"""Folders as people have them: names, links, orientations, and boxes and masks that do not fit."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.tiny import TINY_TRACK
from wsolbench.acquire.prepare import prepare
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.cache import Reading, pictures_of
from wsolbench.data.dataset import Contents
from wsolbench.data.folders import refuse_bad_names
from wsolbench.data.images import read_image
from wsolbench.data.index import read_split, write_index
from wsolbench.data.mask_names import match_masks
from wsolbench.data.roots import root_variable
from wsolbench.datasets.image_folder import ImageFolder
from wsolbench.errors import DataError

ROWS, COLUMNS = np.mgrid[:80, :120]
DISC = ((COLUMNS - 60) ** 2 + (ROWS - 40) ** 2 <= 398).astype(np.uint8)
TRIMAP = np.where((COLUMNS - 60) ** 2 + (ROWS - 40) ** 2 <= 529, np.where(DISC == 1, 255, 128), 0)  # with a border
OF_1_2_3 = np.where(ROWS < 16, 3, DISC + 1)  # a trimap
NAMES = [f"{kind}/{number}.jpg" for kind in ("cat", "dog") for number in range(2)]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return two classes of two pictures, 120 x 80, all for testing, without truth."""
    monkeypatch.delenv(root_variable("image_folder"), raising=False)
    for number, name in enumerate(NAMES):
        picture(tmp_path / "own" / "images" / name, number)
    return tmp_path / "own"


def picture(path: Path, number: int, orientation: int = 1) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([ROWS, COLUMNS, ROWS * 0 + number], 2).astype(np.uint8)).save(path, exif=exif)


def masks(root: Path, names: Iterable[str], mask: np.ndarray = DISC * 255) -> Path:
    for name in names:
        path = root / "masks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask.astype(np.uint8)).save(path)
    return root


def boxes(root: Path, *lines: str) -> Path:
    (root / "boxes.csv").write_text("\n".join(["id,x0,y0,x1,y1", *lines]) + "\n")
    return root


def read(root: Path, **arguments: object) -> Contents:
    return ImageFolder(root=str(root), test_share=1, val_share=0, **arguments).contents(root)  # type: ignore[arg-type]


PNGS = [name.replace(".jpg", ".png") for name in NAMES]


@pytest.mark.parametrize("spelling", ["0.PNG", "0_mask.png", "0-mask.Png", "0.jpg", "0.bmp", "0_gt.tif", "0.jpg.png"])
def test_common_spellings_of_a_mask_are_found(root: Path, spelling: str) -> None:
    masks(root, [spelling.join(["cat/", ""]), *PNGS[1:]])
    truth = read(root, mask_above=127).truth
    assert truth.keys() == set(NAMES)
    assert all(np.array_equal(each.object_masks()[0], DISC == 1) for each in truth.values())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([f"cat/{number}.png" for number in (5, 6, 7, 8)], r"4 masks belong to no image.*cat/5\.png, .*7\.png, \.\.\."),
        (["cat/0.png", "cat/0.txt"], r"1 mask belongs to no image.*cat/0\.txt"),
        (["cat/0.png", "cat/0_mask.png"], r"1 image has two masks each.*cat/0\.png and cat/0_mask\.png of cat/0\.jpg"),
        (["cat/1.png"], r"1 mask is of two images.*cat/1\.png of cat/1\.jpg and cat/1\.png"),
    ],
)
def test_masks_of_no_image_or_of_two_are_counted_and_named(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=message):
        match_masks(tmp_path, ["cat/0.jpg", "cat/1.jpg", "cat/1.png"])


def test_a_name_that_is_spelt_in_full_comes_before_a_shortened_one(tmp_path: Path) -> None:
    for name in ("a_mask.png", "b.jpg.png", "b.png.png"):
        (tmp_path / name).touch()
    found = match_masks(tmp_path, ["a.jpg", "a_mask.jpg", "b.jpg", "b.png"])
    assert found == {"a_mask.jpg": "a_mask.png", "b.jpg": "b.jpg.png", "b.png": "b.png.png"}


def empty_file(path: Path) -> None:
    path.write_bytes(b"")


def half_a_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("spoil", [empty_file, half_a_file, pipe, endless])
@pytest.mark.parametrize("file", ["masks/cat/0.png", "images/cat/0.jpg"])
def test_images_and_masks_are_all_opened_in_prepare(root: Path, spoil: Callable[[Path], None], file: str) -> None:
    masks(root, PNGS)
    spoil(root / file)
    with pytest.raises(DataError, match=f"(?s)1 of 4 {file.split('/', maxsplit=1)[0]} cannot be used.*{file}"):
        read(root)


def test_masks_without_an_object_are_counted_and_named(root: Path) -> None:
    masks(root, PNGS)
    masks(root, PNGS[:2], DISC * 0)
    with pytest.raises(DataError, match=r"2 of 4 images have no object pixel.*cat/0\.jpg, cat/1\.jpg"):
        read(root)


@pytest.mark.parametrize("size", [(240, 160), (61, 41), (121, 80), (1600, 1066)])
def test_a_mask_may_have_another_size_than_its_image(root: Path, size: tuple[int, int]) -> None:
    masks(root, PNGS[:1], np.eye(*size[::-1]) * 255)
    assert len(read(root).truth) == 1


@pytest.mark.parametrize("size", [(80, 120), (60, 42), (120, 82)])
def test_a_mask_of_another_aspect_than_its_image_is_refused(root: Path, size: tuple[int, int]) -> None:
    masks(root, PNGS[:1], np.eye(*size[::-1]) * 255)
    with pytest.raises(
        DataError, match=rf"1 image has masks of another aspect.*'cat/0\.jpg' 120x80, mask {size[0]}x{size[1]}"
    ):
        read(root)


def test_class_folders_images_and_masks_may_be_links(root: Path, tmp_path: Path) -> None:
    masks(root, PNGS)
    for number, folder in enumerate(["images/cat", "masks/cat", "images", "masks"]):
        (root / folder).rename(tmp_path / f"elsewhere{number}")
        (root / folder).symlink_to(tmp_path / f"elsewhere{number}")
    (root / "images" / "dog" / "again").symlink_to(root / "images" / "dog")
    contents = read(root)
    assert list(contents.class_names) == ["cat", "dog"]
    assert contents.truth.keys() == set(NAMES)


def test_lists_whose_images_share_a_mask_are_refused(root: Path) -> None:
    metadata = root / "metadata" / "test"
    metadata.mkdir(parents=True)
    masks(root, ["one.png"])
    (metadata / "image_ids.txt").write_text("\n".join(NAMES))
    (metadata / "class_labels.txt").write_text("\n".join(f"{name},0" for name in NAMES))
    (metadata / "localization.txt").write_text("\n".join(f"{name},../masks/one.png" for name in NAMES))
    with pytest.raises(DataError, match=r"1 mask is of several images.*one\.png"):
        read(root)


GOOD = [f"{name},40,20,90,60" for name in NAMES]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([f"{name},0.1,0.1,0.7,0.6" for name in NAMES], r"4 of 4 boxes lie within the first pixel: relative\?"),
        ([f"{name},40,20,{w},40" for name, w in zip(NAMES, (30, 50, 20, 35), strict=True)], r"3 of 4 .*\(x,y,w,h\?\)"),
        ([f"{name},10,30,60,{y}" for name, y in zip(NAMES, (100, 70, 110, 90), strict=True)], r"3 of 4 .*\(h,w\?\)"),
        ([*GOOD[:3], "dog/1.jpg,90,60,40,20"], r"1 of 4 .*\(are corners swapped\?\).*'dog/1\.jpg' \[90.0"),
        ([*GOOD[:3], "dog/1.jpg,40,20,1e30,60"], r"1 of 4 .* images; correct them: 'dog/1\.jpg'"),
        ([*GOOD[:3], "dog/1.jpg,40,20,40,60"], r"1 of 4 .* are empty or lie outside"),
        ([*GOOD[:3], "dog/1.jpg,130,20,150,60"], r"1 of 4 .* are empty or lie outside"),
        ([*GOOD[:3], "dog/1.jpg,120.2,20,121,60"], r"1 of 4 .* are empty or lie outside"),
    ],
)
def test_boxes_that_do_not_fit_are_refused_with_the_convention_they_would_fit(
    root: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=rf"boxes\.csv: {message}"):
        read(boxes(root, *lines))


def test_a_box_that_reaches_a_pixel_beyond_its_image_is_clipped_and_counted(root: Path) -> None:
    contents = read(boxes(root, *GOOD[:2], "dog/0.jpg,-0.5,20,121,80.5", "dog/1.jpg,0,0,120,80"))
    truth = contents.truth["dog/0.jpg"]
    assert (truth.boxes.tolist(), truth.choe2020_boxes.tolist()) == ([[0, 20, 120, 80]], [[-0.5, 20, 121, 80.5]])
    assert contents.truth["dog/1.jpg"].boxes.tolist() == [[0, 0, 120, 80]]
    assert contents.clipped == 1


def test_coordinates_from_0_to_1_in_one_box_are_one_pixel(root: Path) -> None:
    assert read(boxes(root, *GOOD[:3], "dog/1.jpg,0,0,1,1")).truth["dog/1.jpg"].boxes.tolist() == [[0, 0, 1, 1]]


def test_boxes_of_one_class_and_masks_of_the_other_are_refused(root: Path, tmp_path: Path) -> None:
    contents = read(boxes(masks(root, PNGS[2:]), *GOOD[:2]))
    with pytest.raises(DataError, match=r"2 images have boxes, and 2 have masks only \(dog/0\.jpg, dog/1\.jpg\)"):
        write_index(tmp_path / "index", contents, root / "images")


@pytest.mark.parametrize(
    ("suffix", "mask", "arguments", "said"),
    [
        ("png", OF_1_2_3, {}, "4 of 4 masks .* nearly the whole picture is object; .* mask_above .* and ignore_grey"),
        ("png", OF_1_2_3, {"ignore_grey": 3}, "4 of 4 masks .* nearly the whole"),
        ("png", DISC, {"ignore_grey": 3}, "no mask has a pixel of ignore_grey 3"),
        ("jpg", DISC * 255, {"mask_above": 127}, "4 of 4 masks are JPEG files"),
        ("gif", DISC, {}, "4 of 4 masks have a palette; their indices are read"),
        ("png", np.stack([DISC * 0, DISC], 2), {}, "4 of 4 masks are their files' alpha"),
        ("png", DISC, {}, ""),
        ("png", TRIMAP, {}, r"4 of 4 masks .* 0, 128, 255, .*`ignore_grey: 128`\?"),
        ("png", np.where(TRIMAP == 128, 255, TRIMAP // 255), {}, r"4 of 4 masks .* 0, 1, 255, .*`ignore_grey: 255`\?"),
        ("png", TRIMAP, {"ignore_grey": 128}, ""),
        ("png", TRIMAP, {"mask_above": 128}, ""),
        ("png", np.where(COLUMNS < 3, 64, TRIMAP), {}, ""),
    ],
)
def test_doubts_about_levels_are_said(
    root: Path, caplog: pytest.LogCaptureFixture, suffix: str, mask: np.ndarray, arguments: dict[str, int], said: str
) -> None:
    caplog.set_level("INFO")
    read(masks(root, [name.replace("png", suffix) for name in PNGS], mask), **arguments)
    assert len(caplog.records) == bool(said)
    assert re.search(said, caplog.text)


def copied(root: Path) -> None:
    boxes(root, *GOOD)
    (root / "images" / "cat" / "copy.jpg").write_bytes((root / "images" / "cat" / "1.jpg").read_bytes())
    picture(root / "images" / "dog" / "other.jpg", 9)


def tested_in_part(root: Path) -> None:
    boxes(root, *GOOD[:2])
    picture(root / "images" / "cat" / "other.jpg", 9)


@pytest.mark.parametrize(
    ("arrange", "said"),
    [
        (copied, ["1 image of val and test is a copy of images of train: cat/1.jpg"]),
        (tested_in_part, ["test: 1 class has no image: dog"]),
        (lambda root: boxes(masks(root, PNGS[1:]), *GOOD), ["test: 3 of 4 images have masks, so that pixels are not"]),
        (lambda root: boxes(root, *GOOD), []),
    ],
)
def test_doubts_about_a_whole_data_set_are_said(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    arrange: Callable[[Path], object],
    said: list[str],
) -> None:
    arrange(root)
    monkeypatch.setenv(root_variable("image_folder"), str(root))
    settings = Settings.model_validate(
        {
            "methods": {"cam": {}},
            "datasets": {"image_folder": {"test_share": 1, "val_share": 0}},
            "tracks": {"own": {**TINY_TRACK, "dataset": "image_folder"}},
            "run": {"tracks": ["own"], "methods": ["cam"], "seeds": [0]},
        }
    )
    prepare(settings, "own", Layout(tmp_path))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(said)
    assert all(re.match(expected, message) for expected, message in zip(said, messages, strict=True))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("choice", ["displayed", "raster"])
def test_pictures_are_turned_as_viewers_turn_them_or_not_at_all(
    root: Path, tmp_path: Path, orientation: int, choice: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = root / "images" / NAMES[0]
    picture(path, 0, orientation)
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored) if choice == "displayed" else stored)
    boxes(root, *(f"{name},10,10,70,70" for name in NAMES))
    write_index(tmp_path / "index", read(root, orientation=choice), root / "images")
    assert len(caplog.records) == (orientation != 1)
    split = read_split(tmp_path / "index", "test")
    assert (split.items[0].height, split.items[0].width) == expected.shape[:2]
    assert np.array_equal(read_image(path, split.items[0]), expected)
    small = np.asarray(Image.fromarray(expected).resize((8, 8), Image.Resampling.BILINEAR))
    for reading in (Reading(), Reading(cache=tmp_path / "cache", most_bytes=10**6)):
        assert np.array_equal(pictures_of(split, root / "images", 8, reading)[0], small)


@pytest.mark.parametrize(
    ("truth", "choice", "other"),
    [
        (lambda root: masks(root, PNGS[:1]), "displayed", "raster"),
        (lambda root: masks(root, PNGS[:1], DISC.T), "raster", "displayed"),
        (lambda root: boxes(root, f"{NAMES[0]},20,10,110,70"), "displayed", "raster"),
        (lambda root: boxes(root, f"{NAMES[0]},10,20,70,110"), "raster", "displayed"),
    ],
)
def test_truth_that_fits_the_other_orientation_only_says_so(
    root: Path, truth: Callable[[Path], Path], choice: str, other: str
) -> None:
    picture(truth(root) / "images" / NAMES[0], 0, orientation=6)
    assert len(read(root, orientation=other).truth) == 1
    with pytest.raises(DataError, match=rf"datasets\.image_folder\.orientation: {other} they would fit.*cat/0\.jpg"):
        read(root, orientation=choice)


def test_sizes_of_a_list_that_fit_the_other_orientation_or_are_height_first_say_so(root: Path) -> None:
    metadata = root / "metadata" / "test"
    metadata.mkdir(parents=True)
    for file, values in (("class_labels", "0"), ("image_sizes", "80,120"), ("localization", "10,10,70,70")):
        (metadata / f"{file}.txt").write_text("\n".join(f"{name},{values}" for name in NAMES))
    (metadata / "image_ids.txt").write_text("\n".join(NAMES))
    with pytest.raises(DataError, match=r"4 of 4 images have another size.*\(h,w\?"):
        read(root)
    for name in NAMES:
        picture(root / "images" / name, 0, orientation=8)
    with pytest.raises(DataError, match=r"orientation: displayed they would fit"):
        read(root, orientation="raster")
    assert len(read(root).items) == 4


def test_names_that_are_not_utf_8_are_named_first(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "images" / "cat" / os.fsdecode(b"\xff.jpg")).write_bytes(b"")
    with pytest.raises(DataError, match=r"1 file name is not UTF-8 \('cat/\\udcff\.jpg'\); rename them"):
        read(boxes(root, *GOOD))
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "ascii")
    monkeypatch.setattr("os.fsencode", lambda name: name.encode("ascii"))
    with pytest.raises(DataError, match=r"\('cat/\\xe4\.jpg'\); set PYTHONUTF8=1: this locale's names are ascii"):
        refuse_bad_names(root, ["cat/0.jpg", "cat/ä.jpg"])
