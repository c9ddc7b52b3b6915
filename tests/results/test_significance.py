"""Paired tests against textbook values and independent computations."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, rankdata
from statsmodels.stats.multitest import multipletests

from wsolbench.results.stats import (
    bootstrap_difference,
    critical_difference,
    fewest_tracks,
    friedman,
    holm,
    iman_davenport,
    sign_test,
)


def hits(seeds: int, images: int, rate: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((seeds, images)) < rate


def test_holm_on_the_textbook_example() -> None:
    # 0.01 * 4, 0.02 * 3, 0.03 * 2, 0.04 * 1, each at least the one before.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_by_its_definition(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for index, p in enumerate(p_values):
        smaller = [other for other in p_values if other <= p]
        expected = max(min(1.0, (len(p_values) - sum(q < other for q in p_values)) * other) for other in smaller)
        assert adjusted[index] >= p
        assert adjusted[index] == pytest.approx(expected) or p_values.count(p) > 1 or len(set(p_values)) < len(p_values)


def test_holm_is_that_of_statsmodels() -> None:
    p_values = [*np.random.default_rng(0).random(40) ** 4, 0.001, 0.001]
    assert holm(p_values) == multipletests(p_values, method="holm")[1].tolist()


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 5))
def test_sign_test_is_the_exact_sign_test(only_first: int, only_second: int, both: int) -> None:
    first = np.array([True] * only_first + [False] * only_second + [True] * both, bool)
    second = np.array([False] * only_first + [True] * only_second + [True] * both, bool)
    total, extreme = only_first + only_second, min(only_first, only_second)
    tail = sum(Fraction(comb(total, k), 2**total) for k in range(extreme + 1))
    assert sign_test(first, second) == pytest.approx(float(min(2 * tail, Fraction(1))), abs=1e-12)


def test_bootstrap_agrees_with_one_that_draws_one_by_one() -> None:
    first, second = hits(3, 40, 0.6, 0), hits(4, 40, 0.4, 1)
    found = bootstrap_difference(first, second, resamples=20_000)
    random = np.random.default_rng(5)
    slow = []
    for _ in range(4000):
        images = random.integers(40, size=40)
        one = np.mean([first[random.integers(3)][images].mean() for _ in range(3)])
        other = np.mean([second[random.integers(4)][images].mean() for _ in range(4)])
        slow.append((one - other) * 100)
    assert found is not None
    assert found.points == pytest.approx((first.mean() - second.mean()) * 100)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=1.0)
    assert found.seeds == (3, 4)


def test_what_reads_the_same_networks_is_resampled_with_them_one_by_one() -> None:
    first = np.stack([hits(1, 60, rate, 0)[0] for rate in (0.1, 0.4, 0.6, 0.8)])  # the networks differ much more
    second = first | hits(4, 60, 0.3, 1)  # than what is read out of them
    found, unrelated = (bootstrap_difference(first, second, same_networks=same, resamples=20_000) for same in (1, 0))
    random = np.random.default_rng(5)
    slow = []
    for _ in range(4000):
        images = random.integers(60, size=60)
        seeds = random.integers(4, size=4)
        slow.append(np.mean([(first[each][images].mean() - second[each][images].mean()) * 100 for each in seeds]))
    assert found is not None
    assert unrelated is not None
    assert found.points == unrelated.points
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=1.0)
    assert found.high < 0 < unrelated.high  # which one says of the same numbers that they differ
    with pytest.raises(ValueError, match="networks"):
        bootstrap_difference(first[:3], second, same_networks=True)


class EveryDraw:
    """A generator that draws each of all equally likely resamples once, in place of some at random."""

    def __init__(self, *sizes: int) -> None:
        draws = [[np.bincount(draw, minlength=size) for draw in product(range(size), repeat=size)] for size in sizes]
        self.all = [np.array(part) for part in zip(*product(*draws), strict=True)]
        self._drawn = [0] * len(sizes)
        self._turn = 0

    def multinomial(self, _: int, __: np.ndarray, size: int) -> np.ndarray:
        part, self._turn = self._turn, (self._turn + 1) % len(self.all)
        self._drawn[part] += size
        return self.all[part][self._drawn[part] - size : self._drawn[part]]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ties_are_exact_over_all_resamples(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Of fifths: 1/5 + 2/5 is no 3/5 in floats, so that a tie may lie on either side of 0."""
    first, second = hits(2, 5, 0.6, seed), hits(2, 5, 0.5, seed + 50)
    every = EveryDraw(5, 2, 2)
    weights, ours, theirs = every.all
    counted = ((weights @ first.T.astype(int)) * ours).sum(1) - ((weights @ second.T.astype(int)) * theirs).sum(1)
    below, above = (counted <= 0).sum(), (counted >= 0).sum()
    assert below + above > len(counted) == 5**5 * 4 * 4  # some are ties
    monkeypatch.setattr("numpy.random.default_rng", lambda seed: every)
    found = bootstrap_difference(first, second, resamples=len(counted))
    assert found is not None
    assert found.p_value == min(2 * (min(below, above) + 1) / (len(counted) + 1), 1)


