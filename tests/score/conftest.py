"""A made-up run, and its maps as anybody would hand them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.made_up_run import TEST, MadeUpRun
from tests.score.test_score import write_maps


@pytest.fixture
def run(tmp_path: Path) -> MadeUpRun:
    return MadeUpRun(tmp_path, masks=len(TEST)).write()


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    return write_maps(tmp_path / "maps", "test", TEST)
