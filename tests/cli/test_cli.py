"""The command line as a newcomer meets it."""

from __future__ import annotations

import ast
import io
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from wsolbench.cli import _Lines, app
from wsolbench.config import registry
from wsolbench.config.settings import read_settings
from wsolbench.errors import SettingsError
from wsolbench.models.method import Method
from wsolbench.tools import arguments
from wsolbench.tools.catalogue import cached, supported_pairs, year_of
from wsolbench.tools.doctor import findings, run_checks
from wsolbench.tools.listing import Listing

WSOLBENCH = Path(sys.executable).parent / "wsolbench"
HEAVY = ("cv2", "dvc", "matplotlib", "mmengine", "numba", "pandas", "scipy", "torch", "torchvision")


def run(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [WSOLBENCH, *arguments], cwd=cwd, capture_output=True, text=True, check=False, env=environment
    )


def listed(what: str) -> list[str]:
    done = CliRunner().invoke(app, ["list", what])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


@pytest.mark.parametrize("command", [each.name for each in app.registered_commands])
def test_every_command_explains_itself(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert "Usage" in done.output


def test_the_first_help_names_the_way_in_every_command_and_the_exit_statuses() -> None:
    done = run("--help", COLUMNS="80")
    assert "make benchmark" in done.stdout
    assert "Exit status: 0" in done.stdout
    assert "..." not in done.stdout.partition("\n")[2]
    assert all(len(line) <= 80 and line.isascii() for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own, where what is said of components is kept: to make that takes ten seconds."""
    folder = tmp_path_factory.mktemp("visited")
    shutil.copy("params.yaml", folder)
    for command in ("list", "doctor"):
        run(command, cwd=folder)
    return folder


@pytest.mark.parametrize("command", ["--help", "list", "doctor"])
def test_commands_that_are_to_feel_light_import_nothing_heavy(command: str, visited: Path) -> None:
    code = "import sys; from wsolbench.cli import app\ntry: app([sys.argv[1]])\nfinally: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, command], capture_output=True, text=True, check=False, cwd=visited
    )
    imported = done.stdout.splitlines()[-1].split()
    assert "wsolbench.cli" in imported
    assert not {*HEAVY, *(("pydantic",) if command == "--help" else ())} & {*imported}, done.stderr


def test_an_error_is_one_sentence_without_a_traceback() -> None:
    done = run("train", "shapes-convnet-camm-0")
    assert done.returncode == 1
    assert "did you mean 'cam'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_a_repository_components_are_listed_and_the_rest_says_where_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert any(line.startswith("cub ") for line in listed("datasets"))
    assert not list(tmp_path.iterdir())
    for command in (("report", "shapes-convnet"), ("list", "runs")):
        done = CliRunner().invoke(app, command)
        assert isinstance(done.exception, SettingsError)
        assert "run wsolbench from the repository's root" in str(done.exception)


def test_tables_are_plain_text_of_80_columns_with_whole_keys(visited: Path) -> None:
    done = run("list", cwd=visited, COLUMNS="40")
    lines = done.stdout.splitlines()
    assert done.stdout.isascii()
    assert max(map(len, lines)) <= 80
    firsts = {line.split()[0] for line in lines if line}
    assert {*read_settings().tracks, *registry.names("dataset"), *registry.names("backbone")} <= firsts
    assert {"shapes-convnet-dgdm-2", "shapes-convnet-mask_supervised-0"} <= firsts
    (dgdm,) = [line for line in lines if line.startswith("dgdm ") and "ICPR" in line]
    assert re.search(r"2020  reconstruction  Yin et al., ICPR 2020, arXiv 2003.04719$", dgdm)


def test_no_word_of_a_table_is_cut() -> None:
    table = Listing("t", ("key", "about"), [["a" * 30, "some long_words-with-hyphens"], ["b", ""]], ["a note " * 9])
    assert table.text(40).split() == [
        "t",
        "key",
        "about",
        "a" * 30,
        "some",
        "long_words-with-hyphens",
        "b",
        *["a", "note"] * 9,
    ]


def test_the_range_of_every_argument_that_a_search_tries_is_listed() -> None:
    text = " ".join(" ".join(listed("ranges")).split())
    for name in registry.names("method"):
        for argument, drawn in registry.load(registry.kind_of(name), name).search_space.items():
            assert re.search(rf"{name} {argument} .*?{re.escape(str(drawn))}", text), argument
    assert "all lr the track's log-uniform 0.1 to 10 times" in text


def test_list_backbones_says_who_chose_the_points() -> None:
    text = " ".join(" ".join(listed("backbones")).split())
    assert "erase points: pool3, pool4, conv5 (published)" in text
    assert re.search(r"convnet ours; erase points: conv3 \(ours\)", text)


def test_what_is_known_of_components_is_made_once_for_one_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    assert [cached("a", 1, make) for _ in range(2)] == [1, 2]  # no repository: nothing is kept
    Path("params.yaml").touch()
    assert [cached("a", of, make) for of in (1, 1, 2, 2)] == [3, 3, 4, 4]
    (file,) = Path(".wsolbench/catalogue").iterdir()
    file.write_text(file.read_text().replace("4", "5"))
    assert cached("a", 2, make) == 5  # made anew
    monkeypatch.setattr("wsolbench.tools.catalogue._code", lambda: "changed")
    assert cached("a", 2, make) == 6


@pytest.mark.parametrize("kind", ["method", "backbone"])
def test_every_published_component_names_a_year(kind: registry.Kind) -> None:
    for name in registry.names(kind):
        reference = registry.load(registry.kind_of(name) if kind == "method" else kind, name).reference
        assert reference == "ours" or 1990 < int(year_of(reference)) < 2100, name
    assert year_of("A, arXiv 1908.10028, ICCV 2019") == "2019"
    assert year_of("A, arXiv 2003.04719") == ""


def test_unsupported_pairs_are_listed_with_their_reason() -> None:
    class Picky(Method):
        @classmethod
        def unsupported(cls, backbone_name: str, dataset_traits: Iterable[str]) -> str | None:
            return "it needs wings" if backbone_name == "convnet" and "masks" in dataset_traits else None

    assert supported_pairs(Method) == "all"
    masked = [name for name in registry.names("dataset") if "masks" in registry.load("dataset", name).traits]
    assert supported_pairs(Picky) == f"not {', '.join(f'convnet on {name}' for name in masked)}: it needs wings"


def test_doctor_says_in_one_line_that_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_checks(Path()) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    assert re.match(r"ok: Python .* arguments of \d+ methods; .*track shapes-convnet", lines[0])


def problems(root: Path, params: str) -> list[str]:
    (root / "params.yaml").write_text(params)
    (root / ".dvc").mkdir()
    return [f"{each.state} {each.subject}: {each.text}" for each in findings(root) if each.state != "ok"]


def test_doctor_names_a_missing_data_root_and_missing_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WSOLBENCH_CUB_ROOT", raising=False)
    monkeypatch.delenv("WSOLBENCH_WEIGHTS", raising=False)
    params = YAML(typ="safe").load(Path("params.yaml").read_text())
    params["run"] |= {"tracks": ["cub-mobilenet_v1"]}
    stream = io.StringIO()
    YAML().dump(params, stream)
    text = "\n".join(problems(tmp_path, stream.getvalue()))
    assert re.search(r"wrong track cub-mobilenet_v1, data set: .*datasets\.cub\.root", text)
    assert re.search(r"wrong track cub-mobilenet_v1, weights: .*WSOLBENCH_WEIGHTS", text)
    assert "wrong dvc: " in text  # a .dvc folder, and no git
    stored = tmp_path / "results" / "metrics" / "cub-mobilenet_v1" / "cub-mobilenet_v1-cam-0.json"
    stored.parent.mkdir(parents=True)
    stored.touch()
    found = [each for each in findings(tmp_path) if each.subject.startswith("track cub-mobilenet_v1")]
    assert [each.state for each in found] == ["note", "note"]
    assert all(each.text.endswith("its stored results stay as they are") for each in found)


def test_doctor_names_a_wrong_argument_and_results_of_no_run(tmp_path: Path) -> None:
    stale = tmp_path / "results" / "metrics" / "shapes-convnet" / "shapes-convnet-gone-0.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    reading = f"shapes-convnet-{read_settings().run.readings[0]}-0"
    stale.with_name(f"{reading}.json").write_text("{}")
    wrong = Path("params.yaml").read_text().replace("  adl:\n", "  adl:\n    args: {gama: 0.8}\n")
    text = "\n".join(problems(tmp_path, wrong))
    assert re.search(r"wrong method adl: .*did you mean 'gamma'\?", text)
    assert f"note {stale.relative_to(tmp_path)}: belongs to no run" in text
    assert reading not in text
    assert any(line.startswith(f"{reading} ") for line in listed("runs"))


def test_doctor_advises_to_remove_nothing_that_git_tracks(tmp_path: Path) -> None:
    kept = tmp_path / "results" / "metrics" / "shapes-convnet" / "shapes-convnet-gone-0.json"
    kept.parent.mkdir(parents=True)
    for path in (kept, kept.with_name("shapes-convnet-stray-0.json")):
        path.write_text("{}")
    for command in (["init", "--quiet"], ["add", "--force", str(kept)]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    found = {line.partition(":")[0]: line for line in problems(tmp_path, Path("params.yaml").read_text())}
    assert "name its run in params.yaml" in found[f"note {kept.relative_to(tmp_path)}"]
    assert "remove" not in found[f"note {kept.relative_to(tmp_path)}"]
    assert "remove it" in found["note results/metrics/shapes-convnet/shapes-convnet-stray-0.json"]


@pytest.mark.parametrize("part", ["report", "results"])
def test_no_message_about_what_git_tracks_advises_to_delete_it(part: str) -> None:
    for path in Path("wsolbench", part).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        raised = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
        texts = [each.value for node in raised for each in ast.walk(node) if isinstance(each, ast.Constant)]
        assert not [text for text in texts if re.search(r"delete|remove|\brm\b", str(text))], path


def test_a_dry_run_prints_the_resolved_run_with_overrides_and_defaults() -> None:
    options = ["--cfg-options", "methods.adl.args.gamma=0.7", "tracks.shapes-convnet.lr=0.5"]
    done = CliRunner().invoke(app, ["train", "shapes-convnet-adl-1", "--dry-run", *options])
    assert done.exit_code == 0, done.output
    printed = YAML(typ="safe").load(done.stdout)
    assert (printed["method"]["args"]["gamma"], printed["method"]["args"]["drop_rate"]) == (0.7, 0.75)
    assert (printed["track"]["lr"], printed["track"]["backbone_args"]) == (0.5, {"width": 16})
    assert printed["seed"] == 1


def test_an_override_without_its_option_is_refused() -> None:
    done = run("train", "shapes-convnet-adl-1", "tracks.shapes-convnet.lr=0.5", "--dry-run")
    assert done.returncode == 1
    assert "unexpected argument 'tracks.shapes-convnet.lr=0.5'; overrides follow --cfg-options" in done.stderr


def test_a_shell_completes_tracks_methods_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {
        "_WSOLBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": "wsolbench train shapes-convnet-c",
        "COMP_CWORD": "2",
    }
    assert {f"shapes-convnet-{name}-2" for name in ("cam", "cutmix")} <= {*run(**words).stdout.split()}
    assert arguments.tracks_of("cub-mob") == ["cub-mobilenet_v1", "cub-mobilenet_v2"]
    assert [key for key in arguments.runs_of("shapes-convnet-") if "_of_cam-0" in key]
    assert arguments.methods_of("ac") == ["acol", "acol_published"]
    monkeypatch.chdir(tmp_path)
    Path("results/runs/own-cam-0").mkdir(parents=True)
    assert (arguments.tracks_of(""), arguments.runs_of("o")) == ([], ["own-cam-0"])


def test_log_lines_go_above_a_progress_bar_that_has_taken_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    handler, bar = _Lines(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", bar)
    handler.handle(logging.makeLogRecord({"msg": "epoch 1/6"}))
    assert bar.getvalue() == "epoch 1/6\n"
