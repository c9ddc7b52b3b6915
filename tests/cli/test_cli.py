"""The command line as a newcomer meets it."""

from __future__ import annotations

import io
import logging
import os
import re
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
from wsolbench.models.method import Method
from wsolbench.tools.doctor import findings
from wsolbench.tools.listing import supported_pairs, year_of

WSOLBENCH = Path(sys.executable).parent / "wsolbench"


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([WSOLBENCH, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def listed(what: str) -> str:
    done = CliRunner().invoke(app, ["list", what], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return done.output


def test_the_range_of_every_argument_that_a_search_tries_is_listed():
    lines = listed("ranges").splitlines()
    for name in registry.names("method"):
        for argument, drawn in registry.load("method", name).search_space.items():
            assert any(name in line and argument in line and str(drawn) in line for line in lines), argument
    assert any("all" in line and "lr" in line and "0.1 to 10 times" in line for line in lines)


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "new",
        "prepare",
        "weights",
        "train",
        "evaluate",
        "score",
        "predict",
        "baseline",
        "report",
        "summary",
        "plot",
        "doctor",
    ],
)
def test_every_command_explains_itself(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert "Usage" in done.output


def test_the_first_help_names_the_way_in() -> None:
    done = CliRunner().invoke(app, ["--help"])
    assert "make benchmark" in done.output


def test_an_error_is_one_sentence_without_a_traceback() -> None:
    done = run("train", "shapes-convnet-camm-0")
    assert done.returncode == 1
    assert "did you mean 'cam'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_track_gets_the_nearest_name() -> None:
    done = run("prepare", "shape-convnet")
    assert done.returncode == 1
    assert "did you mean 'shapes-convnet'?" in done.stderr


def test_outside_a_checkout_the_error_says_where_to_run(tmp_path: Path) -> None:
    done = run("report", "shapes-convnet", cwd=tmp_path)
    assert done.returncode == 1
    assert "run wsolbench from the repository's root" in done.stderr


def test_list_methods_says_what_is_ours_and_which_pairs_there_are() -> None:
    lines = listed("methods").splitlines()
    (dgdm,) = [line for line in lines if line.startswith("dgdm ")]
    assert re.search(r"  2020  +reconstruction  +Yin et al., ICPR 2020, arXiv 2003.04719  +all  +yes$", dgdm)
    assert any("arXiv 1512.04150" in line for line in lines)


def test_list_backbones_shows_paper_year_and_who_chose_the_points() -> None:
    lines = listed("backbones").splitlines()
    (vgg,) = [line for line in lines if line.startswith("vgg16 ")]
    assert re.search(
        r"  2015  +Simonyan & Zisserman, ICLR 2015, arXiv 1409.1556  +pool3, pool4, conv5 \(published\)", vgg
    )
    (convnet,) = [line for line in lines if line.startswith("convnet ")]
    assert re.search(r"convnet +ours  +conv3 \(ours\)", convnet)


@pytest.mark.parametrize("kind", ["method", "backbone"])
def test_every_published_component_names_a_year(kind: str) -> None:
    for name in registry.names(kind):
        reference = registry.load(kind, name).reference
        assert reference == "ours" or 1990 < int(year_of(reference)) < 2100, name


@pytest.mark.parametrize(
    ("reference", "year"),
    [
        ("A, CVPR 2016, arXiv 1512.04150", "2016"),
        ("A, arXiv 1908.10028, ICCV 2019", "2019"),
        ("A, arXiv 2003.04719", ""),
        ("ours", ""),
    ],
)
def test_an_arxiv_number_is_no_year(reference: str, year: str) -> None:
    assert year_of(reference) == year


def test_unsupported_pairs_are_listed_with_their_reason() -> None:
    class Picky(Method):
        @classmethod
        def unsupported(cls, backbone_name: str, dataset_traits: Iterable[str]) -> str | None:
            return "it needs wings" if backbone_name == "convnet" and "masks" in dataset_traits else None

    assert supported_pairs(Method) == "all"
    masked = [name for name in registry.names("dataset") if "masks" in registry.load("dataset", name).traits]
    assert masked
    pairs = ", ".join(f"convnet on {name}" for name in masked)
    assert supported_pairs(Picky) == f"not {pairs}: it needs wings"


@pytest.mark.parametrize("what", ["tracks", "runs", "datasets"])
def test_a_listing_in_a_pipe_has_whole_keys_and_needs_no_torch(what: str) -> None:
    code = (
        "import sys; from wsolbench.cli import app; app(sys.argv[1:], standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "list", what]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"COLUMNS": "40"})
    assert done.returncode == 0, done.stderr
    title, head, *rows = done.stdout.splitlines()
    assert (title, head.split()[0]) == (what, "key")
    keys = {"tracks": [*read_settings().tracks], "runs": ["shapes-convnet-cam-0"]}
    assert {*keys.get(what, registry.names("dataset"))} <= {row.split()[0] for row in rows}
    assert done.stdout.isascii()


def test_a_listing_on_a_terminal_is_drawn() -> None:
    reading, terminal = os.openpty()
    subprocess.run([WSOLBENCH, "list", "tracks"], stdout=terminal, check=True, env={**os.environ, "COLUMNS": "120"})
    os.close(terminal)
    assert "│ shapes-convnet ".encode() in os.read(reading, 10_000)


def test_list_runs_names_every_training() -> None:
    runs = listed("runs")
    assert "shapes-convnet-dgdm-2" in runs
    assert "shapes-convnet-mask_supervised-0" in runs


def test_doctor_finds_nothing_wrong_in_a_fresh_checkout() -> None:
    wrong = [finding for finding in findings(Path()) if finding.state == "wrong"]
    assert wrong == []


def test_doctor_names_a_missing_data_root_and_missing_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WSOLBENCH_CUB_ROOT", raising=False)
    monkeypatch.delenv("WSOLBENCH_WEIGHTS", raising=False)
    yaml = YAML()
    params = yaml.load(Path("params.yaml").read_text())
    params["run"] |= {"tracks": ["cub-mobilenet_v1"], "benchmark": None}
    with (tmp_path / "params.yaml").open("w") as stream:
        yaml.dump(params, stream)
    wrong = [f"{finding.subject}: {finding.text}" for finding in findings(tmp_path) if finding.state == "wrong"]
    assert any("datasets.cub.root" in line for line in wrong)
    assert any("WSOLBENCH_WEIGHTS" in line for line in wrong)


def test_doctor_names_a_wrong_argument_of_a_method(tmp_path: Path) -> None:
    text = Path("params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("  adl:\n", "  adl:\n    args: {gama: 0.8}\n"))
    wrong = [f"{finding.subject}: {finding.text}" for finding in findings(tmp_path) if finding.state == "wrong"]
    assert any("method adl" in line and "did you mean 'gamma'?" in line for line in wrong)


def test_doctor_notes_results_that_belong_to_no_run(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(Path("params.yaml").read_text())
    stale = tmp_path / "results" / "metrics" / "shapes-convnet" / "shapes-convnet-gone-0.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    notes = [finding.subject for finding in findings(tmp_path) if finding.state == "note"]
    assert str(stale.relative_to(tmp_path)) in notes


def test_a_dry_run_prints_the_resolved_run_with_overrides_and_defaults() -> None:
    options = ["--cfg-options", "methods.adl.args.gamma=0.7", "tracks.shapes-convnet.lr=0.5"]
    done = run("train", "shapes-convnet-adl-1", "--dry-run", *options)
    assert done.returncode == 0, done.stderr
    printed = YAML(typ="safe").load(done.stdout)
    assert printed["method"]["args"]["gamma"] == 0.7
    assert printed["method"]["args"]["drop_rate"] == 0.75
    assert printed["track"]["lr"] == 0.5
    assert printed["track"]["backbone_args"] == {"width": 16}
    assert printed["seed"] == 1


def test_an_override_without_its_option_is_refused() -> None:
    done = run("train", "shapes-convnet-adl-1", "tracks.shapes-convnet.lr=0.5", "--dry-run")
    assert done.returncode == 1
    assert "unexpected argument 'tracks.shapes-convnet.lr=0.5'; overrides follow --cfg-options" in done.stderr


def test_log_lines_go_above_a_progress_bar_that_has_taken_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    handler, bar = _Lines(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", bar)
    handler.handle(logging.makeLogRecord({"msg": "epoch 1/6"}))
    assert bar.getvalue() == "epoch 1/6\n"
