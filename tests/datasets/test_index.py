"""The index: what is written is read, training cannot see the truth, and damage is noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from wsolbench.data.boxes import boxes_outside
from wsolbench.data.dataset import SPLITS, Contents, Item, Truth
from wsolbench.data.index import (
    INDEX_FILE,
    TRUTH_FILE,
    read_selection,
    read_split,
    write_index,
    write_selection,
)
from wsolbench.data.masks import encode
from wsolbench.errors import DataError, TruthError

BOX = np.array([[1.0, 2.0, 8.5, 6.0]])
MASKS = tuple(encode(np.arange(80).reshape(8, 10) % 7 < count) for count in (1, 2, 3))


@pytest.fixture
def contents(tmp_path: Path) -> Contents:
    """Return one image of each split; the files only have to have bytes."""
    items = [Item(split, f"{split}.png", label, 10, 8, split) for label, split in enumerate(SPLITS)]
    for item in items:
        (tmp_path / item.path).write_bytes(item.id.encode())
    truth = {
        "val": Truth(BOX, MASKS[:2], MASKS[2]),
        "test": Truth(np.concatenate([BOX, BOX + 0.25])),
    }
    return Contents(["auk", "wren", "owl"], items, truth)


def changed(contents: Contents, image_id: str, **fields: object) -> Contents:
    items = [replace(item, **fields) if item.id == image_id else item for item in contents.items]
    return replace(contents, items=items)


def test_what_is_written_is_read_back(contents: Contents, tmp_path: Path) -> None:
    digest = write_index(tmp_path, contents, tmp_path)
    for split, item in zip(SPLITS, contents.items, strict=True):
        found = read_split(tmp_path, split)
        assert [replace(entry, sha256="") for entry in found.items] == [item]
        assert (found.digest, list(found.class_names)) == (digest, ["auk", "wren", "owl"])
    assert np.array_equal(read_split(tmp_path, "test").truth("test").boxes, contents.truth["test"].boxes)
    val = read_split(tmp_path, "val").truth("val")
    assert (val.masks, val.ignore) == (MASKS[:2], MASKS[2])


@pytest.mark.parametrize(
    ("image", "changes"),
    [("val", {"masks": MASKS[1:]}), ("val", {"ignore": None}), ("test", {"boxes": BOX})],
)
def test_other_truth_leaves_the_index_and_the_selection(
    contents: Contents, tmp_path: Path, image: str, changes: dict[str, object]
) -> None:
    write_index(tmp_path, contents, tmp_path)
    write_selection(tmp_path, tmp_path / "selection.parquet", wanted=True)
    files = [tmp_path / name for name in (INDEX_FILE, "selection.parquet", TRUTH_FILE)]
    before = [path.read_bytes() for path in files]
    digests = {read_split(tmp_path, "test").truth_digest, read_split(tmp_path, "val").truth_digest}
    other = replace(contents.truth[image], **changes)
    write_index(tmp_path, replace(contents, truth={**contents.truth, image: other}), tmp_path)
    digests.add(read_split(tmp_path, "test").truth_digest)
    assert len(digests) == 2
    write_selection(tmp_path, tmp_path / "selection.parquet", wanted=True)
    assert [path.read_bytes() == old for path, old in zip(files, before, strict=True)] == [True, True, False]


def rewritten(path: Path, **columns: list[object]) -> None:
    """Change columns of a Parquet file and leave what it says of itself as it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("file", "columns"),
    [
        (TRUTH_FILE, {"boxes": [[[0.0, 0.0, 10.0, 8.0]]] * 2}),
        (TRUTH_FILE, {"masks": [[], []]}),
        (INDEX_FILE, {"label": [0, 0, 0]}),
        (INDEX_FILE, {"sha256": [""] * 3}),
    ],
)
def test_rows_that_prepare_did_not_write_are_refused(
    contents: Contents, tmp_path: Path, file: str, columns: dict[str, list[object]]
) -> None:
    write_index(tmp_path, contents, tmp_path)
    rewritten(tmp_path / file)
    read_split(tmp_path, "val")
    rewritten(tmp_path / file, **columns)
    with pytest.raises(DataError, match=rf"{file} is damaged .*run `wsolbench prepare"):
        read_split(tmp_path, "val")


def test_a_selection_that_was_rewritten_is_refused(contents: Contents, tmp_path: Path) -> None:
    write_index(tmp_path, contents, tmp_path)
    path = tmp_path / "selection.parquet"
    write_selection(tmp_path, path, wanted=True)
    assert read_selection(tmp_path, path).truth("val").boxes.tolist() == BOX.tolist()
    rewritten(path, boxes=[[[0.0, 0.0, 10.0, 8.0]]])
    with pytest.raises(DataError, match=r"selection\.parquet is damaged"):
        read_selection(tmp_path, path)


@pytest.mark.parametrize("file", [INDEX_FILE, TRUTH_FILE])
def test_a_bit_that_flipped_changes_nothing_or_is_noticed(contents: Contents, tmp_path: Path, file: str) -> None:
    write_index(tmp_path, contents, tmp_path)
    path = tmp_path / file
    content, right, noticed = path.read_bytes(), read_split(tmp_path, "val"), 0
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            found = read_split(tmp_path, "val")
        except DataError as error:
            noticed += file in str(error)
        else:
            assert (found.items, found.digest, found.class_names) == (right.items, right.digest, right.class_names)
            assert found.truth("val").boxes.tolist() == BOX.tolist()
            assert found.truth("val").masks == right.truth("val").masks
    assert noticed > len(content) / 7 / 4


