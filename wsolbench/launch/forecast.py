"""How long a launch will still take, from the work that has been done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from wsolbench.launch.graph import Task
from wsolbench.runs.progress import Progress

__all__ = ["Forecast", "Started"]

_Group = tuple[str, str]
"""Track and method of a training."""


@dataclass(frozen=True)
class Started:
    """A task that runs or has ended, its seconds, and how far its training is; None before its first iteration."""

    task: Task
    seconds: float
    seen: Progress | None

    @property
    def besides(self) -> float:
        """Seconds that it has not trained."""
        return self.seconds - (0.0 if self.seen is None else self.seen.seconds)


class Forecast:
    """Learns what tasks cost, and says how long the others will take.

    A task takes some seconds, alike for its kind, and some more per image that it trains on, alike for a method on a
    track. Of methods that have not run yet, and of kinds, the mean so far is assumed.

    Args:
        images_of: how many images a task trains on: 0 if none, None if its data set is not prepared yet.
    """

    def __init__(self, images_of: Callable[[Task], int | None]) -> None:
        self._images_of = images_of
        self._training: dict[_Group, list[Progress]] = defaultdict(list)
        self._besides: dict[str, list[float]] = defaultdict(list)

    def finished(self, entry: Started) -> None:
        """Take note of a task that has ended well."""
        if entry.seen is not None:
            self._training[_group(entry.task)].append(entry.seen)
        self._besides[entry.task.kind].append(entry.besides)

    def left(
        self,
        running: Sequence[Started],
        waiting: Sequence[Task],
        places: Mapping[bool, int],
        on_gpu: Callable[[Task], bool],
    ) -> float | None:
        """Return in how many seconds all tasks will be done; None as long as nothing is known.

        ``waiting`` has each task after what it needs; ``places`` are tasks at a time, with a GPU and without, and
        ``on_gpu`` says which of these a task takes.
        """
        rates, besides = self._rates(running), self._kinds(running)
        tasks = [*(entry.task for entry in running), *waiting]
        images = {task.name: self._images_of(task) for task in tasks}
        if not (rates or besides) or (not rates and any(count != 0 for count in images.values())):
            return None
        likely = fmean([count for count in images.values() if count] or [0])

        def rest(entry: Started) -> float:
            rate, left = _known(rates, _group(entry.task)), images[entry.task.name]
            if entry.seen is not None:
                rate = entry.seen.seconds / entry.seen.fresh if entry.seen.fresh else rate
                left = entry.seen.total - entry.seen.done
            still = max(0.0, besides.get(entry.task.kind, fmean(besides.values())) - entry.besides)
            return (likely if left is None else left) * rate + still

        done_at = {entry.task.name: rest(entry) for entry in running}
        free = {kind: [done_at[entry.task.name] for entry in running if on_gpu(entry.task) is kind] for kind in places}
        for kind, count in places.items():
            free[kind] += [0.0] * (min(count, len(tasks)) - len(free[kind]))
        for task in waiting:
            mine = free[on_gpu(task)]
            place = min(range(len(mine)), key=mine.__getitem__)
            start = max([mine[place], *(done_at.get(needed, 0.0) for needed in task.after)])
            mine[place] = done_at[task.name] = start + rest(Started(task, 0.0, None))
        return max(done_at.values(), default=0.0)

    def _rates(self, running: Sequence[Started]) -> dict[_Group, float]:
        """Return seconds per image by method on a track, from all trainings so far."""
        known = {group: list(seen) for group, seen in self._training.items()}
        for entry in running:
            if entry.seen is not None:
                known.setdefault(_group(entry.task), []).append(entry.seen)
        sums = {group: (sum(s.seconds for s in seen), sum(s.fresh for s in seen)) for group, seen in known.items()}
        return {group: seconds / fresh for group, (seconds, fresh) in sums.items() if fresh}

    def _kinds(self, running: Sequence[Started]) -> dict[str, float]:
        """Return the seconds of each kind that are no training."""
        kinds = finished = {kind: fmean(seconds) for kind, seconds in self._besides.items()}
        for entry in running:  # until one has finished, at least what has gone by
            kind = entry.task.kind
            if kind not in finished:
                likely = max(kinds.get(kind, 0.0), fmean(finished.values()) if finished else 0.0)
                kinds = kinds | {kind: max(likely, entry.besides)}
        return kinds


def _group(task: Task) -> _Group:
    track, _, method = task.trains.rpartition("-")[0].rpartition("-")
    return track, method


def _known(rates: Mapping[_Group, float], group: _Group) -> float:
    """Return a group's rate, or the mean of those of the same track, or of all."""
    if group in rates:
        return rates[group]
    same_track = [rate for other, rate in rates.items() if other[0] == group[0]]
    return fmean(same_track or rates.values()) if rates else 0.0
