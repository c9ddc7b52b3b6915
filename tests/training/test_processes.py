"""Two processes that share every batch do what one does alone."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.training.conftest import TRACK
from tests.training.test_trainer import CAM, with_runtime, with_track
from wsolbench.config.paths import Layout
from wsolbench.config.settings import RuntimeSettings, Settings
from wsolbench.data.cache import Reading
from wsolbench.data.index import read_split
from wsolbench.data.loader import EpochOrder, RankBatches
from wsolbench.data.scoremaps import read_maps
from wsolbench.errors import SettingsError
from wsolbench.runs.processes import distributed
from wsolbench.training.building import build_method
from wsolbench.training.loop import TrainingModel
from wsolbench.training.prediction import predict_split

SCRIPT = Path(__file__).with_name("one_of_two.py")
# float32 sums in another order, along ten steps; a wrong weight of the odd batches would be off by a tenth and more
TOLERANCE = {"rtol": 1e-3, "atol": 1e-5}


def test_shares_of_a_batch_are_the_batch() -> None:
    order = EpochOrder(22, seed=3)
    shares = [list(RankBatches(order, 5, rank, 2)) for rank in (0, 1)]
    whole = list(order)
    assert [len(share) for share in shares[0]] == [3, 3, 3, 3, 1]
    assert [len(share) for share in shares[1]] == [2, 2, 2, 2, 1]
    for number, (first, second) in enumerate(zip(*shares, strict=True)):
        assert sorted(first + second) == sorted(whole[5 * number : 5 * number + 5])
    assert len(RankBatches(order, 5, 0, 2)) == 5


def test_a_last_batch_too_small_to_share_is_an_error_that_says_so() -> None:
    with pytest.raises(SettingsError, match="of 22 images in batches of 7, 1 remain for 2 processes"):
        RankBatches(EpochOrder(22, seed=0), 7, 0, 2)


def test_a_process_that_no_launcher_started_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(SettingsError, match="was not started by it"),
        distributed("pytorch", RuntimeSettings(device="cpu")),
    ):
        pass


def test_unused_parameters_are_looked_for_only_if_the_method_says_so(
    tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bool] = []

    class Wrapped(torch.nn.Module):
        def __init__(self, model: torch.nn.Module, *, find_unused_parameters: bool) -> None:
            super().__init__()
            looked.append(find_unused_parameters)

    monkeypatch.setattr("wsolbench.training.loop.DistributedDataParallel", Wrapped)
    method = build_method(tiny_settings.resolve(CAM), 3, None)
    TrainingModel(method, 0, 1, channels_last=True).distribute()
    monkeypatch.setattr(type(method), "skips_parameters", True)
    TrainingModel(method, 0, 1, channels_last=True).distribute()
    assert looked == [False, True]


@pytest.mark.parametrize(("devices", "expected"), [(1, "0"), (4, "3")])
def test_a_task_of_slurm_takes_a_device_that_it_sees(
    monkeypatch: pytest.MonkeyPatch, devices: int, expected: str
) -> None:
    seen: list[str] = []

    def initialise(launcher: str, backend: str) -> None:
        seen.append(os.environ["SLURM_LOCALID"])
        raise KeyError("no more of it here")

    monkeypatch.setenv("SLURM_LOCALID", "3")
    monkeypatch.setattr("wsolbench.runs.processes.init_dist", initialise)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    with pytest.raises(SettingsError), distributed("slurm", RuntimeSettings()):
        pass
    assert seen == [expected]


ONE_FAILS = """
import sys
from wsolbench.runs.processes import distributed, wait_for_all
from wsolbench.errors import DataError
from wsolbench.config.settings import RuntimeSettings
with distributed("pytorch", RuntimeSettings(device="cpu")) as (rank, _):
    if rank == int(sys.argv[1]):
        raise DataError("images/7.jpg: the file is damaged")
    wait_for_all()
