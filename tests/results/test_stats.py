import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from wsolbench.results.stats import summarise_by

SAMPLES = st.lists(st.floats(-100, 100).filter(lambda value: value == 0 or abs(value) > 1e-3), min_size=2, max_size=8)


def summary(values):
    return summarise_by(pd.DataFrame({"value": values, "all": 0}), ["all"]).iloc[0]


def test_student_1908_mean_sd_and_interval_of_the_differences():
    # Biometrika 6: additional hours of sleep with two drugs, ten patients.
    second = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    found = summary(second - [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    assert found["mean"] == pytest.approx(1.58)
    assert found["sd"] == pytest.approx(1.229995, abs=1e-6)
    assert (found["mean"] - found["ci95"], found["mean"] + found["ci95"]) == pytest.approx(
        (0.7001142, 2.4598858), abs=1e-7
    )
    assert found["n"] == 10


@given(SAMPLES)
def test_mean_sd_and_interval_agree_with_numpy_and_scipy(values):
    found = summary(values)
    assert found["mean"] == pytest.approx(np.mean(values), abs=1e-9)
    assert found["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    if found["sd"] > 1e-6:
        low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
        assert found["ci95"] == pytest.approx((high - low) / 2, rel=1e-9, abs=1e-9)


def test_one_value_has_no_spread_and_no_interval():
    assert summary([71.25]).isna().tolist() == [False, True, True, False]


def test_equal_values_have_no_spread():
    assert summary([0.0] * 3)[["sd", "ci95"]].tolist() == [0, 0]
    assert summary([0.1] * 3)[["sd", "ci95"]].tolist() == pytest.approx([0, 0], abs=1e-15)


def test_groups_keep_their_order():
    frame = pd.DataFrame({"method": ["b", "a", "b"], "value": [1.0, 5.0, 3.0]})
    assert summarise_by(frame, ["method"])["mean"].to_dict() == {"b": 2, "a": 5}
