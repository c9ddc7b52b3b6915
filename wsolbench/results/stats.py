"""Spread over seeds, and whether methods differ by more than chance: on the same images, and over tracks.

Two things vary from run to run: the images and the seeds. Neither may be pooled with the other as if every pair of
image and seed were an independent trial. One seed has no spread, and NaN says so instead of a zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from wsolbench.results.metrics import METRICS

__all__ = [
    "BY_ROW",
    "LEVEL",
    "Difference",
    "RankTest",
    "Scores",
    "bootstrap_difference",
    "critical_difference",
    "fewest_tracks",
    "friedman",
    "holm",
    "iman_davenport",
    "interval_and_p",
    "resampled_images",
    "sign_test",
    "summarise",
    "summarise_by",
]

Floats = NDArray[np.float64]
Scores = NDArray[np.bool_] | Floats

_UNIT = 1_000_000  # in which scores are whole numbers, so that ties stay ties
_RESAMPLES = 10_000
_CHUNK = 500  # resamples at once, which bounds memory
_KEPT = 2**24  # numbers of a set of resamples that is kept for the next pair: 128 MiB

LEVEL = 0.95
"""Coverage of every interval that the benchmark prints."""

BY_ROW = ["track", "kind", "recipe", "method"]
"""What the seeds of one row of a table share."""


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise runs over their seeds.

    Returns:
        A row per ``(track, kind, recipe, method)``, in the order of the frame; columns ``(metric, statistic)``, the
        metrics in their declared order, the statistics those of :func:`summarise_by`. NaN, and n = 0, where a row does
        not define a metric.
    """
    plain = frame.astype(dict.fromkeys([*BY_ROW, "metric"], str))
    rows = pd.MultiIndex.from_frame(plain[BY_ROW].drop_duplicates())
    found = summarise_by(plain, [*BY_ROW, "metric"])
    wide = pd.DataFrame(found.unstack("metric"))  # noqa: PD010 - pivot_table would aggregate once more
    measured = set(plain["metric"])
    metrics = [name for name in METRICS if name in measured]
    columns = pd.MultiIndex.from_product([metrics, found.columns], names=["metric", None])
    summary = wide.swaplevel(axis=1).reindex(index=rows, columns=columns)
    return summary.mask(summary.isna() & (columns.get_level_values(1) == "n"), 0)


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
class Difference:
    """How far two methods are apart on the same images.

    Attributes:
        points: first minus second, in percent of the images, mean over seeds.
        low: lower end of the interval.
        high: upper end of the interval.
        p_value: two-sided.
        seeds: runs of the first and of the second method.
    """

    points: float
    low: float
    high: float
    p_value: float
    seeds: tuple[int, int]


def bootstrap_difference(
    first: Scores,
    second: Scores,
    *,
    same_networks: bool = False,
    level: float = LEVEL,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> Difference | None:
    """Compare two methods by a two-level bootstrap: images, and seeds within each method.

    A resample draws images with replacement, the same for both methods, because they were measured on the same ones,
    and seeds with replacement, for each method by itself, because runs with the same seed share nothing but the order
    of the data; or, where both read the same trained networks, for both at once. The interval is made of percentiles of
    the resampled differences; the p-value is twice the smaller share of them on one side of 0, at least ``1 /
    (resamples + 1)`` (Davison & Hinkley, Bootstrap Methods and their Application, 1997, sections 3.8 and 4.4).

    Args:
        first: ``(seeds, images)`` whether an image is localized, or a score of it in [0, 1] (taken to a millionth).
        second: ``(seeds, images)``, of the same images in the same order; another number of seeds is fine.
        same_networks: whether each row of ``first`` and the same row of ``second`` were read out of one network.
        level: coverage of the interval, in (0, 1).
        resamples: number of resamples.
        seed: of the resampling; equal input gives equal results.

    Returns:
        The difference; None where a method has one seed only: the spread of its training is unknown.

    Raises:
        ValueError: the images, or the seeds of the same networks, differ in number, or there are no images.
    """
    alike = first.shape == second.shape if same_networks else first.shape[1:] == second.shape[1:]
    if not alike or first.ndim != 2 or not first.shape[1]:
        raise ValueError(f"hits of {first.shape} and {second.shape} are not of the same images and networks")
    if min(len(first), len(second)) < 2:
        return None
    images = first.shape[1]
    unit = 1 if first.dtype == second.dtype == np.bool_ else _UNIT
    ours, theirs = (np.rint(each.astype(np.float64) * unit) for each in (first, second))
    sides = [ours - theirs] if same_networks else [ours * len(second), -theirs * len(first)]
    draw = _kept_draws if images * resamples <= _KEPT else _draws
    drawn = draw(images, resamples, seed, tuple(map(len, sides)))
    sums = [sum(((weights @ s.T) * c).sum(1) for s, c in zip(sides, chosen, strict=True)) for weights, *chosen in drawn]
    counts = np.concatenate(sums) * (len(first) if same_networks else 1)
    differences = counts * 100 / (images * len(first) * len(second) * unit)
    points = float((ours.mean() - theirs.mean()) * 100 / unit)
    return Difference(points, *interval_and_p(differences, level), (len(first), len(second)))


def resampled_images(
    images: int, statistics: Sequence[Callable[[Floats], Floats]], *, resamples: int = _RESAMPLES, seed: int = 0
) -> Floats:
    """Compute statistics of single runs on resamples of the images, the same resamples for all of them.

    Args:
        images: number of images.
        statistics: each takes how often each image was drawn, ``(r, images)`` float64, and returns ``(r,)`` values.
        resamples: number of resamples.
        seed: of the resampling; equal input gives equal results.

    Returns:
        ``(len(statistics), resamples)``.
    """
    drawn = _draws(images, resamples, seed)
    return np.concatenate([np.stack([statistic(each) for statistic in statistics]) for (each,) in drawn], axis=1)


def interval_and_p(differences: Floats, level: float = LEVEL) -> tuple[float, float, float]:
    """Return the percentile interval of resampled differences, and the two-sided p-value of no difference.

    See :func:`bootstrap_difference`. An exact 0 counts on both sides.
    """
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    below, above = np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0)
    return float(low), float(high), min(2 * (min(below, above) + 1) / (len(differences) + 1), 1.0)


