"""``wsolbench doctor``: is everything here that the configured runs need?"""

from __future__ import annotations

import platform
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.version import Version

from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings, read_settings, validated_arguments
from wsolbench.errors import WsolbenchError, counted
from wsolbench.tools.catalogue import cached

__all__ = ["Finding", "findings", "run_checks"]

_ARGUMENTS = {"backbone": 1, "method": 2, "readout": 1}  # that the harness gives itself


@dataclass(frozen=True)
class Finding:
    """One check's outcome and, if ``wrong``, what to do: configured runs fail then; a ``note`` is good to know."""

    state: Literal["ok", "note", "wrong"]
    subject: str
    text: str = ""


def run_checks(root: Path) -> int:
    """Print what is wrong or good to know, a line each, and all that is well in one; return 1 if anything is wrong."""
    found = list(findings(root))
    for each in sorted((each for each in found if each.state != "ok"), key=lambda each: each.state == "note"):
        sys.stdout.write(f"{each.state}: {each.subject}: {each.text}\n")
    well = [f"{each.subject} {each.text}".rstrip() for each in found if each.state == "ok"]
    sys.stdout.write(f"ok: {'; '.join(well)}\n")
    return int(any(each.state == "wrong" for each in found))


def findings(root: Path) -> Iterator[Finding]:
    """Check the environment, then ``params.yaml`` and everything that it names."""
    yield Finding("ok", "Python", platform.python_version())
    yield from _packages()
    yield _torch_pair()
    yield _gpu()
    yield _dvc(root)
    try:
        settings = read_settings(root / "params.yaml")
    except WsolbenchError as error:
        yield Finding("wrong", "params.yaml", str(error).removeprefix("params.yaml: "))
        return
    yield Finding("ok", "params.yaml", f"with {counted(len(settings.run.tracks), 'track')} to run")
    yield from _arguments(settings)
    data_sets = {f"data set {name}": partial(_dataset, settings, name) for name in settings.datasets}
    yield from _group(counted(len(data_sets), "data set"), data_sets)
    for track in settings.run.tracks:
        checks = {f"track {track}, {what}": partial(check, settings, track, root) for what, check in _OF_TRACKS.items()}
        is_stored = any(Layout(root).metrics(track, "any").parent.glob("*.json"))
        for each in _group(f"track {track}", checks):
            text = f"{each.text.removesuffix('.')}. Until then its stored results stay as they are"
            yield replace(each, state="note", text=text) if is_stored and each.state == "wrong" else each
    yield from _stale(settings, root)


def what_a_track_lacks(settings: Settings, track: str, root: Path) -> list[str]:
    """Return what keeps this machine from running a track, in sentences; none if nothing does."""
    checks = {what: partial(check, settings, track, root) for what, check in _OF_TRACKS.items()}
    return [each.text for each in _group(track, checks) if each.state == "wrong"]


def _group(subject: str, checks: Mapping[str, Callable[[], str | None]]) -> Iterator[Finding]:
    """Make some checks; one finding if all is well, and else one for each that raises or returns something to note."""
    well = True
    for name, check in checks.items():
        try:
            said, state = check(), "note"
        except WsolbenchError as error:
            said, state = str(error), "wrong"
        if said is not None:
            well = False
            yield Finding("wrong" if state == "wrong" else "note", name, said)
    if well:
        yield Finding("ok", subject)


def _packages() -> Iterator[Finding]:
    needed = [Requirement(line) for line in requires("wsolbench") or []]
    needed = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = False
    for each in needed:
        try:
            found = version(each.name)
        except PackageNotFoundError:
            yield Finding("wrong", each.name, f"is not installed; {each} is needed (`make test` installs it)")
            wrong = True
            continue
        if not each.specifier.contains(found, prereleases=True):
            yield Finding("wrong", each.name, f"{found} is installed, {each.specifier} is needed")
            wrong = True
    if not wrong:
        yield Finding("ok", "packages", str(len(needed)))


def _torch_pair() -> Finding:
    """Compare torch with what torchvision was built for; importing both would take seconds."""
    torch, vision = version("torch"), version("torchvision")
    built_for = next((r for r in map(Requirement, requires("torchvision") or []) if r.name == "torch"), None)
    fits = built_for is None or built_for.specifier.contains(Version(torch).public, prereleases=True)
    if fits and Version(torch).local == Version(vision).local:
        return Finding("ok", "torch", f"{torch} with torchvision {vision}")
    text = f"torch {torch} and torchvision {vision} do not match; install both from requirements.lock"
    return Finding("wrong", "torch", text)


