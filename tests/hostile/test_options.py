"""Options and arguments of the command line that cannot be: a usage message, or one error that names them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.evaluation.made_up_run import TEST
from tests.hostile.damage import limited
from tests.hostile.test_inputs import LISTS, PARAMS
from tests.score.test_score import write_maps
from tests.tiny import TINY_TRACK
from wsolbench.acquire.prepare import look
from wsolbench.cli import app
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.errors import WsolbenchError

USAGE = 2  # typer's exit status for it
SCORE = ("score", "--maps", "maps", "--metadata", ".")
COMMANDS = (
    *(("show", "small", "--n", number) for number in ("0", "-1", "401", "x", "1e3")),
    ("show", "small", "--out", "file/picture.png"),
    *(("plot", *rest) for rest in (("nothing",), ("methods", "--width", "0"), ("methods", "--height", "-1"))),
    *(("plot", "methods", "--tracks", name) for name in ("nothing", "..", "")),
    *((command, key) for command in ("train", "evaluate", "baseline") for key in ("small", "..", "a b", "small-x-0")),
    *((command, key) for command in ("prepare", "look", "weights", "report", "costs") for key in ("..", "x;y", "")),
    *(("launch", "--workers", number) for number in ("0", "-1", "x", "1.5", "٣")),
    *(("launch", "--slurm-option", option) for option in ("a", "=", "a=b")),
    *(("verify", *rest) for rest in (("..",), ("--tolerance", "-1"), ("--from", "nothing"))),
    *(("new", "method", name) for name in ("1a", "A", "a b", "cam", "class", "../x", "")),
    *(("list", name) for name in ("nothing", "")),
    SCORE[:3],
    (*SCORE, "--dataset", "shapes"),
    (*SCORE, "--split", "train"),
    (*SCORE, "--jobs", "-3"),
    (*SCORE, "--out", "file"),
    (*SCORE, "--predictions", "missing.txt"),
    (*SCORE, "--val-maps", "maps"),
    *(("score", "--maps", "maps", *rest) for rest in (("--entry", "psol"), ("--track", "small"))),
    *(("score", "--maps", "maps", "--track", "small", "--entry", name) for name in ("cam", "..", "a b", "")),
    *(("score", "--maps", "maps", "--track", track, "--entry", "psol") for track in ("nothing", "..")),
    (*SCORE, "--track", "small", "--entry", "psol"),
    ("score", "--maps", "file", "--metadata", "."),
    ("score", "--maps", "missing", "--metadata", "."),
    ("score", "--maps", "maps", "--metadata", "file"),
    ("score", "--maps", "maps", "--metadata", "missing"),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "file").write_text("")
    ids = [f"test{k}" for k in range(len(TEST))]
    lists = {"class_labels.txt": "0", "image_sizes.txt": "224,224", "localization.txt": "50,50,150,150"}
    assert lists.keys() <= LISTS.keys()
    (tmp_path / "image_ids.txt").write_text("".join(f"{name}\n" for name in ids))
    for name, rest in lists.items():
        (tmp_path / name).write_text("".join(f"{each},{rest}\n" for each in ids))
    write_maps(tmp_path / "maps", "test", TEST)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_cannot_be_is_refused(folder: Path, command: tuple[str, ...]) -> None:
    with limited():
        done = CliRunner().invoke(app, command)
    assert done.exit_code != 0
    assert isinstance(done.exception, WsolbenchError) or done.exit_code == USAGE, done.exception
    assert (folder / "file").read_text() == ""


def test_a_link_to_itself_among_what_is_looked_at_does_no_harm(tmp_path: Path) -> None:
    images = tmp_path / "images" / "images" / "cat"
    images.mkdir(parents=True)
    (images / "itself").symlink_to("itself")
    (images / "itself.jpg").symlink_to("itself.jpg")
    (images.parent / "up").symlink_to(images.parent)
    content = {
        "methods": {"cam": {}},
        "tracks": {"own": TINY_TRACK | {"dataset": "own"}},
        "run": {"tracks": ["own"], "methods": ["cam"], "seeds": [0]},
    }
    own = {"datasets": {"own": {"of": "image_folder", "root": str(tmp_path / "images")}}}
    with limited():
        look(Settings.model_validate(content | own), "own", Layout(tmp_path))
    assert Layout(tmp_path).look("own").is_file()
