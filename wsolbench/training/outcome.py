"""Whether a training has learned anything, as its last line and the tables say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc

from wsolbench.data.scoremaps import Stored

__all__ = ["Outcome", "training_outcome"]

_LEVEL = 0.05


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        at_chance: whether Top-1 Cls on ``val`` (on ``test`` where ``val`` is empty) is not above what naming one class
            for all its images reaches, by a one-sided exact binomial test at the 5 % level; None where nothing is
            classified, or the images are too few to tell.
        loss_grew: whether the mean of all losses together is higher in the last epoch than in the first; None for
            fewer than two epochs.
        problems: what to say about it, in sentences; empty where all is well.
    """

    at_chance: bool | None
    loss_grew: bool | None
    problems: tuple[str, ...]


def training_outcome(stored: Mapping[str, Stored], rows: Sequence[Mapping[str, float]]) -> Outcome:
    """Return how a training ended, by its maps of ``val`` and ``test`` and the rows of its history."""
    name = "val" if len(stored["val"].ids) else "test"
    at_chance, said = _is_at_chance(stored[name], name)
    totals = [sum(value for key, value in row.items() if key.startswith("loss_")) for row in rows]
    loss_grew = totals[-1] > totals[0] if len(totals) > 1 else None
    problems = [said] if at_chance else []
    if loss_grew:
        problems.append(f"its loss grew from {totals[0]:.3g} in the first epoch to {totals[-1]:.3g} in the last")
    return Outcome(at_chance, loss_grew, tuple(problems))


def _is_at_chance(found: Stored, name: str) -> tuple[bool | None, str]:
    images = len(found.ids)
    if not images or not found.top5.shape[1]:
        return None, ""
    right = int((found.top5[:, 0] == found.labels).sum())
    chance = float(np.bincount(found.labels).max() / images)
    if bdtrc(images - 1, images, chance) > _LEVEL:  # the probability that guesses are all right
        return None, ""
    said = f"Top-1 Cls on {name} is {right / images:.1%} of {images} images"
    said += f"; naming one class for all gives {chance:.1%}"
    return bool(right == 0 or bdtrc(right - 1, images, chance) > _LEVEL), said
