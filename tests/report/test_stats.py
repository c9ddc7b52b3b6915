import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from wsolbench.results.stats import Spread, paired_difference, spread

# Student's own example (Biometrika 6, 1908): additional hours of sleep with two drugs, ten patients.
SLEEP = {
    "second": (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4),
    "first": (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0),
}
SAMPLES = st.lists(st.floats(-100, 100).filter(lambda value: value == 0 or abs(value) > 1e-3), min_size=2, max_size=8)


def test_student_1908_paired_mean_sd_and_interval():
    difference = paired_difference(*(dict(enumerate(SLEEP[drug])) for drug in ("second", "first")))
    assert difference.mean == pytest.approx(1.58)
    assert difference.sd == pytest.approx(1.229995, abs=1e-6)
    assert difference.interval() == pytest.approx((0.7001142, 2.4598858), abs=1e-7)
    assert difference.excludes_zero() is True


def test_nist_handbook_confidence_limits_of_the_mean():
    zarr13 = Spread(mean=9.261460, sd=0.2278881e-01, n=195)  # section 1.3.5.2
    assert zarr13.interval() == pytest.approx((9.258242, 9.264679), abs=1e-6)


@given(SAMPLES)
def test_mean_sd_and_interval_agree_with_numpy_and_scipy(values):
    summary = spread(values)
    assert summary.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert summary.sd == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    if summary.sd > 1e-6:
        expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.9)
        assert summary.interval(0.9) == pytest.approx(tuple(expected), rel=1e-9, abs=1e-9)


def test_one_value_has_no_spread_and_no_interval():
    single = spread([71.25])
    assert single == Spread(mean=71.25, sd=None, n=1)
    assert single.interval() is None
    assert single.excludes_zero() is None


def test_equal_values_have_exactly_no_spread():
    assert spread([0.1] * 3).sd == 0
    assert spread([0.1] * 3).interval() == (0.1, 0.1)
    assert spread([0.0] * 3).excludes_zero() is False


def test_an_interval_that_holds_zero_does_not_exclude_it():
    assert spread([-1.0, 2.0, 3.0]).excludes_zero() is False


def test_differences_are_taken_over_common_seeds_only():
    assert paired_difference({0: 5.0, 1: 7.0, 3: 9.0}, {1: 6.0, 0: 1.0, 2: 0.0}) == spread([4.0, 1.0])
    assert paired_difference({0: 5.0}, {1: 6.0}) is None


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_samples_without_finite_values_are_refused(values):
    with pytest.raises(ValueError, match="a sample needs"):
        spread(values)


def test_levels_outside_0_and_1_are_refused():
    with pytest.raises(ValueError, match="level 95"):
        spread([1.0, 2.0]).interval(95)


@given(SAMPLES)
def test_half_a_width_is_half_of_the_interval(values):
    summary = spread(values)
    low, high = summary.interval()
    assert summary.half_width() == pytest.approx((high - low) / 2, abs=1e-9)
    assert spread(values[:1]).half_width() is None
