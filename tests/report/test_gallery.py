import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wsolbench.config.paths import Layout
from wsolbench.data.scoremaps import upsample_and_normalise
from wsolbench.errors import DataError
from wsolbench.evaluation.photographs import read_photographs
from wsolbench.evaluation.thumbnails import read_thumbnails
from wsolbench.report.gallery import gallery_sections


@pytest.fixture
def toy(repository):
    """Two methods and a bound over two seeds, six candidates."""
    made = repository(methods=["alpha", "beta"], baselines=["ceiling"], seeds=[0, 1], gallery=6)
    for method in ("alpha", "beta", "ceiling"):
        for seed in made.seeds:
            made.write(method, seed, 50)
    return made


def overlaps(toy, method, seed, values, column="iou_val"):
    """Put overlaps of the candidates, in their order, into a per-image table."""
    path = Layout(toy.root).per_image("toy", f"toy-{method}-{seed}")
    frame = pd.read_parquet(path).set_index("id")
    frame.loc[candidates(toy), column] = values
    frame.reset_index().to_parquet(path, index=False)


def candidates(toy):
    return [each.id for each in read_photographs(toy.root, "toy")[0].photographs]


def shown(toy, count=6):
    sections = gallery_sections(toy.track(), toy.root, count)
    return {section.title: [picture.id for picture in section.pictures] for section in sections}


def pixels(uri):
    content = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_worst_is_the_mean_over_methods_and_seeds_without_baselines(toy):
    ids = candidates(toy)
    overlaps(toy, "alpha", 0, [0.9, 0.3, 0.5, 0.9, 0.9, 0.9])
    overlaps(toy, "alpha", 1, [0.9, 0.5, 0.5, 0.9, 0.9, 0.9])
    overlaps(toy, "beta", 0, [0.9, 0.5, 0.5, 0.9, 0.9, 0.8])
    overlaps(toy, "beta", 1, [0.9, 0.5, 0.5, 0.9, 0.9, 0.8])
    for seed in (0, 1):
        overlaps(toy, "ceiling", seed, [0.0, 0.9, 0.9, 0.9, 0.9, 0.9])
    assert shown(toy, 3)["Worst"] == [ids[1], ids[2], ids[5]]


def test_most_disagreeing_is_the_range_of_the_methods_means_over_seeds(toy):
    ids = candidates(toy)
    # Seeds of alpha disagree on the first image, but the methods' means do not.
    overlaps(toy, "alpha", 0, [0.0, 0.1, 0.4, 0.5, 0.5, 0.5])
    overlaps(toy, "alpha", 1, [1.0, 0.1, 0.6, 0.5, 0.5, 0.5])
    for seed in (0, 1):
        overlaps(toy, "beta", seed, [0.5, 0.9, 0.6, 0.5, 0.5, 0.5])
    assert shown(toy, 3)["Most disagreeing"] == [ids[1], ids[2], ids[0]]


def test_chosen_are_the_first_candidates_whatever_the_overlaps(toy):
    assert shown(toy, 2)["Chosen by lot"] == candidates(toy)[:2]
    assert shown(toy, 0) == {}


def test_one_method_cannot_disagree_and_without_boxes_nothing_is_worst(repository):
    one = repository(seeds=[0])
    one.write("alpha", 0, 50)
    assert list(shown(one, 2)) == ["Chosen by lot", "Worst"]
    for column in ("iou_val", "iou_fixed", "mask_iou_val", "mask_iou_fixed"):
        overlaps(one, "alpha", 0, [np.nan] * 3, column)
    assert list(shown(one, 2)) == ["Chosen by lot"]


def test_a_prediction_is_the_first_seeds_map_box_overlap_and_class(toy):
    overlaps(toy, "beta", 0, [0.25, 1, 1, 1, 1, 1])
    overlaps(toy, "beta", 1, [0.75, 1, 1, 1, 1, 1])
    sections = gallery_sections(toy.track(), toy.root, 1)
    picture = sections[0].pictures[0]
    number = int(picture.id.split()[1])
    assert (picture.class_name, picture.boxes) == ("class one", [(0.25, 0.25, 0.75, 0.75)])
    assert np.abs(pixels(picture.photograph) - number // 2).max() <= 3
    assert [prediction.title for prediction in picture.predictions] == ["Alpha", "Beta", "Ceiling"]
    prediction = picture.predictions[1]
    assert (prediction.seed, prediction.overlap, prediction.box) == (0, 0.25, (0.25, 0.125, 0.5, 1))
    assert (prediction.predicted, prediction.correct) == (("class zero", False), ("class one", True))[number % 2]
    raw = read_thumbnails(Layout(toy.root).thumbnails("toy", "toy-beta-0"), "").maps[0]
    drawn = pixels(prediction.heat)
    map_ = upsample_and_normalise(raw.astype(float), *drawn.shape[:2])
    # Viridis runs from dark to light.
    assert np.corrcoef(drawn.sum(-1).ravel(), map_.ravel())[0, 1] > 0.95


def test_a_run_without_maps_classes_and_box_is_shown_without(toy):
    path = Layout(toy.root).per_image("toy", "toy-ceiling-0")
    frame = pd.read_parquet(path)
    frame["predicted"] = pd.array([pd.NA] * len(frame), dtype="Int64")
    frame[["x0", "y0", "x1", "y1"]] = 0
    frame.to_parquet(path, index=False)
    with Layout(toy.root).thumbnails("toy", "toy-ceiling-0").open("wb") as stream:
        np.savez(stream, ids=np.zeros(0, np.str_), maps=np.zeros((0, 0, 0), np.uint8))
    sections = gallery_sections(toy.track(), toy.root, 1)
    prediction = sections[0].pictures[0].predictions[2]
    assert (prediction.heat, prediction.box, prediction.predicted) == (None, None, None)


def test_runs_of_other_data_than_the_photographs_are_refused(toy):
    path = toy.metrics("beta", 1)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_digest": "another"}))
    with pytest.raises(DataError, match=r"toy-beta-1\.json was measured on other data \(another\)"):
        shown(toy)


def test_maps_of_other_images_than_the_photographs_are_refused(toy):
    path = Layout(toy.root).thumbnails("toy", "toy-beta-1")
    with path.open("wb") as stream:
        np.savez(stream, ids=np.array(["another"]), maps=np.zeros((1, 2, 2), np.uint8))
    with pytest.raises(DataError, match=r"toy-beta-1\.npz is of other images.*run `wsolbench evaluate toy-beta-1`"):
        shown(toy)


@pytest.mark.parametrize(
    ("change", "problem"), [(lambda f: f.iloc[:0], "image"), (lambda f: f.drop(columns="x0"), "x0")]
)
def test_a_per_image_table_that_does_not_fit_is_named(toy, change, problem):
    path = Layout(toy.root).per_image("toy", "toy-beta-0")
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    with pytest.raises(DataError, match=rf"toy-beta-0\.parquet .*{problem}"):
        shown(toy)
