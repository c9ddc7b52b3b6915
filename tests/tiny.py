"""A data set and a recipe so small that a training takes a second."""

from __future__ import annotations

from typing import Any

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
