"""iNatLoc500 in the format that its authors describe, made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from wsolbench.acquire.sources import Sources
from wsolbench.data.index import read_split, write_index
from wsolbench.data.roots import root_variable
from wsolbench.datasets.inatloc500 import INatLoc500
from wsolbench.errors import DataError

IDS = {
    "train": ["train/00001_Aves_Passer/1.jpg"],
    "val": ["val/Aves/Passer domesticus/2.jpg"],
    "test": ["test/Aves/Passer domesticus/3.jpg", "test/Mammalia/Vulpes vulpes/4.jpg"],
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(root_variable("inatloc500"), raising=False)
    base = tmp_path / "inat"
    for split, names in IDS.items():
        lists = base / "metadata" / split
        lists.mkdir(parents=True)
        (lists / "image_ids.txt").write_text("".join(f"{name}\n" for name in names))
        for suffix, label in (("", lambda n: int("Vulpes" in n)), ("_kingdom", lambda n: 0)):
            (lists / f"class_labels{suffix}.txt").write_text("".join(f"{name},{label(name)}\n" for name in names))
        if split != "train":
            (lists / "image_sizes.txt").write_text("".join(f"{name},1,2\n" for name in names))  # known to be wrong
            (lists / "localization.txt").write_text("".join(f"{name},1,2,30,20\n" for name in names))
        for name in names:
            (base / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), (int(name[-5]), 0, 0)).save(base / "images" / name)
    (base / "metadata" / "class_names.txt").write_text("Passer domesticus,0\nVulpes vulpes,1\n")
    (base / "metadata" / "class_names_kingdom.txt").write_text("Animalia,0\n")
    return base


def test_splits_labels_sizes_and_boxes(root: Path, tmp_path: Path) -> None:
    found = INatLoc500(str(root))
    write_index(tmp_path / "index", found.contents(tmp_path), found.image_root(tmp_path))
    for split, names in IDS.items():
        assert [item.id for item in read_split(tmp_path / "index", split).items] == names  # type: ignore[arg-type]
    test = read_split(tmp_path / "index", "test")
    assert [(item.label, item.width, item.height) for item in test.items] == [(0, 40, 30), (1, 40, 30)]
    assert list(test.class_names) == ["Passer domesticus", "Vulpes vulpes"]
    assert test.truth(IDS["test"][1]).boxes.tolist() == [[1, 2, 30, 20]]


def test_a_coarser_level_has_its_own_labels_and_names(root: Path) -> None:
    contents = INatLoc500(str(root), labels="kingdom").contents(root)
    assert list(contents.class_names) == ["Animalia"]
    assert {item.label for item in contents.items} == {0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Passer\nVulpes\n", r"class_names\.txt:1: expected a name and a label of its own, found 'Passer'"),
        ("Passer,0\nVulpes,0\n", r"class_names\.txt:2: expected a name and a label of its own"),
        ("Passer,0\nVulpes,2\n", r"class_names\.txt: labels should be 0 to 1"),
    ],
)
def test_names_of_classes_need_their_labels(root: Path, text: str, message: str) -> None:
    (root / "metadata" / "class_names.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        INatLoc500(str(root)).contents(root)


def test_a_box_that_ends_with_its_image_is_scored_as_it_is_listed(root: Path) -> None:
    """As many of the real list do; none was clipped."""
    listed = root / "metadata" / "test" / "localization.txt"
    listed.write_text("".join(f"{name},1,2,40,30\n" for name in IDS["test"]))
    contents = INatLoc500(str(root)).contents(root)
    truth = contents.truth[IDS["test"][0]]
    assert (truth.boxes.tolist(), truth.choe2020_boxes.tolist(), contents.clipped) == ([[1, 2, 40, 30]],) * 2 + (0,)


def test_what_is_missing_is_said_with_what_to_do(root: Path) -> None:
    with pytest.raises(DataError, match=r"not configured.*iNatLoc\.tar\.gz"):
        INatLoc500().contents(root)
    (root / "images").rename(root / "pictures")
    with pytest.raises(DataError, match=r"has neither images nor iNatLoc\.tar\.gz\. Download https"):
        INatLoc500(str(root)).obtain(Sources(download=False))
