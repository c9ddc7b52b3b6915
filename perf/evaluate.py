"""Speed and memory of the evaluation on one core, next to a plain OpenCV implementation of the same protocol.

Maps are made up: smooth ones as a 14x14 network output upsamples to, and noise as the worst case. The plain
implementation does what the definition says, a thousand times: threshold, contours, boxes, overlap. Both give the same
overlaps, or this program stops. The floor is the time to read a map once and write its grey levels and its histogram:
what any algorithm has to do.

    python perf/evaluate.py [--images 40] [--split 0] [--jobs 1] [--masks]

With ``--split N``, a run of N test images (one true box each; ``--masks``: and a mask) is evaluated with ``--jobs``
processes from its stored maps to its five files, as the evaluate stage does. Time is printed per image and for 50,000
images, with the share of the main process's own work, and peak resident memory.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray

from wsolbench.config.paths import Layout
from wsolbench.config.settings import EvaluateSettings
from wsolbench.data.dataset import Item, Split, Truth
from wsolbench.data.masks import encode
from wsolbench.data.scoremaps import StoredMaps, upsample_and_normalise
from wsolbench.evaluation.boxes import candidates
from wsolbench.evaluation.evaluate import evaluate_stored, write_evaluation
from wsolbench.evaluation.normalisation import NORMALISATIONS
from wsolbench.evaluation.protocols import CHOE2020, PIXEL, SIDE, threshold_grid
from wsolbench.evaluation.pxap import histograms
from wsolbench.evaluation.scoring import Rules, score_image

T = TypeVar("T")
R = TypeVar("R")
Map = NDArray[np.float64]

GRID = threshold_grid(0.001)
RULES = Rules(GRID, (0.2,), NORMALISATIONS[1:])
TRUTH = np.array([[40, 40, 180, 180]])
RECORD = {
    "key": "made-made-0",
    "seed": 0,
    "track": {"name": "made", "dataset": "made", "backbone": "made"},
    "method": {"name": "made", "title": "Made up", "status": "made", "recipe": "made"},
}
REPEATS = 3
PLAIN = 1  # map for the plain implementation, which takes seconds on noise


def main() -> None:
    """Print one line per kind of map, and the speed over a split if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--split", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--masks", action="store_true")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    random = np.random.default_rng(0)
    if arguments.split:
        whole_run(arguments.split, arguments.jobs, masked=arguments.masks)
        return
    print("milliseconds per map, best of three passes; choe2020 at 1000 thresholds, single and multi contour, PxAP;")
    print("image: all that is scored of an image with a box, both protocols and all normalisations")
    print(
        f"{'map':8}{'upsample':>10}{'boxes':>8}{'PxAP':>8}{'total':>8}{'plain':>8}{'ratio':>7}{'floor':>8}{'ratio':>7}{'pixel':>8}{'image':>8}"
    )
    for name, side in (("smooth", 14), ("noise", SIDE)):
        report(name, [random.random((side, side)).astype(np.float32) for _ in range(arguments.images)])


def report(name: str, raw_maps: list[NDArray[np.float32]]) -> None:
    """Time every step over the maps, and print the means in milliseconds."""
    coded = np.zeros((SIDE, SIDE), np.uint8)
    coded[40:180, 40:180] = 1
    upsample, maps = timed(lambda raw: upsample_and_normalise(raw, SIDE, SIDE), raw_maps)
    boxes, ours = timed(lambda score_map: candidates(score_map[None], GRID)[0].best_ious(CHOE2020, TRUTH), maps)
    pxap, _ = timed(lambda score_map: histograms(score_map, coded, GRID), maps)
    other, _ = timed(lambda score_map: candidates(score_map[None], GRID)[1].best_ious(PIXEL, TRUTH * 1.0), maps)
    item, true = Item("0", "0", 0, SIDE, SIDE, "test"), Truth(TRUTH.astype(float))
    image, _ = timed(lambda raw: score_image(raw, item, true, RULES), raw_maps)
    floor, _ = timed(lambda score_map: np.bincount((score_map * 255).astype(np.uint8).ravel(), minlength=256), maps)
    few = maps[:PLAIN]
    plain_boxes, theirs = timed(plain, few, repeats=1)
    plain_pxap, _ = timed(lambda score_map: plain_histograms(score_map, coded), few, repeats=1)
    for one, two in zip(ours[:PLAIN], theirs, strict=True):
        np.testing.assert_array_equal(one, two)
    total, by_definition = boxes + pxap, plain_boxes + plain_pxap
    print(
        f"{name:8}{upsample:10.2f}{boxes:8.2f}{pxap:8.2f}{total:8.2f}{by_definition:8.1f}{by_definition / total:7.1f}"
        f"{floor:8.3f}{total / floor:7.1f}{other:8.2f}{image:8.2f}"
    )


