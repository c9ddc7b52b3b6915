"""How much time the trainer adds to the network's own, per method.

For each method: images per second of a bare loop (one batch on the device, forward, backward, step, the same
precision and format) and of the trainer (loading, augmentation, seeding, hooks and progress included), both on the
track's network with made-up pictures. The bare loop is the floor.

    python perf/train.py [--track shapes-convnet] [--iterations 30] [--threads 2]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from wsolbench.backbones.weights import find_weights
from wsolbench.data.loader import TrainingSet
from wsolbench.data.pretrained import pinned_weights
from wsolbench.dataset import Item, Split
from wsolbench.engine.device import set_up_device
from wsolbench.engine.model import TrainingModel
from wsolbench.engine.optim import optim_wrapper
from wsolbench.engine.trainer import build_method, fit
from wsolbench.method import Method
from wsolbench.settings import Run, RuntimeSettings, Settings, read_settings

CLASSES = 8
WARM_UP = 5


def main() -> None:
    """Print one line per method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--track", default="shapes-convnet")
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    settings = read_settings()
    runtime = RuntimeSettings(threads=chosen.threads, deterministic="off")
    device = set_up_device(runtime)
    track = settings.tracks[chosen.track]
    what = f"batch {track.batch}, {track.crop} px, amp {track.amp}, {chosen.threads} threads"
    print(f"{chosen.track} on {device}, {what}")
    print(f"{'method':12}{'bare img/s':>12}{'trainer img/s':>15}{'trainer/bare time':>19}{'cost over first':>17}")
    first = 0.0
    for name in settings.run.methods:
        run = settings.resolve(f"{chosen.track}-{name}-0")
        bare = bare_seconds(prepared_method(run, settings), run, device, chosen.iterations)
        whole = trainer_seconds(prepared_method(run, settings), run, runtime, device, chosen.iterations)
        first = first or bare
        rates = f"{track.batch / bare:12.0f}{track.batch / whole:15.0f}"
        print(f"{name:12}{rates}{whole / bare:19.3f}{bare / first:17.2f}", flush=True)


def prepared_method(run: Run, settings: Settings) -> Method:
    """Return the run's method, with pretrained weights where the track has them."""
    if run.track.weights is None:
        return build_method(run, CLASSES, None)
    root = Path(settings.weights.root) if settings.weights.root else None
    return build_method(run, CLASSES, find_weights(pinned_weights(run.track.backbone, run.track.weights), root))


def bare_seconds(method: Method, run: Run, device: torch.device, iterations: int) -> float:
    """Return seconds per iteration of a loop that does nothing but train."""
    track = run.track
    layout = torch.channels_last if track.channels_last else torch.contiguous_format
    method = method.to(device, memory_format=layout).train()  # type: ignore[call-overload]
    wrapper = optim_wrapper(method, track, device)
    model = TrainingModel(method, 0, 1, channels_last=track.channels_last)
    images = torch.randint(0, 256, (track.batch, 3, track.crop, track.crop), dtype=torch.uint8, device=device)
    inputs = method.backbone.normalise(images).contiguous(memory_format=layout)
    labels = torch.arange(track.batch, device=device) % CLASSES
    start = 0.0
    for step in range(WARM_UP + iterations):
        if step == WARM_UP:
            start = now(device)
        with wrapper.optim_context(model):
            loss = torch.stack(list(method.losses(inputs, labels, 0.5).values())).sum()
        wrapper.update_params(loss)
    return (now(device) - start) / iterations


def trainer_seconds(method: Method, run: Run, runtime: RuntimeSettings, device: torch.device, iterations: int) -> float:
    """Return seconds per iteration of the real trainer, the first epoch left out as warm-up."""
    track = run.track
    count = track.batch * iterations
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (count, track.resize, track.resize, 3), dtype=np.uint8)
    items = [Item(f"{k}", f"{k}.png", k % CLASSES, 1, 1, "train") for k in range(count)]
    split = Split("train", items, [str(k) for k in range(CLASSES)], "")
    seconds = []
    for epochs in (1, 2):
        recipe = track.model_copy(update={"epochs": epochs, "warmup_iters": 0})
        timed = replace(run, track=recipe)
        with tempfile.TemporaryDirectory() as work:
            start = now(device)
            fit(method, TrainingSet(split, pictures, track.crop, 0), timed, runtime, device, Path(work), {})
            seconds.append(now(device) - start)
    return (seconds[1] - seconds[0]) / iterations


def now(device: torch.device) -> float:
    """Return a time after everything asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
