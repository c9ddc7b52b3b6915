from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.made_up_run import TEST, TRACK, MadeUpRun, settings
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.data.index import read_split
from wsolbench.errors import DataError
from wsolbench.evaluation.gallery import write_photographs
from wsolbench.evaluation.photographs import TILE, read_photographs
from wsolbench.evaluation.thumbnails import candidates

SIZE = (448, 112)  # twice as wide and half as high as the grid that TEST's boxes refer to


@pytest.fixture
def track(tmp_path: Path) -> Layout:
    layout = MadeUpRun(tmp_path, size=SIZE).write().layout
    write_photographs(settings(gallery=4), TRACK, layout)
    return layout


def test_photographs_of_the_candidates_come_with_their_boxes_as_shares(track: Layout) -> None:
    caption, tiles = read_photographs(track.root, TRACK)
    facts = caption.photographs
    assert caption.class_names == [f"class {k}" for k in range(6)]
    assert caption.data_digest == read_split(track.prepared(TRACK), "test").digest
    ids = [f"test{k}" for k in range(len(TEST))]
    assert [each.id for each in facts] == [ids[k] for k in candidates(ids, 4)]
    for each in facts:
        box = np.array(TEST[int(each.id[-1])].true) / 224
        assert each.label == 0
        assert each.boxes == [pytest.approx(box, abs=1e-4)]
    assert tiles.shape == (4, TILE, TILE, 3)
    assert np.abs(tiles.astype(int) - 90).max() <= 1  # the photographs are grey


def test_where_truth_has_masks_only_photographs_have_no_box(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, masks=len(TEST), boxless=len(TEST)).write()
    write_photographs(settings(gallery=4), TRACK, run.layout)
    caption, _ = read_photographs(run.root, TRACK)
    assert [each.boxes for each in caption.photographs] == [[]] * 4


def test_writing_again_gives_the_same_bytes_and_leaves_nothing_else(track: Layout) -> None:
    before = [path.read_bytes() for path in track.photographs(TRACK)]
    write_photographs(settings(gallery=4), TRACK, track)
    assert [path.read_bytes() for path in track.photographs(TRACK)] == before
    assert sorted(track.photographs(TRACK)) == sorted(track.photographs(TRACK)[0].parent.iterdir())


def test_each_tile_is_the_photograph_at_its_place_on_the_sheet(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, test=TEST * 3)  # 15 images: two rows
    run.write()
    write_photographs(settings(gallery=15), TRACK, run.layout)
    sheet = run.layout.photographs(TRACK)[0]
    with Image.open(sheet) as image:
        assert image.size == (10 * TILE, 2 * TILE)
    pixels = np.zeros((2 * TILE, 10 * TILE, 3), np.uint8)
    for k in range(15):
        pixels[k // 10 * TILE : (k // 10 + 1) * TILE, k % 10 * TILE : (k % 10 + 1) * TILE] = 10 * k + 40
    Image.fromarray(pixels).save(sheet, quality=95)
    _, tiles = read_photographs(run.root, TRACK)
    assert tiles.mean((1, 2, 3)) == pytest.approx([10 * k + 40 for k in range(15)], abs=1)


def test_no_candidates_are_no_photographs(tmp_path: Path) -> None:
    layout = MadeUpRun(tmp_path).write().layout
    write_photographs(settings(gallery=0), TRACK, layout)
    caption, tiles = read_photographs(tmp_path, TRACK)
    assert (caption.photographs, len(tiles)) == ([], 0)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("content", [b"", b"{", None])
def test_a_missing_or_damaged_file_is_named(track: Layout, which: int, content: bytes | None) -> None:
    path = track.photographs(TRACK)[which]
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path.name} is (missing|damaged).*run `wsolbench photographs {TRACK}`"):
        read_photographs(track.root, TRACK)


def test_a_label_without_a_name_is_refused(track: Layout) -> None:
    path = track.photographs(TRACK)[1]
    path.write_text(path.read_text().replace('"label":0', '"label":6'))
    with pytest.raises(DataError, match=r"photographs\.json is damaged \(a label without a class name\)"):
        read_photographs(track.root, TRACK)


def test_a_sheet_with_too_few_photographs_is_refused(track: Layout) -> None:
    sheet = track.photographs(TRACK)[0]
    Image.new("RGB", (TILE, TILE)).save(sheet)
    with pytest.raises(DataError, match=r"photographs\.jpg has fewer photographs than photographs\.json names"):
        read_photographs(track.root, TRACK)


def test_of_photographs_that_are_not_ours_to_pass_on_the_sheet_is_grey(
    track: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = registry.load("dataset", settings().class_of(settings().tracks[TRACK].dataset))
    monkeypatch.setattr(dataset, "traits", dataset.traits | {"restricted"})
    write_photographs(settings(gallery=4), TRACK, track)
    caption, tiles = read_photographs(track.root, TRACK)
    assert len(tiles) == len(caption.photographs) == 4
    assert np.unique(tiles).tolist() == [128]  # and not the photographs' 90
