"""The JSON schema of ``params.yaml``, by which editors complete its keys, show what they mean and underline mistakes.

``make schema`` writes it to ``params.schema.json``, which the first line of ``params.yaml`` names.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from wsolbench.config.settings import Settings

__all__ = ["SCHEMA_FILE", "SCHEMA_LINE", "as_markdown", "blocks", "meanings", "params_schema", "schema_text"]

SCHEMA_FILE = "params.schema.json"
SCHEMA_LINE = f"# yaml-language-server: $schema={SCHEMA_FILE}\n"
"""The first line of a ``params.yaml`` beside which the schema lies."""

_BY_KEY = {"methods", "tracks", "datasets"}
"""Blocks whose entries have names of the user's."""


def blocks() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield each block of ``params.yaml`` once: its place, empty for the whole file, and its model."""
    queue: list[tuple[str, type[BaseModel]]] = [("", Settings)]
    seen = set()
    for place, model in queue:
        seen.add(model)
        yield place, model
        for name, field in model.model_fields.items():
            where = f"{place}.{name}".lstrip(".") + (".<key>" if name in _BY_KEY else "")
            queue += [(where, each) for each in _models_in(field.annotation) if each not in seen]


def meanings(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """Return what a model's docstring says of the block, and of each key."""
    text, _, attributes = inspect.cleandoc(model.__doc__ or "").partition("Attributes:")
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", attributes, flags=re.MULTILINE)
    return as_markdown(text), {name: as_markdown(" ".join(said.split())) for name, said in entries}


def params_schema() -> dict[str, Any]:
    """Return the schema: that of the models, with ``extends`` and ``from``, which are resolved before these check."""
    schema = Settings.model_json_schema(schema_generator=_WithoutTitles)
    found = schema["$defs"]
    for _, model in blocks():
        block = schema if model is Settings else found[model.__name__]
        block["description"], said = meanings(model)
        for name, meaning in said.items():
            block["properties"][name]["description"] = meaning
    track, overrides = found["Track"], found["MethodOnTrack"]["properties"]["train"]
    overridden = {name: each for name, each in track["properties"].items() if name != "selection"}
    overrides |= {"properties": overridden, "additionalProperties": False}
    text = {"type": "string"}
    extends = text | {"description": "The track that this one takes over, key by key, but for what it says itself."}
    track["properties"]["extends"] = extends
    track["anyOf"] = [{"required": track.pop("required")}, {"required": ["extends"]}]
    lies = {
        "from": text | {"description": "A file, or package.module:Class, where its class is not in the repository."}
    }
    found["MethodBlock"]["properties"] |= lies
    reads = {"of": text | {"description": "What reads it (`wsolbench list datasets`); by default what its key names."}}
    schema["properties"]["datasets"]["additionalProperties"] = {"type": "object", "properties": reads | lies}
    schema["properties"]["backbones"]["additionalProperties"] = {"type": "object", "properties": lies}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """Return the schema as the content of its file."""
    return json.dumps(params_schema(), indent=1) + "\n"


class _WithoutTitles(GenerateJsonSchema):
    """Leaves out titles that only repeat a key."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Set none."""
        return False


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for each in get_args(annotation) for model in _models_in(each)]


def as_markdown(text: str) -> str:
    """Return text of a docstring, with its references as code."""
    text = re.sub(r":\w+:`~?([^`]+)`", lambda found: f"`{found.group(1).rpartition('.')[2]}`", text)
    return text.replace("``", "`").strip()


if __name__ == "__main__":
    sys.stdout.write(schema_text())
