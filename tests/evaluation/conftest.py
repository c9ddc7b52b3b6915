"""The reference vectors: a part that every clone has, and the whole set where it is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.vectors import Vectors

PART = Path(__file__).parents[1] / "vectors"


@pytest.fixture(scope="session", params=["part", "whole"])
def vectors(request: pytest.FixtureRequest) -> Vectors:
    if request.param == "part":
        return Vectors(PART)
    return Vectors(request.getfixturevalue("test_data") / "vectors")
