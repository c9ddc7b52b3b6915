"""What becomes of units that fail, and of those that wait for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wsolbench.launch.forecast import Forecast
from wsolbench.launch.graph import Unit
from wsolbench.launch.pool import Outcome, Pool


class Machine:
    """Ends units at once, and says in which order they were started.

    Args:
        broken: stages that fail.
    """

    places: Mapping[bool, int]

    def __init__(self, *broken: str) -> None:
        self.places, self._broken = {False: 99}, set(broken)
        self.started: list[tuple[str, ...]] = []

    def on_gpu(self, unit: Unit) -> bool:
        return False

    def start(self, unit: Unit) -> Ended:
        self.started.append(unit.stages)
        return Ended(int(not self._broken.isdisjoint(unit.stages)))

    def stop(self, jobs: list[Ended]) -> None:
        raise AssertionError


class Ended:
    def __init__(self, status: int) -> None:
        self._status = status

    def poll(self) -> int:
        return self._status


def run(machine: Machine, units: list[Unit], tmp_path: Path) -> Outcome:
    forecast = Forecast(lambda unit: 0)
    return Pool(machine, machine, tmp_path, forecast, lambda key: None, sleep=lambda seconds: None).run(units)


def test_of_stages_beside_one_another_only_those_that_fail_have_failed(tmp_path: Path) -> None:
    first = frozenset({"prepare"})
    costs = [Unit((f"costs-{name}",), first) for name in "abc"]
    outcome = run(Machine("costs-b"), [Unit(("prepare",)), Unit(("train",), first, "run"), *costs], tmp_path)
    assert set(outcome.failed) == {"costs-b"}
    assert outcome.done == {"prepare", "train", "costs-a", "costs-c"}


def test_what_needs_a_failed_unit_is_left_out_and_named_with_it(tmp_path: Path) -> None:
    units = [
        Unit(("prepare-a",)),
        Unit(("train-a", "evaluate-a"), frozenset({"prepare-a"}), "a"),
        Unit(("train-b", "evaluate-b"), trains="b"),
        Unit(("report",), frozenset({"evaluate-a", "evaluate-b"})),
    ]
    outcome = run(Machine("prepare-a"), units, tmp_path)
    assert set(outcome.failed) == {"prepare-a"}
    assert outcome.left_out == {"train-a": "prepare-a", "report": "prepare-a"}
    assert outcome.done == {"train-b", "evaluate-b"}


def test_trainings_come_before_what_none_needs_and_each_method_gets_a_turn(tmp_path: Path) -> None:
    first = frozenset({"prepare"})
    runs = [Unit((f"train-{key}",), first, key) for key in ("toy-a-0", "toy-a-1", "toy-b-0")]
    machine = Machine()
    run(machine, [Unit(("weights",)), Unit(("prepare",)), Unit(("costs",), first), *runs], tmp_path)
    assert [stages[0] for stages in machine.started] == [
        "prepare",
        "weights",
        "train-toy-a-0",
        "train-toy-b-0",
        "train-toy-a-1",
        "costs",
    ]
