"""Lists as people save them: byte order marks, other line ends, blank lines; and numbers that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wsolbench.acquire.choe_metadata import Entry, read_metadata
from wsolbench.data.tables import as_number, read_boxes
from wsolbench.datasets.cub import Cub
from wsolbench.errors import DataError

LISTS = {
    "image_ids.txt": "a/1.jpg\nb/2.jpg",
    "class_labels.txt": "a/1.jpg,0\nb/2.jpg,1",
    "image_sizes.txt": "a/1.jpg,500,375\nb/2.jpg,20,10",
    "localization.txt": "a/1.jpg,1,2,30.5,40\nb/2.jpg,0,0,19,9\nb/2.jpg,3,3,4,4",
}
SAVED: dict[str, Callable[[str], bytes]] = {
    "as published, without a last line end": str.encode,
    "with a byte order mark": lambda text: text.encode("utf-8-sig"),
    "by Windows": lambda text: (text + "\n").replace("\n", "\r\n").encode("utf-8-sig"),
    "with blank lines": lambda text: f"\n{text}\n \n".replace("\n", "\n\n").encode(),
}


def facts(entries: dict[str, Entry]) -> list[tuple[object, ...]]:
    return [(each.id, each.label, each.width, each.height, each.boxes.tolist()) for each in entries.values()]


@pytest.mark.parametrize("saved", SAVED.values(), ids=SAVED)
def test_split_files_mean_the_same_however_they_were_saved(tmp_path: Path, saved: Callable[[str], bytes]) -> None:
    for name, text in LISTS.items():
        (tmp_path / name).write_bytes(saved(text))
    assert facts(read_metadata(tmp_path)) == [
        ("a/1.jpg", 0, 500, 375, [[1, 2, 30.5, 40]]),
        ("b/2.jpg", 1, 20, 10, [[0, 0, 19, 9], [3, 3, 4, 4]]),
    ]


@pytest.mark.parametrize("saved", SAVED.values(), ids=SAVED)
def test_the_lists_of_cub_mean_the_same_however_they_were_saved(cub_root: Path, saved: Callable[[str], bytes]) -> None:
    birds = Cub(root=str(cub_root), val="none")
    expected = birds.contents(cub_root)
    for path in (cub_root / "CUB_200_2011").glob("*.txt"):
        path.write_bytes(saved(path.read_text().strip()))
    found = birds.contents(cub_root)
    assert (found.items, found.class_names) == (expected.items, expected.class_names)
    assert all(found.truth[name].boxes.tolist() == truth.boxes.tolist() for name, truth in expected.truth.items())


@pytest.mark.parametrize("saved", SAVED.values(), ids=SAVED)
def test_a_table_of_boxes_means_the_same_however_it_was_saved(tmp_path: Path, saved: Callable[[str], bytes]) -> None:
    path = tmp_path / "boxes.csv"
    path.write_bytes(saved("id,x0,y0,x1,y1\na,1,2,3.5,4"))
    assert {name: boxes.tolist() for name, boxes in read_boxes(path, ["a"], "images").items()} == {
        "a": [[1, 2, 3.5, 4]]
    }


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("localization.txt", "a/1.jpg,1_2,2,30,40", r"localization\.txt:3: expected id,x0,y0,x1,y1"),
        ("localization.txt", "a/1.jpg,\u0661,2,30,40", r"localization\.txt:3: expected id,x0,y0,x1,y1"),
        ("localization.txt", "a/1.jpg,nan,2,30,40", r"localization\.txt:3: expected id,x0,y0,x1,y1"),
        ("class_labels.txt", "a/1.jpg,--5", r"class_labels\.txt:3: expected an image id and 1 whole numbers"),
        ("class_labels.txt", "a/1.jpg,-1", r"class_labels\.txt:3: image 'a/1\.jpg' has -1, expected is 0 or more"),
        ("class_labels.txt", "a/1.jpg," + "9" * 5000, r"class_labels\.txt:3: expected an image id and 1 whole"),
        ("class_labels.txt", "a/1.jpg,\u0661", r"class_labels\.txt:3: expected an image id and 1 whole numbers"),
        ("image_sizes.txt", "a/1.jpg,0,0", r"image_sizes\.txt:3: image 'a/1\.jpg' has 0, expected is 1 or more"),
        ("image_sizes.txt", "a/1.jpg,-5,80", r"image_sizes\.txt:3: image 'a/1\.jpg' has -5"),
        ("image_sizes.txt", "a/1.jpg,1e20,80", r"image_sizes\.txt:3: expected an image id and 2 whole numbers"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_in_its_line_of_the_file(
    tmp_path: Path, file: str, line: str, message: str
) -> None:
    for name, text in LISTS.items():
        (tmp_path / name).write_text(f"\n\n{line}\n" if name == file else text)
    with pytest.raises(DataError, match=message):
        read_metadata(tmp_path)


def test_names_may_have_commas_and_lists_that_miss_an_image_are_named(tmp_path: Path) -> None:
    for file, values in (("image_ids", ""), ("class_labels", ",3"), ("image_sizes", ",20,10")):
        (tmp_path / f"{file}.txt").write_text(f"a,b.jpg{values}\n")
    assert read_metadata(tmp_path)["a,b.jpg"].label == 3
    (tmp_path / "image_sizes.txt").write_text("other,20,10\n")
    with pytest.raises(DataError, match=r"image_sizes\.txt: image 'a,b\.jpg' of image_ids\.txt is missing"):
        read_metadata(tmp_path)


@pytest.mark.parametrize("text", ["12", " 12.5 ", "-3", "+.5", "7.", "1e3", "1.5E-2"])
def test_a_decimal_number_is_what_python_reads(text: str) -> None:
    assert as_number(text) == float(text)


@pytest.mark.parametrize(
    "text", ["", "1_2", "nan", "inf", "-", "1,5", "0x1", "\u0661\u0662", "1e999", "9" * 400, "1 2"]
)
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        as_number(text)
