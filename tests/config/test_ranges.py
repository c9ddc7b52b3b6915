"""Ranges in signatures: what is refused, and how a range is printed."""

from __future__ import annotations

import pytest

from wsolbench.config.distributions import Choice, Uniform, space
from wsolbench.config.ranges import Count, Factor, Fraction, Odd, Positive, PositiveFactor, range_of
from wsolbench.config.schema import check_space, validated_arguments
from wsolbench.errors import SettingsError


class Component:
    def __init__(self, rate: Fraction = 0.5, sizes: tuple[Positive, ...] = (1,), block: Odd | None = None) -> None:
        pass


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Fraction, "0 to 1"),
        (Factor, "at least 0"),
        (PositiveFactor, "above 0"),
        (Count, "at least 0"),
        (tuple[Positive, ...], "above 0"),
        (Odd | None, "above 0, odd"),
        (tuple[str, ...] | None, ""),
        (float, ""),
    ],
)
def test_a_range_is_printed_in_words(annotation: object, expected: str) -> None:
    assert range_of(annotation) == expected


@pytest.mark.parametrize(
    "wrong", [{"rate": 1.5}, {"rate": float("nan")}, {"sizes": [1, 0]}, {"block": 2}, {"block": -1}]
)
def test_a_value_out_of_range_is_named(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(SettingsError, match=rf"methods\.mine\.args\.{name}"):
        validated_arguments(Component, wrong, "methods.mine.args")


def test_a_search_may_try_only_what_is_allowed() -> None:
    check_space(Component, space(rate=Uniform(0, 1), block=Choice((None, 3))), "here")
    for tried in (space(rate=Uniform(0, 1.5)), space(block=Choice((3, 4)))):
        with pytest.raises(SettingsError, match="here"):
            check_space(Component, tried, "here")
