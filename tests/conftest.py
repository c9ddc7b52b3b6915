"""What several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

TEST_DATA = "WSOLBENCH_TEST_DATA"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real photographs, weights and the whole set of reference vectors; not ours to redistribute."""
    folder = os.environ.get(TEST_DATA)
    if not folder:
        pytest.skip(f"{TEST_DATA} is not set: it names the directory that holds data/, weights/ and vectors/")
    return Path(folder)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
