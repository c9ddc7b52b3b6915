"""``wsolbench new method``, and the method that the documentation walks through."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch
from ruamel.yaml import YAML

from wsolbench.config import registry
from wsolbench.config.settings import read_settings
from wsolbench.errors import SettingsError
from wsolbench.models.method import OptimRecipe
from wsolbench.tools import promises, promises_of_readouts
from wsolbench.tools.scaffold import MethodKind, new_method
from wsolbench.tools.small_networks import CLASSES, batch, small_backbone

COPIED = ["wsolbench", "methods", "datasets", "tests", "params.yaml", "pyproject.toml", "Makefile"]


@pytest.fixture
def checkout(tmp_path):
    """A copy of the repository, whose package finds its own methods."""
    for name in COPIED:
        if Path(name).is_dir():
            shutil.copytree(name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "vectors"))
        else:
            shutil.copy(name, tmp_path / name)
    (tmp_path / "wsolbench" / "methods").symlink_to("../methods")
    (tmp_path / "wsolbench" / "datasets").symlink_to("../datasets")
    return tmp_path


def in_checkout(root, *command):
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )


def new_in(root, name):
    return in_checkout(root, "-c", "from wsolbench.cli import main; main()", "new", "method", name)


def walk_through():
    return Path("docs/examples/eil.py").read_text(encoding="utf-8")


def assert_conforms(root, name):
    suite = "tests/conformance/test_every_method.py"
    done = in_checkout(root, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", suite, "-k", name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) > 30
    assert "skipped" not in done.stdout


@pytest.mark.slow
def test_a_new_method_conforms_at_once_and_so_does_the_walk_through(checkout):
    before = (checkout / "params.yaml").read_text()
    done = new_in(checkout, "quite_new")
    assert done.returncode == 0, done.stderr
    assert "make benchmark" in done.stdout
    lines = (checkout / "params.yaml").read_text().splitlines()
    assert [line for line in lines if line not in before.splitlines()] == ["  quite_new: {}", "  - quite_new"]
    assert len(lines) == len(before.splitlines()) + 2
    assert_conforms(checkout, "quite_new")
    assert new_in(checkout, "quite_new").returncode == 1
    assert new_in(checkout, "eil").returncode == 0
    (checkout / "methods" / "eil.py").write_text(walk_through())
    assert_conforms(checkout, "eil")
    for command in (["ruff", "check", "methods"], ["ruff", "format", "--check", "methods"], ["mypy", "methods"]):
        checked = in_checkout(checkout, "-m", *command)
        assert checked.returncode == 0, checked.stdout


@pytest.fixture
def small_repository(tmp_path):
    (tmp_path / "methods").mkdir()
    shutil.copy("params.yaml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My", "cannot name a method"),
        ("my-method", "cannot name a method"),
        ("2nd", "cannot name a method"),
        ("class", "cannot name a method"),
        ("../evil", "cannot name a method"),
        ("", "cannot name a method"),
        ("_hidden", "cannot name a method"),
        ("cam", "is already the name of a method"),
        ("mask_supervised", "is already the name of a baseline"),
        ("cagd", "is already the name of a method"),
        ("base", "is already the name of a part of the harness"),
    ],
)
def test_a_bad_or_taken_name_is_refused_and_nothing_written(small_repository, name, message):
    before = (small_repository / "params.yaml").read_bytes()
    with pytest.raises(SettingsError, match=message):
        new_method(name, read_settings(small_repository / "params.yaml"), small_repository)
    assert (small_repository / "params.yaml").read_bytes() == before
    assert list((small_repository / "methods").iterdir()) == []


def test_a_file_that_exists_is_not_overwritten(small_repository):
    path = small_repository / "methods" / "mine.py"
    path.write_text("precious")
    with pytest.raises(SettingsError, match=r"mine\.py exists already"):
        new_method("mine", read_settings(small_repository / "params.yaml"), small_repository)
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("tail", "line"),
    [
        ("", 2),
        ("\n# about data\ndatasets: {}\n", 2),
        ("    # about adl\n\n\ndatasets: {}\n", 3),
        ("  dgdm:\n    args:\n      drop_rate: 0.5  # ours\ndatasets: {}\n", 5),
    ],
)
@pytest.mark.parametrize("chosen", ["  methods:\n    - adl  # a comment\n", "  methods:\n  - adl\n    # another\n"])
def test_the_lines_stand_behind_the_last_methods_and_all_else_stays(small_repository, tail, line, chosen):
    params = small_repository / "params.yaml"
    text = "methods:\n  adl: {args: {gamma: 0.5}}  # a comment\n" + tail + f"run:\n{chosen}  seeds: [0]\n"
    params.write_text(text)
    new_method("mine", read_settings(Path("params.yaml")), small_repository)
    lines = params.read_text().splitlines()
    assert lines.pop(line) == "  mine: {}"
    assert lines.pop(-2).strip() == "- mine"
    assert lines == text.splitlines()


def test_a_name_is_added_to_an_empty_list(small_repository):
    params = small_repository / "params.yaml"
    params.write_text("methods:\n  adl: {}\nrun: {methods: [adl], readouts: []}\n")
    new_method("mine", read_settings(Path("params.yaml")), small_repository, "readout")
    assert params.read_text() == "methods:\n  adl: {}\n  mine: {}\nrun: {methods: [adl], readouts: [mine]}\n"


@pytest.mark.slow
@pytest.mark.parametrize("kind", get_args(MethodKind))
def test_every_kind_of_new_method_works_as_written(small_repository, monkeypatch, kind):
    monkeypatch.setenv(registry._PLACED, "{}")
    name, backbone = f"new_{kind}", "vit_embedded" if kind == "transformer" else "convnet"
    path = new_method(name, read_settings(Path("params.yaml")), small_repository, kind)
    registry.place("methods", {name: str(path)})
    if kind == "readout":
        promises_of_readouts.test_images_of_a_batch_do_not_meet(name)
        promises_of_readouts.test_its_class_is_a_schema_and_says_what_it_is(name)
        return
    promises.test_losses_are_finite_scalars_of_the_same_names_throughout(name, backbone)
    promises.test_maps_differ_by_label_unless_declared_class_agnostic_and_logits_do_not(name, backbone)
    promises.test_losses_and_maps_are_made_where_the_network_is(name, backbone)
    promises.test_class_says_what_it_is(name)


def test_a_method_is_added_to_a_flow_list_of_those_that_run(small_repository):
    params = small_repository / "params.yaml"
    params.write_text("methods:\n  adl: {}\nrun: {methods: [adl], seeds: [0]}  # all\n")
    new_method("mine", read_settings(Path("params.yaml")), small_repository)
    assert params.read_text() == "methods:\n  adl: {}\n  mine: {}\nrun: {methods: [adl, mine], seeds: [0]}  # all\n"


@pytest.mark.parametrize(
    "text",
    [
        "methods: {adl: {}}\nrun: {methods: [adl]}\n",
        "methods:\n  adl: {}\nrun: {methods: }\n",
        "methods:\n  adl: {}\n",
        "methods: &all\n  adl: {}\nrun: {methods: *all}\n",
    ],
)
def test_where_there_is_no_place_for_the_lines_nothing_is_written(small_repository, text):
    (small_repository / "params.yaml").write_text(text)
    with pytest.raises(SettingsError, match=r"mine: \{\}"):
        new_method("mine", read_settings(Path("params.yaml")), small_repository)
    assert not (small_repository / "methods" / "mine.py").exists()


def test_the_committed_params_stay_valid_and_differ_in_two_lines(small_repository):
    before = Path("params.yaml").read_text().splitlines()
    new_method("mine", read_settings(Path("params.yaml")), small_repository)
    after = (small_repository / "params.yaml").read_text().splitlines()
    assert [line for line in after if line not in before] == ["  mine: {}", "  - mine"]
    assert len(after) == len(before) + 2
    assert YAML(typ="safe").load("\n".join(after))["run"]["methods"] == [
        *read_settings(Path("params.yaml")).run.methods,
        "mine",
    ]


@pytest.fixture
def eil(tmp_path):
    path = tmp_path / "eil.py"
    path.write_text(walk_through())
    spec = importlib.util.spec_from_file_location("walk_through_eil", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_walk_through_is_short_and_trains(eil):
    assert len(walk_through().splitlines()) < 80
    torch.manual_seed(0)
    method = eil.EIL(small_backbone("convnet"), CLASSES).train()
    sgd = torch.optim.SGD(method.param_groups(OptimRecipe(lr=0.1, weight_decay=0.0, head_lr_mult=1.0)), momentum=0.9)
    images, labels = batch()
    totals = []
    for step in range(30):
        losses = method.losses(images, labels, step / 30)
        sgd.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        sgd.step()
        totals.append(float(losses["unerased"].detach()))
    assert totals[-1] < 0.5 * totals[0]


def test_the_walk_throughs_eraser_hides_what_is_above_the_threshold_in_its_second_pass_only(eil):
    eraser, features = eil._Eraser(0.8).train(), torch.rand(2, 3, 4, 5)
    assert eraser(features) is features
    eraser.erasing = True
    expected = features.clone()
    for image in range(2):
        means = features[image].mean(0)
        for y in range(4):
            for x in range(5):
                if means[y, x] > 0.8 * means.max():
                    expected[image, :, y, x] = 0
    assert torch.equal(eraser(features), expected)
    assert not torch.equal(expected, features)
    assert torch.equal(eraser.eval()(features), features)
