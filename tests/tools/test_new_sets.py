"""``wsolbench new dataset`` and ``new track``, as somebody with a folder of photographs uses them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from tests.datasets.roots import WRITERS, write_image_folder
from wsolbench.config.settings import Settings, read_settings
from wsolbench.errors import DataError, SettingsError
from wsolbench.models.backbones.weights import WEIGHTS_VARIABLE
from wsolbench.tools.project import new_project
from wsolbench.tools.scaffold_sets import new_dataset, new_track, weights_at_hand


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with the shipped params.yaml, and images with boxes in ``photos``."""
    shutil.copy("params.yaml", tmp_path)
    write_image_folder(tmp_path / "photos")
    return tmp_path


SHIPPED = Path("params.yaml").read_text(encoding="utf-8")
shipped_settings = cache(read_settings)  # which takes a quarter of a second


def settings_of(checkout: Path) -> Settings:
    file = checkout / "params.yaml"
    return shipped_settings() if file.read_text(encoding="utf-8") == SHIPPED else read_settings(file)


def add_dataset(checkout: Path, name: str = "birds", root: str = "photos", of: str | None = None) -> str:
    return new_dataset(name, checkout / root, of, settings_of(checkout), checkout)


def add_track(checkout: Path, name: str, dataset: str = "birds", **options: str) -> str:
    chosen = {"backbone": None, "weights": None} | options
    return new_track(name, dataset, **chosen, settings=settings_of(checkout), checkout=checkout)


def added(checkout: Path) -> list[str]:
    """Return the lines that params.yaml has and the shipped one does not; all others must stand as they are."""
    before, after = (path.read_text().splitlines() for path in (Path("params.yaml"), checkout / "params.yaml"))
    found, place = [], 0
    for line in after:
        if place < len(before) and line == before[place]:
            place += 1
        else:
            found.append(line)
    assert place == len(before)
    return found


@pytest.mark.parametrize(("weights", "written"), [(None, True), ("none", None)])
def test_a_project_gets_the_shipped_recipe_of_a_backbone_that_no_track_of_it_has(tmp_path, weights, written):
    new_project(tmp_path)
    write_image_folder(tmp_path / "photos")
    add_dataset(tmp_path)
    add_track(tmp_path, "birds-resnet50", **({} if weights is None else {"weights": weights}))
    track, shipped = (
        read_settings(tmp_path / "params.yaml").tracks["birds-resnet50"],
        read_settings().tracks["cub-resnet50"],
    )
    kept = ("backbone", "resize", "crop", "lr", "head_lr_mult", "batch", "weight_decay")
    assert {name: getattr(track, name) for name in kept} == {name: getattr(shipped, name) for name in kept}
    assert (track.dataset, track.weights, track.schedule) == ("birds", written and shipped.weights, "cosine")


@pytest.mark.parametrize("of", [None, "image_folder"])
def test_a_data_set_is_described_and_written_with_its_options(checkout: Path, of: str | None) -> None:
    said = add_dataset(checkout, of=of)
    assert said.startswith("image_folder: 2 classes\n")
    assert [line.split() for line in said.splitlines()[2:]] == [
        ["train", "8", "2", "4-4", "-", "-"],
        ["val", "4", "2", "2-2", "4", "-"],
        ["test", "4", "2", "2-2", "4", "-"],
    ]
    lines = added(checkout)
    assert lines[:2] == ["  birds:  # 2 classes; 8 train, 4 val, 4 test", "    of: image_folder"]
    assert "    # test_share: 0.3" in lines
    assert "    # ignore_grey:" in lines
    settings = settings_of(checkout)
    assert settings.datasets["birds"] == {"of": "image_folder", "root": str(checkout / "photos")}


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in {"inatloc500", "ilsvrc"}])
def test_the_layout_of_a_folder_says_what_reads_it(name: str, tmp_path: Path) -> None:
    shutil.copy("params.yaml", tmp_path)
    WRITERS[name](tmp_path / "photos")
    assert add_dataset(tmp_path).startswith(f"{name}: 2 classes")


