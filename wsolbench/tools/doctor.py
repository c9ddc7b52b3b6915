"""``wsolbench doctor``: is everything here that the configured runs need?"""

from __future__ import annotations

import importlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from rich.console import Console

from wsolbench.acquire.building import build_dataset
from wsolbench.acquire.policy import GROUND_TRUTH, divided
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings, read_settings, validated_arguments
from wsolbench.errors import WsolbenchError
from wsolbench.models.backbones.weights import find_weights
from wsolbench.models.pretrained import pinned_weights
from wsolbench.runs.machine import check_precision, trains_on_cpu

__all__ = ["Finding", "findings", "run_checks"]

_MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "wrong": "[red]wrong[/]"}


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        state: ``wrong`` makes the configured runs fail; ``note`` is good to know.
        subject: what was checked.
        text: what was found and, if wrong, what to do.
    """

    state: Literal["ok", "note", "wrong"]
    subject: str
    text: str


def run_checks(root: Path) -> int:
    """Print all findings; return 0, or 1 if anything is wrong."""
    console = Console(highlight=False, soft_wrap=True)
    worst = 0
    for finding in findings(root):
        console.print(f"{_MARKS[finding.state]:>6} ", end="")
        console.print(f"{finding.subject}: {finding.text}", markup=False)
        worst |= finding.state == "wrong"
    return int(worst)


def findings(root: Path) -> Iterator[Finding]:
    """Check the environment, then ``params.yaml`` and everything that it names.

    Args:
        root: the repository.
    """
    yield Finding("ok", "Python", f"{platform.python_version()} at {sys.executable}")
    yield from _packages()
    yield _torch_pair()
    yield _cuda()
    yield _dvc(root)
    try:
        settings = read_settings(root / "params.yaml")
    except WsolbenchError as error:
        yield Finding("wrong", "params.yaml", str(error))
        return
    yield Finding("ok", "params.yaml", f"{len(settings.run.tracks)} track(s) to run: {', '.join(settings.run.tracks)}")
    yield from _components(settings)
    for track in settings.run.tracks:
        yield from _track(settings, track, root)
    yield from _stale(settings, root)


def _packages() -> Iterator[Finding]:
    for line in requires("wsolbench") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield Finding("wrong", requirement.name, f"is not installed; {line} is needed (`make test` installs it)")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            yield Finding("wrong", requirement.name, f"{found} is installed, {requirement.specifier} is needed")


def _torch_pair() -> Finding:
    torch, vision = version("torch"), version("torchvision")
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        text = f"torch {torch} and torchvision {vision} do not match ({error}); install both from requirements.lock"
        return Finding("wrong", "torch", text)
    return Finding("ok", "torch", f"{torch} with torchvision {vision}")


def _cuda() -> Finding:
    import torch  # noqa: PLC0415 - after the pair has been checked

    if not torch.cuda.is_available():
        return Finding("note", "CUDA", f"no device; the CPU is used ({torch.backends.cpu.get_cpu_capability()})")
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return Finding("ok", "CUDA", f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB, CUDA {torch.version.cuda}")


def _dvc(root: Path) -> Finding:
    command = [sys.executable, "-m", "dvc", "root"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        text = f"{done.stderr.strip()}. Without git: `dvc config --local core.no_scm true`"
        return Finding("wrong", "dvc", text)
    if shutil.which("wsolbench") is None or shutil.which("dvc") is None:
        return Finding("note", "dvc", "stages call `wsolbench`, which is not on the PATH: use make, or activate .venv")
    return Finding("ok", "dvc", f"{version('dvc')}, repository found")


def _components(settings: Settings) -> Iterator[Finding]:
    for name in settings.methods:
        yield _checked(f"method {name}", lambda n=name: _check_method(n, settings))  # type: ignore[misc]
    for name in settings.datasets:
        yield _checked(f"data set {name}", lambda n=name: _check_dataset(n, settings))  # type: ignore[misc]


def _check_method(name: str, settings: Settings) -> str:
    block = settings.methods[name]
    method = registry.load("method", block.of or name)
    validated_arguments(method, block.args, f"methods.{name}.args", given=2)
    for track in block.only or settings.tracks:
        run = settings.resolve(f"{track}-{name}-0")
        validated_arguments(method, run.on_track.args, f"methods.{name}.tracks.{track}.args", given=2)
    return f"{method.title}, {block.title or method.status}"


def _check_dataset(name: str, settings: Settings) -> str:
    return f"{build_dataset(settings, name).title} ({settings.class_of(name)})"


def _track(settings: Settings, name: str, root: Path) -> Iterator[Finding]:
    track = settings.tracks[name]

    def data() -> str:
        dataset = build_dataset(settings, track.dataset)
        images = dataset.image_root(Layout(root).prepared(name))
        policy = divided(settings.datasets.get(track.dataset, {}), f"datasets.{track.dataset}").policy
        truth = "" if policy.val_truth == GROUND_TRUTH else f"; val_truth: {policy.truth_name}"
        return f"{dataset.title} ({settings.class_of(track.dataset)}): images under {images}{truth}"

    def backbone() -> str:
        component = registry.load("backbone", track.backbone)
        validated_arguments(component, track.backbone_args, f"tracks.{name}.backbone_args", given=1)
        return track.backbone

    def weights() -> str:
        if track.weights is None:
            return "none: random initialisation"
        folder = Path(settings.weights.root) if settings.weights.root else None
        pinned = pinned_weights(track.backbone, track.weights)
        local = find_weights(pinned, folder)
        return f"{track.weights}, checked: {local}" if local else f"{track.weights}: will be fetched from {pinned.url}"

    def precision() -> str:
        runs = [settings.resolve(f"{name}-{method}-0") for method in settings.run.methods]
        if trains_on_cpu(settings.runtime):
            check_precision(runs)
        return ", ".join(sorted({f"amp {run.track.amp}" for run in runs})) or "no methods"

    yield _checked(f"track {name}, data set {track.dataset}", data)
    yield _checked(f"track {name}, backbone", backbone)
    yield _checked(f"track {name}, weights", weights)
    yield _checked(f"track {name}, precision", precision)


def _stale(settings: Settings, root: Path) -> Iterator[Finding]:
    for track in settings.run.tracks:
        wanted = {
            f"{track}-{name}-{seed}"
            for name in [*settings.run.methods, *settings.run.seeded_baselines]
            for seed in settings.run.seeds
        }
        wanted |= {f"{track}-{name}-0" for name in settings.run.baselines}
        folder = Layout(root).metrics(track, "any").parent
        for path in sorted(folder.glob("*.json")):
            if path.stem not in wanted:
                text = "belongs to no run of params.yaml and is not reported; remove it with its siblings"
                yield Finding("note", str(path.relative_to(root)), text)


def _checked(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding("ok", subject, check())
    except WsolbenchError as error:
        return Finding("wrong", subject, str(error))
