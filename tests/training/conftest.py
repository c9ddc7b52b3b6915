"""A prepared data set that a network trains on in a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import TINY_SHAPES, TINY_TRACK, TRACK, prepared_in
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.runs import machine


@pytest.fixture(autouse=True)
def _emulation_of_bf16_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tiny trainings emulate bfloat16 on any processor: their numbers are tested, not their speed."""
    monkeypatch.setattr(machine, "has_native_bf16", lambda: True)


@pytest.fixture(scope="session")
def tiny_settings() -> Settings:
    return Settings.model_validate(
        {
            "methods": {"cam": {}, "adl": {}},
            "datasets": {"shapes": TINY_SHAPES},
            "tracks": {TRACK: TINY_TRACK},
            "run": {"tracks": [TRACK], "methods": ["cam", "adl"], "baselines": ["mask_supervised"], "seeds": [0]},
            "runtime": {"device": "cpu", "threads": 1},
        }
    )


@pytest.fixture(scope="session")
def prepared(tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A root with the data set and (no) weights in place; tests train into copies of its layout."""
    return prepared_in(tmp_path_factory.mktemp("prepared"), tiny_settings)


@pytest.fixture
def layout(prepared: Layout, tmp_path: Path) -> Layout:
    (tmp_path / "data").symlink_to(prepared.root / "data")
    return Layout(tmp_path)
