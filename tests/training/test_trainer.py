"""One trainer for all methods: reproducible to the byte, all or nothing on disk."""

from __future__ import annotations

import fcntl
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.training.conftest import TRACK
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import read_maps
from wsolbench.errors import DataError, SettingsError, TrainingError
from wsolbench.training.building import build_method
from wsolbench.training.trainer import train

CAM, ADL = f"{TRACK}-cam-0", f"{TRACK}-adl-0"


def train_into(layout: Layout, settings: Settings, key: str) -> dict[str, bytes]:
    train(settings.resolve(key), settings, layout)
    return {path.name: path.read_bytes() for path in layout.run(key).iterdir()}


def with_runtime(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"runtime": settings.runtime.model_copy(update=changes)})


def with_track(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"tracks": {TRACK: settings.tracks[TRACK].model_copy(update=changes)}})


def test_a_run_has_exactly_its_four_files(layout: Layout, tiny_settings: Settings) -> None:
    files = train_into(layout, tiny_settings, CAM)
    assert set(files) == {"checkpoint.safetensors", "maps.npz", "history.csv", "run.yaml"}
    assert not layout.work(CAM).exists()


@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_one_seed_gives_the_same_bytes_twice(layout: Layout, tiny_settings: Settings, amp: str) -> None:
    settings = with_track(tiny_settings, amp=amp)
    first = train_into(layout, settings, ADL)
    np.random.default_rng().random()
    torch.rand(3)  # what ran before in the process must not matter
    assert train_into(layout, settings, ADL) == first


def test_another_seed_gives_another_network(layout: Layout, tiny_settings: Settings) -> None:
    assert train_into(layout, tiny_settings, CAM) != train_into(layout, tiny_settings, f"{TRACK}-cam-1")


def test_maps_are_those_of_the_checkpoint_in_index_order(layout: Layout, tiny_settings: Settings) -> None:
    train_into(layout, tiny_settings, CAM)
    split = read_split(layout.prepared(TRACK), "test")
    stored = read_maps(layout.run(CAM) / "maps.npz", "test")
    assert stored.ids.tolist() == [item.id for item in split.items]
    method = build_method(tiny_settings.resolve(CAM), split.num_classes, None)
    method.load_state_dict(load_file(layout.run(CAM) / "checkpoint.safetensors"))
    method.eval()
    item = split.items[3]
    from wsolbench.data.images import read_image, resize

    image = resize(read_image(layout.prepared(TRACK) / item.path, item), (40, 40))
    inputs = method.backbone.normalise(torch.from_numpy(image.transpose(2, 0, 1).copy())[None])
    with torch.no_grad():
        found = method.predict(inputs, torch.tensor([item.label]))
    np.testing.assert_allclose(stored.maps[3], found.maps[0].numpy(), rtol=1e-4, atol=1e-4)
    assert stored.top5[3].tolist() == found.logits[0].argsort(descending=True).tolist()


def test_the_loss_falls(layout: Layout, tiny_settings: Settings) -> None:
    train_into(layout, with_track(tiny_settings, epochs=8), CAM)
    rows = layout.run(CAM).joinpath("history.csv").read_text().splitlines()
    losses = [float(row.split(",")[3]) for row in rows[1:]]
    assert len(losses) == 8
    assert losses[-1] < losses[0]


def learning_rates(layout: Layout, settings: Settings) -> list[float]:
    train_into(layout, settings, CAM)
    rows = layout.run(CAM).joinpath("history.csv").read_text().splitlines()[1:]
    return [float(row.split(",")[2]) for row in rows]


@pytest.mark.parametrize("warmup", [0, 1, 3])
def test_cosine_decay_after_warm_up(layout: Layout, tiny_settings: Settings, warmup: int) -> None:
    one_iteration_per_epoch = with_track(tiny_settings, batch=22, epochs=8, warmup_iters=warmup)
    expected = [0.05 * (0.01 + 0.99 * k / warmup) for k in range(warmup)]
    length = 8 - warmup
    expected += [0.05 * (1 + math.cos(math.pi * k / length)) / 2 for k in range(length)]
    assert learning_rates(layout, one_iteration_per_epoch) == pytest.approx(expected)


