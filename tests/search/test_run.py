"""Trials are functions of their number: neither interruption nor other processes change what is tried and found."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from tests.search.conftest import changed
from tests.tiny import TRACK
from wsolbench.config import registry
from wsolbench.config.distributions import Uniform, space
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.index import read_split, splits_of
from wsolbench.data.scoremaps import read_maps
from wsolbench.errors import DataError, FailedTrialError, SearchError, SettingsError, TrainingError
from wsolbench.files import locked
from wsolbench.search import run as run_module
from wsolbench.search.plan import Plan, plan_of
from wsolbench.search.record import Search, read_search, trial_file
from wsolbench.search.run import open_search, run_here, search_method
from wsolbench.search.trial import run_trial, score_of
from wsolbench.training.trainer import train


def cheap(plan: Plan, number: int) -> float:
    """Percent that the values alone decide; high rates diverge."""
    values = plan.values(number)
    (plan.scratch / str(number)).mkdir(exist_ok=True)
    if values["args.gamma"] > 0.7:
        raise FailedTrialError("gamma is too high")
    return float(100 * values["args.gamma"] * values["args.drop_rate"])


def results_of(root: Path, method: str = "adl") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "results/search" / TRACK / method).iterdir()}


def search_in(layout: Layout) -> Search:
    found = read_search(layout.root, TRACK, "adl")
    assert found is not None
    return found


@pytest.fixture
def plan_at(tiny_settings: Settings, prepared: Layout, tmp_path: Path) -> Callable[..., Plan]:
    """Makes the same plan below a root of its own."""

    def make(name: str, settings: Settings = tiny_settings) -> Plan:
        root = tmp_path / name
        if not root.exists():
            root.mkdir()
            (root / "data").symlink_to(prepared.root / "data")
        return plan_of(settings, TRACK, "adl", Layout(root))

    return make


def complete(plan: Plan, trials: int) -> dict[str, bytes]:
    run_here(plan, open_search(plan, trials), cheap)
    return results_of(plan.layout.root)


def test_an_interrupted_search_ends_as_an_uninterrupted_one(plan_at: Callable[..., Plan]) -> None:
    whole = complete(plan_at("whole"), 9)

    class Killed(BaseException):
        pass

    for fatal in (0, 4, 7):

        def dies(plan: Plan, number: int, fatal: int = fatal) -> float:
            if number == fatal:
                raise Killed
            return cheap(plan, number)

        plan = plan_at("killed")
        with pytest.raises(Killed):
            run_here(plan, open_search(plan, 9), dies)
        (plan.results / ".0008.json.77.tmp").write_text('{"number": 8, "val')  # a write that the kill cut off
    found = complete(plan_at("killed"), 9)
    assert {name: content for name, content in found.items() if name[0] != "."} == whole
    reasons = [trial.reason for trial in search_in(plan_at("whole").layout).trials]
    assert set(reasons) == {"", "gamma is too high"}  # a failed trial counts, with its reason


def test_processes_that_share_a_search_find_what_one_finds(plan_at: Callable[..., Plan]) -> None:
    alone = complete(plan_at("alone"), 12)
    plan = plan_at("shared")
    budget = open_search(plan, 12)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=run_here, args=(plan, budget, cheap)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert results_of(plan.layout.root) == alone


def test_a_trial_that_another_process_runs_is_waited_for(
    plan_at: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_at("shared")
    budget, ran = open_search(plan, 3), list[int]()

    def noted(plan: Plan, number: int) -> float:
        ran.append(number)
        return cheap(plan, number)

    class Woken(BaseException):
        pass

    def sleep(seconds: float) -> None:
        raise Woken

    monkeypatch.setattr(run_module.time, "sleep", sleep)
    with locked(plan.scratch / "1.lock"), pytest.raises(Woken):
        run_here(plan, budget, noted)
    assert ran == [0, 2]
    run_here(plan, budget, noted)
    assert ran == [0, 2, 1]


def test_a_larger_budget_adds_to_a_search_and_a_smaller_one_takes_nothing_away(plan_at: Callable[..., Plan]) -> None:
    small = complete(plan_at("one"), 2)
    large = complete(plan_at("one"), 4)
    assert all(large[name] == content for name, content in small.items() if name != "search.json")
    assert large == complete(plan_at("two"), 4)
    assert complete(plan_at("one"), 2) == large


@pytest.mark.parametrize("length", [0, 30])
def test_half_a_file_is_not_taken_for_a_trial(plan_at: Callable[..., Plan], length: int) -> None:
    plan = plan_at("one")
    whole = complete(plan, 3)
    path = trial_file(plan.results, 1)
    path.write_bytes(path.read_bytes()[:length])
    assert complete(plan, 3) == whole


def test_another_definition_is_refused_by_name_until_the_search_begins_anew(
    tiny_settings: Settings, plan_at: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = complete(plan_at("one"), 2)
    for block, changes, name in (
        ("search", {"seed": 5}, "seed"),
        (f"tracks.{TRACK}", {"momentum": 0.8}, "recipe.momentum"),
        ("search", {"recipe": {"lr": [0.5, 3]}}, "space.train.lr.high"),
    ):
        other = plan_at("one", changed(tiny_settings, block, **changes))
        with pytest.raises(SearchError, match=rf"{name} differ.*--restart"):
            open_search(other, 2)
    code = plan_at("one").definition.code
    with monkeypatch.context() as patched:
        patched.setattr("wsolbench.search.plan.code_of", lambda _: code | {"wsolbench.evaluation.pxap": "other"})
        with pytest.raises(SearchError, match=r"code\.wsolbench\.evaluation\.pxap differ"):
            open_search(plan_at("one"), 2)
    assert results_of(plan_at("one").layout.root) == before
    monkeypatch.setattr(run_module.run_here, "__defaults__", (cheap,))
    layout = plan_at("one").layout
    with locked(plan_at("one").scratch / "0.lock"), pytest.raises(SearchError, match="trial 0"):
        search_method(tiny_settings, TRACK, "adl", layout, 2, restart=True)
    seeded = changed(tiny_settings, "search", seed=5)
    assert search_method(seeded, TRACK, "adl", layout, 1, restart=True).head.definition.seed == 5
    assert results_of(layout.root).keys() == {"search.json", "0000.json"}


# With real trainings from here on.


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
    found = search_method(tiny_settings, TRACK, "adl", layout)
    assert (len(found.trials), found.failed) == (3, 0)
    bare = without_test(prepared, tmp_path_factory.mktemp("bare"))
    search_method(tiny_settings, TRACK, "adl", bare)
    assert results_of(bare.root) == results_of(layout.root)
    scratch = [path for path in (layout.root / ".wsolbench/search").rglob("*") if "data" not in path.parts]
    assert {path.name for path in scratch if path.is_file()} == {"lock", "0.lock", "1.lock", "2.lock"}


def test_a_trial_is_worth_what_the_same_run_is_worth(tiny_settings: Settings, layout: Layout) -> None:
    plan = plan_of(tiny_settings, TRACK, "adl", layout)
    open_search(plan, 1)
    value, run = run_trial(plan, 0), plan.trial(0)
    train(run, tiny_settings, layout)  # an ordinary run, which also predicts test
    val = read_split(layout.prepared(TRACK), "val")
    maps = read_maps(layout.run(run.key) / "maps.npz", "val")
    assert value == score_of("max_box_acc_v2", maps, val, 0.001, 1)


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (
            lambda self, images, *_: {"bad": next(self.parameters()).sum() * float("nan")},
            "is not finite at iteration 1",
        ),
        (raising(ZeroDivisionError("by  the\nmethod")), "ZeroDivisionError: by the method"),
        (raising(RuntimeError("x" * 900)), "x ..."),
    ],
)
def test_a_trial_that_the_method_fails_is_stored_with_its_reason(
    tiny_settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch, failure: Callable[..., Any], reason: str
) -> None:
    monkeypatch.setattr(registry.load("method", "adl"), "losses", failure)
    found = search_method(tiny_settings, TRACK, "adl", layout, trials=2)
    assert found.failed == 2
    assert all(reason in trial.reason and len(trial.reason) < 310 for trial in found.trials)


def test_maps_that_are_not_finite_fail_the_trial(
    tiny_settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = registry.load("method", "adl")
    real = method.predict

    def predict(self: Any, images: Any, labels: Any) -> Any:
        found = real(self, images, labels)
        return type(found)(found.logits, found.maps * float("nan"))

    monkeypatch.setattr(method, "predict", predict)
    found = search_method(tiny_settings, TRACK, "adl", layout, trials=1)
    assert "not finite" in found.trials[0].reason


def test_a_search_space_beyond_what_arguments_may_be_is_refused(
    tiny_settings: Settings, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.load("method", "adl"), "search_space", space(gamma=Uniform(6, 7)))
    with pytest.raises(SettingsError, match="gamma"):
        search_method(tiny_settings, TRACK, "adl", layout, trials=1)
    assert read_search(layout.root, TRACK, "adl") is None


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
        broken.setattr(registry.load("method", "adl"), "losses", raising(error))
        with pytest.raises(raised):
            search_method(tiny_settings, TRACK, "adl", layout, trials=1)
    assert search_in(layout).trials == ()
    assert search_method(tiny_settings, TRACK, "adl", layout, trials=1).failed == 0
