"""``wsolbench search --apply``: write the winner of a search to ``params.yaml``."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.util import load_yaml_guess_indent

from wsolbench.config.schema import PARAMS_FILE, validated
from wsolbench.config.settings import Settings
from wsolbench.errors import SettingsError
from wsolbench.files import write_text
from wsolbench.search.draw import ARGUMENT, RECIPE
from wsolbench.search.record import Search

__all__ = ["apply_search", "winner", "with_block"]

_EXPONENT = re.compile(r"^(-?\d+)e")
_NULL = re.compile(r"^[^#{\[]*:[ ]+null\b", re.MULTILINE)  # on a line of its own


def apply_search(search: Search, root: Path) -> dict[str, Any]:
    """Write the winner of a search under ``methods.<m>.tracks.<t>`` of ``params.yaml``, marked ``recipe: searched``.

    Other arguments and recipe fields that stand there stay, and so do comments and layout of the rest of the file. The
    file is written only if it then says exactly what it said before, but for this block.

    Args:
        search: the search.
        root: the repository.

    Returns:
        The block as it stands in ``params.yaml`` now.

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
    """Return what stands in ``params.yaml`` for the best trial of a search.

    Args:
        search: the search.
        present: what stands there now; arguments and recipe fields that were not searched are kept.

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
    """Return YAML text in which ``methods.<method>.tracks.<track>`` is a block, and nothing else is different.

    Args:
        text: of ``params.yaml``.
        method: key of ``methods``, which must be there.
        track: key below its ``tracks``, which need not be there.
        block: ``recipe``, and ``args`` and ``train`` if need be.
        remark: comment behind ``recipe``.

    Raises:
        SettingsError: the method is not there, or other parts of the file are aliases of what would change.
    """
    expected = _plain(text)
    if method not in expected["methods"]:
        raise SettingsError(f"{PARAMS_FILE}: methods has no '{method}'; add '{method}: {{}}'")
    entry = expected["methods"][method] or {}
    expected["methods"][method] = entry | {"tracks": (entry.get("tracks") or {}) | {track: dict(block)}}
    yaml = _round_trip(text)
    data = yaml.load(text)
    place = _block_at(_block_at(_block_at(data["methods"], method), "tracks"), track)
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


def _block_at(parent: Any, key: str) -> Any:
    """Return the mapping at a key, made if need be, with an entry a line."""
    if not isinstance(parent.get(key), CommentedMap):
        parent[key] = CommentedMap()
    parent[key].fa.set_block_style()
    return parent[key]


def _make_equal(place: CommentedMap, wanted: Mapping[str, Any]) -> None:
    """Change the entries of a mapping that differ from what is wanted, and leave the others as they are written."""
    for name in [name for name in place if name not in wanted]:
        del place[name]
    for name, value in wanted.items():
        if isinstance(value, dict) and isinstance(place.get(name), CommentedMap):
            _make_equal(place[name], value)
        elif name not in place or place[name] != value:
            place[name] = _on_one_line(value)


def _remark(place: CommentedMap, key: str, remark: str) -> None:
    """Put a comment behind an entry, and leave those on the lines below it."""
    behind = place.ca.items.get(key, [None] * 3)[2]
    place.yaml_add_eol_comment(remark, key)
    if behind is not None:
        place.ca.items[key][2].value += behind.value.partition("\n")[1] + behind.value.partition("\n")[2]


def _on_one_line(value: Any) -> Any:
    """Return plain data whose mappings and lists are written on one line."""
    if not isinstance(value, (dict, list)):
        return _Null() if value is None else value
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    node: Any = CommentedMap() if isinstance(value, dict) else CommentedSeq([None] * len(value))
    for key, each in pairs:
        node[key] = _on_one_line(each)
    node.fa.set_flow_style()
    return node


def _plain(text: str) -> Any:
    """Return what YAML text says, without aliases."""
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text)))


def _round_trip(text: str) -> YAML:
    """Return a reader and writer that keeps comments, quotes and the text's own indentation."""
    _, indent, offset = load_yaml_guess_indent(text)
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.representer.nothing = "null" if _NULL.search(text) else ""
    yaml.preserve_quotes, yaml.width = True, 10**6
    yaml.indent(mapping=2, sequence=indent or 2, offset=offset or 0)
    return yaml


class _Null:
    """What is not there, as a word."""


class _Representer(RoundTripRepresenter):
    """Writes what is not there as the text does, and ``1e-05`` as ``1.0e-05``, which YAML 1.1 needs to see a number."""

    nothing = ""


def _scalar(kind: str, text: Callable[[Any, Any], str]) -> Callable[[Any, Any], Any]:
    return lambda self, value: self.represent_scalar(f"tag:yaml.org,2002:{kind}", text(self, value))


_Representer.add_representer(_Null, _scalar("null", lambda *_: "null"))
_Representer.add_representer(type(None), _scalar("null", lambda self, _: self.nothing))
_Representer.add_representer(float, _scalar("float", lambda _, value: _EXPONENT.sub(r"\1.0e", repr(value))))
