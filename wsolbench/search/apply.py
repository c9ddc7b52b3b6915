"""``wsolbench search --apply``: write the winner of a search to ``params.yaml``."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from wsolbench.config.schema import PARAMS_FILE, validated
from wsolbench.config.settings import Settings
from wsolbench.errors import SettingsError
from wsolbench.search.record import ARGUMENT, OBJECTIVES, RECIPE, Search

__all__ = ["apply_search", "winner", "with_block"]

_ORDER = ("recipe", "args", "train")
_EXPONENT = re.compile(r"(?<![\w.])(\d+)e([-+]\d+)")  # without a dot, readers of YAML 1.1 take it for a word


def apply_search(search: Search, root: Path) -> dict[str, Any]:
    """Write the winner of a search under ``methods.<m>.tracks.<t>`` of ``params.yaml``, marked ``recipe: searched``.

    Other arguments and recipe fields that stand there stay, and so do comments, layout, anchors and aliases of the
    rest of the file. The file is written only if it then says exactly what it said before, but for this block.

    Args:
        search: the search.
        root: the repository.

    Returns:
        The block as it stands in ``params.yaml`` now.

    Raises:
        SettingsError: every trial failed, or there is no place that can be changed without changing others; the
            message then holds the block to write by hand.
    """
    path = root / PARAMS_FILE
    text = path.read_text(encoding="utf-8")
    yaml = YAML(typ="safe", pure=True)
    before = yaml.load(text)
    method, track = search.head.method, search.head.track
    block = winner(search, ((before["methods"].get(method) or {}).get("tracks") or {}).get(track) or {})
    changed = with_block(text, method, track, block, _remark(search))
    validated(Settings, yaml.load(changed), "", str(path))
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(changed, encoding="utf-8")
    temporary.replace(path)
    return block


def winner(search: Search, present: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands in ``params.yaml`` for the best trial of a search.

    Args:
        search: the search.
        present: what stands there now; arguments and recipe fields that were not searched are kept.

    Raises:
        SettingsError: every trial failed.
    """
    row = search.best
    if row is None:
        raise SettingsError(
            f"every trial of '{search.head.method}' on '{search.head.track}' failed: there is no winner to apply; "
            f"the reasons stand in results/search/{search.head.track}/{search.head.method}.csv"
        )
    found = search.parameters(row)
    args = {name.removeprefix(ARGUMENT): value for name, value in found.items() if name.startswith(ARGUMENT)}
    train = {name.removeprefix(RECIPE): value for name, value in found.items() if name.startswith(RECIPE)}
    block: dict[str, Any] = {"recipe": "searched"}
    for name, values in (("args", args), ("train", train)):
        merged = {**(present.get(name) or {}), **values}
        if merged:
            block[name] = merged
    return block


def with_block(text: str, method: str, track: str, block: Mapping[str, Any], remark: str = "") -> str:
    """Return YAML text in which ``methods.<method>.tracks.<track>`` is a block, and nothing else is different.

    Args:
        text: of ``params.yaml``.
        method: key of ``methods``, which must be there.
        track: key below its ``tracks``, which need not be there.
        block: ``recipe``, and ``args`` and ``train`` if need be.
        remark: comment behind ``recipe``.

    Raises:
        SettingsError: there is no place for it, or other parts of the file are aliases of what it would change.
    """
    yaml = YAML(typ="safe", pure=True)
    expected = copy.deepcopy(yaml.load(text))
    if method not in expected.get("methods", {}):
        raise SettingsError(f"{PARAMS_FILE}: methods has no '{method}'; add '{method}: {{}}'")
    entry = dict(expected["methods"][method] or {})
    entry["tracks"] = {**(entry.get("tracks") or {}), track: dict(block)}
    expected = {**expected, "methods": {**expected["methods"], method: entry}}
    if isinstance(expected.get("run", {}).get("methods"), Mapping):  # the alias of `methods`
        expected["run"] = {**expected["run"], "methods": expected["methods"]}
    try:
        changed = _spliced(text, method, track, block, remark)
        found = yaml.load(changed)
    except (YAMLError, _NoPlaceError):
        found = None
    if found != expected:
        raise SettingsError(
            f"{PARAMS_FILE}: methods.{method}.tracks.{track} cannot be changed without changing other parts of the "
            f"file (an anchor, or an unusual layout); write it by hand:\n{''.join(_lines(track, block, 6, ''))}"
        )
    return changed


