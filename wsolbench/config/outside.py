"""``from`` in blocks of ``params.yaml``: where methods, data sets and backbones lie that are not in the repository."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsolbench.config import registry
from wsolbench.config.keys import check_key
from wsolbench.errors import SettingsError

__all__ = ["place_components", "target_of", "without_from"]

_GROUPS = ("methods", "datasets", "backbones")


def without_from(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without ``from``, which only the registry reads."""
    found = dict(data)
    for group in _GROUPS:
        if isinstance(blocks := data.get(group), Mapping):
            found[group] = {
                name: {key: value for key, value in block.items() if key != "from"} if _has_from(block) else block
                for name, block in blocks.items()
            }
    return found


def place_components(data: Any, path: Path) -> None:
    """Tell the registry what settings say of components outside of the repository; forget what was said before.

    Raises:
        SettingsError: a ``from`` is no text or stands beside ``of``, or its key cannot name a component.
    """
    for group in _GROUPS:
        blocks, placed = data.get(group) if isinstance(data, Mapping) else None, dict[str, str]()
        for name, block in blocks.items() if isinstance(blocks, Mapping) else ():
            if not _has_from(block):
                continue
            where = f"{path}: {group}.{name}"
            check_key(f"{path}: {group}", name)
            if name in registry.names("baseline"):
                raise SettingsError(f"{where}: '{name}' is already the name of a baseline; choose another key")
            if not isinstance(block["from"], str) or not block["from"].partition(":")[0]:
                raise SettingsError(f"{where}.from: {block['from']!r} is neither a file nor package.module:Class")
            if "of" in block:
                raise SettingsError(f"{where}: `from` says where its class lies, `of` that it has another's; keep one")
            placed[name] = target_of(block["from"], path.parent)
        registry.place(group, placed)


def target_of(text: str, folder: Path) -> str:
    """Return ``<file>.py[:Class]``, relative to a folder, with an absolute path; ``module[:Class]`` as it is."""
    file, colon, class_name = text.partition(":")
    return f"{(folder / file).resolve()}{colon}{class_name}" if file.endswith(".py") else text


def _has_from(block: Any) -> bool:
    return isinstance(block, Mapping) and "from" in block