def test_step_decay_after_warm_up(layout: Layout, tiny_settings: Settings) -> None:
    stepped = {"schedule": "step", "step_epochs": 2, "step_gamma": 0.5, "epochs": 5, "warmup_iters": 1}
    rates = learning_rates(layout, with_track(tiny_settings, batch=22, **stepped))
    assert rates == pytest.approx([0.0005, 0.05, 0.025, 0.025, 0.0125])


def test_decay_at_milestones(layout: Layout, tiny_settings: Settings) -> None:
    stepped = {"schedule": "step", "milestones": [1, 4], "step_gamma": 0.5, "epochs": 5}
    rates = learning_rates(layout, with_track(tiny_settings, batch=22, **stepped))
    assert rates == pytest.approx([0.05, 0.025, 0.025, 0.025, 0.0125])


def test_training_reads_no_truth(layout: Layout, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes and masks of any split could as well not be there while the network is fitted and its maps are made."""
    hidden = layout.root / "other"
    hidden.mkdir()
    for path in layout.prepared(TRACK).rglob("*"):
        if path.is_file() and "mask" not in str(path) and path.name != "truth.parquet":
            target = hidden / TRACK / path.relative_to(layout.prepared(TRACK))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (hidden / "weights").symlink_to(layout.root / "data" / "weights")
    with_truth = train_into(layout, tiny_settings, CAM)
    (layout.root / "data").unlink()
    hidden.rename(layout.root / "data")
    assert train_into(layout, tiny_settings, CAM) == with_truth


def test_a_second_trainer_of_the_same_run_is_refused(layout: Layout, tiny_settings: Settings) -> None:
    lock = layout.work(CAM).with_name(f"{CAM}.lock")
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TrainingError, match=f"another process is training '{CAM}'"):
            train_into(layout, tiny_settings, CAM)


def test_an_infinite_loss_stops_the_training_and_keeps_the_last_result(layout: Layout, tiny_settings: Settings) -> None:
    before = train_into(layout, tiny_settings, CAM)
    with pytest.raises(TrainingError, match="loss 'classification' of CAM is not finite"):
        train_into(layout, with_track(tiny_settings, lr=1e30, weight_decay=0.0), CAM)
    assert {path.name: path.read_bytes() for path in layout.run(CAM).iterdir()} == before


def test_an_unsupported_pair_says_why_and_is_no_error(
    layout: Layout, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = registry.load("method", "cam")
    monkeypatch.setattr(method, "unsupported", classmethod(lambda cls, backbone, traits: f"not on {backbone}"))
    files = train_into(layout, tiny_settings, CAM)
    assert set(files) == {"skipped.json"}
    assert json.loads(files["skipped.json"])["reason"] == "not on convnet"


def test_a_data_set_that_was_not_prepared_is_named(tmp_path: Path, tiny_settings: Settings) -> None:
    with pytest.raises(DataError, match=r"index\.parquet is missing.*wsolbench prepare tiny"):
        train_into(Layout(tmp_path), tiny_settings, CAM)


def test_a_wrong_argument_of_a_method_is_named(layout: Layout, tiny_settings: Settings) -> None:
    block = tiny_settings.methods["adl"].model_copy(update={"args": {"drop_rat": 0.5}})
    settings = tiny_settings.model_copy(update={"methods": tiny_settings.methods | {"adl": block}})
    with pytest.raises(SettingsError, match=r"methods\.adl\.args: unknown key 'drop_rat'; did you mean 'drop_rate'"):
        train_into(layout, settings, ADL)


def test_provenance_stands_beside_the_run(layout: Layout, tiny_settings: Settings) -> None:
    train_into(layout, tiny_settings, CAM)
    record = json.loads(layout.provenance(CAM).read_text())
    assert record["key"] == CAM
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    assert record["wall_seconds"]["training"] > 0
