"""A small copy of the repository in which the real pipeline runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

SOURCES = [
    "wsolbench",
    "methods",
    "datasets",
    "results/published",
    "results/search/README.md",  # and not the searches, which are of other settings than these tests'
    "entries/README.md",
    "dvc.yaml",
    "params.yaml",
    ".dvcignore",
]

# Two small methods on very few, very small images: what is tested is the pipeline, not the numbers.
SMALL_SHAPES = {"image_size": 48, "num_classes": 3, "train": 24, "val": 9, "test": 9}
SMALL_TRACK = {"resize": 48, "crop": 48, "epochs": 1, "batch": 8}


@dataclass(frozen=True)
class Pipeline:
    """A checkout with its own params and DVC cache."""

    root: Path

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            arguments, cwd=self.root, env=self.environment(), capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def repro(self, *arguments: str) -> list[str]:
        """Run ``dvc repro -k`` and return the stages that ran, in order."""
        return stages_in(self.run("dvc", "repro", "-k", *arguments).stdout)

    def start_repro(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["dvc", "repro", "-k"], cwd=self.root, env=self.environment(), stdout=subprocess.PIPE, text=True
        )

    def params(self) -> dict[str, Any]:
        """Return what params.yaml holds."""
        found: dict[str, Any] = YAML(typ="safe").load((self.root / "params.yaml").read_text())
        return found

    def edit_params(self, **changes: object) -> None:
        """Set ``a__b__c=value`` as ``a.b.c`` of params.yaml."""
        yaml = YAML(typ="safe", pure=True)  # and not one that keeps comments, which misplaces some
        yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = False, False  # type: ignore[assignment]
        params = self.params()
        for name, value in changes.items():
            *parents, last = name.split("__")
            block = params
            for parent in parents:
                block = block[parent]
            block[last] = value
        with (self.root / "params.yaml").open("w") as stream:
            yaml.dump(params, stream)

    def environment(self) -> dict[str, str]:
        binaries = Path(sys.executable).parent
        return os.environ | {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.root),  # spares each process the start with the installed code
            "OMP_NUM_THREADS": "1",
        }


def stages_in(output: str) -> list[str]:
    """Return the stages that ran, in order, without those that run each time."""
    return re.findall(r"^Running stage '((?!look@|resolve')[^']+)'", output, flags=re.MULTILINE)


def copy_checkout(root: Path) -> None:
    """Copy what the pipeline needs."""
    for name in SOURCES:
        source = Path(name)
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / name)


def git_repository(root: Path) -> None:
    """Make a copied checkout a repository of git and DVC, with one commit."""
    shutil.copy(".gitignore", root)
    (root / ".dvc").mkdir(exist_ok=True)
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    for command in (
        ("init", "--quiet"),
        ("config", "user.name", "A tester"),
        ("config", "user.email", "tester@example.org"),
        ("add", "--all"),
        ("commit", "--quiet", "--message", "checkout"),
    ):
        subprocess.run(["git", *command], cwd=root, check=True)


def new_pipeline(root: Path) -> Pipeline:
    """Copy what the pipeline needs to a directory that DVC takes for a repository without git."""
    copy_checkout(root)
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text(
        "[core]\n    analytics = false\n    check_update = false\n    no_scm = true\n"
    )
    made = Pipeline(root)
    # They name methods and tracks that the tests leave out.
    made.edit_params(run__readouts=[], run__read=[], run__full_only={}, report__notes={})
    return made


def small_settings(*methods: str) -> dict[str, Any]:
    """Return changes, for ``edit_params``, after which some methods run in seconds on a track of few small images."""
    return {
        "datasets__shapes": SMALL_SHAPES,
        "methods": {name: {} for name in methods},
        "run__tracks": ["shapes-convnet"],
        "run__only": {},
        "run__suite": [],
        "run__full_only": {"tracks": [], "methods": []},
        "run__methods": [*methods],
        "run__baselines": [],
        "run__seeded_baselines": [],
        "run__seeds": [0],
        "evaluate__gallery": 2,
        "evaluate__published_threshold": {},
        **{f"tracks__shapes-convnet__{key}": value for key, value in SMALL_TRACK.items()},
    }


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    made = new_pipeline(tmp_path_factory.mktemp("checkout"))
    made.edit_params(**small_settings("cam", "adl"))
    return made
