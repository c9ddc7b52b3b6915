"""Kinds of miss and object sizes, on boxes whose answer is plain."""

from __future__ import annotations

import numpy as np
import pytest

from wsolbench.evaluation.misses import MISSES, SIZES, kinds_of_misses, sizes_of
from wsolbench.evaluation.protocols import TrueBoxes

ONE = [[50, 50, 99, 99]]
TWO = [[0, 0, 39, 39], [60, 0, 99, 39]]


@pytest.mark.parametrize(
    ("box", "truth", "kind"),
    [
        ([50, 50, 99, 99], ONE, ""),
        ([50, 50, 99, 74], ONE, ""),  # exactly half of it
        ([50, 50, 99, 73], ONE, "part"),
        ([60, 60, 69, 69], ONE, "part"),
        ([0, 0, 149, 149], ONE, "more"),
        ([0, 0, 49, 49], ONE, "background"),
        ([100, 100, 149, 149], ONE, "background"),
        ([75, 75, 124, 124], ONE, "other"),  # a quarter of either
        ([0, 0, 99, 39], TWO, "multi_instance"),
        ([0, 0, 39, 39], TWO, ""),
        ([20, 0, 79, 39], TWO, "multi_instance"),  # half of each
        ([21, 0, 78, 39], TWO, "other"),
        ([0, 0, 0, 0], ONE, "background"),  # what stands for no box
    ],
)
def test_kinds(box: list[int], truth: list[list[int]], kind: str) -> None:
    two = TrueBoxes(np.array(TWO + truth), np.array([0, 2, 2 + len(truth)]))
    assert kinds_of_misses(np.array([[0, 0, 39, 39], box]), two).tolist() == ["", kind]
    assert kind in {"", *MISSES}


def test_sizes() -> None:
    assert sizes_of(np.array([0.0, 0.0999, 0.1, 0.4, 0.4001, 1.0])).tolist() == [
        "small", "small", "medium", "medium", "large", "large",
    ]  # fmt: skip
    assert set(SIZES) == {"small", "medium", "large"}
