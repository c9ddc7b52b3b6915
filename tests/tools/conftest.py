"""A run that tests predict photographs with."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from tests.tools.predicting import KEY, Predict, predicted
from tests.training.conftest import prepared, tiny_settings
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.runs import machine
from wsolbench.training.trainer import train

__all__ = ["prepared", "tiny_settings"]


@pytest.fixture(scope="session")
def trained(prepared: Layout, tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    root = tmp_path_factory.mktemp("trained")
    (root / "data").symlink_to(prepared.root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "has_native_bf16", lambda: True)  # emulated: its numbers are tested, not its speed
        train(tiny_settings.resolve(KEY), tiny_settings, Layout(root))
    return Layout(root)


@pytest.fixture
def copied(trained: Layout, tmp_path: Path) -> Layout:
    """The run alone, which a test may change."""
    root = tmp_path / "copied"
    shutil.copytree(trained.run(KEY), Layout(root).run(KEY))
    return Layout(root)


@pytest.fixture
def predict(trained: Layout, tiny_settings: Settings, tmp_path: Path) -> Predict:
    """Predicts photographs with the run, into ``out`` of the test's own directory."""
    return partial(predicted, tiny_settings, trained, tmp_path / "out")
