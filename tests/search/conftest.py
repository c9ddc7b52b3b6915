"""A track on which a real trial costs a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tiny import TINY_SHAPES, TINY_TRACK, TRACK, prepared_in
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings


@pytest.fixture(scope="session")
def tiny_settings() -> Settings:
    return Settings.model_validate(
        {
            "methods": {
                "cam": {},
                "adl": {"args": {"gamma": 0.7}, "tracks": {TRACK: {"args": {"drop_rate": 0.3}, "train": {"lr": 0.5}}}},
            },
            "datasets": {"shapes": TINY_SHAPES},
            "tracks": {TRACK: TINY_TRACK},
            "run": {"tracks": [TRACK], "methods": ["cam", "adl"], "seeds": [0]},
            "runtime": {"device": "cpu", "threads": 1},
            "search": {"trials": 3, "epochs": 1, "seed": 4, "recipe": {"lr": [0.5, 2]}},
        }
    )


def changed(settings: Settings, block: str, **changes: Any) -> Settings:
    """The settings with fields of one block changed; ``block`` may be ``tracks.tiny``."""
    data = settings.model_dump(exclude_unset=True)
    inner = data
    for name in block.split("."):
        inner = inner.setdefault(name, {})
    inner.update(changes)
    return Settings.model_validate(data)


@pytest.fixture(scope="session")
def prepared(tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return prepared_in(tmp_path_factory.mktemp("prepared"), tiny_settings)


@pytest.fixture
def layout(prepared: Layout, tmp_path: Path) -> Layout:
    """A root with the data in place, for a test's own results."""
    (tmp_path / "data").symlink_to(prepared.root / "data")
    return Layout(tmp_path)
