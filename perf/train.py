"""How much time the trainer adds to the network's own, per method.

For each method: images per second of a bare loop (one batch on the device, the method's transform of it, forward,
backward, step, the same precision and format) and of the trainer (loading, augmentation, seeding, hooks and progress
included), both on the track's network with made-up pictures, best of all turns, and with the ``runtime`` of params.yaml
but for the threads. Their ratio is the median over turns of adjacent measurements, first one and then the other, with
the least and the largest. The bare loop is the floor. Its arithmetic is counted by torch, and compared with the largest
matrix product rate that this device reaches in the same precision. The cost of a method is its bare loop's time over
the first method's, also turn by turn. On a GPU, also the peak of the memory that the trainer takes. With ``--plain``,
also how many times as fast the trainer is as a plain loop: float32, PIL loading in four workers, no fused optimiser,
the loss read each time. ``--profile DIR`` writes traces.

    python perf/train.py [--track shapes-convnet] [--iterations 60] [--turns 7] [--threads 1] [--plain]
"""

# ruff: noqa: E402 - what a process sets before torch is imported comes before it

from __future__ import annotations

from wsolbench.runs.startup import prepare_process

prepare_process()  # as the command line does

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from wsolbench.config.settings import Run, RuntimeSettings, Settings, read_settings
from wsolbench.data.dataset import Item, Split
from wsolbench.data.loader import TrainingSet
from wsolbench.models.backbones.weights import find_weights
from wsolbench.models.method import Method
from wsolbench.models.pretrained import pinned_weights
from wsolbench.runs.device import set_up_device
from wsolbench.runs.provenance import device_name
from wsolbench.training.building import build_method
from wsolbench.training.costs import flops_of
from wsolbench.training.loop import fit
from wsolbench.training.optim import build_optimiser

CLASSES = 8
WARM_UP = 5


def main() -> None:
    """Print one line per method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--track", default="shapes-convnet")
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--turns", type=int, default=7, help="measurements of each loop, one after the other")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="+", help="only these; by default those of run.methods")
    parser.add_argument("--plain", action="store_true", help="compare with a plain float32 loop, too")
    parser.add_argument("--profile", type=Path, help="write a trace of the bare loop of each method, for Perfetto")
    chosen = parser.parse_args()
    settings = read_settings()
    runtime = settings.runtime.model_copy(update={"threads": chosen.threads})
    device = set_up_device(runtime)
    track = settings.tracks[chosen.track]
    what = f"batch {track.batch}, {track.crop} px, amp {track.amp}, {chosen.threads} threads"
    peak = matmul_rate(device, torch.float32 if track.amp == "off" else torch.bfloat16)
    print(f"{chosen.track} on {device_name(device)}, {what}; matrix products reach {peak / 1e9:.0f} GFLOP/s")
    columns = ["bare img/s", "trainer img/s", "trainer/bare time", "cost over first", "GFLOP/img", "share of peak"]
    columns += ["peak MiB"] if device.type == "cuda" else []
    columns += ["plain img/s", "trainer over plain"] if chosen.plain else []
    print(f"{'method':12}" + "".join(f"{column:>20}" for column in columns))
    methods = chosen.methods or settings.run.methods
    runs = {name: settings.resolve(f"{chosen.track}-{name}-0") for name in methods}
    turns = [
        {name: one_turn(run, settings, runtime, device, chosen, turn) for name, run in runs.items()}
        for turn in range(chosen.turns)
    ]  # in turn, because a shared machine changes its speed
    for name, run in runs.items():
        flops = flops_of(bare_step(prepared_method(run, settings), run, device))
        mine = [turn[name] for turn in turns]
        bare, whole = min(turn.bare for turn in mine), min(turn.trainer for turn in mine)
        numbers = [
            f"{track.batch / bare:.0f}",
            f"{track.batch / whole:.0f}",
            middle([turn.trainer / turn.bare for turn in mine]),
            middle([turn[name].bare / turn[methods[0]].bare for turn in turns]),
            f"{flops / track.batch / 1e9:.3f}",
            f"{flops / bare / peak:.1%}",
        ]
        numbers += [f"{max(turn.peak_mib for turn in mine)}"] if device.type == "cuda" else []
        if chosen.plain:
            numbers += [f"{track.batch / min(turn.plain for turn in mine):.0f}"]
            numbers += [middle([turn.plain / turn.trainer for turn in mine])]
        print(f"{name:12}" + "".join(f"{number:>20}" for number in numbers), flush=True)
        if chosen.profile is not None:
            write_profile(prepared_method(run, settings), run, device, chosen.profile / f"{run.key}.json")


@dataclass(frozen=True)
class Turn:
    """Seconds per iteration of each loop, and the trainer's peak of device memory."""

    bare: float
    trainer: float
    plain: float
    peak_mib: int