def test_bootstrap_sees_the_spread_of_the_seeds_that_pooling_hides() -> None:
    # Every image is right or wrong by the seed alone: 1000 images are no more than three trials.
    first = np.repeat([[True], [True], [False]], 1000, axis=1)
    second = np.repeat([[True], [False], [False]], 1000, axis=1)
    found = bootstrap_difference(first, second)
    assert found is not None
    assert found.low < -30
    assert found.high > 60
    assert found.p_value > 0.2


def test_bootstrap_pairs_the_images() -> None:
    # The second is the first, but for one image in ten: the images' own spread cancels.
    first = np.repeat(hits(1, 500, 0.5, 3), 3, axis=0)
    second = first.copy()
    second[:, ::10] = False
    found = bootstrap_difference(first, second)
    assert found is not None
    assert 0 < found.low < found.points < found.high < 10
    assert found.p_value < 0.001


def test_bootstrap_is_the_same_each_time_and_mirrored_when_swapped() -> None:
    first, second = hits(3, 30, 0.6, 0), hits(3, 30, 0.5, 1)
    assert bootstrap_difference(first, second) == bootstrap_difference(first, second)
    forward, backward = bootstrap_difference(first, second), bootstrap_difference(second, first)
    assert forward is not None
    assert backward is not None
    assert forward.points == -backward.points
    assert forward.p_value == pytest.approx(backward.p_value, abs=0.02)


@settings(max_examples=20)
@given(st.integers(1, 20))
def test_no_difference_is_never_significant(images: int) -> None:
    same = hits(3, images, 0.5, images)
    found = bootstrap_difference(same, same, resamples=500)
    assert found is not None
    assert found.p_value > 0.3


def test_hits_as_scores_give_the_same_as_hits() -> None:
    first, second = hits(3, 50, 0.6, 0), hits(3, 50, 0.4, 1)
    found, expected = (
        bootstrap_difference(first.astype(float), second.astype(float)),
        bootstrap_difference(first, second),
    )
    assert found is not None
    assert expected is not None
    assert found.p_value == expected.p_value
    assert (found.points, found.low, found.high) == pytest.approx((expected.points, expected.low, expected.high))
    assert sign_test(first[0].astype(float), second[0].astype(float)) == sign_test(first[0], second[0])


def test_scores_are_compared_by_how_much_they_differ() -> None:
    random = np.random.default_rng(0)
    first = random.uniform(0, 0.9, (3, 200))
    second = first + 0.05
    found = bootstrap_difference(first, second)
    assert found is not None
    assert found.points == pytest.approx(-5, abs=1e-3)
    assert found.low < -5 < found.high
    assert sign_test(first[0], second[0]) == pytest.approx(2 * 0.5**200)
    assert sign_test(first[0], first[0]) == 1


def test_one_seed_has_no_interval() -> None:
    assert bootstrap_difference(hits(1, 9, 0.5, 0), hits(3, 9, 0.5, 1)) is None


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="not of the same images"):
        bootstrap_difference(hits(2, 9, 0.5, 0), hits(2, 8, 0.5, 1))
    with pytest.raises(ValueError, match="not of the same images"):
        sign_test(hits(1, 9, 0.5, 0)[0], hits(1, 8, 0.5, 1)[0])


