"""Keys of ``params.yaml`` become names of files, directories, stages and parameters: one rule for all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wsolbench.config import registry
from wsolbench.errors import SettingsError, nearest

__all__ = ["RESERVED_TRACKS", "check_datasets", "check_key", "check_keys", "split_key"]

RESERVED_TRACKS = frozenset({"look", "recipes", "selection", "weights"})
"""Directories of ``data/`` that belong to no track."""

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SEED = re.compile(r"0|[1-9][0-9]{0,17}")
_RULE = "it names files and stages, and may hold ASCII letters, digits, '_' and '-' only, the first a letter or digit"
_TABLES = ("_classes", "_costs")  # what a track's further tables are named with
_LISTS = ("tracks", "methods", "readouts", "read", "baselines", "seeded_baselines")  # of names, in ``run``
_GROUPS = ("tracks", "methods", "datasets")


def check_key(where: str, key: Any, error: type[Exception] = SettingsError) -> None:
    """Raise ``error``, which names ``where`` and the key, unless the key can name a file and nothing above it."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise error(f"{where}: {key!r} cannot be a key: {_RULE}")


def check_keys(data: Mapping[str, Any]) -> None:
    """Check all keys of ``params.yaml`` that name something, before anything else is read from it.

    Raises:
        ValueError: a key breaks the rule, or is the name of something else.
    """
    run = data.get("run")
    chosen = {f"run.{name}": names for name, names in run.items() if name in _LISTS} if isinstance(run, Mapping) else {}
    named = {group: data.get(group) for group in _GROUPS} | chosen
    for where, names in named.items():
        if isinstance(names, (Mapping, list)):
            for name in names:
                check_key(where, name, ValueError)
    tracks = data.get("tracks")
    for name in tracks if isinstance(tracks, Mapping) else ():
        if name in RESERVED_TRACKS or name.endswith(_TABLES):
            raise ValueError(
                f"tracks: '{name}' names something else; choose a key that is none of "
                f"{', '.join(sorted(RESERVED_TRACKS))} and does not end in {' or '.join(_TABLES)}"
            )


def split_key(key: str) -> tuple[str, str, int] | None:
    """Return the three parts of ``<track>-<method>-<seed>``, or None where a key has another form.

    The seed is a whole number as it is usually written: ASCII digits, no sign, no leading zero.
    """
    parts = key.rsplit("-", 2)
    if len(parts) != 3 or not all(map(_KEY.fullmatch, parts[:2])) or not _SEED.fullmatch(parts[2]):
        return None
    return parts[0], parts[1], int(parts[2])


def check_datasets(datasets: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that each data set is of a class that there is, and has an environment variable of its own.

    Raises:
        ValueError: so it is not; the message names the key and lists the classes.
    """
    known, variables = registry.names("dataset"), dict[str, str]()
    listed = f"there are: {', '.join(known)}"
    for name, block in datasets.items():
        of = block.get("of", name)
        if of not in known and "of" not in block:
            raise ValueError(f"datasets.{name}: `of` must say what reads it; {listed}")
        if of not in known:
            raise ValueError(f"datasets.{name}.of: unknown name {of!r}; {nearest(str(of), known)} ({listed})")
        if name in known and of != name:
            raise ValueError(f"datasets.{name}.of: '{name}' is a data set of its own, not '{of}'; choose another key")
        other = variables.setdefault(name.lower().replace("-", "_"), name)
        if other != name:
            raise ValueError(f"datasets: '{other}' and '{name}' have one environment variable; rename one of them")
