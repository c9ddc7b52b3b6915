"""The first stage: write down what each run of each stage is to do, all defaults included, and by which code.

DVC compares these files, and nothing else of ``params.yaml`` or the code: what leaves a run's file as it is does not
touch the run. Its own comparison of parameters would take a value named ``size`` for no difference.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from wsolbench.acquire.policy import dataset_arguments, policy_and_sources
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Run, Settings, validated_arguments
from wsolbench.errors import SettingsError, WsolbenchError
from wsolbench.files import write_text
from wsolbench.launch.code import ENTRIES, code_of, code_outside
from wsolbench.models.pretrained import backbone_arguments

__all__ = ["resolve"]

_log = logging.getLogger("wsolbench.launch.resolve")


def resolve(settings: Settings, layout: Layout) -> int:
    """Write the recipes of all runs that ``run`` names to ``data/recipes``; return how many are new or have changed.

    A component that cannot be loaded, or an argument that does not fit, stands in the recipes of its runs as their
    error, which the runs themselves end with; all others go on.

    Raises:
        SettingsError: a baseline is named in the wrong list.
    """
    _check_baselines(settings)
    written, changed = set(), 0
    for stage, name, recipe in _recipes(settings):
        path = layout.recipes / stage / f"{name}.json"
        text = json.dumps(_or_error(f"{stage} {name}", recipe), indent=1, sort_keys=True, default=str) + "\n"
        written.add(path)
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text)
            changed += 1
    for path in layout.recipes.rglob("*"):
        if path.is_file() and path not in written:
            path.unlink()
    return changed


def _recipes(settings: Settings) -> Iterator[tuple[str, str, Callable[[], dict[str, Any]]]]:
    """Yield stage, name of run or track, and what makes the recipe."""
    chosen = settings.run
    for track in dict.fromkeys(chosen.tracks):
        keys = chosen.keys(track)
        for key in keys["train"]:
            yield "train", key, partial(_training, settings, key)
            yield "evaluate", key, partial(_evaluation, settings, key)
        for key in keys["readout"]:
            yield "readout", key, partial(_reading, settings, key)
            yield "evaluate", key, partial(_evaluation, settings, key)
        for key in keys["baseline"] + keys["baseline_seeded"]:
            yield "baseline", key, partial(_baseline, settings, key)
        counted = {f"{track}-{method}": f"{track}-{method}-0" for method in chosen.methods}
        yield "costs", track, partial(_costs, settings, counted)
        yield "prepare", track, partial(_preparation, settings, track)
        yield "weights", track, partial(_weights, settings, track)
        yield "photographs", track, partial(_photographs, settings)
        yield "report", track, partial(_reports, settings, "report")
    for stage in ("summary", "page"):
        yield stage, "all", partial(_reports, settings, stage)


def _preparation(settings: Settings, track: str) -> dict[str, Any]:
    name = settings.tracks[track].dataset
    return {
        "dataset": name,
        "of": settings.class_of(name),
        "arguments": dataset_arguments(settings, name, complete=True),
        "policy": policy_and_sources(settings, name)[0].model_dump(),
        "selection": settings.tracks[track].selection == "val_boxes",
    } | _code("prepare", settings.dataset_class(name))


def _weights(settings: Settings, track: str) -> dict[str, Any]:
    chosen = settings.tracks[track]
    return {"backbone": chosen.backbone, "weights": chosen.weights} | _code("weights")


def _training(settings: Settings, key: str) -> dict[str, Any]:
    run = settings.resolve(key)
    method, backbone = _components(run)
    return {
        "run": run.as_dict(),
        "arguments": validated_arguments(
            method, run.on_track.args, f"methods.{run.method}.args", given=2, complete=True
        ),
        "backbone_arguments": _backbone_arguments(run),
        "unsupported": settings.unsupported(run),
    } | _code("train", method, backbone)


def _reading(settings: Settings, key: str) -> dict[str, Any]:
    run = settings.resolve(key)
    component, where = registry.load("readout", run.component), f"methods.{run.block}.args"
    read = _components(settings.resolve(run.read_key))
    return {
        "run": run.as_dict(),
        "arguments": validated_arguments(component, run.on_track.args, where, given=1, complete=True),
        "unsupported": settings.unsupported(run),
    } | _code("readout", component, *read)


def _backbone_arguments(run: Run) -> dict[str, Any]:
    backbone, where = registry.load("backbone", run.track.backbone), f"tracks.{run.track_name}.backbone_args"
    return validated_arguments(backbone, backbone_arguments(run.track), where, given=1, complete=True)


def _evaluation(settings: Settings, key: str) -> dict[str, Any]:
    run = settings.resolve(key)
    published = settings.evaluate.published_threshold.get(run.component, {}).get(run.track_name)
    return _measuring(settings) | {"published": published} | _code("evaluate")


def _measuring(settings: Settings) -> dict[str, Any]:
    return {"evaluate": settings.evaluate.model_dump(exclude={"published_threshold"})}


def _costs(settings: Settings, runs: Mapping[str, str]) -> dict[str, Any]:
    found, code = {}, code_of(ENTRIES["costs"])
    for name, key in runs.items():
        recipe = _or_error(f"costs {name}", partial(_training, settings, key))
        found[name] = {field: recipe.get(field) for field in _COUNTED}
        track = settings.resolve(key).track
        found[name] |= track.model_dump(include={"backbone", "weights", "crop", "epochs"})
        if "error" not in recipe:
            code |= _code_of_components(*_components(settings.resolve(key)))
    return {"runs": found, "code": code}


_COUNTED = ("arguments", "backbone_arguments", "unsupported", "error")


def _components(run: Run) -> tuple[type[Any], type[Any]]:
    return registry.load("method", run.component), registry.load("backbone", run.track.backbone)


def _baseline(settings: Settings, key: str) -> dict[str, Any]:
    run = settings.resolve(key)
    component = registry.load("baseline", run.method)
    head = {"track": run.track_name, **run.track.model_dump(include={"dataset", "backbone", "weights", "selection"})}
    content = {"baseline": run.method, "seed": run.seed, "track": head} | _measuring(settings)
    if not component.trains:
        return content | _code("baseline", component)
    content |= {"track": run.as_dict()["track"], "backbone_arguments": _backbone_arguments(run)}
    return content | _code("baseline", component, registry.load("backbone", run.track.backbone))


def _photographs(settings: Settings) -> dict[str, Any]:
    return {"gallery": settings.evaluate.gallery} | _code("photographs")


def _reports(settings: Settings, stage: str) -> dict[str, Any]:
    read_by = {track: settings.class_of(settings.tracks[track].dataset) for track in settings.run.tracks}
    return {"run": settings.run.model_dump(), "report": settings.report.model_dump(), "read_by": read_by} | _code(stage)


def _code(stage: str, *components: type[Any]) -> dict[str, Any]:
    return {"code": code_of(ENTRIES[stage]) | _code_of_components(*components)}


def _code_of_components(*components: type[Any]) -> dict[str, str]:
    return code_of(component.__module__ for component in components) | code_outside(components)


def _or_error(what: str, recipe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return recipe()
    except WsolbenchError as error:
        _log.warning("%s: %s", what, error)
        return {"error": str(error)}


def _check_baselines(settings: Settings) -> None:
    chosen = settings.run
    for block, names, seeded in (
        ("baselines", chosen.baselines, False),
        ("seeded_baselines", chosen.seeded_baselines, True),
    ):
        for name in names:
            if registry.load("baseline", name).seeded is not seeded:
                other = "baselines" if seeded else "seeded_baselines"
                depends = "depends on no seed" if seeded else "depends on the seed"
                raise SettingsError(f"params.yaml: run.{block}: '{name}' {depends}; name it in run.{other}")