# Demsar, JMLR 2006, table 6: accuracies of four variants of C4.5 on 14 data sets, and their average ranks.
DEMSAR = {
    "C4.5": [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957],
    "C4.5+m": [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978],
    "C4.5+cf": [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.975, 0.946],
    "C4.5+m+cf": [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.973, 0.970],
}


SCORES = pd.DataFrame(DEMSAR)


def test_ranks_and_critical_difference_of_demsars_example() -> None:
    assert SCORES.rank(axis=1, ascending=False).mean().tolist() == pytest.approx([3.143, 2.0, 2.893, 1.964], abs=1e-3)
    assert critical_difference(4, 14, 0.95) == pytest.approx(1.25, abs=0.005)  # q = 2.569
    assert critical_difference(4, 14, 0.90) == pytest.approx(1.12, abs=0.005)  # q = 2.291
    # His chi2 of 9.28 with 3 degrees of freedom is not corrected for ties: three pairs and one four among 14 rows.
    corrected = 9.2786 / (1 - (3 * (2**3 - 2) + (4**3 - 4)) / (14 * 4 * (4**2 - 1)))
    found = friedman(SCORES)
    assert found is not None
    assert found.chi2 == pytest.approx(corrected, abs=1e-3)
    assert found.p_value == pytest.approx(float(chi2.sf(corrected, 3)), abs=1e-4)


def test_iman_davenport_of_demsars_example() -> None:
    # Section 3.2.2: F_F = 13 * 9.28 / (14 * 3 - 9.28) = 3.69, and the critical value of F(3, 39) at 0.05 is 2.85.
    f, p_value = iman_davenport(9.28, 4, 14)
    assert f == pytest.approx(3.69, abs=0.005)
    assert iman_davenport(14 * 3 * 2.85 / (13 + 2.85), 4, 14) == pytest.approx((2.85, 0.05), abs=2e-3)
    assert p_value < 0.05
    # His chi2 from the mean ranks that he prints: 12 N / (k (k + 1)) (sum of squares - k (k + 1)^2 / 4).
    squares = (SCORES.rank(axis=1, ascending=False).mean() ** 2).sum()
    assert 12 * 14 / 20 * (squares - 4 * 25 / 4) == pytest.approx(9.28, abs=0.005)


def test_iman_davenport_is_the_analysis_of_variance_of_the_ranks() -> None:
    # Of ranks with ties, by sums of squares: methods against what remains after methods and tracks.
    ranks = np.array([rankdata([-DEMSAR[name][track] for name in DEMSAR]) for track in range(14)])
    between = 14 * ((ranks.mean(0) - ranks.mean()) ** 2).sum()
    rest = ((ranks - ranks.mean(0) - ranks.mean(1, keepdims=True) + ranks.mean()) ** 2).sum()
    found = friedman(SCORES)
    assert found is not None
    assert found.f == pytest.approx((between / 3) / (rest / 39))


def test_tracks_that_all_agree_have_an_infinite_statistic() -> None:
    found = friedman(pd.DataFrame({name: [float(level)] * 5 for level, name in enumerate("abc")}))
    assert found is not None
    assert (found.chi2, found.f, found.f_p_value) == (10, float("inf"), 0)
    assert friedman(pd.DataFrame({name: [1.0] * 5 for name in "abc"})) is None


@pytest.mark.parametrize("methods", [2, 3, 4, 7, 10])
def test_with_fewer_tracks_the_best_could_not_differ_from_the_worst(methods: int) -> None:
    fewest = fewest_tracks(methods)
    assert critical_difference(methods, fewest) <= methods - 1
    assert fewest == 1 or critical_difference(methods, fewest - 1) > methods - 1


def test_too_little_to_rank() -> None:
    assert friedman(pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 3.0]})) is None
    assert friedman(pd.DataFrame()) is None
    with pytest.raises(ValueError, match="cannot be compared"):
        critical_difference(1, 3)
