"""A mistyped key of any block of ``params.yaml`` is answered with the valid one."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from wsolbench.config.schema import load_yaml, put
from wsolbench.tools import doctor

OWN = ["datasets.birds={of: image_folder}", "tracks.birds={extends: shapes-convnet, dataset: birds}"]


@pytest.fixture(autouse=True)
def without_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process of DVC, which takes a second."""
    monkeypatch.setattr(doctor, "_dvc", lambda _: doctor.Finding("ok", "dvc", ""))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mistyped", "right"),
    [
        ("serach={}", "search"),
        ("methods.acoll={}", "acol"),
        ("methods.acol.arg={}", "args"),
        ("methods.acol.args.head_chanels=32", "head_channels"),
        ("methods.acol.tracks.shapes-convnt={}", "shapes-convnet"),
        ("methods.acol.tracks.shapes-convnet.recip=searched", "recipe"),
        ("methods.acol.tracks.shapes-convnet.args.head_chanels=32", "head_channels"),
        ("methods.acol.tracks.shapes-convnet.train.epoch=8", "epochs"),
        ("datasets.shapes.tests=5", "test"),
        ("datasets.birds.test_shar=0.5", "test_share"),
        ("datasets.birds.val_per_clas=5", "val_per_class"),
        ("datasets.birds.val_trut=gt", "val_truth"),
        ("datasets.birds.val_sed=1", "val_seed"),
        ("datasets.birds.boxs=masks", "boxes"),
        ("datasets.birds.dowload=false", "download"),
        ("datasets.birds.miror={}", "mirrors"),
        ("datasets.birds.off=image_folder", "of"),
        ("datasets.cub.rot=/photos", "root"),
        ("tracks.birds.extend=shapes-convnet", "extends"),
        ("tracks.birds.extends=shapes-convnt", "shapes-convnet"),
        ("tracks.birds.epoch=3", "epochs"),
        ("tracks.shapes-convnet.backbone_args={widht: 8}", "width"),
        ("methods.cagd.off=dgdm", "of"),
        ("methods.cagd.of=dgmd", "dgdm"),
        ("methods.cagd.args.drop_rat=0.5", "drop_rate"),
        ("methods.cagd.only=[cub-vgg61]", "cub-vgg16"),
        ("methods.cagd.tracks={cub-vgg16: {train: {epoch: 3}}}", "epochs"),
        ("evaluate.galery=3", "gallery"),
        ("evaluate.published_threshold.cutmi={}", "cutmix"),
        ("evaluate.published_threshold.cutmix.cub-vgg61=0.2", "cub-vgg16"),
        ("run.seed=[0]", "seeds"),
        ("run.full_only.methods=[cma]", "cam"),
        ("run.suite=[shapes-convnt]", "shapes-convnet"),
        ("report.galery=3", "gallery"),
        ("report.notes.cub-vgg61=copies", "cub-vgg16"),
        ("report.looks.cam.color=blue", "colour"),
        ("search.trial=3", "trials"),
        ("search.recipe.weight_decy=[0.1, 10]", "weight_decay"),
        ("runtime.thread=3", "threads"),
        ("weights.rot=/weights", "root"),
    ],
)
def test_doctor_names_the_valid_key(tmp_path: Path, mistyped: str, right: str) -> None:
    assert f"did you mean '{right}'?" in "\n".join(wrong(tmp_path, mistyped))


@pytest.mark.parametrize("place", ["methods.dgdm", "methods.dgdm.tracks.cub-mobilenet_v1"])
def test_an_argument_beside_args_is_told_its_place(tmp_path: Path, place: str) -> None:
    assert "under `args`" in "\n".join(wrong(tmp_path, f"{place}.gamma=0.5"))


def test_nothing_is_unknown_where_nothing_is_mistyped(tmp_path: Path) -> None:
    assert not [line for line in wrong(tmp_path) if "unknown" in line]


def test_the_list_of_valid_keys_of_a_data_set_is_complete(tmp_path: Path) -> None:
    (line,) = {line for line in wrong(tmp_path, "datasets.birds.zzz=1") if "data set birds" in line}
    valid = set(line.partition("valid: ")[2].split(", "))
    assert valid >= {"of", "root", "test_share", "boxes", "val_truth", "val_per_class", "val_seed", "mirrors"}


def test_the_list_of_valid_keys_of_a_track_has_extends(tmp_path: Path) -> None:
    (line,) = wrong(tmp_path, "tracks.birds.zzz=1")
    assert {"extends", "dataset", "lr"} <= set(line.partition("valid: ")[2].split(", "))


def wrong(root: Path, *changes: str) -> list[str]:
    """Return what doctor finds wrong with the committed parameters and changes."""
    data = load_yaml(Path("params.yaml").read_text())
    for change in [*OWN, *changes]:
        put(data, change)
    with (root / "params.yaml").open("w") as stream:
        YAML(typ="safe", pure=True).dump(data, stream)
    return [f"{found.subject}: {found.text}" for found in doctor.findings(root) if found.state == "wrong"]
