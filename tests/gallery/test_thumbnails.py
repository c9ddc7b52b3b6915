from pathlib import Path

import numpy as np
import pytest

from wsolbench.data.scoremaps import StoredBoxes, StoredMaps, upsample_and_normalise
from wsolbench.errors import DataError
from wsolbench.evaluation.thumbnails import candidates, encode_thumbnails, read_thumbnails

IDS = [f"image {k}" for k in range(12)]
REMEDY = "evaluate again"


def stored(maps: np.ndarray) -> StoredMaps:
    count = len(maps)
    nothing = np.zeros((count, 0))
    ids = np.array(IDS[:count], np.str_)
    return StoredMaps(ids, np.zeros(count, np.int64), maps.astype(np.float32), nothing.astype(np.int64), nothing)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_candidates_are_the_same_whatever_the_order_of_the_images() -> None:
    first = [IDS[k] for k in candidates(IDS, 4)]
    assert [IDS[::-1][k] for k in candidates(IDS[::-1], 4)] == first
    assert [IDS[k] for k in candidates(IDS, 5)][:4] == first
    assert sorted(candidates(IDS, 99)) == list(range(12))


def test_a_map_is_told_from_the_stored_one_by_half_a_step_of_255(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).normal(3, 40, (12, 5, 7)).astype(np.float32)
    found = read_thumbnails(written(tmp_path / "a.npz", encode_thumbnails(stored(maps), 4)), REMEDY)
    chosen = candidates(IDS, 4)
    assert found.ids.tolist() == [IDS[k] for k in chosen]
    for k, small in zip(chosen, found.maps, strict=True):
        exact = (maps[k].astype(np.float64) - maps[k].min()) / np.ptp(maps[k].astype(np.float64))
        assert (small.min(), small.max()) == (0, 255)
        assert np.abs(small / 255 - exact).max() <= 0.5 / 255 + 1e-6
        shown, scored = (upsample_and_normalise(raw, 50, 50) for raw in (small, maps[k]))
        assert np.abs(shown - scored).max() < 2 / 255


def test_a_constant_map_is_empty_and_boxes_have_none(tmp_path: Path) -> None:
    constant = read_thumbnails(written(tmp_path / "a", encode_thumbnails(stored(np.full((1, 2, 2), 7.0)), 3)), REMEDY)
    assert constant.maps.tolist() == [[[0, 0], [0, 0]]]
    boxes = StoredBoxes(np.array(IDS[:2]), np.zeros(2, np.int64), np.zeros((2, 4)))
    assert len(read_thumbnails(written(tmp_path / "b", encode_thumbnails(boxes, 3)), REMEDY).ids) == 0


def test_equal_input_gives_equal_bytes() -> None:
    maps = np.arange(60.0).reshape(5, 3, 4)
    assert encode_thumbnails(stored(maps), 3) == encode_thumbnails(stored(maps.copy()), 3)


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_a_missing_or_damaged_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "toy.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"toy\.npz is (missing|damaged).*evaluate again"):
        read_thumbnails(path, REMEDY)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    with path.open("wb") as stream:
        np.savez(stream, ids=np.array([{"an": "object"}], object), maps=np.zeros((1, 2, 2), np.uint8))
    with pytest.raises(DataError, match=r"toy\.npz is damaged"):
        read_thumbnails(path, REMEDY)


@pytest.mark.parametrize("maps", [np.zeros((2, 3, 3), np.uint8), np.zeros((1, 3), np.uint8), np.zeros((1, 3, 3))])
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, maps: np.ndarray) -> None:
    path = tmp_path / "toy.npz"
    np.savez(path, ids=np.array(["a"]), maps=maps)
    with pytest.raises(DataError, match=r"toy\.npz is damaged \(its maps do not fit its ids\)"):
        read_thumbnails(path, REMEDY)