"""


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 1])
def test_no_process_waits_for_one_that_failed(failing: int) -> None:
    """Started as Slurm does: nobody stops the others."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", ONE_FAILS, str(failing)],
            env=os.environ | place | {"RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=90)[1] for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [1, 1]
    assert "DataError: images/7.jpg: the file is damaged" in errors[failing]
    if failing:  # the first process keeps what all met at: where it is gone, others notice by themselves
        assert "another process of this training has failed" in errors[0]


def started(
    layout: Layout, settings: Settings, key: str, processes: int, statistics: str = "frozen"
) -> subprocess.Popen[str]:
    file = layout.root / "settings.json"
    file.write_text(settings.model_dump_json())
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    launcher = "pytorch" if processes > 1 else "none"
    return subprocess.Popen(
        [sys.executable, *(torchrun if processes > 1 else []), SCRIPT, file, layout.root, key, launcher, statistics],
        env=os.environ | {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def trained(
    layout: Layout, settings: Settings, key: str, processes: int, statistics: str = "frozen"
) -> dict[str, Tensor]:
    """Train and return what the first process kept."""
    process = started(layout, settings, key, processes, statistics)
    output = process.communicate(timeout=180)[0]
    assert process.returncode == 0, output
    return load_file(layout.root / "kept-0.safetensors")


def beside(layout: Layout, tmp_path: Path) -> Layout:
    other = Layout(tmp_path / "other")
    other.root.mkdir()
    (other.root / "data").symlink_to(layout.root / "data")
    return other


@pytest.mark.slow
def test_two_processes_have_the_gradients_weights_and_maps_of_one(
    layout: Layout, tiny_settings: Settings, tmp_path: Path
) -> None:
    settings = with_track(tiny_settings, batch=5)  # shares of 3 and 2, and of 1 and 1 at the end of an epoch
    other = beside(layout, tmp_path)
    alone = trained(layout, settings, CAM, 1)
    shared = trained(other, settings, CAM, 2)
    assert alone.keys() == shared.keys()
    assert max(int(name.split(".")[0]) for name in alone) == 9  # two epochs of five steps
    for name, gradient in alone.items():
        torch.testing.assert_close(shared[name], gradient, **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")
    second = load_file(other.root / "kept-1.safetensors")
    assert all(torch.equal(second[name], gradient) for name, gradient in shared.items())
    weights = [load_file(place.run(CAM) / "checkpoint.safetensors") for place in (layout, other)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, **TOLERANCE)
    losses = [place.run(CAM).joinpath("history.csv").read_text().splitlines() for place in (layout, other)]
    for one, two in zip(*(rows[1:] for rows in losses), strict=True):
        assert [float(value) for value in two.split(",")] == pytest.approx([float(v) for v in one.split(",")], rel=1e-4)
    for name in ("val", "test"):
        maps = [read_maps(place.run(CAM) / "maps.npz", name) for place in (layout, other)]
        expected = [item.id for item in read_split(layout.prepared(TRACK), name).items]
        assert maps[1].ids.tolist() == expected  # every image once, in order
        torch.testing.assert_close(torch.from_numpy(maps[1].maps), torch.from_numpy(maps[0].maps), rtol=1e-2, atol=1e-3)
    assert json.loads(other.provenance(CAM).read_text())["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("method_name", ["adl", "dgdm"])  # DGDM draws for single channels before each coin
def test_processes_toss_the_same_coins_and_predict_with_the_same_statistics(
    layout: Layout, tiny_settings: Settings, tmp_path: Path, method_name: str
) -> None:
    settings = with_track(tiny_settings, batch=5)  # shared as 3 and 2
    settings = settings.model_copy(update={"methods": settings.methods | {"dgdm": settings.methods["cam"]}})
    key = f"{TRACK}-{method_name}-0"
    first = trained(layout, settings, key, 2, "own")
    second = load_file(layout.root / "kept-1.safetensors")
    tosses = first["tosses"]
    assert torch.equal(second["tosses"], tosses)
    assert 0 < tosses.sum() < len(tosses)
    assert not torch.equal(second["noise"], first["noise"])
    alone = trained(beside(layout, tmp_path), settings, key, 1, "own")
    assert torch.equal(alone["tosses"], tosses)
    assert torch.equal(alone["noise"], first["noise"])
    split = read_split(layout.prepared(TRACK), "test")
    method = build_method(settings.resolve(key), split.num_classes, None)
    method.load_state_dict(load_file(layout.run(key) / "checkpoint.safetensors"))
    stored = read_maps(layout.run(key) / "maps.npz", "test")
    again = predict_split(
        method, split, layout.prepared(TRACK), side=40, batch=8, device=torch.device("cpu"), reading=Reading()
    )
    np.testing.assert_allclose(stored.maps, again.maps, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_stopped_while_two_train_it_goes_on_with_the_same_bytes(
    layout: Layout, tiny_settings: Settings, tmp_path: Path
) -> None:
    settings = with_runtime(with_track(tiny_settings, batch=5, epochs=20, lr=1e-4), save_minutes=1e-9)
    other = beside(layout, tmp_path)
    trained(other, settings, CAM, 2)
    process = started(layout, settings, CAM, 2)
    deadline = time.monotonic() + 120
    while not list((layout.work(CAM) / "state").rglob("*.pt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)  # torchrun hands it to both
    output = process.communicate(timeout=60)[0]
    assert process.returncode != 0
    assert "its state is saved" in output
    saved = re.search(r"after iteration (\d+) of 100; its state is saved", output)
    assert saved
    assert (layout.root / "left").read_text() == f"{int(saved[1]):09d}"  # the second process waited for the first
    trained(layout, settings, CAM, 2)
    for name in ("checkpoint.safetensors", "maps.npz", "history.csv"):
        assert (layout.run(CAM) / name).read_bytes() == (other.run(CAM) / name).read_bytes()