@pytest.mark.parametrize(
    ("name", "root", "of", "error", "message"),
    [
        ("cub", "photos", None, SettingsError, r"datasets\.cub exists already"),
        ("a b", "photos", None, SettingsError, "'a b' cannot be a key"),
        ("../x", "photos", None, SettingsError, "cannot be a key"),
        ("birds", "photos", "image_foldr", SettingsError, "'image_folder'"),
        ("birds", "nowhere", None, DataError, "nowhere is no directory"),
        ("birds", "photos/images/cat", None, DataError, r"(?s)cat is laid out.*image_folder: .*voc_folder: "),
        ("birds", "photos/images", None, DataError, r"photos/images .*the folder above, .*photos\?$"),
        ("birds", "photos", "coco_folder", DataError, "photos holds no file of annotations"),
    ],
)
def test_what_cannot_be_a_data_set_is_refused_and_nothing_written(
    checkout: Path, name: str, root: str, of: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        add_dataset(checkout, name, root, of)
    assert added(checkout) == []


def test_a_folder_of_images_without_truth_lacks_it(checkout: Path) -> None:
    (checkout / "photos" / "boxes.csv").unlink()
    shutil.rmtree(checkout / "photos" / "masks", ignore_errors=True)
    with pytest.raises(DataError, match=r"photos: images/ is there, boxes\.csv or masks/ is not") as raised:
        add_dataset(checkout)
    assert "voc_folder" not in str(raised.value)
    assert added(checkout) == []


@pytest.mark.parametrize("length", [0, 30, -20])
def test_a_truncated_file_of_annotations_is_named(length: int, tmp_path: Path) -> None:
    shutil.copy("params.yaml", tmp_path)
    WRITERS["coco_folder"](tmp_path / "photos")
    (path,) = (tmp_path / "photos").rglob("*.json")
    whole = path.read_bytes()
    path = path.rename(path.with_name("instances.json"))
    path.write_bytes(whole[:length])
    with pytest.raises(DataError, match=r"instances\.json is damaged") as raised:
        add_dataset(tmp_path)
    assert "voc_folder" not in str(raised.value)


@pytest.mark.parametrize("name", ["image_folder", "coco_folder", "voc_folder"])
def test_where_arguments_are_documented_is_there_in_a_project_without_a_checkout(tmp_path: Path, name: str) -> None:
    new_project(tmp_path)
    WRITERS[name](tmp_path / "photos")
    add_dataset(tmp_path)
    (command,) = re.findall(r"`python -m (.*)` says", (tmp_path / "params.yaml").read_text())
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert re.search(r"^ \|  +test_share: \w", done.stdout, re.MULTILINE)


def test_images_that_prepare_would_refuse_are_refused(checkout: Path) -> None:
    (checkout / "photos" / "images" / "cat" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"cat/0\.png"):
        add_dataset(checkout)
    assert added(checkout) == []


def test_a_track_extends_one_of_the_same_backbone_with_epochs_for_so_many_images(checkout: Path) -> None:
    add_dataset(checkout)
    shown = add_track(checkout, "birds-resnet50")
    assert shown.splitlines() == [
        "  birds-resnet50:",
        "    extends: cub-resnet50",
        "    dataset: birds",
        "    epochs: 100  # 100 iterations of 32 of 8 images",
        "    schedule: cosine",
        "    step_epochs:",
    ]
    settings = settings_of(checkout)
    track, extended = settings.tracks["birds-resnet50"], settings.tracks["cub-resnet50"]
    assert settings.run.tracks == [*read_settings().run.tracks, "birds-resnet50"]
    assert (track.lr, track.weights, track.crop) == (extended.lr, "imagenet", 224)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "extends", "backbone", "weights"),
    [
        ("mine", {"backbone": "convnet"}, "shapes-convnet", "convnet", None),
        ("b-mobilenet_v1", {}, "cub-mobilenet_v1", "mobilenet_v1", "imagenet_1.0"),
        ("b-mobilenet_v1", {"weights": "timm_ra4"}, "cub-mobilenet_v1", "mobilenet_v1", "timm_ra4"),
        ("b-vgg16", {"weights": "none"}, "cub-vgg16", "vgg16", None),
    ],
)
def test_backbone_and_weights_may_be_chosen(
    checkout: Path, name: str, options: dict[str, str], extends: str, backbone: str, weights: str | None
) -> None:
    add_dataset(checkout)
    assert f"extends: {extends}\n" in add_track(checkout, name, **options)
    track = settings_of(checkout).tracks[name]
    assert (track.dataset, track.backbone, track.weights) == ("birds", backbone, weights)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "weights", "said"),
    [
        (
            "b-mobilenet_v2",
            None,
            "weights imagenet_tf are not at hand: `wsolbench doctor`.*; imagenet or imagenet_v2 in",
        ),
        ("b-mobilenet_v2", "imagenet", ""),
        ("b-mobilenet_v2", "none", ""),
        ("b-resnet50", None, ""),
    ],
)
def test_weights_that_cannot_be_fetched_are_said_with_those_that_can(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, name: str, weights: str | None, said: str
) -> None:
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    add_dataset(checkout)
    add_track(checkout, name, **({} if weights is None else {"weights": weights}))
    found = weights_at_hand(settings_of(checkout), name)
    assert re.search(said, found) if said else found == ""


