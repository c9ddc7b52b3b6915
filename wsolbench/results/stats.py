"""Mean, spread and intervals over seeds.

Seeds are the sample: every number here is over runs that differ in nothing but their seed. One run has no spread, and
``None`` says so instead of a zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean, stdev

from scipy import stats

__all__ = ["LEVEL", "Spread", "paired_difference", "spread"]

LEVEL = 0.95
"""Coverage of every interval that the benchmark prints."""


@dataclass(frozen=True)
class Spread:
    """A sample, summarised.

    Attributes:
        mean: arithmetic mean, in the unit of the values.
        sd: sample standard deviation (n - 1 in the denominator), in the same unit; None for a single value.
        n: number of values, at least 1.
    """

    mean: float
    sd: float | None
    n: int

    def interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """Return Student's t-interval of the mean: ``mean -/+ t(n - 1) * sd / sqrt(n)``.

        Args:
            level: coverage, in (0, 1).

        Returns:
            Lower and upper end; None for a single value. Equal values give an interval of width 0.

        Raises:
            ValueError: ``level`` is outside (0, 1).
        """
        half = self.half_width(level)
        return None if half is None else (self.mean - half, self.mean + half)

    def half_width(self, level: float = LEVEL) -> float | None:
        """Return half the width of :meth:`interval`, in the unit of the values; None for a single value.

        Raises:
            ValueError: ``level`` is outside (0, 1).
        """
        if not 0 < level < 1:
            raise ValueError(f"level {level} is not between 0 and 1")
        if self.sd is None:
            return None
        return float(stats.t.ppf((1 + level) / 2, self.n - 1)) * self.sd / math.sqrt(self.n)

    def excludes_zero(self, level: float = LEVEL) -> bool | None:
        """Return whether 0 lies outside :meth:`interval`; None for a single value."""
        ends = self.interval(level)
        return None if ends is None else not ends[0] <= 0 <= ends[1]


def spread(values: Iterable[float]) -> Spread:
    """Summarise a sample.

    Raises:
        ValueError: there is no value, or one is infinite or not a number.
    """
    sample = [float(value) for value in values]
    if not sample:
        raise ValueError("a sample needs at least one value")
    if not all(map(math.isfinite, sample)):
        raise ValueError(f"a sample needs finite values, not {sample}")
    return Spread(mean(sample), stdev(sample) if len(sample) > 1 else None, len(sample))


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Spread | None:
    """Summarise the differences ``values - reference`` of runs that share their seed.

    Args:
        values: a number by seed.
        reference: the same number of what it is compared with, by seed.

    Returns:
        The spread over the seeds that both have; None if there is no such seed.
    """
    common = [seed for seed in values if seed in reference]
    return spread(values[seed] - reference[seed] for seed in common) if common else None
