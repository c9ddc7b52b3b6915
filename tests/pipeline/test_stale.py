"""What a change of settings, defaults or code makes out of date: the runs that it touches, and no other."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.pipeline.conftest import Pipeline

pytestmark = pytest.mark.slow

TRACK, OTHER = "shapes-convnet", "cub-vgg16"


@pytest.fixture(scope="module")
def resolved(pipeline: Pipeline) -> Pipeline:
    """A checkout of two tracks whose runs are resolved; nothing has run."""
    pipeline.edit_params(
        run__tracks=[TRACK, OTHER], run__baselines=["whole_image"], run__seeded_baselines=["mask_supervised"]
    )
    pipeline.run("wsolbench", "resolve")
    return pipeline


def touched(pipeline: Pipeline, file: str, old: str, new: str) -> set[str]:
    """Change a file, resolve, and return which recipes are other ones; then take the change back."""
    path, folder = pipeline.root / file, pipeline.root / "data" / "recipes"
    before = {str(each.relative_to(folder))[:-5]: each.read_bytes() for each in folder.rglob("*.json")}
    source = path.read_text()
    assert old in source
    path.write_text(source.replace(old, new, 1))
    pipeline.run("wsolbench", "resolve")
    after = {str(each.relative_to(folder))[:-5]: each.read_bytes() for each in folder.rglob("*.json")}
    path.write_text(source)
    assert before.keys() == after.keys()
    pipeline.run("wsolbench", "resolve")
    return {name for name in before if before[name] != after[name]}


def trainings(*tracks: str) -> set[str]:
    runs = {f"train/{track}-{method}-0" for track in tracks for method in ("cam", "adl")}
    return runs | {f"baseline/{track}-mask_supervised-0" for track in tracks}


def test_a_changed_default_of_the_recipe_touches_the_runs_that_do_not_state_it(resolved: Pipeline) -> None:
    # shapes-convnet states its momentum.
    found = touched(resolved, "wsolbench/config/recipe.py", "momentum: Fraction = 0.9", "momentum: Fraction = 0.8")
    assert found == trainings(OTHER)


def test_a_changed_default_of_a_method_touches_its_runs(resolved: Pipeline) -> None:
    found = touched(resolved, "methods/adl.py", "gamma: Fraction = ", "gamma: Fraction = 0.01 + ")
    assert found == {*(f"train/{track}-adl-0" for track in (TRACK, OTHER)), f"costs/{TRACK}", f"costs/{OTHER}"}


def test_a_changed_default_of_a_backbone_touches_the_tracks_that_use_it(resolved: Pipeline) -> None:
    found = touched(resolved, "wsolbench/models/backbones/convnet.py", "width: Positive = 16", "width: Positive = 17")
    assert found == trainings(TRACK) | {f"costs/{TRACK}"}


def test_a_changed_default_of_an_evaluation_touches_what_evaluates(resolved: Pipeline) -> None:
    default = "ivr_percentile: Annotated[float, Field(ge=0, lt=100)] = "
    change = (resolved, "wsolbench/config/settings.py", f"{default}35", f"{default}36")
    assert touched(*change) == set()  # params.yaml states it
    resolved.edit_params(evaluate={"gallery": 2})
    resolved.run("wsolbench", "resolve")
    found = touched(*change)
    evaluations = {f"evaluate/{track}-{method}-0" for track in (TRACK, OTHER) for method in ("cam", "adl")}
    untrained = {f"baseline/{track}-whole_image-0" for track in (TRACK, OTHER)}
    trained = {f"baseline/{track}-mask_supervised-0" for track in (TRACK, OTHER)}
    assert found == evaluations | untrained | trained


def test_a_changed_default_of_a_data_set_touches_its_preparation(resolved: Pipeline) -> None:
    default = "image_size: Annotated[int, Field(ge=48, le=512)] = "
    found = touched(resolved, "datasets/shapes.py", f"{default}64", f"{default}65")
    assert found == {f"prepare/{TRACK}"}


def test_the_writer_of_maps_is_code_of_trainings(resolved: Pipeline) -> None:
    found = touched(resolved, "wsolbench/data/scoremaps.py", "\n\n\n", "\n\nCHANGED = True\n\n\n")
    assert trainings(TRACK, OTHER) < found
    assert not {name for name in found if name.startswith(("prepare/", "weights/", "costs/"))}


def test_a_docstring_of_a_download_helper_touches_nothing_and_its_code_no_training(resolved: Pipeline) -> None:
    assert touched(resolved, "wsolbench/acquire/download.py", '"""', '"""Changed: ') == set()
    found = touched(resolved, "wsolbench/acquire/download.py", "\n\n\n", "\n\nCHANGED = True\n\n\n")
    assert found == {f"{stage}/{track}" for stage in ("prepare", "weights") for track in (TRACK, OTHER)}


@pytest.fixture(scope="module")
def sized(pipeline: Pipeline) -> Pipeline:
    """A checkout in which a method, the backbone and the data set have an argument that is named size."""
    root = pipeline.root
    for file, name in (("wsolbench/models/backbones/convnet.py", "width"), ("datasets/shapes.py", "image_size")):
        path = root / file
        path.write_text(re.sub(rf"\b{name}\b", "size", path.read_text()))
    source = (root / "methods" / "cam.py").read_text()
    source = source.replace("num_classes: int) -> None:", "num_classes: int, size: int = 1) -> None:")
    (root / "methods" / "sized.py").write_text(source + "        next(self.head.parameters()).data *= size\n")
    images = {**pipeline.params()["datasets"]["shapes"], "size": 48}
    images.pop("image_size")
    pipeline.edit_params(
        run__tracks=[TRACK],
        run__methods=["sized"],
        run__baselines=[],
        run__seeded_baselines=[],
        methods={"sized": {"args": {"size": 3}}},
        datasets__shapes=images,
    )
    shutil.rmtree(root / "data", ignore_errors=True)
    return pipeline


def test_arguments_that_are_named_size_are_not_passed_over_by_dvcs_run_cache(sized: Pipeline) -> None:
    stage = f"train@{TRACK}-sized-0"
    maps = sized.root / "results" / "runs" / f"{TRACK}-sized-0" / "maps.npz"

    def bytes_after(**change: object) -> bytes:
        sized.edit_params(**change)
        ran = sized.repro(stage)
        assert ran[-1] == stage, ran
        return Path(maps).read_bytes()

    three = bytes_after()
    nine = bytes_after(methods__sized={"args": {"size": 9}})
    assert nine != three
    wider = bytes_after(**{f"tracks__{TRACK}__backbone_args": {"size": 8}})
    assert wider != nine
    larger = bytes_after(datasets__shapes__size=56)
    assert larger != wider
    sized.edit_params(datasets__shapes__size=48)
    assert stage not in sized.repro(stage)  # what has run before is taken from the cache
    assert maps.read_bytes() == wider
