"""Fill the pages of reference from the code, so that they cannot say anything else."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from wsolbench.cli import app
from wsolbench.config import registry
from wsolbench.results.metrics import METRICS, Metric
from wsolbench.tools.params_schema import as_markdown, blocks, meanings

_MARK = re.compile(r"<!-- generated: (\w+) -->")
_BOUNDS = {"exclusiveMinimum": ">", "minimum": "at least", "exclusiveMaximum": "<", "maximum": "at most"}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put generated text in the place of its mark; called by MkDocs for each page."""
    return _MARK.sub(lambda found: _GENERATED[found.group(1)](), markdown)


def commands() -> str:
    """Return a section per command: its help, arguments and options."""
    return "\n".join(_command_sections(typer.main.get_command(app), "wsolbench"))


def params() -> str:
    """Return a section per block of ``params.yaml``: its keys with types, defaults and meanings."""
    return "\n".join(_block(place, model) for place, model in blocks() if place)


def components() -> str:
    """Return a section per kind of component: keys and the first line of each one's documentation."""
    return "\n".join(_kind(kind) for kind in ("method", "backbone", "dataset", "baseline"))


def metrics() -> str:
    """Return a section per protocol: each number's name, heading, unit, which way is better, and meaning."""
    return "\n".join(_metrics_of(protocol, title) for protocol, title in _PROTOCOLS.items())


def _metrics_of(protocol: str, title: str) -> str:
    rows = [
        (f"`{each.name}`", each.heading, each.unit, _BETTER[each.higher_is_better], _meaning(each))
        for each in METRICS.values()
        if each.protocol == protocol
    ]
    return f"## {title}\n\n{_table(('name', 'in tables', 'unit', 'better', 'meaning'), rows)}"


def _meaning(metric: Metric) -> str:
    return metric.meaning + (" *(if there)*" if metric.may_lack else "")


def _command_sections(command: Any, name: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        yield f"{_paragraphs(command.help)}\n\n{_paragraphs(command.epilog)}\n"
        for each, below in command.commands.items():
            yield from _command_sections(below, f"{name} {each}")
        return
    yield f"## `{name}`\n\n{_paragraphs(command.help)}\n"
    if command.params:
        yield _table(("argument or option", "default", "meaning"), map(_parameter, command.params))


def _parameter(parameter: Any) -> tuple[str, str, str]:
    name = ", ".join(parameter.opts) if parameter.param_type_name == "option" else str(parameter.name).upper()
    stated = parameter.default not in {None, (), False} and not callable(parameter.default)
    default = "required" if parameter.required else f"`{parameter.default}`" if stated else ""
    return f"`{name}`", default, getattr(parameter, "help", None) or ""


def _block(place: str, model: type[BaseModel]) -> str:
    text, said = meanings(model)
    schema = model.model_json_schema()["properties"]
    rows = [
        (f"`{name}`", _type(schema[name]), _default(each), said.get(name, ""))
        for name, each in model.model_fields.items()
    ]
    return f"## `{place}`\n\n{text}\n\n{_table(('key', 'type', 'default', 'meaning'), rows)}"


def _type(schema: Mapping[str, Any]) -> str:
    """Return a field's JSON schema in a few words."""
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "$ref" in schema or "allOf" in schema:
        return "block"
    kind = {"object": "block"}.get(schema.get("type", "anything"), schema.get("type", "anything"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = [f"{sign} {schema[name]:g}" for name, sign in _BOUNDS.items() if name in schema]
    return " ".join([kind, *bounds])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if isinstance(value, BaseModel) else f"`{'null' if value is None else value}`"


def _kind(kind: Any) -> str:
    rows = [
        (f"`{name}`", _first_line(registry.load(registry.kind_of(name) if kind == "method" else kind, name)))
        for name in registry.names(kind)
    ]
    return f"## {kind.capitalize()}s\n\n" + _table(("key", "what it is"), rows)


def _first_line(component: Any) -> str:
    return as_markdown(inspect.cleandoc(component.__doc__ or "").partition("\n")[0])


def _paragraphs(text: str | None) -> str:
    return as_markdown(inspect.cleandoc(text or "").replace("\f", ""))


def _table(heading: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return (
        "\n".join(
            "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in line) + " |" for line in lines
        )
        + "\n"
    )


_PROTOCOLS = {
    "classification": "Classification",
    "choe2020": "Boxes, as in Choe et al. (`choe2020`)",
    "pixel": "Boxes without its particularities (`pixel`)",
    "masks": "Masks",
}
_BETTER = {True: "higher", False: "lower", None: ""}
_GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands,
    "params": params,
    "components": components,
    "metrics": metrics,
}
