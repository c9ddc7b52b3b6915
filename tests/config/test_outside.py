"""Components outside of the repository: named by ``from`` or announced by a package, loaded on demand."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import wsolbench.methods
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings, read_settings
from wsolbench.errors import SettingsError
from wsolbench.files import write_text
from wsolbench.launch.code import code_of
from wsolbench.launch.resolve import resolve
from wsolbench.tools.catalogue import facts

EIL = Path("docs/examples/eil.py").resolve()
RUNS = ("adl", "mine", "milder")


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test hears what another told the registry."""
    monkeypatch.setenv(registry._PLACED, "{}")
    registry._announced.cache_clear()
    yield
    registry._announced.cache_clear()
    registry._file.cache_clear()
    registry._only_component.cache_clear()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a method beside the project's, and a package, not announced, on Python's path."""
    (tmp_path / "lab" / "labpack").mkdir(parents=True)
    (tmp_path / "lab" / "labpack" / "__init__.py").touch()
    for name in ("mine.py", "labpack/theirs.py"):
        shutil.copy(EIL, tmp_path / "lab" / name)
    monkeypatch.syspath_prepend(tmp_path / "lab")
    yield tmp_path / "lab"
    for name in [each for each in sys.modules if each.partition(".")[0] == "labpack"]:
        del sys.modules[name]


def settings_with(lab: Path, blocks: dict[str, Any], **changes: Any) -> Settings:
    """Return the settings of a project beside the lab."""
    project = lab.parent / "project"
    content: dict[str, Any] = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    content["methods"] = {"adl": {}, **blocks}
    run = {"tracks": ["shapes-convnet"], "methods": ["adl", *blocks], "seeds": [0]}
    content |= {"run": run, "evaluate": {}, "report": {}} | changes
    with (project.mkdir(exist_ok=True) or project / "params.yaml").open("w") as stream:
        YAML(typ="safe").dump(content, stream)
    return read_settings(project / "params.yaml")


def recipes(settings: Settings, lab: Path, stage: str = "train") -> dict[str, str]:
    layout = Layout(lab.parent / "project")
    resolve(settings, layout)
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((layout.recipes / stage).glob("*.json"))}


BLOCKS = {"mine": {"from": "../lab/mine.py"}, "milder": {"of": "mine", "title": "mild", "args": {"gamma": 0.9}}}


def test_a_file_outside_is_named_by_its_key_and_has_variants(lab: Path) -> None:
    settings = settings_with(
        lab, {"own_name": {"from": "../lab/mine.py"}, "milder": BLOCKS["milder"] | {"of": "own_name"}}
    )
    assert registry.load("method", "own_name").title == "EIL"
    assert settings.resolve("shapes-convnet-milder-0").component == "own_name"
    assert set(recipes(settings, lab)) == {f"shapes-convnet-{name}-0" for name in ("adl", "own_name", "milder")}


@pytest.mark.parametrize("group", ["dataset", "backbone"])
def test_data_sets_and_backbones_lie_outside_as_well(lab: Path, group: registry.Kind) -> None:
    source = {"dataset": "datasets/shapes.py", "backbone": "wsolbench/models/backbones/convnet.py"}[group]
    shutil.copy(source, lab / "other.py")
    params = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    blocks = params["datasets"] if group == "dataset" else {}
    block = {**(blocks["shapes"] if group == "dataset" else {}), "from": "../lab/other.py"}
    tracks = {"shapes-convnet": params["tracks"]["shapes-convnet"] | {group: "mine"}}
    settings = settings_with(lab, {}, **{f"{group}s": {**blocks, "mine": block}, "tracks": tracks})
    found = recipes(settings, lab, "prepare" if group == "dataset" else "train")
    assert all("lab/other.py" in text and "error" not in text for text in found.values())
    assert found


def test_an_edit_changes_the_recipes_of_exactly_its_runs(lab: Path) -> None:
    before = recipes(settings_with(lab, BLOCKS), lab)
    (lab / "mine.py").write_text((lab / "mine.py").read_text().replace("gamma *", "0.5 * gamma *") + "# a comment\n")
    after = recipes(read_settings(lab.parent / "project" / "params.yaml"), lab)
    assert {key for key in before if before[key] != after[key]} == {f"shapes-convnet-{name}-0" for name in RUNS[1:]}


@pytest.mark.slow
def test_of_a_package_every_file_counts_and_what_it_imports_of_ours(lab: Path) -> None:
    settings = settings_with(lab, {"mine": {"from": "labpack.theirs:EIL"}})
    before = recipes(settings, lab)["shapes-convnet-mine-0"]
    assert "wsolbench.models.layers.drop_layer" in before
    write_text(lab / "labpack" / "helper.py", "x = 1\n")
    assert recipes(settings, lab)["shapes-convnet-mine-0"] != before


def test_a_projects_own_methods_are_in_the_digests(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsolbench.methods, "__path__", [*wsolbench.methods.__path__, str(lab)])
    assert {"wsolbench.methods.mine", "wsolbench.models.method"} <= code_of(["wsolbench.methods.mine"]).keys()


@pytest.mark.parametrize(
    ("source", "told"),
    [("raise RuntimeError('oh')", "RuntimeError: oh"), ("import sys; sys.exit(3)", "SystemExit"), (None, "not there")],
)
def test_a_broken_file_is_the_error_of_its_own_runs_only(lab: Path, source: str | None, told: str) -> None:
    (lab / "mine.py").unlink()
    if source is not None:
        (lab / "mine.py").write_text(source)
    found = recipes(settings_with(lab, BLOCKS), lab)
    assert {key for key, text in found.items() if '"error"' in text} == {
        f"shapes-convnet-{name}-0" for name in RUNS[1:]
    }
    assert told in found["shapes-convnet-mine-0"]
    assert "lab/mine.py" in found["shapes-convnet-mine-0"]
    assert facts("method")["mine"]["status"] == "broken"
    assert facts("method")["cam"]["status"] != "broken"


@pytest.mark.parametrize(
    ("key", "block"),
    [
        ("mine", {"from": 3}),
        ("mine", {"from": ""}),
        ("mine", {"from": "../lab/mine.py", "of": "adl", "title": "x"}),
        ("random_box", {"from": "../lab/mine.py"}),
        ("../evil", {"from": "../lab/mine.py"}),
    ],
)
def test_a_wrong_from_is_an_error_that_names_the_key(lab: Path, key: str, block: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"methods.*{key}"):
        settings_with(lab, {key: block})


def announce(lab: Path, name: str, points: str) -> None:
    """Make it look as if a package with entry points were installed."""
    info = lab / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "top_level.txt").write_text("labpack\n")
    (info / "entry_points.txt").write_text(points)
    registry._announced.cache_clear()


def test_what_a_package_announces_is_listed_without_import_and_loaded_on_demand(lab: Path) -> None:
    announce(lab, "labpack", "[wsolbench.methods]\ntheirs = labpack.theirs:EIL\nbroken = labpack.nothing:X\n")
    assert {"theirs", "broken", "cam"} <= set(registry.names("method"))
    assert "theirs" not in registry.names("method", own=True)
    assert "labpack" not in sys.modules
    assert registry.load("method", "theirs").title == "EIL"
    with pytest.raises(SettingsError, match=r"'broken' of labpack.nothing:X .*labpack 1\.2.* cannot be loaded"):
        registry.load("method", "broken")
    found = recipes(settings_with(lab, {"theirs": {}, "broken": {}}), lab)
    assert '"error"' in found["shapes-convnet-broken-0"]
    assert "labpack 1.2" in json.loads(found["shapes-convnet-theirs-0"])["code"]
    assert "labpack 1.2" in facts("method")["theirs"]["reference"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "source", "name"),
    [
        ("dataset", "datasets/shapes.py", "Shapes"),
        ("backbone", "wsolbench/models/backbones/convnet.py", "ConvNet"),
    ],
)
def test_data_sets_and_backbones_are_announced_as_well(lab: Path, group: registry.Kind, source: str, name: str) -> None:
    shutil.copy(source, lab / "labpack" / "theirs.py")
    announce(lab, "labpack", f"[wsolbench.{group}s]\nannounced = labpack.theirs:{name}\n")
    assert "announced" in registry.names(group)
    assert "labpack" not in sys.modules
    params = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    datasets = {"shapes": params["datasets"]["shapes"], "announced": params["datasets"]["shapes"]}
    tracks = {"shapes-convnet": params["tracks"]["shapes-convnet"] | {group: "announced"}}
    settings = settings_with(lab, {}, tracks=tracks, **({"datasets": datasets} if group == "dataset" else {}))
    found = recipes(settings, lab, "prepare" if group == "dataset" else "train")
    assert found
    assert all("labpack 1.2" in json.loads(text)["code"] for text in found.values())
    assert registry.load(group, "announced").__module__ == "labpack.theirs"


def test_two_of_one_name_are_an_error_that_names_both(lab: Path) -> None:
    announce(lab, "labpack", "[wsolbench.methods]\ncam = labpack.theirs:EIL\ntheirs = labpack.theirs:EIL\n")
    announce(lab, "other", "[wsolbench.methods]\ntheirs = other:X\n")
    with pytest.raises(SettingsError, match=r"wsolbench\.methods\.cam and labpack\.theirs:EIL .*labpack 1\.2"):
        registry.load("method", "cam")
    with pytest.raises(SettingsError, match=r"labpack 1\.2.*other 1\.2|other 1\.2.*labpack 1\.2"):
        registry.load("method", "theirs")
    assert registry.load("method", "adl").title == "ADL"


def test_from_beside_a_file_of_that_name_is_an_error_that_names_both(lab: Path) -> None:
    settings_with(lab, {"cam": {"from": "../lab/mine.py"}})
    with pytest.raises(SettingsError, match=r"wsolbench\.methods\.cam and .*lab/mine\.py"):
        registry.load("method", "cam")
