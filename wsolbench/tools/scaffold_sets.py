"""``wsolbench new dataset`` and ``new track``: look at people's images, and write their blocks in ``params.yaml``."""

from __future__ import annotations

import io
import math
import tempfile
from inspect import signature
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from wsolbench.acquire.building import build_dataset
from wsolbench.acquire.inspection import keep_checks
from wsolbench.acquire.policy import policy_and_sources
from wsolbench.acquire.summary import check_classes, split_table
from wsolbench.config import registry
from wsolbench.config.keys import check_key
from wsolbench.config.paths import Layout
from wsolbench.config.recipe import Track
from wsolbench.config.schema import PARAMS_FILE, check_known, load_yaml, validated
from wsolbench.config.settings import Settings
from wsolbench.data.dataset import Contents
from wsolbench.data.index import INDEX_FILE, check_contents, read_split
from wsolbench.errors import DataError, SettingsError, WeightsError
from wsolbench.files import write_text
from wsolbench.models.backbones.weights import PINNED, find_weights
from wsolbench.models.pretrained import pinned_weights
from wsolbench.tools.params_text import entry, with_additions
from wsolbench.tools.project import template

__all__ = ["new_dataset", "new_track", "weights_at_hand"]

_ITERATIONS = 1000  # for which a pretrained network needs minutes on a GPU
_EPOCHS = (3, 100)
_PARTS = {"images", "masks", "metadata", "annotations", "Annotations", "JPEGImages", "CUB_200_2011"}


def new_dataset(name: str, root: Path, of: str | None, settings: Settings, checkout: Path) -> str:
    """Look at a folder of images, and write a data set of them into ``params.yaml``.

    All images are opened, as ``wsolbench prepare`` does, which need not do it again. Without ``of``, the class that
    recognises the layout reads it. Returns what was found: class, and a table of splits.

    Raises:
        SettingsError: the key cannot be one or is taken, or there is no such class.
        DataError: the folder is laid out as no data set is, or ``wsolbench prepare`` would refuse it.
    """
    check_key("datasets", name)
    if name in settings.datasets or name in registry.names("dataset"):
        raise SettingsError(f"datasets.{name} exists already; choose another key")
    chosen = _recognise(checkout / root.expanduser()) if of is None else of
    check_known("--of", chosen, registry.names("dataset"), SettingsError)
    block = {"of": chosen, "root": str(root)}
    data = settings.model_dump(exclude_unset=True) | {"datasets": {**settings.datasets, name: block}}
    contents = _inspect(validated(Settings, data, ""), name, Layout(checkout))
    counts = {split: sum(item.split == split for item in contents.items) for split in ("train", "val", "test")}
    images = ", ".join(f"{count} {split}" for split, count in counts.items())
    lines = [
        f"  {name}:  # {len(contents.class_names)} classes; {images}\n",
        f"    of: {chosen}\n",
        entry("root", str(root)),
        f"    # Its other arguments, with their defaults; {_who_says(chosen)} what they do.\n",
        *(entry(key, default).replace("    ", "    # ", 1) for key, default in _defaults(chosen).items()),
    ]
    _add_block(checkout, "datasets", name, "".join(lines))
    return f"{chosen}: {len(contents.class_names)} classes\n{split_table(contents)}"


def new_track(
    name: str, dataset: str, backbone: str | None, weights: str | None, settings: Settings, checkout: Path
) -> str:
    """Write a track of a data set into ``params.yaml``, and its name into ``run.tracks``; return the lines.

    It extends a track of the same backbone (and weights), the data set's own before any other; where there is none, it
    is written out from the shipped recipe of the backbone. On other data, it has as
    many epochs as make about 1,000 iterations, from 3 to 100, and the rate falls by a cosine. Without a backbone, it is
    the one that the key ends in, as in ``birds-<backbone>``; weights are a name, ``none`` for random initialisation, or
    None for those of the extended track.

    Raises:
        SettingsError: a name is unknown, or the key cannot be one or is taken.
        DataError: the data set cannot be read.
    """
    check_key("tracks", name)
    if name in settings.tracks:
        raise SettingsError(f"tracks.{name} exists already; choose another key")
    check_known("--dataset", dataset, settings.datasets, SettingsError)
    chosen = _backbone_of(name) if backbone is None else backbone
    check_known("--backbone", chosen, registry.names("backbone"), SettingsError)
    base = _track_to_extend(settings, dataset, chosen, weights)
    track, lines = settings.tracks[base], [f"  {name}:\n", f"    extends: {base}\n", f"    dataset: {dataset}\n"]
    if track.backbone != chosen and (shipped := _shipped(chosen, weights)):
        track = shipped.model_copy(update={"weights": _weights(chosen, weights, shipped)})
        lines = [f"  {name}:\n", *_written(track), f"    dataset: {dataset}\n"]
    if track.backbone != chosen:
        lines.append(f"    backbone: {chosen}\n")
    wanted = _weights(chosen, weights, track)
    if wanted != track.weights:
        lines.append(f"    weights: {wanted or ''}".rstrip() + "\n")
    if track.dataset != dataset:
        lines += _schedule(track, _training_images(settings, dataset, Layout(checkout)))
    _add_block(checkout, "tracks", name, "".join(lines), run="tracks")
    return "".join(lines)


def weights_at_hand(settings: Settings, track: str) -> str:
    """Return a sentence about a track's weights that are neither here nor at an address; nothing where they are."""
    chosen = settings.tracks[track]
    if chosen.weights is None:
        return ""
    try:
        root = Path(settings.weights.root) if settings.weights.root else None
        find_weights(pinned_weights(chosen.backbone, chosen.weights), root)
    except WeightsError:
        fetched = " or ".join(name for name, each in PINNED[chosen.backbone].items() if each.url)
        instead = f"; {fetched} in their place would be fetched" if fetched else ""
        return f"Its weights {chosen.weights} are not at hand: `wsolbench doctor` says how to get them{instead}."
    return ""