def one_turn(
    run: Run, settings: Settings, runtime: RuntimeSettings, device: torch.device, chosen: argparse.Namespace, turn: int
) -> Turn:
    """Measure each loop once; which comes first changes from turn to turn."""
    count, peaks = chosen.iterations, [0]

    def trainer() -> float:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        seconds = trainer_seconds(prepared_method(run, settings), run, runtime, device, count)
        if device.type == "cuda":
            peaks.append(torch.cuda.max_memory_allocated(device) // 2**20)
        return seconds

    loops = {"bare": lambda: bare_seconds(prepared_method(run, settings), run, device, count), "trainer": trainer}
    order = list(loops) if turn % 2 else list(loops)[::-1]
    found = {name: loops[name]() for name in order}
    plain = plain_seconds(prepared_method(run, settings), run, device, count) if chosen.plain else 0.0
    return Turn(found["bare"], found["trainer"], plain, max(peaks))


def middle(ratios: list[float]) -> str:
    """Return the median, and the least and the largest."""
    return f"{median(ratios):.3f} ({min(ratios):.2f}-{max(ratios):.2f})"


def prepared_method(run: Run, settings: Settings) -> Method:
    """Return the run's method, with pretrained weights where the track has them."""
    if run.track.weights is None:
        return build_method(run, CLASSES, None)
    root = Path(settings.weights.root) if settings.weights.root else None
    found = find_weights(pinned_weights(run.track.backbone, run.track.weights), root)
    if found is None:  # speed does not depend on the values
        run = replace(run, track=run.track.model_copy(update={"weights": None}))
    return build_method(run, CLASSES, found)


def bare_step(method: Method, run: Run, device: torch.device) -> Callable[[], None]:
    """Return a function that does nothing but one training step, on data that is already there."""
    track = run.track
    layout = torch.channels_last if track.channels_last else torch.contiguous_format
    method = method.to(device, memory_format=layout).train()  # type: ignore[call-overload]
    optimiser = build_optimiser(method, track, device)
    images = torch.randint(0, 256, (track.batch, 3, track.crop, track.crop), dtype=torch.uint8, device=device)
    inputs = method.backbone.normalise(images).contiguous(memory_format=layout)
    labels = torch.arange(track.batch, device=device) % CLASSES

    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        seen, targets = method.batch_transform(inputs, labels, generator)
        with optimiser.autocast():
            loss = torch.stack(list(method.losses(seen, targets, 0.5).values())).sum()
        optimiser.minimise(loss)

    return step


def bare_seconds(method: Method, run: Run, device: torch.device, iterations: int) -> float:
    """Return seconds per iteration of a loop that does nothing but train."""
    step = bare_step(method, run, device)
    for _ in range(WARM_UP):
        step()
    start = now(device)
    for _ in range(iterations):
        step()
    return (now(device) - start) / iterations


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the operations per second of a large matrix product: what the device can do at best."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(WARM_UP):
        start = now(device)
        torch.mm(a, b)
        best = min(best, now(device) - start)
    return 2 * side**3 / best


def write_profile(method: Method, run: Run, device: torch.device, path: Path) -> None:
    """Write a trace of some steps of the bare loop, and print what takes most of the time."""
    step = bare_step(method, run, device)
    for _ in range(WARM_UP):
        step()
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if device.type == "cuda" else []
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(WARM_UP):
            step()
    path.parent.mkdir(parents=True, exist_ok=True)
    profile.export_chrome_trace(str(path))
    key = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    print(profile.key_averages().table(sort_by=key, row_limit=8, max_name_column_width=40))


def trainer_seconds(method: Method, run: Run, runtime: RuntimeSettings, device: torch.device, iterations: int) -> float:
    """Return seconds per iteration of the real trainer, the first iterations left out as warm-up."""
    track = run.track
    count = track.batch * (WARM_UP + iterations)
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (count, track.resize, track.resize, 3), dtype=np.uint8)
    items = [Item(f"{k}", f"{k}.png", k % CLASSES, 1, 1, "train") for k in range(count)]
    data = TrainingSet(Split("train", items, [str(k) for k in range(CLASSES)], ""), pictures, track.crop, 0)
    timed = replace(run, track=track.model_copy(update={"epochs": 1, "warmup_iters": 0}))
    starts: list[float] = []
    losses = method.losses

    def noted(*arguments: Any) -> dict[str, torch.Tensor]:
        if len(starts) <= WARM_UP:
            starts.append(now(device))
        return losses(*arguments)

    method.losses = noted  # type: ignore[assignment,method-assign]
    with tempfile.TemporaryDirectory() as work:
        fit(method, data, timed, runtime, device, Path(work) / "work" / "perf", {})
        return (now(device) - starts[WARM_UP]) / iterations