class _NoPlaceError(Exception):
    pass


def _spliced(text: str, method: str, track: str, block: Mapping[str, Any], remark: str) -> str:
    lines = text.splitlines(keepends=True)
    if not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    top = YAML(typ="safe", pure=True).compose("".join(lines))
    methods = _value(top, "methods")
    if not isinstance(methods, MappingNode) or methods.flow_style:
        raise _NoPlaceError
    key, value = _entry(methods, method)
    indent = key.start_mark.column + 2
    start, end = key.start_mark.line, _end(lines, key, value)
    if not _is_block(lines, key, value):  # `mine: {}`, `mine: {args: ...}`, or nothing at all
        kept = {name: each for name, each in (_plain(value) or {}).items() if name != "tracks"}
        tracks = {**((_plain(value) or {}).get("tracks") or {})}
        body = [f"{' ' * indent}{name}: {_flow(each)}\n" for name, each in kept.items()]
        body += [f"{' ' * indent}tracks:\n"]
        for name, each in tracks.items():
            if name != track:
                body += [f"{' ' * (indent + 2)}{name}: {_flow(each)}\n"]
        body += _lines(track, block, indent + 2, remark)
        return "".join([*lines[:start], _head(lines, key, value), *body, *lines[end:]])
    found = _find(value, "tracks")
    if found is None:
        body = [f"{' ' * indent}tracks:\n", *_lines(track, block, indent + 2, remark)]
        return "".join([*lines[:end], *body, *lines[end:]])
    tracks_key, tracks_value = found
    if not _is_block(lines, tracks_key, tracks_value):
        others = {name: each for name, each in (_plain(tracks_value) or {}).items() if name != track}
        body = [f"{' ' * (indent + 2)}{name}: {_flow(each)}\n" for name, each in others.items()]
        body += _lines(track, block, indent + 2, remark)
        start, end = tracks_key.start_mark.line, _end(lines, tracks_key, tracks_value)
        return "".join([*lines[:start], _head(lines, tracks_key, tracks_value), *body, *lines[end:]])
    column = tracks_value.value[0][0].start_mark.column
    present = _find(tracks_value, track)
    if present is None:
        end = _end(lines, tracks_key, tracks_value)
        return "".join([*lines[:end], *_lines(track, block, column, remark), *lines[end:]])
    track_key, track_value = present
    start, end = track_key.start_mark.line, _end(lines, track_key, track_value)
    if not _is_block(lines, track_key, track_value):
        body = _lines(track, block, column, remark)[1:]
    else:
        body = _merged(lines, start + 1, track_value, block, column + 2, remark)
    return "".join([*lines[:start], _head(lines, track_key, track_value), *body, *lines[end:]])


def _merged(lines: list[str], first: int, value: Any, block: Mapping[str, Any], indent: int, remark: str) -> list[str]:
    """Return the body of a track's block, with the comments that stand above and behind what is kept or replaced."""
    body, left = [], dict(block)
    for key, each in value.value:
        start, end = key.start_mark.line, _end(lines, key, each)
        body += lines[first:start]
        first, name = end, key.value
        if name == "recipe":
            body.append(_line(name, left.pop(name), indent, remark))
        elif name in left:
            body.append(_line(name, left.pop(name), indent, _comment(lines, key, each)))
        else:
            body += lines[start:end]
    missing = [_line(name, left[name], indent, remark if name == "recipe" else "") for name in _ORDER if name in left]
    return missing[:1] + body + missing[1:] if "recipe" in left else body + missing


