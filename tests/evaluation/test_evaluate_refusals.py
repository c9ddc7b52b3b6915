"""The evaluate stage on a run that is damaged, incomplete or another's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.made_up_run import KEY, TEST, TRACK, MadeUpRun, evaluate, record
from wsolbench.data.index import read_split
from wsolbench.errors import DataError
from wsolbench.runs.run_folder import write_record


@pytest.fixture
def run(tmp_path: Path) -> MadeUpRun:
    return MadeUpRun(tmp_path).write()


def test_maps_of_other_images_are_refused_naming_the_first(run: MadeUpRun) -> None:
    run.write_maps(ids=np.array(["test0", "test2", "test1", "test3", "test4"], np.str_))
    with pytest.raises(DataError, match=r"maps\.npz: map 1 of split 'test' is of image 'test2', .* has 'test1'"):
        evaluate(run)


def test_too_few_maps_are_refused(run: MadeUpRun) -> None:
    MadeUpRun(run.root, test=TEST[:3]).write_maps()
    with pytest.raises(DataError, match=r"maps\.npz: 3 maps of split 'test', the index has 5 images"):
        evaluate(run)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_refused_naming_file_and_image(run: MadeUpRun, value: float) -> None:
    maps = np.stack([picture.raw for picture in TEST]).astype(np.float32)
    maps[2, 10, 10] = value
    run.write_maps(maps=maps)
    with pytest.raises(DataError, match=r"maps\.npz: the map of image 'test2' is not finite"):
        evaluate(run)


@pytest.mark.parametrize("name", ["run.yaml", "maps.npz"])
def test_a_missing_file_of_the_run_is_named(run: MadeUpRun, name: str) -> None:
    (run.folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name} is missing; train the run again"):
        evaluate(run)


@pytest.mark.parametrize("name", ["run.yaml", "skipped.json"])
@pytest.mark.parametrize("content", ["{", "[]", '{"key": "toy-cam-0"}', ""])
def test_a_damaged_record_of_the_run_is_named(run: MadeUpRun, name: str, content: str) -> None:
    (run.folder / name).write_text(content)
    with pytest.raises(DataError, match=rf"{name} is damaged"):
        evaluate(run)


def test_another_training_of_the_run_is_refused(run: MadeUpRun) -> None:
    """Maps of one training beside the record of another."""
    former = run.maps_file.read_bytes()
    run.write_maps(top5=np.ones((5, 5), np.int64))
    run.maps_file.write_bytes(former)
    with pytest.raises(DataError, match=r"maps\.npz is damaged .*train the run again"):
        evaluate(run)


def test_another_runs_directory_is_refused(run: MadeUpRun) -> None:
    write_record(run.folder, record() | {"key": f"{TRACK}-has-0"})
    with pytest.raises(DataError, match=rf"run\.yaml is that of run '{TRACK}-has-0', not of '{KEY}'"):
        evaluate(run)


def test_maps_of_another_index_are_refused(run: MadeUpRun) -> None:
    write_record(run.folder, record() | {"index_digest": read_split(run.layout.prepared(TRACK), "test").digest})
    evaluate(run)
    write_record(run.folder, record() | {"index_digest": "another"})
    with pytest.raises(DataError, match=r"maps\.npz was made of other images, labels or splits than .*train the run"):
        evaluate(run)


@pytest.mark.parametrize("name", ["run.yaml", "maps.npz"])
def test_a_bit_that_flipped_is_noticed_wherever_it_is(run: MadeUpRun, name: str) -> None:
    path = run.folder / name
    content = path.read_bytes()
    for place in range(0, len(content), len(content) // 40):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DataError, match=rf"{name} is damaged"):
            evaluate(run)


def test_a_failed_evaluation_leaves_the_earlier_results_alone(run: MadeUpRun) -> None:
    before = evaluate(run).outputs()
    run.maps_file.write_bytes(run.maps_file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"maps\.npz is damaged"):
        evaluate(run)
    assert run.outputs() == before