def test_truth_of_train_raises(contents: Contents, tmp_path: Path) -> None:
    write_index(tmp_path, contents, tmp_path)
    with pytest.raises(TruthError, match="'train' is weakly supervised"):
        read_split(tmp_path, "train").truth("train")


def test_truth_given_for_train_is_not_written(contents: Contents, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write_index(tmp_path, replace(contents, truth={**contents.truth, "train": Truth(BOX)}), tmp_path)
    assert pq.read_table(tmp_path / TRUTH_FILE).column("id").to_pylist() == ["val", "test"]


def test_train_is_read_without_the_truth_file(contents: Contents, tmp_path: Path) -> None:
    write_index(tmp_path, contents, tmp_path)
    (tmp_path / TRUTH_FILE).unlink()
    assert len(read_split(tmp_path, "train")) == 1
    with pytest.raises(DataError, match=r"truth\.parquet is missing"):
        read_split(tmp_path, "test")


def test_the_digest_changes_with_an_image_a_label_and_a_split(contents: Contents, tmp_path: Path) -> None:
    first = write_index(tmp_path, contents, tmp_path)
    assert write_index(tmp_path, contents, tmp_path) == first
    others = {write_index(tmp_path, changed(contents, "test", label=0), tmp_path)}
    others.add(write_index(tmp_path, changed(contents, "val", split="test"), tmp_path))
    (tmp_path / "train.png").write_bytes(b"another picture")
    others.add(write_index(tmp_path, contents, tmp_path))
    assert len(others - {first}) == 3


def test_an_index_that_was_never_written_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"index\.parquet is missing; run `wsolbench prepare"):
        read_split(tmp_path, "train")


@pytest.mark.parametrize("name", [INDEX_FILE, TRUTH_FILE])
@pytest.mark.parametrize("kept", [0, 200])
def test_a_damaged_file_is_named(contents: Contents, tmp_path: Path, name: str, kept: int) -> None:
    write_index(tmp_path, contents, tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:kept])
    with pytest.raises(DataError, match=f"{name} is damaged"):
        read_split(tmp_path, "test")


def test_parquet_files_of_another_program_are_refused(contents: Contents, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_index(tmp_path, contents, tmp_path)
    pq.write_table(pa.table({"x": [1]}), tmp_path / INDEX_FILE)
    with pytest.raises(DataError, match=r"index\.parquet was not written by this version"):
        read_split(tmp_path, "train")


def test_files_of_two_runs_do_not_go_together(contents: Contents, tmp_path: Path) -> None:
    write_index(tmp_path, contents, tmp_path)
    old = (tmp_path / TRUTH_FILE).read_bytes()
    write_index(tmp_path, changed(contents, "train", label=2), tmp_path)
    (tmp_path / TRUTH_FILE).write_bytes(old)
    with pytest.raises(DataError, match="come from different runs of prepare"):
        read_split(tmp_path, "val")


def test_test_may_not_be_empty(contents: Contents, tmp_path: Path) -> None:
    items = [item for item in contents.items if item.split != "test"]
    with pytest.raises(DataError, match="split 'test' is empty"):
        write_index(tmp_path, replace(contents, items=items), tmp_path)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_data_set_may_do_without_train_and_val(
    contents: Contents, tmp_path: Path, split: Literal["train", "val"]
) -> None:
    items = [item for item in contents.items if item.split != split]
    write_index(tmp_path, replace(contents, items=items), tmp_path)
    assert len(read_split(tmp_path, split)) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "train"}, "id 'train' occurs twice"),
        ({"label": 3}, "'test': label 3 is not one of 3 classes"),
        ({"label": -1}, "'test': label -1 is not one of 3 classes"),
        ({"split": "dev"}, "'test': unknown split 'dev'"),
        ({"path": "gone.png"}, r"gone\.png is missing"),
    ],
)
def test_contradictory_items_are_refused(
    contents: Contents, tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write_index(tmp_path, changed(contents, "test", **fields), tmp_path)
    assert not (tmp_path / INDEX_FILE).exists()


@pytest.mark.parametrize("truth", [None, Truth(np.zeros((0, 4)))])
def test_an_image_without_truth_is_refused(contents: Contents, tmp_path: Path, truth: Truth | None) -> None:
    found = {"val": contents.truth["val"]} | ({} if truth is None else {"test": truth})
    with pytest.raises(DataError, match="'test' of split 'test' has neither box nor mask"):
        write_index(tmp_path, replace(contents, truth=found), tmp_path)


def test_a_box_outside_its_image_names_the_image(contents: Contents, tmp_path: Path) -> None:
    outside = replace(contents, truth={**contents.truth, "test": Truth(BOX + 5)})
    with pytest.raises(DataError, match=r"1 of 2 boxes .*'test' \[6\.0, 7\.0, 13\.5, 11\.0\] in 10x8"):
        write_index(tmp_path, outside, tmp_path)


@pytest.mark.parametrize(
    ("box", "outside"),
    [
        ((0, 0, 10, 8), False),
        ((-1, -1, 11, 9), False),
        ((-1.1, 0, 5, 5), True),
        ((0, -1.1, 5, 5), True),
        ((0, 0, 11.1, 5), True),
        ((0, 0, 5, 9.1), True),
        ((3, 3, 3, 5), True),
        ((3, 5, 5, 3), True),
        ((np.nan, 0, 5, 5), True),
        ((0, 0, np.inf, 5), True),
    ],
)
def test_boxes_are_empty_or_outside(box: tuple[float, ...], outside: bool) -> None:
    assert boxes_outside(np.array([box, (1, 1, 2, 2)], np.float64), 10, 8).tolist() == [outside, False]
