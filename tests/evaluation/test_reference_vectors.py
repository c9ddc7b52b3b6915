"""Equality with the evaluator of Choe et al.: exact, except for the bicubic resize. ``tests/vectors/README.md``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.alone import choe2020
from tests.evaluation.conftest import PART
from tests.evaluation.vectors import SIDE, Vectors, arrays
from wsolbench.acquire.mask_files import read_mask
from wsolbench.data.scoremaps import upsample_and_normalise
from wsolbench.evaluation.accuracy import IOUS, max_box_acc_v2, percent
from wsolbench.evaluation.boxes import Candidates
from wsolbench.evaluation.protocols import CHOE2020, threshold_grid
from wsolbench.evaluation.pxap import code_masks, curve, histograms


def box_acc(overlaps: np.ndarray, iou: int) -> np.ndarray:
    return percent((overlaps >= iou / 100).sum(0), len(overlaps))


def accuracies(overlaps: np.ndarray) -> dict[int, np.ndarray]:
    return {iou: box_acc(overlaps, iou) for iou in IOUS}


@dataclass(frozen=True)
class Extracted:
    """Our boxes of the stored score maps, and the reference's answers."""

    vectors: Vectors
    step: str
    found: dict[int, Candidates]

    def expected(self, name: str) -> dict[str, np.ndarray]:
        return self.vectors.expected(f"{name}_{self.step}")


@pytest.fixture(scope="module", params=["0.001", "0.01"])
def extracted(vectors: Vectors, request: pytest.FixtureRequest) -> Extracted:
    thresholds = threshold_grid(float(request.param))
    found = {k: choe2020(score_map, thresholds) for k, score_map in vectors.score_maps.items()}
    return Extracted(vectors, request.param, found)


def test_thresholds(extracted: Extracted) -> None:
    np.testing.assert_array_equal(threshold_grid(float(extracted.step)), extracted.expected("box_single")["thresholds"])


def test_the_box_of_the_largest_contour(extracted: Extracted) -> None:
    expected = extracted.expected("box_single")["boxes"]
    for k, found in extracted.found.items():
        np.testing.assert_array_equal(found.single[found.cut], expected[k], err_msg=f"map {k}")


def test_the_number_of_contours(extracted: Extracted) -> None:
    expected = extracted.expected("box_multi")["num_boxes"]
    for k, found in extracted.found.items():
        np.testing.assert_array_equal(found.counts, expected[k], err_msg=f"map {k}")


def test_the_boxes_of_all_contours_holes_included(extracted: Extracted) -> None:
    expected = extracted.expected("box_multi")["sha_all"]
    for k, found in extracted.found.items():
        assert digest_of_all_boxes(found) == expected[k], f"map {k}"


def test_overlaps(extracted: Extracted) -> None:
    single, multi = (extracted.expected(name)["best_iou"] for name in ("box_single", "box_multi"))
    for k, found in extracted.found.items():
        ours = found.best_ious(CHOE2020, extracted.vectors.boxes_224[k])
        np.testing.assert_array_equal(ours, (single[k], multi[k]), err_msg=f"map {k}")


@pytest.mark.parametrize("kind", ["box_single", "box_multi"])
def test_which_images_count_at_which_threshold(extracted: Extracted, kind: str) -> None:
    expected = extracted.expected(kind)
    for k, overlaps in enumerate(expected["best_iou"]):
        counts = np.unpackbits(expected["correct_packed"][k], axis=-1, count=len(overlaps))
        ours = [box_acc(overlaps[None], iou) for iou in IOUS]
        np.testing.assert_array_equal(ours, counts * 100.0, err_msg=f"map {k}")


@pytest.mark.parametrize("kind", ["box_single", "box_multi"])
def test_accuracies_of_the_split(extracted: Extracted, kind: str) -> None:
    expected = extracted.expected(kind)
    ours = np.stack([box_acc(expected["best_iou"], iou) for iou in IOUS])
    np.testing.assert_array_equal(ours, expected["box_acc"])
    v2 = max_box_acc_v2(accuracies(expected["best_iou"]))
    assert list(v2.values()) == [*expected["max_box_acc"], expected["max_box_acc_v2"]]


def test_what_the_references_entry_point_returns(extracted: Extracted) -> None:
    single, multi, pixels = (extracted.expected(name) for name in ("box_single", "box_multi", "pxap"))
    ours = {
        f"max_box_acc_v1_iou50@{extracted.step}": box_acc(single["best_iou"], 50).max(),
        f"max_box_acc_v2@{extracted.step}": max_box_acc_v2(accuracies(multi["best_iou"]))["mean"],
        f"pxap@{extracted.step}": curve(np.stack([pixels["hist_true"].sum(0), pixels["hist_false"].sum(0)])).px_ap,
    }
    told = extracted.vectors.end_to_end
    assert {name: value for name, value in ours.items() if name in told} == {
        name: value for name, value in told.items() if name.endswith(f"@{extracted.step}")
    }


