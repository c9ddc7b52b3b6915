"""Real trials on a tiny track: trained by the trainer, judged on val, without a test split."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from tests.search.conftest import TRACK
from tests.search.test_plan import changed
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.index import read_split, splits_of
from wsolbench.data.scoremaps import read_maps
from wsolbench.errors import DataError, SettingsError, TrainingError
from wsolbench.search import trial as trial_module
from wsolbench.search.objective import judged
from wsolbench.search.plan import place_data, plan_of
from wsolbench.search.record import read_search, search_files
from wsolbench.search.session import open_study, search_method
from wsolbench.search.space import random_values
from wsolbench.search.study import SearchError
from wsolbench.search.trial import FailedTrialError, run_trial
from wsolbench.training.trainer import train


def stored_bytes(layout: Layout, method: str = "adl") -> list[bytes]:
    return [path.read_bytes() for path in search_files(layout.root, TRACK, method)]


def without_test(prepared: Layout, root: Path) -> Layout:
    """A copy of the data in which nothing of test is left: no row, no truth, no image."""
    layout = Layout(root)
    shutil.copytree(prepared.root / "data", root / "data", symlinks=False)
    folder = layout.prepared(TRACK)
    for item in read_split(folder, "test").items:
        (folder / item.path).unlink()
    for name in ("index.parquet", "truth.parquet"):
        pq.write_table(splits_of(folder / name, ("train", "val")), folder / name)
    return layout


def test_a_search_needs_nothing_of_test_and_finds_the_same_without_it(
    tiny_settings: Settings, prepared: Layout, layout: Layout, tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = search_method(tiny_settings, TRACK, "adl", layout)
    assert "3 trials, 0 failed" in said
    bare = without_test(prepared, tmp_path_factory.mktemp("bare"))
    search_method(tiny_settings, TRACK, "adl", bare)
    assert stored_bytes(bare) == stored_bytes(layout)


def test_a_trial_is_worth_what_the_same_run_is_worth(tiny_settings: Settings, layout: Layout, tmp_path: Path) -> None:
    plan = plan_of(tiny_settings, TRACK, "adl", layout)
    plan.folder.mkdir(parents=True)
    place_data(plan, layout)
    stored = random_values(plan.parameters, 4, TRACK, "adl", 0)
    value = run_trial(plan, 0, stored, tmp_path / "trial")
    run = plan.trial(0, stored)
    train(run, tiny_settings, layout)  # an ordinary run, which also predicts test
    val = read_split(layout.prepared(TRACK), "val")
    maps = read_maps(layout.run(run.key) / "maps.npz", "val")
    assert value == judged("max_box_acc_v2", maps, val, layout.prepared(TRACK), 0.001, 1)


def test_a_study_that_is_opened_again_leaves_the_data_that_its_trials_read_in_place(
    tiny_settings: Settings, prepared: Layout, tmp_path: Path
) -> None:
    layout = Layout(tmp_path)
    shutil.copytree(prepared.root / "data", tmp_path / "data")
    plan = plan_of(tiny_settings, TRACK, "adl", layout)

    def placed() -> tuple[int, int]:
        open_study(plan, layout, restart=False)
        files = [Layout(plan.folder).prepared(TRACK) / name for name in ("index.parquet", "truth.parquet")]
        return files[0].stat().st_mtime_ns, files[1].stat().st_mtime_ns

    first = placed()
    assert placed() == first
    truth = layout.prepared(TRACK) / "truth.parquet"
    pq.write_table(splits_of(truth, ("test",)), truth)
    again = placed()
    assert again != first
    assert placed() == again
    (Layout(plan.folder).prepared(TRACK) / "index.parquet").write_bytes(b"PAR1")
    assert placed() != again


def test_a_second_call_trains_nothing_and_a_larger_budget_only_what_is_new(
    tiny_settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_method(tiny_settings, TRACK, "adl", layout)
    before = stored_bytes(layout)
    trained: list[int] = []
    real = trial_module.run_trial

    def counted(plan: Any, number: int, *rest: Any) -> float:
        trained.append(number)
        return real(plan, number, *rest)

    monkeypatch.setattr(trial_module, "run_trial", counted)
    search_method(tiny_settings, TRACK, "adl", layout)
    assert (trained, stored_bytes(layout)) == ([], before)
    shutil.rmtree(layout.root / ".wsolbench")  # as in a fresh clone, which has the results only
    search_method(tiny_settings, TRACK, "adl", layout, trials=4)
    assert trained == [3]
    search_method(tiny_settings, TRACK, "adl", layout, restart=True)
    assert trained == [3, 0, 1, 2]
    assert stored_bytes(layout) == before


def test_trials_of_another_definition_are_refused_wherever_they_lie(tiny_settings: Settings, layout: Layout) -> None:
    search_method(tiny_settings, TRACK, "adl", layout, trials=1)
    other = changed(tiny_settings, "search", seed=5)
    with pytest.raises(SearchError, match=r"\.wsolbench.*seed differ.*--restart"):
        search_method(other, TRACK, "adl", layout, trials=1)
    shutil.rmtree(layout.root / ".wsolbench")
    with pytest.raises(SearchError, match=r"adl\.csv holds a search under another definition: seed differ.*--restart"):
        search_method(other, TRACK, "adl", layout, trials=1)
    search_method(other, TRACK, "adl", layout, trials=1, restart=True)
    found = read_search(layout.root, TRACK, "adl")
    assert found is not None
    assert found.head.seed == 5


def fails(monkeypatch: pytest.MonkeyPatch, name: str, failure: Callable[..., Any]) -> None:
    monkeypatch.setattr(registry.load("method", "adl"), name, failure)


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("name", "failure", "reason"),
    [
        (
            "losses",
            lambda self, images, *_: {"bad": next(self.parameters()).sum() * float("nan")},
            "is not finite at iteration 1 of",
        ),
        ("losses", raising(ZeroDivisionError("by  the\nmethod")), "ZeroDivisionError: by the method"),
        ("losses", raising(RuntimeError("x" * 900)), "x ..."),
    ],
)
def test_a_trial_that_the_method_fails_is_stored_with_its_reason(
    tiny_settings: Settings,
    layout: Layout,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    failure: Callable[..., Any],
    reason: str,
) -> None:
    fails(monkeypatch, name, failure)
    said = search_method(tiny_settings, TRACK, "adl", layout, trials=2)
    assert "2 failed" in said
    found = read_search(layout.root, TRACK, "adl")
    assert found is not None
    assert found.failed == 2
    assert all(reason in each for each in found.table["reason"])
    assert max(map(len, found.table["reason"])) < 310


def test_maps_that_are_not_finite_fail_the_trial(
    tiny_settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = registry.load("method", "adl")
    real = method.predict

    def predict(self: Any, images: Any, labels: Any) -> Any:
        found = real(self, images, labels)
        return type(found)(found.logits, found.maps * float("nan"))

    monkeypatch.setattr(method, "predict", predict)
    search_method(tiny_settings, TRACK, "adl", layout, trials=1)
    found = read_search(layout.root, TRACK, "adl")
    assert found is not None
    assert "diverged" in found.table["reason"][0]


def test_arguments_that_the_method_refuses_fail_the_trial(tiny_settings: Settings, layout: Layout) -> None:
    plan = plan_of(tiny_settings, TRACK, "adl", layout)
    plan.folder.mkdir(parents=True)
    place_data(plan, layout)
    stored = random_values(plan.parameters, 4, TRACK, "adl", 0) | {"args.gamma": 7.0}
    with pytest.raises(FailedTrialError, match="gamma"):
        run_trial(plan, 0, stored, layout.root / "trial")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (torch.OutOfMemoryError("no memory left"), TrainingError),
        (DataError("the image is gone"), DataError),
        (SettingsError("no device"), SettingsError),
        (OSError("disk full"), OSError),
    ],
)
def test_what_is_not_the_methods_fault_stops_the_search_and_leaves_the_trial(
    tiny_settings: Settings,
    layout: Layout,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    raised: type[Exception],
) -> None:
    with monkeypatch.context() as broken:
        fails(broken, "losses", raising(error))
        with pytest.raises(raised):
            search_method(tiny_settings, TRACK, "adl", layout, trials=1)
    assert not search_files(layout.root, TRACK, "adl")[0].exists()
    assert "1 trials, 0 failed" in search_method(tiny_settings, TRACK, "adl", layout, trials=1)


def test_no_temporary_file_and_no_scratch_of_a_trial_is_left(tiny_settings: Settings, layout: Layout) -> None:
    search_method(tiny_settings, TRACK, "adl", layout, trials=2)
    left = {path.name for path in layout.root.rglob("*") if path.is_file() and not {"data", "cache"} & set(path.parts)}
    assert left == {"adl.csv", "adl.json", "journal.jsonl", "lock", "0.lock", "1.lock"}