def _gpu() -> Finding:
    """Ask the driver, and torch's build, without importing torch."""
    names = ""
    if program := shutil.which("nvidia-smi"):
        asked = [program, "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
        names = "" if done.returncode else ", ".join(done.stdout.split("\n")).strip(", ")
    if not names:
        return Finding("note", "GPU", "none with a driver is here; the CPU is used")
    spec = find_spec("torch")
    built = spec and spec.origin and runpy.run_path(str(Path(spec.origin).with_name("version.py"))).get("cuda")
    if not built:
        return Finding("note", "GPU", f"{names}: not used, torch is built for the CPU alone; install one with CUDA")
    return Finding("ok", "GPU", f"{names}, torch for CUDA {built}")


def _dvc(root: Path) -> Finding:
    place = next((each for each in (root.resolve(), *root.resolve().parents) if (each / ".dvc").is_dir()), None)
    if place is None:
        return Finding("wrong", "dvc", "there is no .dvc folder here or above; run `dvc init`, or clone the repository")
    settings = "".join(file.read_text(encoding="utf-8") for file in sorted((place / ".dvc").glob("config*")))
    in_git = any((each / ".git").exists() for each in (place, *place.parents))
    if not in_git and "no_scm" not in settings:
        return Finding("wrong", "dvc", f"{place} is no git repository; run `dvc config --local core.no_scm true`")
    if shutil.which("wsolbench") is None or shutil.which("dvc") is None:
        return Finding("note", "dvc", "stages call `wsolbench`, which is not on the PATH: use make, or activate .venv")
    return Finding("ok", "dvc", version("dvc"))


def _arguments(settings: Settings) -> Iterator[Finding]:
    """Check the arguments of all methods and backbones; torch is imported where any of them has changed."""
    problems, own, others = _asked(settings)
    problems += cached("arguments", own, lambda: check_arguments(own))
    problems += check_arguments(others)
    for subject, text in problems:
        yield Finding("wrong", subject, text)
    if not problems:
        yield Finding("ok", "arguments", f"of {counted(len(settings.methods), 'method')}")


_Arguments = tuple[registry.Kind, str, dict[str, Any], str]
"""Kind and name of a component, its arguments, and where they stand."""


def own_arguments(settings: Settings) -> list[_Arguments]:
    """Return all arguments that params.yaml gives to components of the repository."""
    return _asked(settings)[1]


def check_arguments(asked: Sequence[_Arguments]) -> list[tuple[str, str]]:
    """Return what is wrong, and of what."""
    return [said for each in asked for said in _problems(*each)]


def _asked(settings: Settings) -> tuple[list[tuple[str, str]], list[_Arguments], list[_Arguments]]:
    """Return runs that cannot be resolved, and arguments of the repository's components and of others."""
    asked: list[_Arguments] = []
    problems: list[tuple[str, str]] = []
    for name, block in settings.methods.items():
        asked.append(("method", block.of or name, block.args, f"methods.{name}.args"))
        for track in block.only or block.tracks:
            try:
                run = settings.resolve(f"{track}-{name}-0")
            except WsolbenchError as error:
                problems.append((f"method {name}", str(error)))
            else:
                asked.append(("method", run.component, run.on_track.args, f"methods.{name}.tracks.{track}.args"))
    for name in settings.run.tracks:
        chosen = settings.tracks[name]
        asked.append(("backbone", chosen.backbone, chosen.backbone_args, f"tracks.{name}.backbone_args"))
    own = [each for each in asked if each[1] in registry.names(each[0], own=True)]
    return problems, own, [each for each in asked if each not in own]


def _problems(kind: registry.Kind, name: str, args: dict[str, Any], where: str) -> Iterator[tuple[str, str]]:
    try:
        loaded = registry.kind_of(name) if kind == "method" else kind
        validated_arguments(registry.load(loaded, name), args, where, given=_ARGUMENTS[loaded])
    except WsolbenchError as error:
        yield f"{kind} {name}", str(error)


def _dataset(settings: Settings, name: str) -> None:
    from wsolbench.acquire.building import build_dataset  # noqa: PLC0415

    build_dataset(settings, name)


def _images(settings: Settings, track: str, root: Path) -> None:
    from wsolbench.acquire.building import build_dataset  # noqa: PLC0415
    from wsolbench.acquire.policy import policy_and_sources  # noqa: PLC0415

    name = settings.tracks[track].dataset
    build_dataset(settings, name).image_root(Layout(root).prepared(track))
    _ = policy_and_sources(settings, name)[0].truth_name  # reads the file of val_truth


def _weights(settings: Settings, track: str, root: Path) -> str | None:
    from wsolbench.models.backbones.weights import find_weights  # noqa: PLC0415
    from wsolbench.models.pretrained import pinned_weights  # noqa: PLC0415

    del root
    chosen = settings.tracks[track]
    if chosen.weights is None:
        return None
    pinned = pinned_weights(chosen.backbone, chosen.weights)
    folder = Path(settings.weights.root) if settings.weights.root else None
    return None if find_weights(pinned, folder) else f"{chosen.weights} will be fetched from {pinned.url}"


def _precision(settings: Settings, track: str, root: Path) -> None:
    from wsolbench.runs.machine import check_precision, trains_on_cpu  # noqa: PLC0415

    del root
    runs = [settings.resolve(f"{track}-{method}-0") for method in settings.run.methods]
    if any(run.track.amp != "off" for run in runs) and trains_on_cpu(settings.runtime):
        check_precision(runs)


_OF_TRACKS = {"data set": _images, "weights": _weights, "precision": _precision}


def _stale(settings: Settings, root: Path) -> Iterator[Finding]:
    tracked = _in_git(root)
    for track in settings.run.tracks:
        wanted = {key for keys in settings.run.keys(track).values() for key in keys}
        for path in sorted(Layout(root).metrics(track, "any").parent.glob("*.json")):
            if path.stem not in wanted:
                name = path.relative_to(root).as_posix()
                text = (
                    "name its run in params.yaml to report it again"
                    if name in tracked
                    else "remove it with its siblings"
                )
                yield Finding("note", name, f"belongs to no run of params.yaml and is not reported; {text}")


def _in_git(root: Path) -> set[str]:
    """Return the files below the stored metrics that git tracks: what it keeps is nobody's to delete."""
    place = Layout(root).metrics("any", "any").parents[1].relative_to(root)
    asked = ["git", "-C", str(root), "ls-files", "-z", str(place)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False) if shutil.which("git") else None  # noqa: S603
    return {*done.stdout.split("\0")} if done else set()
