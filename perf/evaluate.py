"""Time of the evaluation per image, by step, on one core.

Maps are made up: smooth ones as a 14x14 network output upsamples to, and noise as the worst case. The floor is the
time of OpenCV's contour search alone, once per distinct binary image, which the present implementation cannot go below.

    python perf/evaluate.py [--images 40]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from wsolbench.metrics.choe2020 import SIDE, best_ious, candidates, threshold_grid
from wsolbench.metrics.pxap import histograms
from wsolbench.scoremaps import upsample_and_normalise

T = TypeVar("T")
R = TypeVar("R")


def main() -> None:
    """Print one line per kind of map."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=40)
    count = parser.parse_args().images
    cv2.setNumThreads(1)
    random = np.random.default_rng(0)
    print(f"{'map':8}{'upsample':>10}{'boxes':>8}{'overlaps':>10}{'pixels':>8}{'total':>8}{'floor':>8}{'ratio':>7}  ms")
    for name, side in (("smooth", 14), ("noise", SIDE)):
        report(name, [random.random((side, side)).astype(np.float32) for _ in range(count)])


def report(name: str, raw_maps: list[NDArray[np.float32]]) -> None:
    """Time every step over the maps and print the means in milliseconds."""
    thresholds = threshold_grid(0.001)
    truth = np.array([[40, 40, 180, 180]])
    coded = np.zeros((SIDE, SIDE), np.uint8)
    coded[40:180, 40:180] = 1
    upsample, maps = timed(lambda raw: upsample_and_normalise(raw, SIDE, SIDE), raw_maps)
    boxes, found = timed(lambda score_map: candidates(score_map, thresholds), maps)
    overlaps, _ = timed(lambda boxes_found: best_ious(boxes_found, truth), found)
    pixels, _ = timed(lambda score_map: histograms(score_map, coded, thresholds), maps)
    floor, _ = timed(only_contours, maps)
    total = upsample + boxes + overlaps + pixels
    print(
        f"{name:8}{upsample:10.2f}{boxes:8.2f}{overlaps:10.2f}{pixels:8.2f}{total:8.2f}{floor:8.2f}{total / floor:7.2f}"
    )


def only_contours(score_map: NDArray[np.float64]) -> None:
    """Find the contours of every distinct binary image, and do nothing with them."""
    grey = (score_map * 255).astype(np.uint8)
    for cut in np.unique(grey):
        cv2.findContours((grey > cut).view(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)


def timed(step: Callable[[T], R], inputs: list[T]) -> tuple[float, list[R]]:
    """Return the mean milliseconds of a step, and its results."""
    start = time.perf_counter()
    results = [step(item) for item in inputs]
    return (time.perf_counter() - start) / len(inputs) * 1e3, results


if __name__ == "__main__":
    main()
