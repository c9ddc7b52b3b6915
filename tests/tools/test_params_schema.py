"""Editors find the schema of ``params.yaml``, and it agrees with the settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wsolbench.config.schema import load_yaml
from wsolbench.search.apply import with_block
from wsolbench.tools.params_schema import SCHEMA_FILE, SCHEMA_LINE, params_schema, schema_text
from wsolbench.tools.params_text import with_additions
from wsolbench.tools.project import new_project

TEXT = Path("params.yaml").read_text(encoding="utf-8")
NUMBERS = {"integer": int, "number": (int, float)}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), None: object} | NUMBERS
BOUNDS = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
    "minItems": lambda value, bound: len(value) >= bound,
    "maxItems": lambda value, bound: len(value) <= bound,
    "enum": lambda value, allowed: value in allowed,
    "const": lambda value, only: value == only,
    "required": lambda value, names: {*names} <= {*value},
}
READ = {"type", "properties", "additionalProperties", "propertyNames", "items", "anyOf", "$ref", "$defs", "$schema"}


def fits(value: Any, schema: Any, whole: Any) -> bool:
    """Tell whether a value fits a schema, by the keywords of JSON Schema that ours has."""
    if isinstance(schema, bool):
        return schema
    assert {*schema} <= READ | {*BOUNDS} | {"default", "description", "title"}
    if "$ref" in schema:
        return fits(value, whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in schema and not any(fits(value, each, whole) for each in schema["anyOf"]):
        return False
    if not isinstance(value, TYPES[schema.get("type")]) or (isinstance(value, bool) and schema.get("type") in NUMBERS):
        return False
    if not all(holds(value, schema[name]) for name, holds in BOUNDS.items() if name in schema):
        return False
    inner = [(each, schema.get("items", True)) for each in value] if isinstance(value, list) else []
    if isinstance(value, dict):
        known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
        inner += [(key, schema.get("propertyNames", True)) for key in value]
        inner += [(each, known.get(key, other)) for key, each in value.items()]
    return all(fits(each, its, whole) for each, its in inner)


def test_the_stored_schema_is_that_of_the_settings():
    assert Path(SCHEMA_FILE).read_text(encoding="utf-8") == schema_text(), "run `make schema`"


def test_the_shipped_file_and_a_new_project_fit_and_name_it(tmp_path):
    new_project(tmp_path)
    assert json.loads((tmp_path / SCHEMA_FILE).read_text(encoding="utf-8")) == params_schema()
    for text in (TEXT, (tmp_path / "params.yaml").read_text(encoding="utf-8")):
        assert text.startswith(SCHEMA_LINE)
        assert fits(load_yaml(text), params_schema(), params_schema())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ("tracks.cub-vgg16.epoch", 3),
        ("tracks.cub-vgg16.epochs", -1),
        ("tracks.cub-vgg16.lr", "fast"),
        ("tracks.new", {"dataset": "cub"}),
        ("methods.acol.tracks.shapes-convnet_searched.train.selection", "val_cls"),
        ("methods.cam.arg", {}),
        ("run.seeds", [0, "1"]),
        ("runtime.device", "gpu"),
        ("search.recipe.momentum", [0.1, 10]),
    ],
)
def test_what_the_settings_refuse_is_underlined(place, wrong):
    data = load_yaml(TEXT)
    *parents, last = place.split(".")
    block = data
    for name in parents:
        block = block[name]
    block[last] = wrong
    assert not fits(data, params_schema(), params_schema())


def test_every_key_has_a_meaning():
    found = params_schema()
    for name, block in found["$defs"].items():
        if name != "WeightsSettings":
            assert all("description" in each for each in block["properties"].values()), name


@pytest.mark.parametrize("how", ["new method", "search --apply", "dvc exp run -S"])
def test_the_first_line_stays(how, tmp_path):
    from dvc.utils.hydra import apply_overrides

    text = TEXT
    if how == "new method":
        text = with_additions(text, "methods", "mine", "  mine: {}\n", "methods")
    elif how == "search --apply":
        text = with_block(text, "cam", "shapes-convnet", {"recipe": "searched", "train": {"lr": 0.2}}, "the best")
    else:
        params = tmp_path / "params.yaml"
        params.write_text(text, encoding="utf-8")
        apply_overrides(params, ["evaluate.fixed_threshold=0.3"])
        text = params.read_text(encoding="utf-8")
    assert text != TEXT
    assert text.startswith(SCHEMA_LINE)
