"""A process of a training, started by torchrun or alone: trains, and keeps the gradients of every step."""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_dist_info
from safetensors.torch import save_file
from torch import nn

from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.errors import InterruptedTrainingError
from wsolbench.models.layers import drop_layer, spatial_drop
from wsolbench.runs.state import StateKeeper
from wsolbench.training import loop, trainer
from wsolbench.training.optim import Optimiser


class FrozenStatistics(loop.TrainingModel):
    """Batch normalisation with the statistics that it began with."""

    def train(self, mode: bool = True) -> FrozenStatistics:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def main(settings_file: str, root: str, key: str, launcher: str, statistics: str) -> None:
    kept: dict[str, torch.Tensor] = {}
    tosses: list[torch.Tensor] = []
    noise: list[torch.Tensor] = []  # what a layer would draw first for its images
    steps = itertools.count()
    step, toss = Optimiser.step, drop_layer.coin

    forward = loop.TrainingModel.forward

    def noted_forward(self: loop.TrainingModel, *arguments: Any, **named: Any) -> Any:
        with torch.random.fork_rng(devices=()):
            noise.append(torch.rand(()))
        return forward(self, *arguments, **named)

    def kept_step(self: Optimiser) -> None:
        number = next(steps)
        gradients = [p.grad for group in self.inner.param_groups for p in group["params"]]
        kept.update({f"{number}.{place}": gradient.contiguous().clone() for place, gradient in enumerate(gradients)})
        step(self)

    def kept_toss(probability: float, device: torch.device) -> torch.Tensor:
        tosses.append(toss(probability, device))
        return tosses[-1]

    loop.TrainingModel.forward = noted_forward
    Optimiser.step = kept_step
    spatial_drop.coin = kept_toss
    if statistics == "frozen":
        loop.TrainingModel = FrozenStatistics
    rank: list[int] = []
    predict = trainer.predict_split

    def noted(*arguments: Any, **named: Any) -> Any:
        rank.append(get_dist_info()[0])
        return predict(*arguments, **named)

    trainer.predict_split = noted
    save = StateKeeper.save

    def slow_save(*arguments: Any) -> None:
        time.sleep(0.1)
        save(*arguments)

    StateKeeper.save = slow_save
    settings = Settings.model_validate_json(Path(settings_file).read_text())
    layout = Layout(Path(root))
    try:
        trainer.train(settings.resolve(key), settings, layout, launcher)
    except InterruptedTrainingError:
        if get_dist_info()[0]:
            states = sorted(path.stem for path in (layout.work(key) / "state").rglob("*.pt"))
            (layout.root / "left").write_text(states[-1])
        raise
    if tosses:
        kept |= {"tosses": torch.stack(tosses), "noise": torch.stack(noise)}
    save_file(kept, Path(root) / f"kept-{rank[0]}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