def _backbone_of(track: str) -> str:
    backbones = registry.names("backbone")
    found = track.rpartition("-")[2]
    if found not in backbones:
        raise SettingsError(
            f"'{track}' does not end in the name of a backbone; say --backbone, one of {', '.join(backbones)}"
        )
    return found


def _recognise(root: Path) -> str:
    if not root.is_dir():
        raise DataError(f"{root} is no directory; name the one that holds the images and what describes them")
    classes = {name: registry.load("dataset", name) for name in registry.names("dataset", own=True)}
    found = [name for name, each in classes.items() if each.recognises(root)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{root} could be read by {' or '.join(found)}; choose one with --of")
    if root.name in _PARTS and any(each.recognises(root.parent) for each in classes.values()):
        raise DataError(f"{root} is a part of a data set, it seems; did you mean the folder above, {root.parent}?")
    lacking = "\n".join(said for each in classes.values() if (said := each.lacks(root)))
    if lacking:
        raise DataError(lacking)
    layouts = "\n".join(f"  {name}: {each.how_to}" for name, each in classes.items() if hasattr(each, "how_to"))
    raise DataError(f"{root} is laid out as no data set is that can be read:\n{layouts}")


def _inspect(settings: Settings, name: str, layout: Layout) -> Contents:
    dataset, (policy, _) = build_dataset(settings, name), policy_and_sources(settings, name)
    with keep_checks(layout.checked), tempfile.TemporaryDirectory() as directory:
        contents = policy.applied(dataset.contents(Path(directory)))
    check_contents(contents)
    check_classes(contents)
    return contents


def _who_says(of: str) -> str:
    """Return where arguments are documented, in words that hold in any project: it has no ``datasets/``."""
    found = registry.load("dataset", of)
    name = f"{found.__module__}.{found.__name__}"
    return f"`python -m pydoc {name}` says" if name.startswith("wsolbench.") else f"{found.__name__}'s docstring says"


def _defaults(of: str) -> dict[str, Any]:
    parameters = signature(registry.load("dataset", of)).parameters
    return {name: each.default for name, each in parameters.items() if name != "root"}


def _track_to_extend(settings: Settings, dataset: str, backbone: str, weights: str | None) -> str:
    """Return the track to extend: of the backbone and the weights, else of the backbone, else one like it."""

    def distance(name: str) -> tuple[bool, ...]:
        track = settings.tracks[name]
        other = track.backbone != backbone
        unlike = weights is not None and track.weights != _weights(backbone, weights, track)
        unlike |= other and (track.weights is None) != (_weights(backbone, weights, track) is None)
        return other, other and bool(track.backbone_args), unlike, track.dataset != dataset

    trained = [name for name, track in settings.tracks.items() if track.epochs]
    if not trained:
        raise SettingsError(
            f"{PARAMS_FILE}: tracks has none that trains, which a new one could extend; write it by hand"
        )
    return min(trained, key=distance)


def _shipped(backbone: str, weights: str | None) -> Track | None:
    """Return the shipped recipe of a backbone that no track of a project has; None if there is none."""
    settings = validated(Settings, load_yaml(template("params.yaml")), "")
    found = settings.tracks[_track_to_extend(settings, "", backbone, weights)]
    return found if found.backbone == backbone else None


def _written(track: Track) -> list[str]:
    """Return a recipe as the lines of a block, without the data set and what :func:`_schedule` writes."""
    content = track.model_dump(exclude_defaults=True, exclude={"dataset", "epochs", "step_epochs", "milestones"})
    if track.schedule != "cosine":
        content.pop("schedule", None)
    stream = io.StringIO()
    YAML().dump(content, stream)
    return [f"    {line}\n" for line in stream.getvalue().splitlines()]


def _weights(backbone: str, asked: str | None, track: Track) -> str | None:
    if asked == "none":
        return None
    if asked is not None:
        return pinned_weights(backbone, asked).name
    return track.weights if track.backbone == backbone else next(iter(PINNED.get(backbone, {})), None)


def _training_images(settings: Settings, dataset: str, layout: Layout) -> int:
    prepared = [layout.prepared(track) for track, each in settings.tracks.items() if each.dataset == dataset]
    for directory in prepared:
        if (directory / INDEX_FILE).is_file():
            return len(read_split(directory, "train"))
    return sum(item.split == "train" for item in _inspect(settings, dataset, layout).items)


def _schedule(track: Track, images: int) -> list[str]:
    if not images:
        raise DataError("the data set has no training images, so that there is nothing to train on; add some")
    epochs = min(max(math.ceil(_ITERATIONS * track.batch / images), _EPOCHS[0]), _EPOCHS[1])
    iterations = epochs * math.ceil(images / track.batch)
    lines = [f"    epochs: {epochs}  # {iterations} iterations of {track.batch} of {images} images\n"]
    if track.schedule != "cosine":
        lines.append("    schedule: cosine\n")
    return lines + [f"    {name}:\n" for name in ("step_epochs", "milestones") if getattr(track, name) is not None]


def _add_block(checkout: Path, group: str, name: str, block: str, run: str | None = None) -> None:
    path = checkout / PARAMS_FILE
    changed = with_additions(path.read_text(encoding="utf-8"), group, name, block, run)
    validated(Settings, YAML(typ="safe", pure=True).load(changed), "", str(path))
    write_text(path, changed)
