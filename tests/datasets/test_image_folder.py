"""Somebody's own images: in folders, or with Choe et al.'s metadata files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsolbench.acquire.policy import Policy
from wsolbench.data.dataset import Contents
from wsolbench.data.index import read_split, write_index
from wsolbench.data.masks import decode
from wsolbench.data.roots import root_variable
from wsolbench.datasets.image_folder import ImageFolder
from wsolbench.errors import DataError, SettingsError

IMAGES = {"train": ["cat/1.png", "dog/2.png"], "val": ["dog/3.png"], "test": ["cat/4.png", "dog/5.png"]}
LABELS = {"cat": 0, "dog": 1}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(root_variable("image_folder"), raising=False)
    base = tmp_path / "own"
    for split, names in IMAGES.items():
        metadata = base / "metadata" / split
        metadata.mkdir(parents=True)
        (metadata / "image_ids.txt").write_text("".join(f"{name}\n" for name in names))
        (metadata / "class_labels.txt").write_text("".join(f"{name},{LABELS[name[:3]]}\n" for name in names))
        for name in names:
            (base / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((30, 40, 3), int(name[4]), np.uint8)).save(base / "images" / name)
        if split != "train":
            (metadata / "image_sizes.txt").write_text("".join(f"{name},40,30\n" for name in names))
            (metadata / "localization.txt").write_text("".join(f"{name},0,0,9,9\n{name},1,2,30,20\n" for name in names))
    return base


def read(root: Path) -> Contents:
    return ImageFolder(root=str(root)).contents(root)


def test_splits_labels_and_boxes_are_those_of_the_lists(root: Path) -> None:
    contents = read(root)
    assert {split: [item.id for item in contents.items if item.split == split] for split in IMAGES} == IMAGES
    assert [item.label for item in contents.items] == [0, 1, 1, 0, 1]
    assert {(item.width, item.height) for item in contents.items} == {(40, 30)}
    assert contents.truth.keys() == {*IMAGES["val"], *IMAGES["test"]}
    assert contents.truth["cat/4.png"].boxes.tolist() == [[0, 0, 9, 9], [1, 2, 30, 20]]


def test_classes_are_named_by_their_list_or_their_number(root: Path) -> None:
    assert list(read(root).class_names) == ["0", "1"]
    (root / "class_names.txt").write_text("cat\ndog\n")
    assert list(read(root).class_names) == ["cat", "dog"]
    (root / "class_names.txt").write_text("cat\n")
    with pytest.raises(DataError, match=r"class_names\.txt names 1 classes, but label 1 occurs"):
        read(root)


def test_labels_that_seem_to_count_from_1_are_said(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in root.rglob("class_labels.txt"):
        path.write_text(path.read_text().replace(",1", ",2").replace(",0", ",1"))
    assert list(read(root).class_names) == ["0", "1", "2"]
    assert "every other one up to 2 occurs: are labels counted from 1?" in caplog.text
    (root / "class_names.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match=r"names 2 classes, but label 2 occurs; counted from 1\?"):
        read(root)


def test_a_set_with_test_images_only_can_be_indexed(root: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        (root / "metadata" / split).rename(root / split)
    write_index(tmp_path / "index", read(root), root / "images")
    assert [len(read_split(tmp_path / "index", split)) for split in ("train", "val", "test")] == [0, 0, 2]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "train/class_labels.txt",
            "cat/1.png,0\n",
            r"class_labels\.txt: image 'dog/2\.png' of image_ids\.txt is missing",
        ),
        ("train/class_labels.txt", "cat/1.png,-1\ndog/2.png,0\n", r"class_labels\.txt:1: image 'cat/1\.png' has -1"),
        ("train/class_labels.txt", "cat/1.png,x\ndog/2.png,0\n", r"class_labels\.txt:1: expected an image id and 1"),
        (
            "test/image_sizes.txt",
            "cat/4.png,40,30\ndog/5.png,80,30\n",
            r"(?s)1 of 2 .*dog/5.png: 40x30 pixels, not 80x30",
        ),
        ("test/image_ids.txt", "cat/4.png\ndog/9.png\n", r"dog/5\.png|dog/9\.png"),
        ("val/image_ids.txt", "dog/2.png\n", r"dog/[23]\.png"),
    ],
)
def test_lists_that_do_not_fit_are_refused_by_name(root: Path, file: str, text: str, message: str) -> None:
    (root / "metadata" / file).write_text(text)
    with pytest.raises(DataError, match=message):
        read(root)


def test_an_image_without_a_box_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "metadata" / "test" / "localization.txt").write_text("cat/4.png,0,0,9,9\n")
    with pytest.raises(DataError, match=r"'dog/5\.png' of split 'test' has neither box nor mask"):
        write_index(tmp_path / "index", read(root), root / "images")


def test_a_root_that_is_missing_or_wrong_is_answered_with_the_layout(root: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)not configured.*WSOLBENCH_IMAGE_FOLDER_ROOT.*boxes\.csv.*image_ids\.txt"):
        ImageFolder().contents(root)
    with pytest.raises(DataError, match="does not hold a directory images"):
        ImageFolder(root=str(root / "metadata")).contents(root)


def test_real_images_and_lists_are_read_as_they_are(root: Path, test_data: Path, tmp_path: Path) -> None:
    mini = test_data / "data" / "ilsvrc-mini"
    (tmp_path / "real" / "metadata").mkdir(parents=True)
    (tmp_path / "real" / "images").symlink_to(mini / "ILSVRC" / "Data" / "CLS-LOC")
    (tmp_path / "real" / "metadata" / "test").symlink_to(mini / "metadata" / "ILSVRC" / "test")
    contents = read(tmp_path / "real")
    assert len(contents.items) == 1300
    assert sum(len(truth.boxes) for truth in contents.truth.values()) == 1943
    lines = (mini / "metadata" / "ILSVRC" / "test" / "localization.txt").read_text().split()
    boxes = [[name, *box] for name, truth in contents.truth.items() for box in truth.boxes.astype(int).tolist()]
    assert sorted(",".join(map(str, box)) for box in boxes) == sorted(lines)


def test_masks_need_no_sizes_and_no_ignore_files(root: Path) -> None:
    metadata = root / "metadata" / "test"
    (metadata / "image_sizes.txt").unlink()
    names = IMAGES["test"]
    for name in names:
        Image.new("L", (40, 30), 255).save(root / "images" / f"{name}.mask.png")
    (metadata / "localization.txt").write_text("".join(f"{name},{name}.mask.png\n" for name in names))
    truth = read(root).truth["dog/5.png"]
    assert decode(*truth.masks).all()
    assert (truth.ignore, len(truth.boxes)) == (None, 0)
    (root / "images" / "dog/5.png.mask.png").unlink()
    with pytest.raises(DataError, match=r"1 of 2 masks cannot be used:\n.*dog/5\.png\.mask\.png is missing"):
        read(root)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return two classes of ten images in folders; the first eight of each have a box."""
    monkeypatch.delenv(root_variable("image_folder"), raising=False)
    base = tmp_path / "mine"
    lines = ["id,x0,y0,x1,y1"]
    for name in (f"{kind}/{number}.png" for kind in ("wren", "auk") for number in range(10)):
        (base / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((30, 40, 3), len(lines), np.uint8)).save(base / "images" / name)
        lines += [f"{name},1,2,30,20"] if int(name[-5]) < 8 else []
    (base / "boxes.csv").write_text("\n".join(lines) + "\n")
    return base


