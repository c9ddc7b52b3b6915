"""How long a launch will still take, from the work that has been done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from wsolbench.launch.graph import Unit
from wsolbench.runs.progress import Progress

__all__ = ["Forecast", "Running"]

_Group = tuple[str, ...]


@dataclass(frozen=True)
class Running:
    """A unit that runs.

    Attributes:
        unit: which.
        seconds: since it was started.
        seen: how far its training is; None before its first iteration.
    """

    unit: Unit
    seconds: float
    seen: Progress | None


class Forecast:
    """Learns what units cost, and says how long the others will take.

    A unit takes some seconds, alike for its kind, and some more per image that it trains on, alike for a method on a
    track. Of methods that have not run yet, and of kinds, the mean so far is assumed.

    Args:
        images_of: how many images a unit trains on: 0 if none, None if its data set is not prepared yet.
    """

    def __init__(self, images_of: Callable[[Unit], int | None]) -> None:
        self._images_of = images_of
        self._training: dict[_Group, list[Progress]] = defaultdict(list)
        self._besides: dict[_Group, list[float]] = defaultdict(list)

    def finished(self, entry: Running) -> None:
        """Take note of a unit that has ended well."""
        if entry.seen is not None:
            self._training[_group(entry.unit)].append(entry.seen)
        self._besides[entry.unit.kind].append(entry.seconds - _trained(entry))

    def left(
        self,
        running: Sequence[Running],
        waiting: Sequence[Unit],
        places: Mapping[bool, int],
        on_gpu: Callable[[Unit], bool],
    ) -> float | None:
        """Return in how many seconds all units will be done; None as long as nothing is known.

        Args:
            running: units that run.
            waiting: units that do not yet, each after what it needs.
            places: units at a time, with a GPU and without.
            on_gpu: which of these a unit takes.
        """
        rates, besides = self._rates(running), self._kinds(running)
        units = [*(entry.unit for entry in running), *waiting]
        images = {unit.name: self._images_of(unit) for unit in units}
        if not (rates or besides) or (not rates and any(count != 0 for count in images.values())):
            return None
        likely = fmean([count for count in images.values() if count] or [0])
        known = {name: likely if count is None else count for name, count in images.items()}

        def rest(entry: Running) -> float:
            return _rest(entry, known[entry.unit.name], rates, besides)

        done_at: dict[str, float] = {}
        free: dict[bool, list[float]] = {kind: [] for kind in places}
        for entry in running:
            end = rest(entry)
            free[on_gpu(entry.unit)].append(end)
            done_at |= dict.fromkeys(entry.unit.stages, end)
        for kind, count in places.items():
            free[kind] += [0.0] * (min(count, len(units)) - len(free[kind]))
        for unit in waiting:
            mine = free[on_gpu(unit)]
            place = min(range(len(mine)), key=mine.__getitem__)
            start = max([mine[place], *(done_at.get(stage, 0.0) for stage in unit.after)])
            mine[place] = start + rest(Running(unit, 0.0, None))
            done_at |= dict.fromkeys(unit.stages, mine[place])
        return max(done_at.values(), default=0.0)

    def _rates(self, running: Sequence[Running]) -> dict[_Group, float]:
        """Return seconds per image by method on a track, from all trainings so far."""
        known = {group: list(seen) for group, seen in self._training.items()}
        for entry in running:
            if entry.seen is not None:
                known.setdefault(_group(entry.unit), []).append(entry.seen)
        sums = {group: (sum(s.seconds for s in seen), sum(s.fresh for s in seen)) for group, seen in known.items()}
        return {group: seconds / fresh for group, (seconds, fresh) in sums.items() if fresh}

    def _kinds(self, running: Sequence[Running]) -> dict[_Group, float]:
        """Return the seconds of each kind that are no training."""
        finished = {kind: fmean(seconds) for kind, seconds in self._besides.items()}
        kinds = dict(finished)
        for entry in running:  # until one has finished, at least what has gone by
            kind = entry.unit.kind
            if kind not in finished:
                likely = max(kinds.get(kind, 0.0), _besides_of(finished, kind))
                kinds[kind] = max(likely, entry.seconds - _trained(entry))
        return kinds


def _rest(entry: Running, images: float, rates: Mapping[_Group, float], besides: Mapping[_Group, float]) -> float:
    """Return the seconds that a unit still takes, which has ``images`` in all."""
    seen = entry.seen
    rate = _known(rates, _group(entry.unit)) if seen is None or not seen.fresh else seen.seconds / seen.fresh
    left = images if seen is None else seen.total - seen.done
    return left * rate + max(0.0, _besides_of(besides, entry.unit.kind) - (entry.seconds - _trained(entry)))


def _trained(entry: Running) -> float:
    return 0.0 if entry.seen is None else entry.seen.seconds


def _group(unit: Unit) -> _Group:
    track, _, method = unit.trains.rpartition("-")[0].rpartition("-")
    return unit.kind[0], track, method


def _known(rates: Mapping[_Group, float], group: _Group) -> float:
    """Return a group's rate, or the mean of those of the same track, or of all."""
    if group in rates:
        return rates[group]
    same_track = [rate for other, rate in rates.items() if other[1] == group[1]]
    return fmean(same_track or rates.values()) if rates else 0.0


def _besides_of(kinds: Mapping[_Group, float], kind: _Group) -> float:
    """Return a kind's seconds, or as many times the mean of a stage as it has stages."""
    if kind in kinds:
        return kinds[kind]
    return len(kind) * fmean(seconds / len(other) for other, seconds in kinds.items()) if kinds else 0.0