def plain(score_map: Map) -> tuple[Map, Map]:
    """Overlaps of the largest contour's box and of the best of all, at every threshold, by the definition."""
    grey = (score_map * 255).astype(np.uint8)
    single, multi = np.zeros(len(GRID)), np.zeros(len(GRID))
    for k, threshold in enumerate(GRID):
        _, binary = cv2.threshold(grey, int(threshold * grey.max()), 255, cv2.THRESH_BINARY)
        contours, _ = cv2.findContours(binary, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        boxes = [cv2.boundingRect(contour) for contour in contours] or [(0, 0, 0, 0)]
        ends = np.array([[x, y, min(x + w, SIDE - 1), min(y + h, SIDE - 1)] for x, y, w, h in boxes])
        areas = [cv2.contourArea(contour) for contour in contours] or [0.0]
        overlaps = CHOE2020.ious(ends, TRUTH)[:, 0]
        single[k], multi[k] = overlaps[int(np.argmax(areas))], overlaps.max()
    return single, multi


def plain_histograms(score_map: Map, coded: NDArray[np.uint8]) -> None:
    """Count foreground and background scores with numpy's histogram."""
    edges = np.concatenate([GRID, [1.0, 2.0, 3.0]])
    for code in (0, 1):
        np.histogram(score_map[coded == code], edges)


def whole_run(count: int, jobs: int, *, masked: bool) -> None:
    """Evaluate a run of made-up maps under both protocols and all normalisations, and print speed and memory."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        root, mask = Path(folder), np.pad(np.full((140, 140), True), ((40, 195), (40, 320)))
        masks = (encode(mask),) if masked else ()
        items = [Item(str(k), str(k), k % 1000, 500, 375, "test") for k in range(count)]
        truth = {item.id: Truth(np.array([[40.0, 40, 180, 180]]), masks) for item in items}
        splits = {
            "val": Split("val", [], [], ""),
            "test": Split("test", items, [str(k) for k in range(1000)], "", truth),
        }
        stored = {name: made_up(split, random) for name, split in splits.items()}
        score_image(stored["test"].maps[0], items[0], truth["0"], RULES)  # compiles
        # Processes start, and import what they need, before time is taken.
        raws = stored["test"].maps[:64]
        Parallel(jobs)(delayed(score_image)(raw, items[0], truth["0"], RULES) for raw in raws)
        start, cpu = time.perf_counter(), time.process_time()
        evaluation = evaluate_stored(RECORD, stored, splits, EvaluateSettings(), None, jobs)
        write_evaluation(evaluation, Layout(root), "made", "made-made-0")
        seconds, own_cpu = time.perf_counter() - start, time.process_time() - cpu
    get_reusable_executor().shutdown()  # the memory of processes is known when they have ended
    own, worker = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(
        f"{count} images, {jobs} jobs: {seconds / count * 1e3:.2f} ms an image, {seconds / count * 50_000 / 60:.1f} min"
        f" for 50,000; main process at work {own_cpu / seconds:.0%}; peak resident memory {own:.0f} MB"
        + (f", of a worker {worker:.0f} MB" if jobs > 1 else "")
    )


def made_up(split: Split, random: np.random.Generator) -> StoredMaps:
    """Return maps as a network of 14x14 cells stores them."""
    count = len(split)
    return StoredMaps(
        np.array([item.id for item in split.items], np.str_),
        np.array([item.label for item in split.items], np.int64),
        random.random((count, 14, 14)).astype(np.float32),
        random.integers(0, 1000, (count, 5)),
        np.zeros((count, 5), np.float32),
    )


def timed(step: Callable[[T], R], inputs: list[T], repeats: int = REPEATS) -> tuple[float, list[R]]:
    """Return the mean milliseconds of a step in the best of several passes, and its results; one call goes before."""
    step(inputs[0])
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        results = [step(item) for item in inputs]
        best = min(best, (time.perf_counter() - start) / len(inputs) * 1e3)
    return best, results


if __name__ == "__main__":
    main()
