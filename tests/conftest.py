"""What several test folders share."""

from __future__ import annotations

import gc
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are there: workers share the cores

import pytest
import torch

TEST_DATA = "WSOLBENCH_TEST_DATA"
# torch reads it once in a process, at the first matrix product on CUDA, which any test may do.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """As many workers as this process may use cores; each imports torch, so that many would cost more than they win."""
    return min(len(os.sched_getaffinity(0)), 8)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # what has been imported stays: to look through it again and again would take a twentieth of the time
