"""The time left that a launch shows, against what a simulated launch then takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import pytest

from wsolbench.launch.forecast import Forecast
from wsolbench.launch.graph import Unit
from wsolbench.launch.pool import Pool
from wsolbench.runs.progress import Progress

COSTS = {"cam": 1.0, "acol": 1.3, "adl": 1.1, "spg": 2.0, "has": 1.1, "cutmix": 1.1, "dgdm": 1.6}
"""Seconds per image in units of CAM's; their differences are larger than those of the embedded track."""
STEP_S = 1.0


@dataclass
class Machine:
    """A simulated machine, with a clock of its own.

    Attributes:
        places: units at a time, with a GPU (True) and without.
        per_image: seconds of CAM.
        images: of a training.
        start: seconds that a training needs before its first iteration.
        stage: seconds of a stage that trains nothing, and of what a unit does after its training.
    """

    places: dict[bool, int]
    per_image: float
    images: int
    start: float
    stage: float
    now: float = 0.0
    jobs: list[Job] = field(default_factory=list)
    shown: list[tuple[float, float | None, float]] = field(default_factory=list)

    def on_gpu(self, unit: Unit) -> bool:
        return bool(unit.trains) and True in self.places

    def start_unit(self, unit: Unit) -> Job:
        self.jobs.append(Job(unit, self))
        return self.jobs[-1]

    def progress_of(self, key: str) -> Progress | None:
        job = next(job for job in self.jobs if job.unit.trains == key)
        seconds = min(self.now - job.begin - self.start, self.images * self.cost(job.unit))
        done = int(seconds / self.cost(job.unit)) if job.trains else 0
        return Progress(done, self.images, done, seconds, "") if done > 0 else None

    def cost(self, unit: Unit) -> float:
        return self.per_image * COSTS.get(unit.trains.split("-")[-2], 1.0)


class Job:
    """A unit that the machine runs."""

    def __init__(self, unit: Unit, machine: Machine) -> None:
        self.unit, self._machine, self.begin = unit, machine, machine.now
        self.trains = unit.kind[0] == "train"
        training = machine.start + machine.images * machine.cost(unit) if self.trains else machine.stage
        self.end = machine.now + training + machine.stage * (len(unit.stages) - 1)

    def poll(self) -> int | None:
        return 0 if self._machine.now >= self.end else None


def benchmark(seeds: int, *, apart: bool) -> list[Unit]:
    """Return the units of a benchmark: preparation, trainings with evaluations, baselines, costs, reports."""
    first = frozenset({"prepare@toy"})
    units = [Unit(("prepare@toy",)), Unit(("photographs@toy",), first)]
    for method in COSTS:
        units.append(Unit((f"costs@toy-{method}",), first))
        for key in (f"toy-{method}-{seed}" for seed in range(seeds)):
            stages = f"train@{key}", f"evaluate@{key}"
            if apart:
                units += [Unit(stages[:1], first, key), Unit(stages[1:], frozenset(stages[:1]))]
            else:
                units.append(Unit(stages, first, key))
    units += [Unit((f"baseline@toy-{name}-0",), first, f"toy-{name}-0") for name in ("whole", "random", "centre")]
    ends = frozenset(stage for unit in units for stage in unit.stages)
    return [*units, *(Unit((name,), ends, is_report=True) for name in ("report@toy", "summary", "page"))]


def simulate(machine: Machine, seeds: int = 3) -> float:
    """Run a benchmark, note what is shown each second, and return how long it took."""
    units = benchmark(seeds, apart=True in machine.places)
    count = len(units)
    backend = type("Backend", (), {"start": lambda _, unit: machine.start_unit(unit), "places": machine.places})()
    backend.on_gpu = machine.on_gpu
    forecast = Forecast(lambda unit: machine.images if unit.kind[0] == "train" else 0)

    def sleep(_: float) -> None:
        machine.now += STEP_S
        if machine.now % 10 == 0:
            ended = [job.end - job.begin for job in machine.jobs if job.end <= machine.now]
            beside = max(1, len(machine.jobs) - len(ended))
            old = fmean(ended) * (count - len(ended)) / beside if ended else 0.0
            machine.shown.append((machine.now, pool.seconds_left(), old))

    pool = Pool(backend, backend, Path("nowhere"), forecast, machine.progress_of, lambda: machine.now, sleep)
    assert pool.run(units).done == {stage for unit in units for stage in unit.stages}
    return max(job.end for job in machine.jobs)


MACHINES = {
    "two cores": Machine({False: 2}, 0.012, 5000, 8, 8),
    "two cores that emulate bf16": Machine({False: 2}, 0.13, 6000, 12, 10),
    "one core": Machine({False: 1}, 0.012, 5000, 8, 8),
    "eight cores": Machine({False: 8}, 0.012, 15000, 5, 5),
    "four GPUs": Machine({True: 4, False: 4}, 0.004, 30000, 15, 20),
}


@pytest.mark.parametrize("name", MACHINES)
def test_after_a_minute_the_time_left_is_within_a_factor_of_one_and_a_half(name: str) -> None:
    machine = MACHINES[name]
    total = simulate(machine)
    told = [(now, left, total - now) for now, left, _ in machine.shown if 60 <= now <= total - 60]
    assert len(told) > 10
    for now, left, truth in told:
        assert left is not None, f"nothing is known after {now:.0f} s"
        assert truth / 1.5 < left < truth * 1.5, f"after {now:.0f} s of {total:.0f}: {left:.0f}, true {truth:.0f}"


def test_the_mean_of_finished_units_times_their_number_would_not_do() -> None:
    machine = MACHINES["two cores that emulate bf16"]
    machine.now, machine.jobs, machine.shown = 0.0, [], []
    total = simulate(machine)
    _, _, old = next(each for each in machine.shown if each[0] >= 60)
    assert old * 10 < total - 60
