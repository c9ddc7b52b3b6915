"""Distributions of a search space."""

from __future__ import annotations

import math

import pytest

from wsolbench.config.distributions import Choice, LogUniform, Uniform, space
from wsolbench.errors import SettingsError

LAST = 1 - 2**-53  # the largest share that is drawn


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (Uniform(2, 6), {0: 2, 0.25: 3, LAST: 6}),
        (Uniform(-1, 1), {0: -1, 0.5: 0}),
        (LogUniform(1e-3, 1), {0: 1e-3, 1 / 3: 1e-2, 2 / 3: 1e-1, LAST: 1}),
        (Choice((None, (1, 2), "x")), {0: None, 0.3333: None, 0.3334: (1, 2), 0.6667: "x", LAST: "x"}),
    ],
)
def test_a_share_of_one_is_taken_to_a_value(distribution, values):
    for share, value in values.items():
        found = distribution.at(share)
        assert found in distribution
        assert found == (value if value is None or isinstance(value, (tuple, str)) else pytest.approx(value, rel=1e-12))


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


def test_a_space_cannot_be_changed():
    with pytest.raises(TypeError):
        space(a=Uniform(0, 1))["c"] = Uniform(0, 1)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Uniform(1, 1), "Uniform"),
        (lambda: Uniform(0, math.inf), "Uniform"),
        (lambda: LogUniform(0, 1), "LogUniform"),
        (lambda: LogUniform(math.nan, 1), "LogUniform"),
        (lambda: Choice(()), "Choice"),
        (lambda: Choice((1, 1)), "Choice"),
    ],
)
def test_an_empty_distribution_is_refused(make, name):
    with pytest.raises(SettingsError, match=name):
        make()
