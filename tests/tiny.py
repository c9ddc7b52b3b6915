"""A data set and a recipe so small that a training takes a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wsolbench.acquire.prepare import prepare
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.index import write_selection
from wsolbench.models.placing import place_weights

TRACK = "tiny"
TINY_SHAPES: dict[str, Any] = {"image_size": 48, "num_classes": 3, "train": 22, "val": 6, "test": 7}
TINY_TRACK: dict[str, Any] = {
    "dataset": "shapes",
    "backbone": "convnet",
    "weights": None,
    "resize": 48,
    "crop": 40,
    "epochs": 2,
    "batch": 8,
    "lr": 0.05,
    "weight_decay": 0.0001,
    "head_lr_mult": 1.0,
    "schedule": "cosine",
}


def prepared_in(root: Path, settings: Settings) -> Layout:
    """Put the data set and (no) weights of TRACK in place below a root."""
    layout = Layout(root)
    prepare(settings, TRACK, layout)
    place_weights("convnet", None, None, layout.weights(TRACK))
    write_selection(layout.prepared(TRACK), layout.selection(TRACK), wanted=False)
    return layout
