"""Methods of tokens go through the whole training: AdamW, drop path, and another size in test."""

from __future__ import annotations

import pytest

from tests.tiny import TINY_TRACK, TRACK
from tests.training.test_trainer import train_into
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.scoremaps import read_maps
from wsolbench.runs.run_folder import read_record

RECIPE = {"backbone": "vit_embedded", "backbone_args": {"width": 12}, "optimiser": "adamw", "lr": 0.001, "epochs": 1}


@pytest.mark.parametrize("method", ["ts_cam", "trilite"])
def test_a_method_of_tokens_trains_to_the_same_bytes_and_is_tested_at_another_size(
    layout: Layout, tiny_settings: Settings, method: str
) -> None:
    stated = tiny_settings.model_dump() | {
        "methods": {method: {}},
        "tracks": {TRACK: {**TINY_TRACK, **RECIPE, "drop_path": 0.2, "no_decay_norm_bias": True, "test_crop": 56}},
    }
    stated["run"]["methods"] = [method]
    settings, key = Settings.model_validate(stated), f"{TRACK}-{method}-0"
    first = train_into(layout, settings, key)
    assert train_into(layout, settings, key) == first
    assert read_maps(layout.run(key) / "maps.npz", "test").maps.shape[1:] == (14, 14)  # 10 x 10 at the crop of 40
    assert read_record(layout, key)["method"].get("class_agnostic", False) is (method == "trilite")