def of_split(contents: Contents, split: str) -> list[str]:
    return [item.id for item in contents.items if item.split == split]


def test_folders_are_classes_and_images_without_truth_are_for_training(folders: Path) -> None:
    contents = read(folders)
    assert list(contents.class_names) == ["auk", "wren"]
    assert {item.id: item.label for item in contents.items}["wren/3.png"] == 1
    for split, per_class in (("train", 6), ("val", 2), ("test", 2)):
        assert [name[:3] for name in of_split(contents, split)] == ["auk"] * per_class + ["wre"] * per_class
    assert {"auk/8.png", "auk/9.png", "wren/8.png", "wren/9.png"} <= set(of_split(contents, "train"))
    assert contents.truth.keys() == {*of_split(contents, "val"), *of_split(contents, "test")}
    assert read(folders).items == contents.items


def test_shares_say_how_truth_is_dealt(folders: Path) -> None:
    contents = ImageFolder(root=str(folders), test_share=1, val_share=0).contents(folders)
    assert [len(of_split(contents, split)) for split in ("train", "val", "test")] == [4, 0, 16]
    with pytest.raises(SettingsError, match="must be shares"):
        ImageFolder(test_share=0.7, val_share=0.4)


def test_splits_of_a_file_are_taken_and_truth_of_train_is_left_aside(folders: Path) -> None:
    names = [f"{kind}/{number}.png" for kind in ("auk", "wren") for number in range(10)]
    rows = [f"{name},{'test' if name.endswith('3.png') else 'train'}" for name in names]
    (folders / "splits.csv").write_text("\n".join(["id,split", *rows]) + "\n")
    contents = read(folders)
    assert of_split(contents, "test") == ["auk/3.png", "wren/3.png"]
    assert contents.truth.keys() == {"auk/3.png", "wren/3.png"}
    for text, message in (
        ("id,split\nauk/3.png,exam\n", r"splits\.csv:2: split 'exam' is none of"),
        ("id,split\nauk/3.png,test\n", r"misses 19 images"),
        ("id,split\n" + "\n".join([*rows, "owl/1.png,test"]), r"names, and there is not, 1 image"),
        ("id,split\n" + "\n".join([*rows, rows[0]]), r":22: image 'auk/0\.png' has a line already"),
        ("id;split\n", r"the header must be id,split"),
    ):
        (folders / "splits.csv").write_text(text)
        with pytest.raises(DataError, match=message):
            read(folders)


