"""Any number of sets of one's own: each has a key, a root and a variable, and names the class that reads it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.datasets.roots import WRITERS, write_cub, write_image_folder
from tests.tiny import TINY_TRACK
from wsolbench.acquire.building import build_dataset
from wsolbench.acquire.prepare import look, prepare
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.schema import validated
from wsolbench.config.settings import Settings
from wsolbench.data.index import read_split
from wsolbench.data.roots import root_variable
from wsolbench.errors import DataError, SettingsError
from wsolbench.launch.resolve import resolve


def settings_of(datasets: dict[str, Any], **tracks: str) -> Settings:
    """Return settings with these data sets, and a track for each of ``tracks``, which names its data set."""
    data = {
        "methods": {"cam": {}},
        "datasets": datasets,
        "tracks": {name: TINY_TRACK | {"dataset": key} for name, key in tracks.items()},
        "run": {"tracks": list(tracks), "methods": ["cam"], "seeds": [0]},
    }
    return validated(Settings, data, "")


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Two image folders, of which the second has a third class; the class's own variable names a third one."""
    for name in ("birds", "fish", "other"):
        write_image_folder(tmp_path / name)
    (tmp_path / "fish" / "images" / "dog").rename(tmp_path / "fish" / "images" / "eel")
    boxes = (tmp_path / "fish" / "boxes.csv").read_text().replace("dog/", "eel/")
    (tmp_path / "fish" / "boxes.csv").write_text(boxes)
    monkeypatch.setenv(root_variable("image_folder"), str(tmp_path / "other"))
    own = {name: {"of": "image_folder", "root": str(tmp_path / name)} for name in ("birds", "fish")}
    return settings_of({"image_folder": {}, **own}, a="birds", b="fish", c="image_folder")


def test_each_set_is_prepared_from_its_own_root(two: Settings, tmp_path: Path) -> None:
    layout, found = Layout(tmp_path), {}
    for track in ("a", "b", "c"):
        look(two, track, layout)
        prepare(two, track, layout)
        found[track] = list(read_split(layout.prepared(track), "test").class_names)
    assert found == {"a": ["cat", "dog"], "b": ["cat", "eel"], "c": ["cat", "dog"]}
    roots = {name: build_dataset(two, name).image_root(tmp_path) for name in ("birds", "fish", "image_folder")}
    assert roots == {
        "birds": tmp_path / "birds" / "images",
        "fish": tmp_path / "fish" / "images",
        "image_folder": tmp_path / "other" / "images",
    }
    assert two.tracks_of("fish") == ["b"]


def test_a_set_without_a_root_is_where_its_own_variable_says(
    two: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rootless = settings_of({"my-birds": {"of": "image_folder"}}, a="my-birds")
    with pytest.raises(DataError, match=r"my-birds.*not configured.*datasets\.my-birds\.root.*WSOLBENCH_MY_BIRDS_ROOT"):
        prepare(rootless, "a", Layout(tmp_path))
    monkeypatch.setenv("WSOLBENCH_MY_BIRDS_ROOT", str(tmp_path / "birds"))
    assert build_dataset(rootless, "my-birds").image_root(tmp_path) == tmp_path / "birds" / "images"


def test_a_published_set_may_be_read_twice_in_two_ways(tmp_path: Path) -> None:
    write_cub(tmp_path / "root")
    block = {"of": "cub", "root": str(tmp_path / "root"), "download": False}
    settings = settings_of({"plain": block, "masked": block | {"segmentations": True}}, a="plain", b="masked")
    for track in ("a", "b"):
        prepare(settings, track, Layout(tmp_path))
    plain, masked = (read_split(Layout(tmp_path).prepared(track), "test") for track in ("a", "b"))
    assert plain.digest == masked.digest
    assert not any(plain.truth(item.id).masks for item in plain.items)
    assert all(masked.truth(item.id).masks for item in masked.items)


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"birds": {"of": "image_foldr"}}, r"datasets\.birds\.of: .*'image_foldr'.*'image_folder'.*cub, .*, shapes"),
        ({"birds": {"of": ["cub"]}}, r"datasets\.birds\.of"),
        ({"birds": {"root": "/photos"}}, r"datasets\.birds: `of` .*cub, .*, shapes"),
        ({"cub": {"of": "image_folder"}}, r"datasets\.cub\.of"),
        ({"a-b": {"of": "cub"}, "A_b": {"of": "cub"}}, r"'a-b' and 'A_b'"),
    ],
)
def test_a_key_that_names_nothing_or_two_things_is_refused(datasets: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings_of(datasets)


def test_a_refused_argument_is_named_with_the_key_of_the_set() -> None:
    settings = settings_of({"birds": {"of": "image_folder", "test_share": 2}}, a="birds")
    with pytest.raises(SettingsError, match=r"datasets\.birds\.test_share: 2"):
        build_dataset(settings, "birds")
    with pytest.raises(SettingsError, match=r"datasets\.birds.*'orientaton'"):
        build_dataset(settings_of({"birds": {"of": "image_folder", "orientaton": "raster"}}, a="birds"), "birds")


def test_a_set_without_a_track_is_told_from_an_unknown_one() -> None:
    settings = settings_of({"birds": {"of": "image_folder"}})
    with pytest.raises(SettingsError, match="wsolbench new track"):
        settings.tracks_of("birds")


def test_a_listing_tells_the_key_from_the_class(two: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    from wsolbench.tools.listing import print_listing

    print_listing(two, "datasets")
    assert re.search(r"^birds .*Own images \(of:\s+image_folder\)", capsys.readouterr().out, re.MULTILINE)


def test_doctor_says_that_a_file_of_boxes_is_missing(two: Settings, tmp_path: Path) -> None:
    from wsolbench.tools.doctor import findings

    boxes = tmp_path / "pseudo.csv"
    data = two.model_dump(exclude_unset=True)
    data["datasets"]["fish"]["val_truth"] = str(boxes)
    with (tmp_path / "params.yaml").open("w") as stream:
        YAML(typ="safe", pure=True).dump(data, stream)
    (found,) = [each for each in findings(tmp_path) if each.subject == "track b, data set"]
    assert (found.state, "pseudo.csv" in found.text) == ("wrong", True)
    boxes.write_text("id,x0,y0,x1,y1\n")
    assert not [each for each in findings(tmp_path) if each.subject == "track b, data set"]


def test_the_recipe_of_a_preparation_names_the_class_and_its_code(two: Settings, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    resolve(two, layout)
    recipe = json.loads((layout.recipes / "prepare" / "b.json").read_text())
    assert (recipe["dataset"], recipe["of"]) == ("fish", "image_folder")
    assert recipe["arguments"]["root"] == str(tmp_path / "fish")
    assert "wsolbench.datasets.image_folder" in recipe["code"]


@pytest.mark.parametrize("name", WRITERS)
def test_each_layout_is_recognised_by_its_own_class_alone(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    found = [each for each in registry.names("dataset") if registry.load("dataset", each).recognises(tmp_path)]
    assert found == ["image_folder" if name == "inatloc500" else name]  # whose files have the same names
