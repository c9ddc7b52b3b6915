"""The index of a prepared data set: two Parquet files and a digest.

``index.parquet`` has one row per image (id, path, label, width, height, split, sha256, orientation) and is what
training depends on. ``truth.parquet`` has boxes and masks of ``val`` and ``test``, all that scoring reads, and is
opened by evaluation, threshold choice and the supervised bound only; its metadata say how many boxes were clipped to
their image. Truth of ``train`` is written nowhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from wsolbench.data.boxes import check_boxes
from wsolbench.data.dataset import SPLITS, Contents, Item, Split, SplitName, Truth
from wsolbench.data.masks import is_code
from wsolbench.errors import DataError, first_three
from wsolbench.files import bytes_sha256, file_sha256, parse_file, read_parquet, replacing

__all__ = [
    "INDEX_FILE",
    "TRUTH_FILE",
    "check_contents",
    "read_selection",
    "read_split",
    "splits_of",
    "write_index",
    "write_selection",
]

INDEX_FILE = "index.parquet"
TRUTH_FILE = "truth.parquet"


def write_index(directory: Path, contents: Contents, image_root: Path, val_truth: str = "gt") -> str:
    """Check the contents of a data set, hash its images, write its index, atomically, and return its digest.

    Raises:
        DataError: duplicate ids, labels out of range, missing truth, or boxes outside their image.
    """
    check_contents(contents)
    items = [
        item if item.sha256 else replace(item, sha256=file_sha256(image_root / item.path)) for item in contents.items
    ]
    rows = [asdict(item) for item in items]
    digest = hashlib.sha256(json.dumps([list(contents.class_names), rows], sort_keys=True).encode()).hexdigest()
    meta = {"class_names": json.dumps(list(contents.class_names)), "digest": digest}
    directory.mkdir(parents=True, exist_ok=True)
    _write(
        directory / TRUTH_FILE,
        _truth_rows(items, contents.truth),
        _TRUTH_SCHEMA,
        {"digest": digest, "val_truth": val_truth, "clipped": str(contents.clipped)},
    )
    _write(directory / INDEX_FILE, rows, _INDEX_SCHEMA, meta)
    return digest


def read_split(directory: Path, split: SplitName, *, with_truth: bool = True) -> Split:
    """Read one split of a prepared data set; the file of truth stays closed for ``train``, and without ``with_truth``.

    Raises:
        DataError: the index is missing or unreadable, or its two files do not belong together.
    """
    table = _read(directory / INDEX_FILE, _INDEX_SCHEMA, "class_names")
    meta = _meta(table)
    items = [Item(**row) for row in table.to_pylist() if row["split"] == split]
    truth: dict[str, Truth] = {}
    about: dict[str, str] = {}
    if with_truth and split != "train":
        truth_table = _read(directory / TRUTH_FILE, _TRUTH_SCHEMA, "val_truth")
        truth, about = _truth_of(truth_table, split), _meta(truth_table)
        if about["digest"] != meta["digest"]:
            raise DataError(f"{directory}: {TRUTH_FILE} and {INDEX_FILE} come from different runs of prepare")
    names, whose, sha256 = json.loads(meta["class_names"]), about.get("val_truth", "gt"), about.get(_CONTENT, "")
    return Split(split, items, names, meta["digest"], truth, whose, sha256)


def splits_of(path: Path, splits: Collection[SplitName]) -> pa.Table:
    """Return index or truth with the rows of some splits only, as a table that reads back from a file of that name."""
    table = _read(path, _INDEX_SCHEMA if path.name == INDEX_FILE else _TRUTH_SCHEMA)
    return _with_content(table.filter(pc.is_in(table["split"], pa.array(splits))), _meta(table))


def write_selection(directory: Path, target: Path, *, wanted: bool) -> None:
    """Write what training may know of the truth: that of ``val`` if its track selects epochs by it, else nothing.

    Raises:
        DataError: the truth is wanted, and ``val`` has no boxes.
    """
    val = read_split(directory, "val", with_truth=wanted)
    truth = {item.id: Truth(val.truth(item.id).boxes) for item in val.items} if wanted else {}
    if wanted and not (truth and all(len(each.boxes) for each in truth.values())):
        raise DataError(f"track '{target.stem}': selection: val_boxes needs boxes in 'val'; take val_cls or last")
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(target, _truth_rows(val.items if wanted else (), truth), _TRUTH_SCHEMA, {"digest": val.digest})


def read_selection(directory: Path, path: Path) -> Split:
    """Read ``val`` with as much of its truth as :func:`write_selection` has written."""
    val = read_split(directory, "val", with_truth=False)
    table = _read(path, _TRUTH_SCHEMA)
    if _meta(table)["digest"] != val.digest or "val_truth" in _meta(table):
        raise DataError(f"{path} belongs to another index; run `wsolbench prepare {path.stem}`")
    return replace(val, _truth=_truth_of(table))


_INDEX_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("path", pa.string()),
        ("label", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("split", pa.string()),
        ("sha256", pa.string()),
        ("orientation", pa.int8()),
    ]
)
_TRUTH_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("boxes", pa.list_(pa.list_(pa.float64()))),
        ("masks", pa.list_(pa.string())),
        ("ignore", pa.string()),
        ("published", pa.list_(pa.list_(pa.float64()))),
    ]
)


def check_contents(contents: Contents) -> None:
    """Refuse what a data set cannot be.

    Raises:
        DataError: duplicate ids, labels out of range, missing truth, boxes outside their image, or no test images.
    """
    seen: set[str] = set()
    for item in contents.items:
        if item.id in seen:
            raise DataError(f"image id '{item.id}' occurs twice")
        seen.add(item.id)
        if item.split not in SPLITS:
            raise DataError(f"image '{item.id}': unknown split '{item.split}'")
        if not 0 <= item.label < len(contents.class_names):
            raise DataError(f"image '{item.id}': label {item.label} is not one of {len(contents.class_names)} classes")
        truth = contents.truth.get(item.id)
        if item.split != "train" and (truth is None or (len(truth.boxes) == 0 and not truth.masks)):
            raise DataError(f"image '{item.id}' of split '{item.split}' has neither box nor mask")
        for code in () if truth is None else filter(None, (*truth.masks, truth.ignore)):
            if not is_code(code):
                raise DataError(f"image '{item.id}': '{code[:40]}' is no mask in run lengths; encode() makes one")
    for split in SPLITS[1:]:
        _check_kinds(split, {item.id: contents.truth[item.id] for item in contents.items if item.split == split})
    check_boxes("annotations", contents.items, contents.truth)
    # Without `val`, no threshold is chosen on it; without `train`, a pretrained classifier is evaluated as it is.
    if not any(item.split == "test" for item in contents.items):
        raise DataError("split 'test' is empty; a data set needs images to test on")


def _check_kinds(split: SplitName, truths: Mapping[str, Truth]) -> None:
    """Refuse a split of which some images have boxes and others do not: nothing would measure all of them."""
    bare = [name for name, truth in truths.items() if not len(truth.boxes)]
    if 0 < len(bare) < len(truths):
        raise DataError(
            f"split '{split}': {len(truths) - len(bare)} images have boxes, and {len(bare)} have masks only "
            f"({first_three(bare)}); give all of them boxes (`boxes: masks` draws them around masks), or none"
        )


def _truth_rows(items: Iterable[Item], truth: Mapping[str, Truth]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for item in items:
        if item.split != "train":
            found = truth[item.id]
            boxes, published = (None if each is None else each.tolist() for each in (found.boxes, found.published))
            masks = {"masks": list(found.masks), "ignore": found.ignore}
            rows.append({"id": item.id, "split": item.split, "boxes": boxes, "published": published, **masks})
    return rows


def _truth_of(table: pa.Table, split: SplitName = "val") -> dict[str, Truth]:
    found = {}
    for row in table.to_pylist():
        if row["split"] == split:
            published = None if row["published"] is None else _boxes(row["published"])
            found[row["id"]] = Truth(_boxes(row["boxes"]), tuple(row["masks"]), row["ignore"], published)
    return found


def _boxes(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    return np.array(rows, np.float64).reshape(-1, 4)


def _write(path: Path, rows: Sequence[Mapping[str, object]], schema: pa.Schema, meta: Mapping[str, str]) -> None:
    with replacing(path) as temporary:
        pq.write_table(_with_content(pa.Table.from_pylist(list(rows), schema=schema), meta), temporary)


def _with_content(table: pa.Table, meta: Mapping[str, str]) -> pa.Table:
    return table.replace_schema_metadata({**meta, _CONTENT: _content(table, meta)})


def _read(path: Path, schema: pa.Schema, *needed: str) -> pa.Table:
    again = f"run `wsolbench prepare {path.parent.name}`"
    table = parse_file(path, read_parquet, again)
    meta = _meta(table)
    if not table.schema.equals(schema) or not {"digest", _CONTENT, *needed} <= meta.keys():
        raise DataError(f"{path} was not written by this version of wsolbench; delete it and {again}")
    if _content(table, meta) != meta[_CONTENT]:
        raise DataError(f"{path} is damaged (its rows are not those that prepare wrote); delete it and {again}")
    return table


_CONTENT = "content_sha256"


def _content(table: pa.Table, meta: Mapping[str, str]) -> str:
    columns = {name: table[name].to_pylist() for name in table.column_names}
    said = {name: value for name, value in meta.items() if name != _CONTENT}
    return bytes_sha256(json.dumps([said, columns], sort_keys=True).encode())


def _meta(table: pa.Table) -> dict[str, str]:
    found = table.schema.metadata or {}
    return {key.decode(errors="replace"): value.decode(errors="replace") for key, value in found.items()}
