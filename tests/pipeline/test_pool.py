"""What becomes of tasks that fail, and of those that wait for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wsolbench.launch.forecast import Forecast
from wsolbench.launch.graph import Task
from wsolbench.launch.pool import Outcome, Pool


class Machine:
    """Ends tasks at once, and says in which order they were started.

    Args:
        broken: tasks that fail.
    """

    places: Mapping[bool, int]

    def __init__(self, *broken: str) -> None:
        self.places, self._broken = {False: 99}, set(broken)
        self.started: list[str] = []

    def on_gpu(self, task: Task) -> bool:
        return False

    def start(self, task: Task) -> Ended:
        self.started.append(task.name)
        return Ended(int(task.name in self._broken))

    def stop(self, jobs: list[Ended]) -> None:
        raise AssertionError


class Ended:
    def __init__(self, status: int) -> None:
        self._status = status

    def poll(self) -> int:
        return self._status


def run(machine: Machine, tasks: list[Task], tmp_path: Path) -> Outcome:
    return Pool(machine, machine, tmp_path, Forecast(), lambda key: None, sleep=lambda seconds: None).run(tasks)


def training(key: str, *after: str) -> Task:
    return Task(f"train@{key}", f"wsolbench train {key}", frozenset(after))


def test_of_tasks_beside_one_another_only_those_that_fail_have_failed(tmp_path: Path) -> None:
    costs = [Task(f"costs@{name}", after=frozenset({"prepare"})) for name in "abc"]
    outcome = run(Machine("costs@b"), [Task("prepare"), training("a", "prepare"), *costs], tmp_path)
    assert set(outcome.failed) == {"costs@b"}
    assert outcome.done == {"prepare", "train@a", "costs@a", "costs@c"}


def test_what_needs_a_failed_task_is_left_out_and_named_with_it(tmp_path: Path) -> None:
    tasks = [
        Task("prepare@a"),
        training("a", "prepare@a"),
        training("b"),
        Task("report", after=frozenset({"train@a", "train@b"})),
    ]
    outcome = run(Machine("prepare@a"), tasks, tmp_path)
    assert set(outcome.failed) == {"prepare@a"}
    assert outcome.left_out == {"train@a": "prepare@a", "report": "prepare@a"}
    assert outcome.done == {"train@b"}


def test_reports_wait_for_every_training_also_where_they_need_none(tmp_path: Path) -> None:
    machine = Machine()
    report, page = Task("report@other"), Task("page", after=frozenset({"report@other"}))
    run(
        machine,
        [report, page, *(training(key) for key in "abc"), Task("evaluate@c", after=frozenset({"train@c"}))],
        tmp_path,
    )
    assert machine.started[-2:] == ["report@other", "page"]


def test_trainings_come_before_what_none_needs_and_each_method_gets_a_turn(tmp_path: Path) -> None:
    runs = [training(key, "prepare") for key in ("toy-a-0", "toy-a-1", "toy-b-0")]
    machine = Machine()
    costs = Task("costs", after=frozenset({"prepare"}))
    run(machine, [Task("weights"), Task("prepare"), costs, *runs], tmp_path)
    trained = ["train@toy-a-0", "train@toy-b-0", "train@toy-a-1"]
    assert machine.started == ["prepare", "weights", *trained, "costs"]