@pytest.mark.slow
def test_a_second_track_of_a_data_set_keeps_its_recipe(checkout: Path) -> None:
    add_dataset(checkout)
    add_track(checkout, "birds-resnet50")
    assert add_track(checkout, "again-resnet50") == (
        "  again-resnet50:\n    extends: birds-resnet50\n    dataset: birds\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("shapes-convnet", {}, r"tracks\.shapes-convnet exists already"),
        ("weights", {"backbone": "convnet"}, "names something else"),
        ("a/b", {}, "cannot be a key"),
        ("mine", {}, "--backbone.*convnet, .*vgg16"),
        ("mine", {"backbone": "vgg61"}, "did you mean 'vgg16'"),
        ("b-vgg16", {"weights": "imagnet"}, "did you mean 'imagenet'"),
        ("b-vgg16", {"dataset": "brids"}, "did you mean 'birds'"),
    ],
)
def test_what_cannot_be_a_track_is_refused_and_nothing_written(
    checkout: Path, name: str, options: dict[str, str], message: str
) -> None:
    add_dataset(checkout)
    before = (checkout / "params.yaml").read_bytes()
    with pytest.raises(SettingsError, match=message):
        add_track(checkout, name, **options)
    assert (checkout / "params.yaml").read_bytes() == before


@pytest.mark.slow
def test_an_override_by_dvc_changes_no_other_line_of_the_new_blocks(checkout: Path) -> None:
    from dvc.utils.hydra import apply_overrides

    odd = checkout / "my photos # 1"
    (checkout / "photos").rename(odd)
    add_dataset(checkout, root=odd.name)
    add_track(checkout, "birds-resnet50")
    before = (checkout / "params.yaml").read_text().splitlines()
    apply_overrides(checkout / "params.yaml", ["tracks.birds-resnet50.epochs=7"])
    after = (checkout / "params.yaml").read_text().splitlines()
    changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert len(changed) == 1
    assert changed[0][1].startswith("    epochs: 7 ")


@pytest.mark.slow
def test_from_a_folder_of_photographs_to_numbers(tmp_path: Path) -> None:
    """The two commands, then prepare, weights, train and evaluate, as a user calls them."""
    for name in ("wsolbench", "methods", "datasets"):
        shutil.copytree(name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("params.yaml", tmp_path)
    draw(tmp_path / "photos")

    def call(*arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", "from wsolbench.cli import main; main()", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = call("new", "dataset", "birds", str(tmp_path / "photos"))
    assert "image_folder: 2 classes" in said
    assert "wsolbench new track" in said
    said = call("new", "track", "birds-convnet", "--dataset", "birds")
    told = re.findall(r"^  wsolbench (.*?)(?: +#.*)?$", said, flags=re.MULTILINE)
    run = "birds-convnet-cam-0"
    stages = ["resolve", "weights birds-convnet", f"train {run}", f"evaluate {run}"]  # launch needs DVC's folder
    for command in [*(each for each in told if not each.startswith(("launch", *stages))), *stages]:
        short = ["--cfg-options", "tracks.birds-convnet.epochs=1"] if command.startswith("train") else []
        call(*command.split(), *short)
    metrics = YAML(typ="safe").load((tmp_path / "results/metrics/birds-convnet/birds-convnet-cam-0.json").read_text())
    assert metrics["dataset"] == "birds"
    assert metrics["images"]["test"] == 8  # of 12 of each class, 0.3


def draw(root: Path) -> None:
    """Draw 12 pictures of each of two classes, a bright square on noise, with its box."""
    random, lines = np.random.default_rng(0), ["id,x0,y0,x1,y1"]
    for name in (f"{kind}/{number}.png" for kind in ("red", "blue") for number in range(12)):
        pixels = random.integers(0, 99, (70, 80, 3), np.uint8)
        x, y = random.integers(5, 40, 2).tolist()
        pixels[y : y + 24, x : x + 30, 0 if name.startswith("red") else 2] = 250
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / "images" / name)
        lines.append(f"{name},{x},{y},{x + 30},{y + 24}")
    (root / "boxes.csv").write_text("\n".join(lines))
