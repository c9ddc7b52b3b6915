"""A search whose trials cost nothing, and a track on which real ones cost a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import TINY_SHAPES, TINY_TRACK, TRACK, prepared_in
from wsolbench.config.distributions import Choice, LogUniform, Uniform
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.search.space import Parameter, sampler_of
from wsolbench.search.study import Study
from wsolbench.search.trial import FailedTrialError

PARAMETERS = (
    Parameter("train.lr", LogUniform(0.01, 1)),
    Parameter("args.rate", Uniform(0, 1)),
    Parameter("args.sizes", Choice(((1,), (2, 3), None))),
)
DEFINITION = {"track": {"lr": 0.1, "epochs": 3}, "seed": 0}


def stub(number: int, stored: Mapping[str, Any], folder: Path) -> float:
    """Percent that the parameters alone decide; high rates diverge."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scratch").write_text(str(number))
    if stored["args.rate"] > 0.8:
        raise FailedTrialError("the rate is too high")
    return float(100 * (1 - stored["args.rate"]) * stored["train.lr"])


def said_nothing(text: str) -> None:
    del text


@pytest.fixture
def study_in(tmp_path: Path) -> Callable[..., Study]:
    """Makes a study of PARAMETERS in a folder below the test's."""

    def make(name: str = "study", sampler: str = "random", seed: int = 0, **changes: Any) -> Study:
        drawn = sampler_of(sampler, PARAMETERS, seed, "toy", "alpha")  # type: ignore[arg-type]
        return Study(tmp_path / name, PARAMETERS, drawn, changes.pop("definition", DEFINITION), **changes)

    return make


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


@pytest.fixture(scope="session")
def prepared(tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return prepared_in(tmp_path_factory.mktemp("prepared"), tiny_settings)


@pytest.fixture
def layout(prepared: Layout, tmp_path: Path) -> Layout:
    """A root with the data in place, for a test's own results."""
    (tmp_path / "data").symlink_to(prepared.root / "data")
    return Layout(tmp_path)
