"""Strict models: what is wrong with a value of ``params.yaml`` is said with its key and the nearest valid name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.nodes import ScalarNode

from wsolbench.config.distributions import Choice, Distribution
from wsolbench.errors import SettingsError, nearest, shortened

__all__ = [
    "PARAMS_FILE",
    "StrictModel",
    "check_fields",
    "check_known",
    "check_space",
    "extended",
    "load_yaml",
    "put",
    "validated",
    "validated_arguments",
]

PARAMS_FILE = Path("params.yaml")

M = TypeVar("M", bound=BaseModel)


class StrictModel(BaseModel):
    """Strict model whose unknown keys are answered with the nearest valid one."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    other_keys: ClassVar[str] = ""
    """Where keys belong that are none of this model, as the end of a message."""

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            check_fields(data, cls.model_fields, cls.other_keys)
        return data


def check_fields(block: Mapping[str, Any], valid: Collection[str], other_keys: str = "") -> None:
    """Raise ValueError, which names the nearest valid key, unless all keys of a block are valid."""
    for key in block:
        if key not in valid:
            raise ValueError(f"unknown key '{key}'; {nearest(str(key), valid)}{other_keys}")


def validated_arguments(
    component: type[Any],
    arguments: Mapping[str, Any],
    where: str,
    given: int = 0,
    *,
    complete: bool = False,
    beside: Collection[str] = (),
) -> dict[str, Any]:
    """Check keyword arguments against a constructor's signature.

    Args:
        component: class whose constructor is the schema.
        arguments: what ``params.yaml`` says.
        where: key in ``params.yaml``, for messages.
        given: leading parameters that the harness passes itself.
        complete: whether the constructor's defaults are to be among the returned.
        beside: keys that may stand in the same block and are others' business, for what is said of unknown ones.

    Returns:
        The arguments, converted to the annotated types (lists to tuples, strings to paths).

    Raises:
        SettingsError: unknown or missing argument, a wrong type, or a value out of the annotated range.
    """
    hints = get_type_hints(component.__init__, include_extras=True)
    parameters = list(inspect.signature(component).parameters.values())[given:]
    fields: dict[str, Any] = {
        p.name: (hints.get(p.name, Any), ... if p.default is p.empty else p.default) for p in parameters
    }
    try:
        check_fields(arguments, [*fields, *beside])
    except ValueError as error:
        raise SettingsError(f"{PARAMS_FILE}: {where}: {error}") from None
    model = create_model("Arguments", __base__=_Arguments, **fields)
    checked = validated(model, dict(arguments), where)
    for name, value in arguments.items():
        if not _same_kind(value, getattr(checked, name)):
            wanted = type(getattr(checked, name)).__name__
            raise SettingsError(
                f"{PARAMS_FILE}: {where}.{name}: Input should be of type {wanted} (found {_shown(value)})"
            )
    return {name: getattr(checked, name) for name in (fields if complete else arguments)}


def _same_kind(given: Any, found: Any) -> bool:
    """Tell whether a conversion kept what is a number, a truth value or neither; pydantic takes one for another."""
    if isinstance(given, (list, tuple)) and isinstance(found, (list, tuple)):
        return all(map(_same_kind, given, found))
    if isinstance(given, bool) or isinstance(found, bool):
        return isinstance(given, bool) and isinstance(found, bool)
    return isinstance(given, (int, float)) or not isinstance(found, (int, float))


def check_space(component: type[Any], space: Mapping[str, Distribution], where: str, given: int = 0) -> None:
    """Check that a search tries nothing that a constructor's annotations do not allow.

    Raises:
        SettingsError: it does; the message names the argument.
    """
    for name, distribution in space.items():
        ends = distribution.values if isinstance(distribution, Choice) else (distribution.low, distribution.high)
        for value in ends:
            validated_arguments(component, {name: value}, where, given)


class _Arguments(StrictModel):
    model_config = ConfigDict(extra="forbid", strict=False, frozen=True, arbitrary_types_allowed=True)


def check_known(where: str, name: str, valid: Collection[str], error: type[Exception] = ValueError) -> None:
    """Raise ``error``, which names ``where`` and the nearest valid name, unless ``name`` is valid."""
    if name not in valid:
        raise error(f"{where}: unknown name '{name}'; {nearest(name, valid)}")


# What pydantic adds to a key whose value may be of several types.
_ALTERNATIVE = re.compile(r"constrained-\w+|literal\[.*\]")


