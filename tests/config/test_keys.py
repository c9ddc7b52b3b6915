"""Keys become names of files and stages: what could lead out of its folder, or into a shell, is refused first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.config.test_settings import MINIMAL, with_low
from wsolbench.config.keys import split_key
from wsolbench.config.paths import Layout
from wsolbench.config.schema import load_yaml, validated
from wsolbench.config.settings import Settings, read_settings
from wsolbench.errors import SettingsError

HOSTILE = [
    *("..", ".", "../../x", "/etc", "a/b", "a.b", "", "a b", "-x", "_x", "a\n", "a\nb", "ä", "٣", "a\0b", "${x}"),
    *("$(touch pwned)", "x; touch pwned", "x' ; touch pwned; '", "`touch pwned`"),
]
RESERVED = ["weights", "look", "recipes", "selection", "small_classes", "small_costs"]


def params() -> dict[str, Any]:
    return dict(YAML(typ="safe", pure=True).load(with_low()))


def read(data: object) -> Settings:
    return validated(Settings, data, "", "params.yaml")


@pytest.mark.parametrize("group", ["tracks", "methods", "datasets"])
def test_a_key_that_cannot_name_a_file_is_refused(group: str) -> None:
    for key in HOSTILE:
        data = params()
        data[group][key] = next(iter(data[group].values()))
        with pytest.raises(SettingsError, match=f"params.yaml: {group}: .* cannot be a key"):
            read(data)


@pytest.mark.parametrize("name", ["tracks", "methods", "baselines", "seeded_baselines"])
def test_so_is_one_that_is_to_run(name: str) -> None:
    for key in HOSTILE:
        data = params()
        data["run"][name] = [key]
        with pytest.raises(SettingsError, match=rf"params.yaml: run\.{name}: .* cannot be a key"):
            read(data)


@pytest.mark.parametrize("key", RESERVED)
def test_a_track_cannot_have_the_name_of_something_else(key: str) -> None:
    data = params()
    data["tracks"][key] = data["tracks"]["small"]
    with pytest.raises(SettingsError, match=f"tracks: '{key}' names something else"):
        read(data)


SEEDS = ["-007", "007", "+7", "٣", "1_0", "1.0", " 1", "1 ", "", "-", "0x1", "9" * 5000]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_is_a_plain_number(seed: str) -> None:
    settings = read(params())
    assert settings.resolve("small-cam-7").seed == 7
    with pytest.raises(SettingsError):
        settings.resolve(f"small-cam-{seed}")


@pytest.mark.parametrize("seed", [-1, 10**18, True, "0", "0; touch pwned", 1.0, None])
def test_a_seed_to_run_is_a_plain_number(seed: object) -> None:
    data = params()
    data["run"]["seeds"] = [seed]
    with pytest.raises(SettingsError, match=r"run\.seeds"):
        read(data)


@pytest.mark.parametrize("spelled", ["010", "-007", "00", "09", "0_1"])
@pytest.mark.parametrize("key", ["seeds: [{}]", "seeds: [0]\n  methods: {}"])
def test_a_number_that_is_octal_to_some_readers_is_refused_with_its_line(
    tmp_path: Path, spelled: str, key: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(MINIMAL)
    with pytest.raises(SettingsError, match=rf"(?s)'run.seeds=\[{spelled}\]'.*leading zero"):
        read_settings(path, [f"run.seeds=[{spelled}]"])
    path.write_text(MINIMAL.replace("seeds: [0]", key.format(spelled)))
    with pytest.raises(SettingsError, match=rf"(?s)params\.yaml.*'{spelled}'.*leading zero.*line \d+"):
        read_settings(path)


@pytest.mark.parametrize("spelled", ["0", "7", "+7", "1_0", "0x10", "0o10", "'010'", "1e3", "yes"])
def test_other_numbers_mean_to_us_what_they_mean_to_dvc(spelled: str) -> None:
    from dvc.utils.serialize import parse_yaml

    assert load_yaml(f"a: {spelled}") == parse_yaml(f"a: {spelled}", "params.yaml")


@pytest.mark.parametrize("value", ["2020-13-45", "!!int abc", "!!float abc", "[" * 3000])
def test_what_yaml_cannot_read_is_a_settings_error(tmp_path: Path, value: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(MINIMAL.replace("epochs: 1", f"epochs: {value}"))
    with pytest.raises(SettingsError, match="not valid YAML"):
        read_settings(path)


def test_a_key_is_split_from_behind() -> None:
    assert split_key("a-b_c-cam-0") == ("a-b_c", "cam", 0)
    for key in ("a-cam", "cam-0", "-cam-0", "a--0", "a-cam-", "a/b-cam-0", "a-c.d-0", "a-cam-0\n"):
        assert split_key(key) is None


def test_no_path_leads_out_of_its_folder(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    of_one = [
        layout.prepared,
        layout.weights,
        layout.selection,
        layout.look,
        layout.run,
        layout.work,
        layout.provenance,
    ]
    of_two = [
        layout.costs,
        layout.metrics,
        layout.headline,
        layout.per_image,
        layout.history,
        layout.curves,
        layout.thumbnails,
    ]
    for key in HOSTILE:
        for path in of_one:
            with pytest.raises(SettingsError, match="cannot be a key"):
                path(key)
        for path in of_two:
            for keys in ((key, "a"), ("a", key)):
                with pytest.raises(SettingsError, match="cannot be a key"):
                    path(*keys)


OF_TRACKS = ["prepare", "look", "weights", "costs", "show", "photographs", "report", "search"]
OF_RUNS = [["train"], ["evaluate"], ["baseline"], ["verify"], ["predict", "--run"]]


@pytest.mark.parametrize("command", [*([name] for name in OF_TRACKS), *OF_RUNS], ids=" ".join)
def test_no_command_touches_anything_for_a_key_that_leads_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    from typer.testing import CliRunner

    from wsolbench.cli import app

    checkout = tmp_path / "checkout"
    for path in (
        checkout / "data" / "weights" / "other" / "file",
        checkout / "results" / "runs" / "x",
        tmp_path / "x" / "y",
    ):
        path.parent.mkdir(parents=True)
        path.write_text("precious")
    (checkout / "picture.png").write_bytes(b"")
    monkeypatch.chdir(checkout)
    data = params()
    for hostile in ("..", "../../x"):
        changed = {**data, "tracks": {**data["tracks"], hostile: data["tracks"]["small"]}}
        for content in (changed, data):
            with Path("params.yaml").open("w", encoding="utf-8") as stream:
                YAML(typ="safe", pure=True).dump(content, stream)
            before = sorted(str(path) for path in tmp_path.rglob("*"))
            key = hostile if command[0] in OF_TRACKS else f"{hostile}-cam-0"
            more = ["picture.png"] if command[0] == "predict" else []
            found = CliRunner().invoke(app, [*command, key, *more])
            assert isinstance(found.exception, SettingsError), (found.output, found.exception)
            assert sorted(str(path) for path in tmp_path.rglob("*")) == before
