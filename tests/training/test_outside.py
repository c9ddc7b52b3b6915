"""A method that lies outside of the repository trains, is stored and is loaded as any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.tiny import TRACK
from wsolbench.config import registry
from wsolbench.config.outside import place_components
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.training.building import build_method
from wsolbench.training.trained import load_trained, read_trained
from wsolbench.training.trainer import train

EIL = Path("docs/examples/eil.py").resolve()
KEY = f"{TRACK}-mine-0"


@pytest.fixture
def settings(tiny_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of the tiny track, with the documentation's example by ``from``."""
    monkeypatch.setenv(registry._PLACED, "{}")
    content = tiny_settings.model_dump(exclude_defaults=True)
    content["methods"] = {"cam": {}, "adl": {}, "mine": {"from": str(EIL), "args": {"gamma": 0.7}}}
    content["run"]["methods"] = ["mine"]
    place_components(content, tmp_path / "params.yaml")
    return Settings.model_validate(content)


def test_the_worked_example_takes_a_step(settings: Settings) -> None:
    torch.manual_seed(0)
    method = build_method(settings.resolve(KEY), 3, None).train()
    assert method.eraser.gamma == 0.7
    before = [each.detach().clone() for each in method.parameters()]
    losses = method.losses(torch.randn(4, 3, 40, 40), torch.arange(4) % 3, 0.0)
    torch.stack(list(losses.values())).sum().backward()
    torch.optim.SGD(method.parameters(), lr=0.1).step()
    assert not all(map(torch.equal, before, method.parameters()))


@pytest.mark.slow
def test_the_worked_example_trains_and_is_loaded(settings: Settings, layout: Layout) -> None:
    train(settings.resolve(KEY), settings, layout)
    record = read_trained(layout, KEY)
    assert record["method"]["title"] == "EIL"
    assert load_trained(record, layout, torch.device("cpu")).eraser.gamma == 0.7
