"""The time left that a launch shows, against what a simulated launch then takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from wsolbench.launch.forecast import Forecast
from wsolbench.launch.graph import Task
from wsolbench.launch.pool import Pool
from wsolbench.runs.progress import Progress

COSTS = {"cam": 1.0, "acol": 1.3, "adl": 1.1, "spg": 2.0, "has": 1.1, "cutmix": 1.1, "dgdm": 1.6}
"""Seconds per image in units of CAM's; their differences are larger than those of the embedded track."""
STEP_S = 1.0


@dataclass
class Machine:
    """A simulated machine, with a clock of its own.

    Attributes:
        places: tasks at a time, with a GPU (True) and without.
        per_image: seconds of CAM.
        images: of a training.
        start: seconds that a training needs before its first iteration.
        stage: seconds of a stage that trains nothing.
    """

    places: dict[bool, int]
    per_image: float
    images: int
    start: float
    stage: float
    now: float = 0.0
    jobs: list[Job] = field(default_factory=list)
    shown: list[tuple[float, float | None]] = field(default_factory=list)

    def on_gpu(self, task: Task) -> bool:
        return bool(task.trains) and True in self.places

    def start_task(self, task: Task) -> Job:
        self.jobs.append(Job(task, self))
        return self.jobs[-1]

    def progress_of(self, key: str) -> Progress | None:
        job = next(job for job in self.jobs if job.task.trains == key)
        seconds = min(self.now - job.begin - self.start, self.images * self.cost(job.task))
        done = int(seconds / self.cost(job.task)) if job.task.kind == "train" else 0
        return Progress(done, self.images, done, seconds, "") if done > 0 else None

    def cost(self, task: Task) -> float:
        return self.per_image * COSTS.get(task.trains.split("-")[-2], 1.0)


class Job:
    """A task that the machine runs."""

    def __init__(self, task: Task, machine: Machine) -> None:
        self.task, self._machine, self.begin = task, machine, machine.now
        trained = machine.start + machine.images * machine.cost(task) if task.kind == "train" else machine.stage
        self.end = machine.now + trained

    def poll(self) -> int | None:
        return 0 if self._machine.now >= self.end else None


def benchmark(seeds: int) -> list[Task]:
    """Return the tasks of a benchmark: preparation, trainings and evaluations, baselines, costs, reports."""
    first = frozenset({"prepare@toy"})
    tasks = [Task("prepare@toy"), Task("photographs@toy", after=first), Task("costs@toy", after=first)]
    for key in (f"toy-{method}-{seed}" for method in COSTS for seed in range(seeds)):
        tasks.append(Task(f"train@{key}", f"wsolbench train {key}", first))
        tasks.append(Task(f"evaluate@{key}", after=frozenset({f"train@{key}"})))
    baselines = [f"toy-{name}-0" for name in ("whole", "random", "centre")]
    tasks += [Task(f"baseline@{key}", f"wsolbench baseline {key}", first) for key in baselines]
    ends = frozenset(task.name for task in tasks)
    return [*tasks, *(Task(name, after=ends) for name in ("report@toy", "summary", "page"))]


def simulate(machine: Machine, seeds: int = 3) -> float:
    """Run a benchmark, note what is shown each second, and return how long it took."""
    tasks = benchmark(seeds)
    backend = type("Backend", (), {"start": lambda _, task: machine.start_task(task), "places": machine.places})()
    backend.on_gpu = machine.on_gpu

    def sleep(_: float) -> None:
        machine.now += STEP_S
        if machine.now % 10 == 0:
            machine.shown.append((machine.now, pool.seconds_left()))

    pool = Pool(backend, backend, Path("nowhere"), Forecast(), machine.progress_of, lambda: machine.now, sleep)
    assert pool.run(tasks).done == {task.name for task in tasks}
    return max(job.end for job in machine.jobs)


MACHINES = {
    "two cores": Machine({False: 2}, 0.012, 5000, 8, 8),
    "two cores that emulate bf16": Machine({False: 2}, 0.13, 6000, 12, 10),
    "one core": Machine({False: 1}, 0.012, 5000, 8, 8),
    "four GPUs": Machine({True: 4, False: 4}, 0.004, 30000, 15, 20),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
def test_after_a_minute_the_time_left_is_within_a_factor_of_one_and_a_half(name: str) -> None:
    machine = MACHINES[name]
    total = simulate(machine)
    told = [(now, left, total - now) for now, left in machine.shown if 60 <= now <= total - 60]
    assert len(told) > 10
    for now, left, truth in told:
        assert left is not None, f"nothing is known after {now:.0f} s"
        assert truth / 1.5 < left < truth * 1.5, f"after {now:.0f} s of {total:.0f}: {left:.0f}, true {truth:.0f}"


def test_nothing_is_said_while_no_training_of_a_track_is_known() -> None:
    forecast, places = Forecast(), {False: 1}
    waiting = [Task(f"train@{track}-cam-0", f"wsolbench train {track}-cam-0") for track in ("small", "large")]
    forecast.finished(waiting[0], 10.0)
    assert forecast.left([], waiting, places, lambda task: False) is None
    forecast.finished(waiting[1], 1000.0)
    assert forecast.left([], waiting, places, lambda task: False) == 1010.0
