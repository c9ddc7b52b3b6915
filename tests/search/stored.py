"""Searches that nobody has made, as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsolbench.config.distributions import Choice, LogUniform
from wsolbench.search.record import Definition, SearchHead, Trial, folder_of
from wsolbench.search.record import store as write

SPACE = {"train.lr": LogUniform(0.01, 1, source="search.recipe"), "args.sizes": Choice((None, (1,)))}


def head_of(method: str = "alpha", trials: int = 3, **changes: Any) -> SearchHead:
    """What a search says of itself; changes are fields of the head or of its definition."""
    head = {"track": "toy", "title": method.title(), "epochs": 2, "batch": 8, "images": 6, "boxes_used": 7}
    head |= {"masks_used": 0, "val_truth": "gt"}
    made = {"seed": 0, "objective": "max_box_acc_v2", "threshold_step": 0.001, "recipe": {"lr": 0.1}, "args": {}}
    made |= {"space": SPACE, "data": "d" * 64, "truth_of_val": "t", "weights": None, "torch": "2", "code": {"x": "y"}}
    made |= {name: value for name, value in changes.items() if name in made}
    head |= {name: value for name, value in changes.items() if name not in made}
    return SearchHead(**{"method": method, "trials": trials, **head}, definition=Definition(**made))


def store(root: Path, values: Sequence[float | None], head: SearchHead | None = None) -> Path:
    """Store a search whose trials had these values, None failed, with rates 0.1, 0.2, 0.4, ...; return its folder."""
    head = head or head_of(trials=len(values))
    folder = folder_of(root, head.track, head.method)
    write(folder, head)
    for number, value in enumerate(values):
        tried = {"train.lr": 0.1 * 2**number, "args.sizes": [None, [1]][number % 2]}
        tried = {name: tried.get(name, drawn.at(0)) for name, drawn in head.definition.space.items()}
        reason = "diverged" if value is None else ""
        made = head.definition.sha256
        write(folder, Trial(number=number, values=tried, value=value, reason=reason, definition=made))
    return folder