def sign_test(first: Scores, second: Scores) -> float:
    """Return the two-sided p-value of the exact sign test that two runs are better on equally many images.

    Images on which both are alike say nothing; of the others, either run would be better on half. Of images that are
    localized or not, this is McNemar's exact test (McNemar, Psychometrika 1947).

    Args:
        first: ``(images,)`` hits or scores of one run.
        second: ``(images,)`` of another run on the same images.

    Raises:
        ValueError: the images differ in number.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"hits of {first.shape} and {second.shape} are not of the same images")
    only_first, only_second = int(np.count_nonzero(first > second)), int(np.count_nonzero(second > first))
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm, Scandinavian Journal of Statistics 1979), in their order.

    Rejecting those below a level keeps the probability of even one false rejection below it, whatever their
    dependence.
    """
    found, order = np.asarray(p_values, np.float64), np.argsort(p_values)
    steps = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1))
    found[order] = np.minimum(steps, 1.0)
    adjusted: list[float] = found.tolist()
    return adjusted


@dataclass(frozen=True)
class RankTest:
    """Friedman's test that all methods rank alike, and the less conservative form of Iman and Davenport.

    Attributes:
        chi2: Friedman's statistic, corrected for ties.
        p_value: of ``chi2``.
        f: Iman and Davenport's statistic.
        f_p_value: of ``f``.
    """

    chi2: float
    p_value: float
    f: float
    f_p_value: float


def friedman(scores: pd.DataFrame) -> RankTest | None:
    """Test whether all methods rank alike over the tracks (Demsar, JMLR 2006, section 3.2.2).

    Returns:
        The test; None for fewer than 3 methods or 2 tracks, and where all methods tie on every track.
    """
    tracks, methods = scores.shape
    if methods < 3 or tracks < 2 or not np.ptp(scores.to_numpy(), axis=1).any():
        return None
    chi2, p_value = map(float, stats.friedmanchisquare(*scores.to_numpy().T))
    return RankTest(chi2, p_value, *iman_davenport(chi2, methods, tracks))


def iman_davenport(chi2: float, methods: int, tracks: int) -> tuple[float, float]:
    """Return Iman and Davenport's F for a Friedman statistic, and its p-value.

    ``(N - 1) chi2 / (N (k - 1) - chi2)``, distributed as F with k - 1 and (k - 1)(N - 1) degrees of freedom; infinite,
    with p-value 0, where all tracks agree on one order.
    """
    rest = tracks * (methods - 1) - chi2
    if rest <= 1e-9 * chi2:
        return float("inf"), 0.0
    f = (tracks - 1) * chi2 / rest
    return f, float(stats.f.sf(f, methods - 1, (methods - 1) * (tracks - 1)))


def critical_difference(methods: int, tracks: int, level: float = LEVEL) -> float:
    """Return how far mean ranks must lie apart to differ (Nemenyi's test, after Demsar, JMLR 2006, section 3.2.2).

    ``q * sqrt(k (k + 1) / (6 N))`` with q the studentized range quantile divided by the square root of 2.

    Raises:
        ValueError: there are too few methods or tracks.
    """
    if methods < 2 or tracks < 1:
        raise ValueError(f"{methods} methods on {tracks} tracks cannot be compared")
    quantile = float(stats.studentized_range.ppf(level, methods, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * tracks)))


def fewest_tracks(methods: int, level: float = LEVEL) -> int:
    """Return from how many tracks on Nemenyi's test can tell any two methods apart.

    Mean ranks lie at most ``k - 1`` apart; with fewer tracks the critical difference is larger than that, and the test
    cannot but find nothing.
    """
    return math.ceil((critical_difference(methods, 1, level) / (methods - 1)) ** 2)


def _draws(images: int, resamples: int, seed: int, seeds: tuple[int, ...] = ()) -> Iterator[list[Floats]]:
    """Draw resamples, some at a time.

    Yields:
        How often each image is in each of them, ``(r, images)``, then the same for each number of seeds. Whole numbers,
        which float64 holds exactly: ties stay ties, whatever the order in which a BLAS sums.
    """
    random = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        count = min(_CHUNK, resamples - start)
        yield [random.multinomial(n, np.full(n, 1 / n), size=count).astype(np.float64) for n in (images, *seeds)]


@lru_cache(maxsize=2)
def _kept_draws(images: int, resamples: int, seed: int, seeds: tuple[int, ...]) -> list[list[Floats]]:
    """Return :func:`_draws`, the same for every pair of methods of a track, which takes longer than its use."""
    return [*_draws(images, resamples, seed, seeds)]
