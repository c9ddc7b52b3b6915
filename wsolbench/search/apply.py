"""``wsolbench search --apply``: write the winner of a search to ``params.yaml``."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter

from wsolbench.config.schema import PARAMS_FILE, validated
from wsolbench.config.settings import Settings
from wsolbench.errors import SettingsError
from wsolbench.files import write_text
from wsolbench.search.draw import ARGUMENT, RECIPE
from wsolbench.search.record import Search

__all__ = ["apply_search", "winner", "with_block"]

_WIDEST = 4096  # columns, so that no line is broken that was none


def apply_search(search: Search, root: Path) -> dict[str, Any]:
    """Write the winner of a search under ``methods.<m>.tracks.<t>`` of ``params.yaml``, marked ``recipe: searched``.

    Other arguments and recipe fields that stand there stay, and so do the file's comments. The file is written only if
    it then says exactly what it said before, but for this block, which is returned.

    Raises:
        SettingsError: every trial failed, or the block cannot be changed without changing others; the message then
            holds the block to write by hand.
    """
    path = root / PARAMS_FILE
    text, head = path.read_text(encoding="utf-8"), search.head
    methods = _plain(text)["methods"]
    present = ((methods.get(head.method) or {}).get("tracks") or {}).get(head.track) or {}
    block = winner(search, present)
    remark = f"wsolbench search: {head.objective} {max(search.values):.1f} on val, the best of {head.trials} trials"
    changed = with_block(text, head.method, head.track, block, remark)
    validated(Settings, _plain(changed), "", str(path))
    write_text(path, changed)
    return block


def winner(search: Search, present: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block of the best trial.

    Arguments and recipe fields of the ``present`` block that were not searched are kept.

    Raises:
        SettingsError: every trial failed.
    """
    if search.best is None:
        raise SettingsError(
            f"every trial of '{search.head.method}' on '{search.head.track}' failed: there is no winner to apply; "
            f"the reasons stand in results/search/{search.head.track}/{search.head.method}"
        )
    block: dict[str, Any] = {"recipe": "searched"}
    for name, start in (("args", ARGUMENT), ("train", RECIPE)):
        found = {key.removeprefix(start): value for key, value in search.best.values.items() if key.startswith(start)}
        if merged := {**(present.get(name) or {}), **found}:
            block[name] = merged
    return block


def with_block(text: str, method: str, track: str, block: Mapping[str, Any], remark: str) -> str:
    """Return YAML text in which ``methods.<method>.tracks.<track>`` is a block, with a comment behind its ``recipe``.

    Nothing else is different. The method must be there, the track need not.

    Raises:
        SettingsError: the method is not there, or other parts of the file are aliases of what would change.
    """
    expected = _plain(text)
    if method not in expected["methods"]:
        raise SettingsError(f"{PARAMS_FILE}: methods has no '{method}'; add '{method}: {{}}'")
    entry = expected["methods"][method] or {}
    expected["methods"][method] = entry | {"tracks": (entry.get("tracks") or {}) | {track: dict(block)}}
    yaml = YAML()
    yaml.Representer, yaml.width = _Representer, _WIDEST
    data = yaml.load(text)
    place = data["methods"]
    for key in (method, "tracks", track):  # each an entry a line
        if not isinstance(place.get(key), CommentedMap):
            place[key] = CommentedMap()
        place = place[key]
        place.fa.set_block_style()
    if "recipe" not in place:
        place.insert(0, "recipe", None)
    _make_equal(place, block)
    _remark(place, "recipe", remark)
    stream = io.StringIO()
    yaml.dump(data, stream)
    if _plain(stream.getvalue()) != expected:
        raise SettingsError(
            f"{PARAMS_FILE}: methods.{method}.tracks.{track} cannot be changed without changing other parts of the "
            f"file, which are aliases of it; write it by hand:\n{json.dumps({track: block})}"
        )
    return stream.getvalue()


def _make_equal(place: CommentedMap, wanted: Mapping[str, Any]) -> None:
    """Change the entries of a mapping that differ from what is wanted, and leave the others as they are written."""
    for name in [name for name in place if name not in wanted]:
        del place[name]
    for name, value in wanted.items():
        if isinstance(value, dict) and isinstance(place.get(name), CommentedMap):
            _make_equal(place[name], value)
        elif name not in place or place[name] != value:
            place[name] = value
            if isinstance(value, (dict, list)):  # on one line
                place[name] = CommentedMap(value) if isinstance(value, dict) else CommentedSeq(value)
                place[name].fa.set_flow_style()


def _remark(place: CommentedMap, key: str, remark: str) -> None:
    """Put a comment behind an entry, and leave those on the lines below it."""
    behind = place.ca.items.get(key, [None] * 3)[2]
    place.yaml_add_eol_comment(remark, key)
    if behind is not None:
        place.ca.items[key][2].value += behind.value.partition("\n")[1] + behind.value.partition("\n")[2]


def _plain(text: str) -> Any:
    """Return what YAML text says, without aliases."""
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text)))


class _Representer(RoundTripRepresenter):
    """Writes ``1e-05`` as ``1.0e-05``, which YAML 1.1 needs to see a number."""

    def number(self, value: float) -> Any:
        """Return a float as a node."""
        return self.represent_scalar("tag:yaml.org,2002:float", re.sub(r"^(-?\d+)e", r"\1.0e", repr(value)))


_Representer.add_representer(float, _Representer.number)