class PlainSet(Dataset[tuple[torch.Tensor, int]]):
    """JPEG files, decoded, resized, cropped and flipped by PIL one by one."""

    def __init__(self, paths: list[Path], resize: int, crop: int) -> None:
        self.paths, self.resize, self.crop = paths, resize, crop

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.paths[index]) as stored:
            image = stored.convert("RGB").resize((self.resize, self.resize), Image.Resampling.BILINEAR)
        left, top = torch.randint(self.resize - self.crop + 1, (2,)).tolist()
        image = image.crop((left, top, left + self.crop, top + self.crop))
        if torch.rand(()) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        return (pixels - mean[:, None, None]) / std[:, None, None], index % CLASSES


def plain_seconds(method: Method, run: Run, device: torch.device, iterations: int) -> float:
    """Return seconds per iteration of a loop as tutorials have it, on a JPEG file of a photograph's size."""
    track = run.track
    method = method.to(device).train()
    sgd = torch.optim.SGD(method.parameters(), lr=track.lr, momentum=track.momentum, weight_decay=track.weight_decay)
    with tempfile.TemporaryDirectory() as folder:
        rough = Image.fromarray(np.random.default_rng(0).integers(0, 256, (47, 63, 3), np.uint8))
        rough.resize((500, 375), Image.Resampling.BICUBIC).save(Path(folder) / "photograph.jpg", quality=90)
        paths = [Path(folder) / "photograph.jpg"] * (track.batch * (WARM_UP + iterations))
        files = PlainSet(paths, track.resize, track.crop)
        loader = DataLoader(files, track.batch, shuffle=True, num_workers=4, pin_memory=device.type == "cuda")
        start = now(device)
        for number, (images, labels) in enumerate(loader):
            if number == WARM_UP:
                start = now(device)
            losses = method.losses(images.to(device), labels.to(device), 0.5)
            loss = torch.stack(list(losses.values())).sum()
            sgd.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            sgd.step()
            loss.item()
        return (now(device) - start) / iterations


def now(device: torch.device) -> float:
    """Return a time after everything asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
