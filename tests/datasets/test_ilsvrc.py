"""ILSVRC in its official layout: real images where they are at hand, and made-up ones for what can go wrong."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.datasets.roots import IMAGES, write_images, write_lists
from wsolbench.acquire.choe_metadata import read_metadata
from wsolbench.acquire.sources import Sources
from wsolbench.config import registry
from wsolbench.data.dataset import WsolDataset
from wsolbench.data.index import read_split, write_index
from wsolbench.errors import DataError

SYNSETS = {"n01": "first, one", "n02": "second"}


def dataset(root: Path | None, **arguments: str) -> WsolDataset:
    made: WsolDataset = registry.load("dataset", "ilsvrc")(root=None if root is None else str(root), **arguments)
    return made


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WSOLBENCH_ILSVRC_ROOT", raising=False)


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    base = tmp_path / "root"
    train = ["train/n01/a.JPEG", "train/n01/b.JPEG", "train/n02/c.JPEG"]
    write_images(base / IMAGES, [*train, "val/v1.JPEG", "val/v2.JPEG"])
    (base / "LOC_synset_mapping.txt").write_text("".join(f"{key} {value}\n" for key, value in SYNSETS.items()))
    (base / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nv1,n02 0 0 39 29 n02 5 6 7 8 \nv2,n01 10 10 19 19 \n"
    )
    return base


def test_splits_labels_and_boxes(made_up: Path, tmp_path: Path) -> None:
    found = dataset(made_up)
    write_index(tmp_path / "index", found.contents(tmp_path), found.image_root(tmp_path))
    train, test = read_split(tmp_path / "index", "train"), read_split(tmp_path / "index", "test")
    assert [(item.id, item.label) for item in train.items] == [
        ("train/n01/a.JPEG", 0), ("train/n01/b.JPEG", 0), ("train/n02/c.JPEG", 1),
    ]  # fmt: skip
    assert [(item.id, item.label, item.width, item.height) for item in test.items] == [
        ("val/v1.JPEG", 1, 40, 30), ("val/v2.JPEG", 0, 40, 30),
    ]  # fmt: skip
    assert test.truth("val/v1.JPEG").boxes.tolist() == [[0, 0, 39, 29], [5, 6, 7, 8]]
    assert list(test.class_names) == ["n01", "n02"]


def test_a_box_beyond_its_image_is_clipped_and_counted(made_up: Path, tmp_path: Path) -> None:
    (made_up / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nv1,n02 0 0 45 31 n02 5 6 40 30 \nv2,n01 10 10 19 19 \n"
    )
    contents = dataset(made_up).contents(tmp_path)
    truth = contents.truth["val/v1.JPEG"]
    assert truth.boxes.tolist() == [[0, 0, 40, 30], [5, 6, 40, 30]]
    assert truth.choe2020_boxes.tolist() == [[0, 0, 39, 29], [5, 6, 40, 30]]
    assert contents.clipped == 1


def test_evaluation_only_needs_no_training_images(made_up: Path, tmp_path: Path) -> None:
    shutil.rmtree(made_up / "ILSVRC" / "Data" / "CLS-LOC" / "train")
    with pytest.raises(DataError, match=r"train is missing; set datasets\.ilsvrc\.train: none to evaluate only"):
        dataset(made_up).contents(tmp_path)
    found = dataset(made_up, train="none")
    write_index(tmp_path / "index", found.contents(tmp_path), found.image_root(tmp_path))
    assert len(read_split(tmp_path / "index", "train")) == 0
    assert len(read_split(tmp_path / "index", "test")) == 2


def test_without_an_account_it_is_said_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither ILSVRC/Data/CLS-LOC/val nor ILSVRC2012_img_val\.tar.*image-net\.org"):
        dataset(tmp_path).obtain(Sources())


def test_the_proxy_set_and_imagenetv2(made_up: Path, tmp_path: Path) -> None:
    metadata = tmp_path / "metadata"
    (metadata / "train").mkdir(parents=True)
    (metadata / "train" / "image_ids_proxy.txt").write_text("train/n02/c.JPEG\n")
    write_lists(metadata / "val", {"val2/0/x.jpeg": 0}, ["val2/0/x.jpeg,1,2,18,9"])
    write_images(tmp_path / "v2", ["0/x.jpeg"])
    found = dataset(made_up, train="proxy", val="imagenetv2", imagenetv2=str(tmp_path / "v2"), metadata=str(metadata))
    write_index(tmp_path / "index", found.contents(tmp_path), found.image_root(tmp_path))
    assert [item.id for item in read_split(tmp_path / "index", "train").items] == ["train/n02/c.JPEG"]
    val = read_split(tmp_path / "index", "val")
    assert val.truth("val2/0/x.jpeg").boxes.tolist() == [[1, 2, 18, 9]]
    assert (found.image_root(tmp_path) / val.items[0].path).resolve() == tmp_path / "v2" / "0" / "x.jpeg"


def test_a_holdout_leaves_the_rest_to_test_whatever_is_beside_it(made_up: Path, tmp_path: Path) -> None:
    whole = dataset(made_up).contents(tmp_path)
    found = dataset(made_up, val="holdout", holdout_images=1).contents(tmp_path)
    tests = [item.id for item in whole.items if item.split == "test"]
    first = min(tests, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert {item.id: item.split for item in found.items} == {
        item.id: "val" if item.id == first else item.split for item in whole.items
    }
    assert found.truth.keys() == whole.truth.keys()
    with pytest.raises(DataError, match=r"has 2 images, of which datasets\.ilsvrc\.holdout_images would take 2"):
        dataset(made_up, val="holdout", holdout_images=2).contents(tmp_path)


def test_without_the_challenges_files_classes_are_the_folders_and_boxes_those_of_the_lists(
    made_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[type(dataset(None)).__module__], "_CLASSES", 2)
    expected = dataset(made_up).contents(tmp_path)
    names = [item.id for item in expected.items if item.split == "test"]
    rows = [",".join([name, *map(str, box)]) for name in names for box in expected.truth[name].boxes.tolist()]
    write_lists(made_up / "metadata" / "ILSVRC" / "test", {"val/v1.JPEG": 1, "val/v2.JPEG": 0}, rows)
    for name in ("LOC_synset_mapping.txt", "LOC_val_solution.csv"):
        (made_up / name).unlink()
    found = dataset(made_up).contents(tmp_path)
    assert (found.items, list(found.class_names)) == (expected.items, list(expected.class_names))
    assert all(np.array_equal(found.truth[name].boxes, expected.truth[name].boxes) for name in names)
    shutil.rmtree(made_up / "ILSVRC" / "Data" / "CLS-LOC" / "train" / "n01")
    with pytest.raises(DataError, match=r"has 1 folders, not 2, and LOC_synset_mapping\.txt is missing"):
        dataset(made_up).contents(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("v1,n02 0 0 39", r"csv:2: expected an image id of its own and groups"),
        ("v1,n02 0 0 x 29", r"csv:2: a box of image 'v1' is not four numbers"),
        ("v1,n09 0 0 39 29", r"image 'v1': synset 'n09' is not in LOC_synset_mapping"),
        ("v1,", r"csv:2: expected"),
        ("v9,n01 0 0 39 29", r"v9\.JPEG is missing"),
    ],
)
def test_a_wrong_line_is_named(made_up: Path, tmp_path: Path, line: str, message: str) -> None:
    (made_up / "LOC_val_solution.csv").write_text(f"ImageId,PredictionString\n{line}\n")
    with pytest.raises(DataError, match=message):
        dataset(made_up).contents(tmp_path)


def test_what_is_missing_is_said_with_what_to_do(made_up: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not configured.*datasets\.ilsvrc\.root.*image-net\.org"):
        dataset(None).contents(tmp_path)
    with pytest.raises(DataError, match="does not hold a directory"):
        dataset(tmp_path).contents(tmp_path)
    with pytest.raises(DataError, match=r"metadata/ILSVRC/val/image_ids\.txt is missing"):
        dataset(made_up, val="imagenetv2").contents(tmp_path)
    with pytest.raises(DataError, match=r"metadata/ILSVRC/train/image_ids_proxy\.txt is missing"):
        dataset(made_up, train="proxy").contents(tmp_path)
    for file in (made_up / "ILSVRC" / "Data" / "CLS-LOC" / "train" / "n02").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"n02 has no \.JPEG files"):
        dataset(made_up).contents(tmp_path)


def test_real_images_have_the_boxes_of_both_official_lists(test_data: Path, tmp_path: Path) -> None:
    root = test_data / "data" / "ilsvrc-mini"
    contents = dataset(root, train="none").contents(tmp_path)
    assert len(contents.items) == 1300
    assert len({item.label for item in contents.items}) == 725
    assert sum(len(truth.boxes) for truth in contents.truth.values()) == 1943
    listed = read_metadata(root / "metadata" / "ILSVRC" / "test")
    assert listed.keys() == contents.truth.keys()
    for item in contents.items:
        entry = listed[item.id]
        assert (entry.label, entry.width, entry.height) == (item.label, item.width, item.height)
        assert np.array_equal(entry.boxes, contents.truth[item.id].boxes)
