"""Mean, spread and intervals over seeds.

Seeds are the sample: every number here is over runs that differ in nothing but their seed. One run has no spread, and
``None`` says so instead of a zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np
import pandas as pd
from scipy import stats

from wsolbench.results.metrics import METRICS

__all__ = ["BY_ROW", "LEVEL", "Spread", "paired_difference", "spread", "summarise", "summarise_by"]

LEVEL = 0.95
"""Coverage of every interval that the benchmark prints."""

BY_ROW = ["track", "kind", "recipe", "method"]
"""What the seeds of one row of a table share."""


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise runs over their seeds.

    Args:
        frame: of :func:`wsolbench.results.load.load_frame`.

    Returns:
        A row per ``(track, kind, recipe, method)``, in the order of the frame; columns ``(metric, statistic)``, the
        metrics in their declared order, the statistics those of :func:`summarise_by`. NaN, and n = 0, where a row does
        not define a metric.
    """
    plain = frame.astype(dict.fromkeys(BY_ROW, str))
    rows = pd.MultiIndex.from_frame(plain[BY_ROW].drop_duplicates())
    found = summarise_by(plain, [*BY_ROW, "metric"])
    wide = pd.DataFrame(found.unstack("metric"))  # noqa: PD010 - pivot_table would aggregate once more
    metrics = [name for name in METRICS if name in set(frame["metric"])]
    columns = pd.MultiIndex.from_product([metrics, found.columns], names=["metric", None])
    summary = wide.swaplevel(axis=1).reindex(index=rows, columns=columns)
    return summary.fillna({(name, "n"): 0 for name in metrics})


def summarise_by(frame: pd.DataFrame, by: Sequence[str], value: str = "value") -> pd.DataFrame:
    """Summarise one column by groups.

    Returns:
        ``mean``; ``sd``, the sample standard deviation (n - 1 in the denominator); ``ci95``, half the width of
        Student's 95 % interval of the mean; and ``n``. A single value has neither ``sd`` nor ``ci95`` (NaN).
    """
    values = frame.groupby(list(by), sort=False, observed=True)[value]
    count, deviation = values.count(), values.std()
    half = stats.t.ppf((1 + LEVEL) / 2, np.maximum(count - 1, 1)) * deviation / np.sqrt(count)
    return pd.DataFrame({"mean": values.mean(), "sd": deviation, "ci95": half, "n": count})


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
