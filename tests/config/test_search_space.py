"""Distributions of a search space."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wsolbench.config.distributions import Choice, LogUniform, Uniform, sample, space
from wsolbench.errors import SettingsError


def drawn(distribution, count=4000):
    generator = np.random.default_rng(0)
    return np.array([distribution.sample(generator) for _ in range(count)])


def test_uniform_has_the_moments_of_its_interval():
    values = drawn(Uniform(2, 6))
    assert values.min() >= 2
    assert values.max() <= 6
    assert values.mean() == pytest.approx(4, abs=4 * (16 / 12 / 4000) ** 0.5)
    assert values.std() == pytest.approx((16 / 12) ** 0.5, rel=0.05)


def test_log_uniform_has_as_many_values_in_each_order_of_magnitude():
    values = drawn(LogUniform(1e-3, 1))
    assert values.min() >= 1e-3
    assert values.max() <= 1
    for decade in (1e-3, 1e-2, 1e-1):
        share = ((values >= decade) & (values < 10 * decade)).mean()
        assert share == pytest.approx(1 / 3, abs=4 * (2 / 9 / 4000) ** 0.5)


def test_choice_takes_each_value_alike():
    generator = np.random.default_rng(0)
    values = [Choice((None, (1, 2), "x")).sample(generator) for _ in range(3000)]
    for value in (None, (1, 2), "x"):
        assert values.count(value) / 3000 == pytest.approx(1 / 3, abs=4 * (2 / 9 / 3000) ** 0.5)


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        (Uniform(0, 1), [0, 0.5, 1], [-0.1, 1.1, None, "0.5", math.nan]),
        (LogUniform(0.1, 10), [0.1, 1, 10], [0, 11, None]),
        (Choice((None, 3)), [None, 3], [2, "3"]),
    ],
)
def test_membership_is_that_of_what_can_be_drawn(distribution, inside, outside):
    assert all(value in distribution for value in inside)
    assert not any(value in distribution for value in outside)


def test_a_space_is_sampled_in_its_order_and_cannot_be_changed():
    both = space(a=Uniform(0, 1), b=Choice((1, 2)))
    first, second = (sample(both, np.random.default_rng(7)) for _ in range(2))
    assert first == second
    assert list(first) == ["a", "b"]
    with pytest.raises(TypeError):
        both["c"] = Uniform(0, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(1, 1), "Uniform: low is 1 and high is 1"),
        (lambda: Uniform(0, math.inf), "must be finite"),
        (lambda: LogUniform(0, 1), "LogUniform: low is 0; it must be above 0"),
        (lambda: LogUniform(math.nan, 1), "LogUniform: low is nan"),
        (lambda: Choice(()), "at least one value"),
        (lambda: Choice((1, 1)), "stands twice"),
    ],
)
def test_an_empty_distribution_is_refused(make, message):
    with pytest.raises(SettingsError, match=message):
        make()
