"""How long a launch will still take, from how long its tasks have taken."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from wsolbench.launch.graph import Task
from wsolbench.runs.progress import Progress

__all__ = ["Forecast", "Started"]


@dataclass(frozen=True)
class Started:
    """A task that runs, its seconds so far, and how far its training is; None before its first iteration."""

    task: Task
    seconds: float
    seen: Progress | None

    @property
    def likely(self) -> float | None:
        """Seconds that it will have taken, at the rate of its training; None where that is not known yet."""
        if self.seen is None or not self.seen.fresh:
            return None
        return self.seconds + (self.seen.total - self.seen.done) * self.seen.seconds / self.seen.fresh


class Forecast:
    """Learns how long tasks take, and says how long the others will.

    A training takes as long as others of its method on its track, or of its track while its method has not run yet;
    any other task as those of its kind, or as any that trains nothing.
    """

    def __init__(self) -> None:
        self._ended: list[tuple[Task, float]] = []

    def finished(self, task: Task, seconds: float) -> None:
        """Take note of a task that has ended well."""
        self._ended.append((task, seconds))

    def left(
        self,
        running: Sequence[Started],
        waiting: Sequence[Task],
        places: Mapping[bool, int],
        on_gpu: Callable[[Task], bool],
    ) -> float | None:
        """Return in how many seconds all tasks will be done; None as long as of some track no training is known.

        ``waiting`` has each task after what it needs; ``places`` are tasks at a time, with a GPU and without, and
        ``on_gpu`` says which of these a task takes.
        """
        taken: dict[tuple[str, str], list[float]] = defaultdict(list)
        for task, seconds in [*self._ended, *((each.task, each.likely) for each in running)]:
            for group in _groups(task) if seconds is not None else ():
                taken[group].append(seconds or 0.0)

        def whole(task: Task) -> float:
            known = next((taken[group] for group in _groups(task) if group in taken), None)
            return fmean(known) if known else math.inf if task.kind == "train" else 0.0

        done_at = {each.task.name: max(0.0, (each.likely or whole(each.task)) - each.seconds) for each in running}
        free = {kind: [done_at[each.task.name] for each in running if on_gpu(each.task) is kind] for kind in places}
        for kind, count in places.items():
            free[kind] += [0.0] * (min(count, len(running) + len(waiting)) - len(free[kind]))
        for task in waiting:
            mine = free[on_gpu(task)]
            place = min(range(len(mine)), key=mine.__getitem__)
            start = max([mine[place], *(done_at.get(needed, 0.0) for needed in task.after)])
            mine[place] = done_at[task.name] = start + whole(task)
        last = max(done_at.values(), default=0.0)
        return last if taken and last < math.inf else None


def _groups(task: Task) -> list[tuple[str, str]]:
    """Return the groups of tasks that may take as long as this one, the likeliest first."""
    method = task.name.partition("@")[2].rpartition("-")[0]  # on a track
    same = [(task.kind, method), (task.kind, method.rpartition("-")[0])]
    return same if task.kind == "train" else [*same, (task.kind, "any"), ("any", "any")]