def validated(model: type[M], data: Any, where: str, file: str = str(PARAMS_FILE)) -> M:
    """Return plain data as a model; ``where`` is the data's key in the file, empty for all of it.

    Raises:
        SettingsError: it does not fit; the message has a line per problem.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            place = [str(part) for part in problem["loc"] if not _ALTERNATIVE.fullmatch(str(part))]
            key = ".".join([where, *place] if where else place)
            message = problem["msg"].removeprefix("Value error, ")
            shown = "" if problem["type"] in {"value_error", "missing"} else f" (found {_shown(problem['input'])})"
            lines.append(f"{file}: {key}: {message}{shown}" if key else f"{file}: {message}{shown}")
        raise SettingsError("\n".join(lines)) from None


def _shown(value: Any) -> str:
    try:
        return shortened(repr(value))
    except (ValueError, RecursionError):  # a number of more digits than Python writes, a mapping in itself
        return f"a {type(value).__name__}"


def extended(where: str, entries: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Return entries with what ``extends: <another entry>`` says put in; nested mappings are merged key by key.

    Raises:
        ValueError: an entry has an unknown key, extends one that does not exist, or extends itself over others.
    """

    def merged(name: str, below: tuple[str, ...]) -> Any:
        entry = entries[name]
        if not isinstance(entry, Mapping) or "extends" not in entry:
            return entry
        base = entry["extends"]
        if not isinstance(base, str) or base not in entries:
            raise ValueError(f"{where}.{name}.extends: unknown name '{base}'; {nearest(str(base), entries)}")
        if base in (name, *below):
            raise ValueError(f"{where}.{name}.extends: '{base}' extends '{name}' itself; remove one of them")
        own = {key: value for key, value in entry.items() if key != "extends"}
        return _merged(merged(base, (name, *below)), own)

    for name, entry in entries.items():
        try:
            check_fields(entry if isinstance(entry, Mapping) else {}, [*fields, "extends"])
        except ValueError as error:
            raise ValueError(f"{where}.{name}: {error}") from None
    return {name: merged(name, ()) for name in entries}


def _merged(base: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(base) if isinstance(base, Mapping) else {}
    for key, value in own.items():
        both[key] = _merged(both[key], value) if isinstance(value, Mapping) and key in both else value
    return both


class _OneMeaning(SafeConstructor):
    """Refuses whole numbers that YAML 1.1 reads as octal and YAML 1.2, with it DVC, as decimal."""

    def construct_yaml_int(self, node: ScalarNode) -> int:
        if _LEADING_ZERO.fullmatch(node.value):
            problem = (
                f"'{node.value}' is octal to some readers of YAML and decimal to others; leave out the leading zero"
            )
            raise ConstructorError(None, None, problem, node.start_mark)
        number: int = super().construct_yaml_int(node)
        return number


_OneMeaning.add_constructor("tag:yaml.org,2002:int", _OneMeaning.construct_yaml_int)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")


def load_yaml(text: str) -> Any:
    """Return what a YAML text of settings says, as plain data.

    Raises:
        ValueError: it is not YAML, nested too deeply, or holds a date that is none or a number of two meanings.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _OneMeaning
    try:
        return yaml.load(text)
    except Exception as error:  # noqa: BLE001 - ruamel's own, and what Python says of its dates and numbers
        raise ValueError(shortened(str(error), _LONGEST) or type(error).__name__) from None


_LONGEST = 300  # characters of what a parser says


def put(data: Any, change: str) -> None:
    """Set ``a.b.c=value`` in nested mappings, which need not be there.

    Raises:
        SettingsError: the change has another form, its value is not YAML or a number of two meanings, or a parent is no
            mapping.
    """
    if not isinstance(data, dict):
        raise SettingsError(f"'{change}' cannot be put into what holds no keys")
    name, equals, text = change.partition("=")
    if not equals or not all(name.split(".")):
        raise SettingsError(f"'{change}' is not of the form key.of.params=value")
    try:
        value = load_yaml(text)
    except ValueError as error:
        raise SettingsError(f"'{change}': '{text}' is not valid YAML: {error}") from None
    *parents, last = name.split(".")
    for parent in parents:
        inner = data.get(parent) or {}
        if not isinstance(inner, dict):
            raise SettingsError(f"'{change}': {parent} holds no keys")
        data[parent] = data = dict(inner)  # a copy: aliases of YAML share their mapping
    data[last] = value
