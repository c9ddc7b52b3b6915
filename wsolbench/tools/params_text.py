"""Lines added to ``params.yaml``: all others stay as they are, with their comments and layout."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from wsolbench.config.schema import PARAMS_FILE
from wsolbench.errors import SettingsError

__all__ = ["entry", "with_additions"]


def with_additions(text: str, group: str, name: str, block: str, run: str | None = None) -> str:
    """Return YAML text with a block behind the last one of a group, and its name at the end of a list below ``run``.

    The block's lines have its key and are indented by two.

    Raises:
        SettingsError: the file is written in a way that leaves no place; the message says what to add by hand.
    """
    yaml = YAML(typ="safe", pure=True)
    listed = "" if run is None else f", and '{name}' to run.{run}"
    by_hand = f"{PARAMS_FILE}: no place was found for '{name}'; add it under {group}{listed}:\n{block}"
    expected = copy.deepcopy(yaml.load(text))
    try:
        expected[group][name] = yaml.load(block)[name]
        if run is not None:
            expected["run"][run] = [*expected["run"][run], name]
        changed = text if run is None else _with_name(text, run, name)
        blocks = _value(yaml.compose(changed), group)
        if not isinstance(blocks, MappingNode) or blocks.flow_style or not blocks.value:
            raise SettingsError(by_hand)
        indent = " " * (blocks.value[0][0].start_mark.column - 2)
        lines = "".join(f"{indent}{line}" for line in block.splitlines(keepends=True))
        changed = _with_lines(changed, blocks.value[-1][1], lines)
        if yaml.load(changed) != expected:
            raise SettingsError(by_hand)
    except (YAMLError, LookupError, TypeError):
        raise SettingsError(by_hand) from None
    return changed


def entry(key: str, value: Any) -> str:
    """Return the lines of a key of a block and its value, as DVC's overrides would write them."""
    stream = io.StringIO()
    YAML().dump({"_": {"_": {key: value}}}, stream)
    return stream.getvalue().split("\n", 2)[2]


def _with_name(text: str, run: str, name: str) -> str:
    chosen = _value(_value(YAML(typ="safe", pure=True).compose(text), "run"), run)
    if not isinstance(chosen, SequenceNode) or not (chosen.value or chosen.flow_style):
        raise LookupError(run)
    if not chosen.value:
        start = chosen.start_mark.index + 1
        return f"{text[:start]}{name}{text[start:]}"
    if chosen.flow_style:
        end = chosen.value[-1].end_mark.index
        return f"{text[:end]}, {name}{text[end:]}"
    return _with_lines(text, chosen.value[-1], f"{' ' * chosen.start_mark.column}- {name}\n")


def _value(node: Node | None, key: str) -> Node | None:
    pairs: Sequence[tuple[Node, Node]] = node.value if isinstance(node, MappingNode) else ()
    return next((value for name, value in pairs if name.value == key), None)


def _with_lines(text: str, last: Node, added: str) -> str:
    """Return the text with lines behind the last entry of a block, and behind the comments on that."""
    lines = text.splitlines(keepends=True)
    # A block ends where the next token starts, behind blank lines and comments that belong to what follows.
    end = last.end_mark.line + (last.end_mark.column > 0)
    while not lines[end - 1].strip() or lines[end - 1].startswith("#"):
        end -= 1
    while end < len(lines) and re.match(r"[ \t]+#", lines[end]):  # comments on the last entry
        end += 1
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"
    return "".join([*lines[:end], added, *lines[end:]])