@pytest.mark.parametrize("again", ["wren/1.png,1,2,30,20", "wren/1.png,1.0,2,3e1,20"])
def test_the_same_box_twice_is_refused_with_both_lines(folders: Path, again: str) -> None:
    with (folders / "boxes.csv").open("a") as stream:
        stream.write("wren/1.png,1,2,30,21\n")  # another box of the same image is one more object
    assert max(len(each.boxes) for each in ImageFolder(str(folders), 1, 0).contents(folders).truth.values()) == 2
    with (folders / "boxes.csv").open("a") as stream:
        stream.write(f"{again}\n")
    with pytest.raises(
        DataError, match=r"boxes\.csv:19: image 'wren/1\.png' has this box in line 3 already; remove one"
    ):
        read(folders)


def test_folders_that_are_not_understood_are_refused_by_name(folders: Path) -> None:
    (folders / "boxes.csv").write_text("id,x0,y0,x1,y1\nauk/77.png,0,0,1,1\n")
    with pytest.raises(DataError, match=r"boxes\.csv:2: image 'auk/77\.png' is not in images"):
        read(folders)
    (folders / "boxes.csv").unlink()
    with pytest.raises(DataError, match=r"neither boxes\.csv nor masks"):
        read(folders)
    (folders / "images" / ".DS_Store").write_text("")
    (folders / "images" / "stray.png").write_bytes((folders / "images" / "auk" / "1.png").read_bytes())
    with pytest.raises(DataError, match=r"stray\.png lies in no folder of a class"):
        read(folders)
    (folders / "images" / "stray.png").rename(folders / "images" / "auk" / "notes.txt")
    with pytest.raises(DataError, match=r"notes\.txt is no image"):
        read(folders)


@pytest.fixture
def pets(test_data: Path, tmp_path: Path) -> list[list[str]]:
    """Put photographs and masks of seven kinds into folders below ``pets``, and return the rows that describe them."""
    source = test_data / "data" / "pets-mask-mini"
    rows = [line.split(",") for line in (source / "index.csv").read_text().splitlines()[1:]]
    for image, kind, mask, *_ in rows:
        for folder, file in (("images", image), ("masks", mask)):
            target = tmp_path / "pets" / folder / kind / Path(file).name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source / file)
    return rows


def test_by_default_no_class_of_a_few_photographs_goes_without_training_or_test_images(
    pets: list[list[str]], tmp_path: Path
) -> None:
    contents = ImageFolder(str(tmp_path / "pets"), ignore_grey=128).contents(tmp_path)
    sizes = Counter(item.label for item in contents.items)
    assert sorted(sizes) == list(range(7))
    for split, fewest in (("train", 1), ("test", 2), ("val", 3)):
        having = {item.label for item in contents.items if item.split == split}
        assert having == {label for label, size in sizes.items() if size >= fewest}, split


def test_real_photographs_with_trimaps_in_folders(pets: list[list[str]], tmp_path: Path) -> None:
    """A stand-in for somebody's own folder: 255 is the animal, 128 the border that counts for neither side."""
    rows = pets
    found = ImageFolder(str(tmp_path / "pets"), test_share=1, val_share=0, ignore_grey=128)
    policy = Policy(boxes="masks")
    contents = policy.applied(found.contents(tmp_path))
    write_index(tmp_path / "index", contents, found.image_root(tmp_path))
    test = read_split(tmp_path / "index", "test")
    assert (len(test), test.num_classes) == (26, 7)
    sizes = {Path(image).name: (int(width), int(height)) for image, _, _, width, height in rows}
    for item in test.items:
        assert (item.width, item.height) == sizes[Path(item.id).name]
        truth = test.truth(item.id)
        greys = np.asarray(Image.open(tmp_path / "pets" / "masks" / item.id.replace(".jpg", ".png")))
        assert np.array_equal(decode(*truth.masks), greys == 255)
        assert np.array_equal(truth.ignored(), greys == 128)
        rows_of, columns_of = np.nonzero(greys == 255)
        x1, y1 = columns_of.max() + 1, rows_of.max() + 1
        assert truth.boxes.tolist() == [[columns_of.min(), rows_of.min(), x1, y1]]