def test_pixel_histograms(extracted: Extracted) -> None:
    expected, thresholds = extracted.expected("pxap"), threshold_grid(float(extracted.step))
    masks = extracted.vectors.expected("gt_masks_224")["masks"]
    for k, score_map in extracted.vectors.score_maps.items():
        ours = histograms(score_map, masks[k], thresholds)
        np.testing.assert_array_equal(ours, (expected["hist_true"][k], expected["hist_false"][k]), err_msg=f"map {k}")


def test_precision_recall_and_px_ap(extracted: Extracted) -> None:
    expected = extracted.expected("pxap")
    ours = curve(np.stack([expected[name].sum(0, np.int64) for name in ("hist_true", "hist_false")]))
    np.testing.assert_array_equal(ours.precision, expected["precision"])
    np.testing.assert_array_equal(ours.recall, expected["recall"])
    assert ours.px_ap == expected["pxap"]


def test_true_boxes_are_scaled_and_truncated(vectors: Vectors) -> None:
    for k, stored in enumerate(vectors.stored_boxes()):
        np.testing.assert_array_equal(CHOE2020.on_grid(*stored), vectors.boxes_224[k], err_msg=f"image {k}")


def test_masks_of_any_png_kind_are_merged_on_the_grid(vectors: Vectors) -> None:
    expected = vectors.expected("gt_masks_224")["masks"]
    for k in vectors.score_maps:
        objects, ignored = vectors.mask_files(k)
        ours = code_masks([read_mask(path) for path in objects], read_mask(ignored))
        np.testing.assert_array_equal(ours, expected[k], err_msg=f"image {k}")


def test_boxes_of_maps_of_other_sizes(vectors: Vectors) -> None:
    expected = vectors.expected("box_othersizes_0.001")
    for key, score_map in arrays(vectors.folder / "scoremaps_othersizes.npz").items():
        if key == "kinds":
            continue
        ours = choe2020(score_map, expected["thresholds"])
        np.testing.assert_array_equal(ours.single[ours.cut], expected[f"{key}_single"], err_msg=f"map {key}")
        lengths, runs = expected[f"{key}_multi_len"], expected[f"{key}_multi_run"]
        listed = np.split(expected[f"{key}_multi_boxes"], np.cumsum(lengths)[:-1])
        for run, boxes in enumerate(listed):
            for threshold in np.flatnonzero(runs == run):
                np.testing.assert_array_equal(sorted_boxes(ours, threshold), boxes, err_msg=f"map {key}, run {run}")


def test_upsampled_and_normalised_maps(vectors: Vectors) -> None:
    expected = vectors.expected("cams_normalised")
    for key, raw in arrays(vectors.folder / "cams_lowres.npz").items():
        stride = SIDE // len(expected[key])
        ours = upsample_and_normalise(raw, SIDE, SIDE)[::stride, ::stride]
        np.testing.assert_allclose(ours, expected[key], rtol=0, atol=1e-6, err_msg=f"map {key}")


def test_the_part_covers_the_kinds_of_maps() -> None:
    kinds = arrays(PART / "scoremaps.npz")["kinds"]
    assert set(kinds[list(Vectors(PART).score_maps)]) == set(kinds) - {"blob", "heavy_noise"}  # large files


def test_the_part_is_of_the_whole_set(test_data: Path) -> None:
    whole = test_data / "vectors"
    for path in (path for path in PART.rglob("*") if path.is_file() and path.name != "README.md"):
        original = whole / path.relative_to(PART)
        if path.suffix != ".npz":
            assert path.read_bytes() == original.read_bytes(), path
            continue
        there = arrays(original)
        for key, value in arrays(path).items():
            stride = 7 if path.name == "cams_normalised.npz" else 1
            source = there[key][::stride, ::stride] if stride > 1 else there[key]
            np.testing.assert_array_equal(value, source, err_msg=f"{path} {key}")


def digest_of_all_boxes(found: Candidates) -> str:
    digests = {
        int(cut): hashlib.sha256(sorted_boxes(found, threshold).astype("<i2").tobytes()).hexdigest()
        for cut, threshold in zip(*np.unique(found.cut, return_index=True), strict=True)
    }
    return hashlib.sha256("".join(digests[int(cut)] for cut in found.cut).encode()).hexdigest()


def sorted_boxes(found: Candidates, threshold: int) -> np.ndarray:
    boxes = found.boxes_at(threshold)
    return boxes[np.lexsort(boxes.T[::-1])]
