"""What a search leaves behind reads back as it was, and is refused when it is not whole."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.search.stored import head_of, store
from wsolbench.errors import DataError, SearchError, WsolbenchError
from wsolbench.search.record import Search, SearchHead, Trial, read_search, read_searches


def found_in(root: Path) -> Search:
    search = read_search(root, "toy", "alpha")
    assert search is not None
    return search


def edit(path: Path, **changes: Any) -> None:
    """Change a file, and its digest with it where it is still of the model."""
    text = json.dumps(json.loads(path.read_text()) | changes)
    with suppress(ValidationError):
        model = SearchHead if path.name == "search.json" else Trial
        text = model.model_validate_json(text).signed().model_dump_json()
    path.write_text(text)


def test_a_search_reads_back_to_the_last_bit(tmp_path: Path) -> None:
    folder = store(tmp_path, [40.0, None, 100 / 3])
    search = found_in(tmp_path)
    assert search.head.model_dump(mode="json") == head_of().signed().model_dump(mode="json")
    assert search.values == [40.0, 100 / 3]
    assert (search.failed, search.finished) == (1, True)
    assert [trial.reason for trial in search.trials] == ["", "diverged", ""]
    assert search.trials[1].values == {"train.lr": 0.2, "args.sizes": [1]}
    assert {path.name for path in folder.iterdir()} == {"search.json", "0000.json", "0001.json", "0002.json"}


def test_equal_trials_give_equal_bytes(tmp_path: Path) -> None:
    one, other = (store(tmp_path / name, [1.0, None]) for name in "ab")
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


@pytest.mark.parametrize(
    ("values", "best"), [([40.0, 40.0], 0), ([10.0, None, 30.0], 2), ([None, None], None), ([], None)]
)
def test_the_first_of_equals_wins_and_none_where_all_failed(tmp_path: Path, values: Any, best: int | None) -> None:
    store(tmp_path, values, head_of(trials=3))
    search = found_in(tmp_path)
    assert (None if search.best is None else search.best.number) == best
    assert search.finished == (len(values) == 3)


def test_no_search_is_none_and_no_error_nor_is_one_of_a_former_format(tmp_path: Path) -> None:
    assert read_search(tmp_path, "toy", "alpha") is None
    former = tmp_path / "results/search/toy/alpha.json"
    former.parent.mkdir(parents=True)
    former.write_text("{}")
    assert read_searches(tmp_path, "toy") == []


def test_searches_come_by_name(tmp_path: Path) -> None:
    for method in ("beta", "alpha"):
        store(tmp_path, [1.0], head_of(method, 1))
    assert [search.head.method for search in read_searches(tmp_path, "toy")] == ["alpha", "beta"]


def test_a_temporary_file_is_no_trial(tmp_path: Path) -> None:
    folder = store(tmp_path, [1.0], head_of())
    (folder / ".0001.json.1234.tmp").write_text('{"number": 1')
    assert len(found_in(tmp_path).trials) == 1


@pytest.mark.parametrize("name", ["search.json", "0001.json"])
@pytest.mark.parametrize("length", [0, 1, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_named(tmp_path: Path, name: str, length: float) -> None:
    path = store(tmp_path, [1.0, 2.0]) / name
    text = path.read_text().strip()
    path.write_text(text[: int(length * len(text)) if length < 1 else 1])
    with pytest.raises(DataError, match=rf"{name}.*--restart"):
        read_search(tmp_path, "toy", "alpha")


def test_trials_without_what_says_how_they_were_made_are_refused(tmp_path: Path) -> None:
    (store(tmp_path, [1.0]) / "search.json").unlink()
    with pytest.raises(DataError, match=r"search\.json"):
        read_searches(tmp_path, "toy")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("search.json", {"trials": "three"}),
        ("search.json", {"colour": "red"}),
        ("search.json", {"method": "beta"}),
        ("0001.json", {"number": 5}),
        ("0001.json", {"number": 0}),
        ("0001.json", {"value": None}),
        ("0001.json", {"value": 101.0}),
        ("0001.json", {"value": float("nan")}),
        ("0001.json", {"reason": "failed"}),
        ("0001.json", {"values": {"train.lr": 0.1}}),
        ("0001.json", {"values": {"train.lr": 2.0, "args.sizes": None}}),
        ("0001.json", {"values": {"train.lr": "0.1", "args.sizes": None}}),
        ("0001.json", {"values": {"train.lr": 0.1, "args.sizes": [[1]]}}),
        ("0001.json", {"definition": "0" * 64}),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, name: str, change: dict[str, Any]) -> None:
    edit(store(tmp_path, [1.0, 2.0]) / name, **change)
    with pytest.raises(WsolbenchError, match=name):
        read_search(tmp_path, "toy", "alpha")


@pytest.mark.parametrize(("name", "old", "new"), [("0001.json", "20.0", "80.0"), ("search.json", "Alpha", "Best")])
def test_a_file_that_was_edited_is_refused(tmp_path: Path, name: str, old: str, new: str) -> None:
    path = store(tmp_path, [10.0, 20.0]) / name
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=name):
        read_search(tmp_path, "toy", "alpha")


def test_a_distribution_that_cannot_be_is_a_damaged_file(tmp_path: Path) -> None:
    path = store(tmp_path, [1.0]) / "search.json"
    path.write_text(path.read_text().replace('"low":0.01', '"low":7').replace('"low": 0.01', '"low": 7'))
    with pytest.raises(DataError, match=r"search\.json"):
        read_search(tmp_path, "toy", "alpha")


def test_a_trial_of_another_definition_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    store(tmp_path, [1.0])
    store(tmp_path, [], head_of(trials=1, seed=1))
    with pytest.raises(SearchError, match=r"0000\.json"):
        read_search(tmp_path, "toy", "alpha")


def test_a_trial_has_a_value_or_a_reason() -> None:
    for value, reason in ((None, ""), (1.0, "failed")):
        with pytest.raises(ValueError, match="reason"):
            Trial(number=0, values={}, value=value, reason=reason, definition="")
