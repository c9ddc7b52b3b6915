"""A table on disk gives back what was put in."""

from __future__ import annotations

import numpy as np
import pytest

from wsolbench.evaluation import rows
from wsolbench.evaluation.rows import Rows


@pytest.mark.parametrize("read_bytes", [1, 100, 1 << 20])
def test_columns_are_those_of_the_stacked_rows(monkeypatch: pytest.MonkeyPatch, read_bytes: int) -> None:
    monkeypatch.setattr(rows, "_READ_BYTES", read_bytes)
    blocks = [np.random.default_rng(k).random((k, 5, 4)) for k in (3, 0, 1, 7)]
    table = Rows((5, 4), np.float64)
    for block in blocks:
        table.append(block)
        assert table.column(0).shape == (len(table), 4)
    for k in range(5):
        np.testing.assert_array_equal(table.column(k), np.concatenate(blocks)[:, k])


def test_a_table_without_rows_has_empty_columns() -> None:
    assert Rows((5,), np.int16).column(2).shape == (0,)
