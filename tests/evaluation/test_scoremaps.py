"""Stored maps, and the one rule by which they are upsampled and normalised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsolbench.data.scoremaps import (
    StoredMaps,
    read_maps,
    upsample_and_normalise,
    write_maps,
)
from wsolbench.errors import DataError
from wsolbench.evaluation.normalisation import NORMALISATIONS, normalise


def stored(images: int = 3, classes: int = 2) -> StoredMaps:
    random = np.random.default_rng(images)
    return StoredMaps(
        ids=np.array([f"image {k}" for k in range(images)], np.str_),
        labels=np.arange(images) % 2,
        maps=random.standard_normal((images, 4, 5)).astype(np.float32),
        top5=np.tile(np.arange(classes), (images, 1)),
        top5_logits=random.standard_normal((images, classes)).astype(np.float32),
    )


@pytest.fixture
def maps_file(tmp_path: Path) -> Path:
    path = tmp_path / "maps.npz"
    write_maps(path, {"val": stored(2), "test": stored(3)})
    return path


def test_the_result_is_rows_by_columns_and_spans_0_to_1() -> None:
    raw = np.array([[0.0, 1], [2, 3], [4, 9]])
    upsampled = upsample_and_normalise(raw, 30, 50)
    assert upsampled.shape == (30, 50)
    assert upsampled.dtype == np.float64
    assert (upsampled.min(), upsampled.max()) == (0, 1)
    assert upsampled[25:, 40:].min() > upsampled[:20].max()  # the 9 is in the last row and column


def test_a_map_of_the_wanted_size_is_only_normalised() -> None:
    raw = np.array([[-1.0, 0], [1, 3]])
    np.testing.assert_array_equal(upsample_and_normalise(raw, 2, 2), [[0, 0.25], [0.5, 1]])


def test_normalisation_comes_after_the_resize_so_that_overshoot_is_part_of_the_range() -> None:
    step = np.array([[0.0, 0, 1, 1]]).repeat(4, axis=0)
    upsampled = upsample_and_normalise(step, 64, 64)
    assert 0 < upsampled[32, 0] < 0.1  # a plain 0 lies above the undershoot beside the step
    assert 0.9 < upsampled[32, -1] < 1


def test_scale_and_offset_of_a_map_do_not_matter() -> None:
    raw = np.random.default_rng(0).random((7, 7))
    expected = upsample_and_normalise(raw, 56, 56)
    np.testing.assert_allclose(upsample_and_normalise(raw * 40 - 7, 56, 56), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.25, -3.0, np.nan])
def test_a_map_that_says_nothing_becomes_zero(value: float) -> None:
    raw = np.full((7, 7), value, np.float32)
    np.testing.assert_array_equal(upsample_and_normalise(raw, 28, 28), np.zeros((28, 28)))


def test_a_single_nan_makes_the_whole_map_say_nothing() -> None:
    raw = np.random.default_rng(0).random((7, 7))
    raw[0, 0] = np.nan
    np.testing.assert_array_equal(upsample_and_normalise(raw, 28, 28), np.zeros((28, 28)))


def test_normalisations_by_hand() -> None:
    upsampled = np.array([[-2.0, 0, 1, 2], [3, 4, 6, 8]])
    min_max, highest, percentile, ivr = normalise(upsampled, NORMALISATIONS)
    np.testing.assert_array_equal(min_max, (upsampled + 2) / 10)
    np.testing.assert_array_equal(highest, np.maximum(upsampled, 0) / 8)
    high = 6 + 2 * (0.995 * 5 - 4)  # between the last two of six positive scores
    np.testing.assert_allclose(percentile, np.clip(upsampled / high, 0, 1))
    low = 1 + (0.35 * 7 - 2)  # between the third and fourth of eight
    np.testing.assert_allclose(ivr, np.maximum(upsampled - low, 0) / (8 - low))
    np.testing.assert_allclose(normalise(upsampled, ["ivr"], ivr_percentile=0)[0], (upsampled + 2) / 10)


@settings(max_examples=200, deadline=None)
@given(arrays(np.float64, (3, 70), elements=st.floats(-1e3, 1e3, width=16)), st.sampled_from([0.0, 35, 50, 99.5]))
def test_percentiles_are_numpys_to_the_last_bit(upsampled: np.ndarray, percentile: float) -> None:
    low, positive = np.percentile(upsampled, percentile), upsampled[upsampled > 0]
    expected = np.maximum(upsampled - low, 0)
    expected = expected / (expected.max() or 1)
    np.testing.assert_array_equal(normalise(upsampled, ["ivr"], percentile)[0], expected * (np.ptp(upsampled) > 0))
    if positive.size and np.ptp(upsampled) > 0:
        shares = np.clip(upsampled / np.percentile(positive, 99.5), 0, 1)
        np.testing.assert_array_equal(normalise(upsampled, ["percentile"])[0], shares)


@pytest.mark.parametrize("upsampled", [np.full((3, 3), 4.0), np.array([[0.0, np.nan]])])
def test_no_normalisation_makes_something_of_nothing(upsampled: np.ndarray) -> None:
    assert not normalise(upsampled, NORMALISATIONS).any()


def test_where_only_positive_scores_count_a_negative_map_becomes_zero() -> None:
    assert not normalise(np.array([[-3.0, -1, -2]]), ["max", "percentile"]).any()


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_value_is_refused(value: float) -> None:
    raw = np.zeros((7, 7))
    raw[3, 3] = value
    with pytest.raises(DataError, match="infinite"):
        upsample_and_normalise(raw, 28, 28)


def test_maps_come_back_as_they_were_stored(maps_file: Path) -> None:
    for name, images in (("val", 2), ("test", 3)):
        found, given = read_maps(maps_file, name), stored(images)
        for key in ("ids", "labels", "maps", "top5", "top5_logits"):
            np.testing.assert_array_equal(getattr(found, key), getattr(given, key))


def test_equal_maps_give_equal_bytes(maps_file: Path) -> None:
    before = maps_file.read_bytes()
    write_maps(maps_file, {"val": stored(2), "test": stored(3)})
    assert maps_file.read_bytes() == before
    assert [path.name for path in maps_file.parent.iterdir()] == ["maps.npz"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.npz is missing; train the run again"):
        read_maps(tmp_path / "nowhere.npz", "test")


def test_a_missing_split_is_named(maps_file: Path) -> None:
    with pytest.raises(DataError, match="has no maps of split 'train'"):
        read_maps(maps_file, "train")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_named(maps_file: Path, share: float) -> None:
    content = maps_file.read_bytes()
    maps_file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"maps\.npz is damaged"):
        read_maps(maps_file, "test")


def test_a_flipped_bit_is_found(maps_file: Path) -> None:
    content = bytearray(maps_file.read_bytes())
    content[content.index(stored(3).maps.tobytes())] ^= 1
    maps_file.write_bytes(content)
    with pytest.raises(DataError, match=r"maps\.npz is damaged"):
        read_maps(maps_file, "test")


@pytest.mark.parametrize("position", [6, 8, 10, 11])  # needed version, flags, method of compression
def test_a_damaged_directory_of_the_archive_is_named(maps_file: Path, position: int) -> None:
    content = bytearray(maps_file.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"test/ids.npy"))
    content[entry + position] ^= 0xFF
    maps_file.write_bytes(content)
    with pytest.raises(DataError, match=r"maps\.npz is damaged"):
        read_maps(maps_file, "test")


def test_pickled_objects_are_not_loaded(maps_file: Path) -> None:
    write_maps(maps_file, {"test": replace(stored(3), labels=np.array([object()] * 3))})
    with pytest.raises(DataError, match="damaged"):
        read_maps(maps_file, "test")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", np.zeros(2, np.int64)),
        ("maps", np.zeros((2, 4, 5), np.float32)),
        ("maps", np.zeros((3, 20), np.float32)),
        ("maps", np.zeros((3, 0, 5), np.float32)),
        ("top5", np.zeros(3, np.int64)),
        ("top5_logits", np.zeros((3, 1), np.float32)),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_named(maps_file: Path, field: str, value: np.ndarray) -> None:
    write_maps(maps_file, {"test": replace(stored(3), **{field: value})})
    with pytest.raises(DataError, match=rf"maps\.npz: array 'test/{field}' has the shape"):
        read_maps(maps_file, "test")
