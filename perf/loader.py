"""How fast pictures reach the network, next to bare loops that do nothing but the decoding or the copying.

From JPEG: reading, decoding, resizing, cropping and flipping of every picture, with checked digests, in loader
processes; the bare loop does the same in as many processes without digests, seeds, labels or the loader. From the
cache: the crop copied out of a mapping of resized pictures; the bare loop copies and flips the same bytes with numpy.
Both loops fill batches. Photographs mean more than the smooth noise that is drawn where no folder of them is named.

    python perf/loader.py [--images DIRECTORY] [--side 256] [--crop 224] [--batch 32] [--workers 2]
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from wsolbench.data.cache import Reading, pictures_of
from wsolbench.data.dataset import Item, Split
from wsolbench.data.loader import TrainingSet, training_loader

REPEATS = 5


def main() -> None:
    """Print one line per source of pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, help="directory of JPEG files, below which all are taken")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--count", type=int, default=512, help="images that are taken at most")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        root = chosen.images or drawn(Path(scratch) / "images", chosen.count)
        split = split_of(root, chosen.count)
        print(f"{len(split)} images of {root.name}, resized to {chosen.side}, cropped to {chosen.crop}")
        print("images per second, best of five epochs, the loops in turn")
        print(f"{'source':10}{'workers':>8}{'bare loop':>12}{'loader':>10}{'ratio':>8}")
        paths = [root / item.path for item in split.items]
        cached = pictures_of(split, root, chosen.side, Reading(2, Path(scratch) / "cache", 2**40))
        direct = pictures_of(split, root, chosen.side, Reading())
        for workers in sorted({1, chosen.workers}):
            with multiprocessing.get_context("fork").Pool(workers) as pool:
                loader = training_loader(
                    TrainingSet(split, direct, chosen.crop, 0), chosen.batch, 0, workers=workers, pin=False
                )
                shares = [paths[start : start + chosen.batch] for start in range(0, len(paths), chosen.batch)]
                task = partial(decoded, side=chosen.side, crop=chosen.crop)
                report("JPEG", workers, len(split), lambda: pool.imap(task, shares), loader)  # noqa: B023 - called now
                del loader
        loader = training_loader(TrainingSet(split, cached, chosen.crop, 0), chosen.batch, 0, workers=0, pin=False)
        copies = partial(copied, np.asarray(cached), chosen.crop, chosen.batch)
        report("cache", 0, len(split), copies, loader)


def report(
    source: str, workers: int, count: int, bare: Callable[[], Iterable[object]], loader: Iterable[object]
) -> None:
    """Run both loops in turn and print their speeds."""
    seconds = {"bare": float("inf"), "loader": float("inf")}
    for _ in range(REPEATS):
        for name, loop in (("bare", bare), ("loader", lambda: loader)):
            start = time.perf_counter()
            for _batch in loop():
                pass
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    speeds = {name: count / value for name, value in seconds.items()}
    ratio = speeds["loader"] / speeds["bare"]
    print(f"{source:10}{workers:8}{speeds['bare']:12.0f}{speeds['loader']:10.0f}{ratio:8.2f}", flush=True)


def decoded(paths: list[Path], side: int, crop: int) -> torch.Tensor:
    """Return a batch of decoded, resized and cropped pictures: the least that has to be done."""
    pictures = []
    for number, path in enumerate(paths):
        with Image.open(path) as image:
            small = np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))
        pictures.append(torch.from_numpy(flipped(small[:crop, :crop], number)))
    return torch.stack(pictures)


def copied(pictures: np.ndarray, crop: int, batch: int) -> Iterable[torch.Tensor]:
    """Yield batches of crops of pictures that are there already, in another order than they lie in."""
    order = np.random.default_rng(0).permutation(len(pictures))
    for start in range(0, len(pictures), batch):
        chosen = [flipped(pictures[k, :crop, :crop], k) for k in order[start : start + batch]]
        yield torch.stack([torch.from_numpy(picture) for picture in chosen])


def flipped(picture: np.ndarray, number: int) -> np.ndarray:
    """Return every other picture flipped left to right, channels first, in memory of its own."""
    return np.ascontiguousarray((picture[:, ::-1] if number % 2 else picture).transpose(2, 0, 1))


def split_of(root: Path, count: int) -> Split:
    """Return the JPEG files below a directory as a split of one class."""
    items = []
    for path in sorted(root.rglob("*.jp*g"))[:count]:
        with Image.open(path) as image:
            width, height = image.size
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        name = path.relative_to(root).as_posix()
        items.append(Item(name, name, 0, width, height, "train", digest))
    return Split("train", items, ["one"], "perf")


def drawn(folder: Path, count: int) -> Path:
    """Draw smooth noise of the size of photographs, and save it as JPEG."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(count):
        rough = Image.fromarray(random.integers(0, 256, (47, 63, 3), np.uint8))
        rough.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{number:05}.jpg", quality=90)
    return folder


if __name__ == "__main__":
    main()