def _lines(track: str, block: Mapping[str, Any], indent: int, remark: str) -> list[str]:
    body = [
        _line(name, block[name], indent + 2, remark if name == "recipe" else "") for name in _ORDER if name in block
    ]
    return [f"{' ' * indent}{track}:\n", *body]


def _line(name: str, value: Any, indent: int, comment: str) -> str:
    return f"{' ' * indent}{name}: {_flow(value)}{f'  # {comment}' if comment else ''}\n"


def _head(lines: list[str], key: Node, value: Node) -> str:
    """Return ``key:`` with its anchor and the comment that stands behind it or its one-line value."""
    line = lines[key.start_mark.line]
    after = line[key.end_mark.column :]
    anchor = re.match(r"\s*:\s*(&[^\s,\[\]{}]+)", after)
    comment = _comment(lines, key, value)
    behind = (f" {anchor[1]}" if anchor else "") + (f"  # {comment}" if comment else "")
    return f"{line[: key.end_mark.column]}:{behind}\n"


def _comment(lines: list[str], key: Node, value: Node) -> str:
    """Return the comment at the end of the line on which a key's value starts, without its sign."""
    row = key.start_mark.line
    line = lines[row]
    column = key.end_mark.column
    if value.start_mark.line == row and not _is_alias(lines, key):
        column = value.end_mark.column if value.end_mark.line == row else len(line)
    found = re.search(r"(?:^|\s)#\s?(.*)$", line[column:])
    return found[1].strip() if found else ""


def _is_alias(lines: list[str], key: Node) -> bool:
    return bool(re.match(r"\s*:\s*\*", lines[key.end_mark.line][key.end_mark.column :]))


def _is_block(lines: list[str], key: Node, value: Node) -> bool:
    """Whether a value is a mapping that is written below its key, and not an alias of one elsewhere."""
    return isinstance(value, MappingNode) and not value.flow_style and not _is_alias(lines, key)


def _end(lines: list[str], key: Node, value: Node) -> int:
    """Return the line behind an entry; blank lines and comments that follow it belong to what comes next."""
    first, end = int(key.start_mark.line), int(value.end_mark.line)
    if not _is_block(lines, key, value):
        # An alias is the node that it stands for, and nothing is where the next thing starts.
        return first + 1 if _is_alias(lines, key) or isinstance(value, ScalarNode) else end + 1
    while not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#"):
        end -= 1
    return end


def _entry(node: MappingNode, name: str) -> tuple[Node, Node]:
    found = _find(node, name)
    if found is None:
        raise _NoPlaceError
    return found


def _find(node: Any, name: str) -> tuple[Any, Any] | None:
    pairs = [(key, value) for key, value in node.value if isinstance(key, ScalarNode) and key.value == name]
    return pairs[0] if pairs else None


def _value(node: Any, name: str) -> Any:
    found = _find(node, name)
    return None if found is None else found[1]


def _plain(node: Any) -> Any:
    """Return a node as plain data."""
    yaml = YAML(typ="safe", pure=True)
    return yaml.constructor.construct_document(copy.deepcopy(node))


def _flow(value: Any) -> str:
    """Return plain data on one line of YAML."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.sort_base_mapping_type_on_output = True, 10**6, False  # type: ignore[assignment]
    stream = io.StringIO()
    yaml.dump({"_": value}, stream)
    text = stream.getvalue().strip().removeprefix("{_: ").removesuffix("}")
    return _EXPONENT.sub(r"\1.0e\2", text)


def _remark(search: Search) -> str:
    best = search.table["value"].max()
    name = OBJECTIVES[search.head.objective].partition(",")[0]
    return f"wsolbench search: {name} {best:.1f} on val, the best of {search.head.trials} trials"
