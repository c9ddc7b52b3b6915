"""Arguments of ``params.yaml`` for a class of ours, by its signature."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsolbench.config.settings import validated_arguments
from wsolbench.errors import SettingsError


class _Component:
    def __init__(
        self, given: object, *, ratio: float, points: tuple[str, ...] = (), folder: Path | None = None
    ) -> None:
        self.arguments = (given, ratio, points, folder)


def test_arguments_are_converted_to_the_signature() -> None:
    found = validated_arguments(_Component, {"ratio": 1, "points": ["a"], "folder": "x"}, "methods.m.args", given=1)
    assert found == {"ratio": 1.0, "points": ("a",), "folder": Path("x")}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"ratio": 1.0, "point": []}, "unknown key 'point'; did you mean 'points'?"),
        ({}, "methods.m.args.ratio: Field required"),
        ({"ratio": "much"}, "methods.m.args.ratio"),
        ({"ratio": 1.0, "given": 3}, "unknown key 'given'"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        validated_arguments(_Component, arguments, "methods.m.args", given=1)
    assert expected in str(caught.value)


class _Numbers:
    def __init__(
        self, share: float = 0.5, above: int | None = 1, sizes: tuple[int, ...] = (), *, on: bool = True
    ) -> None:
        self.arguments = (share, above, sizes, on)


@pytest.mark.parametrize(
    "wrong",
    [{"share": "0.5"}, {"share": True}, {"above": True}, {"above": "3"}, {"sizes": [3, "9"]}, {"on": 1}, {"on": "yes"}],
)
def test_a_number_is_no_text_and_no_truth_value(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=rf"datasets\.birds\.{next(iter(wrong))}: .*found"):
        validated_arguments(_Numbers, wrong, "datasets.birds")


def test_whole_numbers_and_nothing_are_taken_where_they_may_stand() -> None:
    right = {"share": 1, "above": None, "sizes": [3, 9], "on": False}
    assert validated_arguments(_Numbers, right, "datasets.birds") == right | {"sizes": (3, 9)}
