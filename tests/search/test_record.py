"""What a search leaves behind reads back as it was, and is refused when it is not whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wsolbench.errors import DataError
from wsolbench.search.record import read_search, read_searches, search_files, write_search


def head(**changes: Any) -> dict[str, Any]:
    return {
        "track": "toy",
        "method": "alpha",
        "title": "Alpha",
        "objective": "max_box_acc_v2",
        "sampler": "random",
        "seed": 0,
        "trials": 3,
        "epochs": 2,
        "batch": 8,
        "images": 6,
        "boxes_used": 7,
        "masks_used": 0,
        "val_truth": "gt",
        "data_digest": "d" * 64,
        "common": {"lr": "log-uniform 0.1 to 1 (search.recipe)"},
        "space": [
            {"name": "train.lr", "kind": "log", "range": "log-uniform 0.1 to 1 (search.recipe)"},
            {"name": "args.sizes", "kind": "choice", "range": "one of (1,), None (ours)"},
        ],
        "definition": {"code": {"training": "c"}},
    } | changes


def rows() -> list[dict[str, Any]]:
    names = ("number", "state", "value", "reason", "epochs", "train.lr", "args.sizes")
    trials = (
        (0, "complete", 40.0, "", 2, 0.1 + 0.2, "null"),
        (1, "failed", None, 'diverged, "badly"', 2, 1.0, "[1]"),
        (2, "complete", 100 / 3, "", 2, 0.5, "[1]"),
    )
    return [dict(zip(names, trial, strict=True)) for trial in trials]


def test_a_search_reads_back_to_the_last_bit(tmp_path: Path) -> None:
    written = write_search(tmp_path, head(), rows())
    found = read_search(tmp_path, "toy", "alpha")
    assert found is not None
    assert found.head == written.head
    assert found.table.equals(written.table)
    assert found.values == [40.0, 100 / 3]
    assert found.failed == 1
    assert found.table["reason"].tolist() == ["", 'diverged, "badly"', ""]
    assert found.parameters(0) == {"train.lr": 0.1 + 0.2, "args.sizes": None}
    assert found.parameters(1) == {"train.lr": 1.0, "args.sizes": [1]}
    assert [path.name for path in sorted((tmp_path / "results/search/toy").iterdir())] == ["alpha.csv", "alpha.json"]


def test_equal_trials_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_search(tmp_path / name, head(), rows())
    for one, other in zip(*(search_files(tmp_path / name, "toy", "alpha") for name in "ab"), strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_the_first_of_equals_wins_and_none_where_all_failed(tmp_path: Path) -> None:
    same = [{**row, "state": "complete", "value": 40.0} for row in rows()]
    assert write_search(tmp_path, head(), same).best == 0
    later = [rows()[0] | {"value": 10.0}, rows()[1], rows()[2]]
    assert write_search(tmp_path, head(), later).best == 2
    failed = [{**row, "state": "failed", "value": None} for row in rows()]
    assert write_search(tmp_path, head(), failed).best is None


def test_no_search_is_none_and_no_error(tmp_path: Path) -> None:
    assert read_search(tmp_path, "toy", "alpha") is None
    assert read_searches(tmp_path, "toy") == []


def test_searches_come_by_name(tmp_path: Path) -> None:
    for method in ("beta", "alpha"):
        write_search(tmp_path, head(method=method), rows())
    assert [search.head.method for search in read_searches(tmp_path, "toy")] == ["alpha", "beta"]


@pytest.mark.parametrize("missing", [0, 1])
def test_half_a_search_is_refused(tmp_path: Path, missing: int) -> None:
    write_search(tmp_path, head(), rows())
    path = search_files(tmp_path, "toy", "alpha")[missing]
    path.unlink()
    with pytest.raises(DataError, match=rf"{path.name} is missing; .*--restart"):
        read_search(tmp_path, "toy", "alpha")
    with pytest.raises(DataError, match="is missing"):
        read_searches(tmp_path, "toy")


def test_a_table_that_was_edited_is_refused(tmp_path: Path) -> None:
    write_search(tmp_path, head(), rows())
    table, _ = search_files(tmp_path, "toy", "alpha")
    table.write_text(table.read_text().replace("40.0", "90.0"))
    with pytest.raises(DataError, match=r"is not the table that alpha\.json describes"):
        read_search(tmp_path, "toy", "alpha")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "zero"}, "seed"),
        ({"colour": "red"}, "colour"),
        ({"method": "beta"}, "is of beta on toy"),
        ({"space": []}, "its columns are"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_search(tmp_path, head(), rows())
    _, described = search_files(tmp_path, "toy", "alpha")
    described.write_text(json.dumps(json.loads(described.read_text()) | change))
    with pytest.raises(DataError, match=message):
        read_search(tmp_path, "toy", "alpha")


def test_a_head_that_is_no_json_is_refused(tmp_path: Path) -> None:
    write_search(tmp_path, head(), rows())
    search_files(tmp_path, "toy", "alpha")[1].write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        read_search(tmp_path, "toy", "alpha")


@pytest.mark.parametrize(
    "change", [{"number": 5}, {"state": "running"}, {"value": None}, {"value": 101.0}, {"state": "failed"}]
)
def test_trials_that_cannot_be_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    wrong = rows()
    wrong[2] |= change
    with pytest.raises(ValueError, match="trial"):
        write_search(tmp_path, head(), wrong)
    with pytest.raises(DataError, match="damaged"):
        read_search(tmp_path, "toy", "alpha")


def test_a_budget_names_what_must_be_equal(tmp_path: Path) -> None:
    one = write_search(tmp_path, head(), rows()).head.budget
    for change in ({"seed": 4}, {"epochs": 3}, {"batch": 9}, {"sampler": "tpe"}, {"boxes_used": 8}, {"common": {}}):
        other = write_search(tmp_path, head(**change), rows()).head.budget
        assert sum(one[name] != other[name] for name in one) == 1, change
