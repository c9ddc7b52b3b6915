"""The code that runs is that of the checkout in which a command is called, whatever is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.conftest import copy_checkout
from wsolbench import CODE_VARIABLE
from wsolbench.errors import SettingsError
from wsolbench.runs.startup import run_code_of


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    copy_checkout(tmp_path)
    return tmp_path


def run_in(root: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", CODE_VARIABLE}}
    program = str(Path(sys.executable).with_name("wsolbench"))
    done = subprocess.run([program, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False)
    return done.stdout


OWN = ("wsolbench/tools/stages.py", "wsolbench/models/backbones/convnet.py", "methods/cam.py", "datasets/shapes.py")


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


@pytest.mark.slow
def test_a_copied_checkout_runs_its_own_package_methods_and_data_sets(copied: Path) -> None:
    for name in OWN:
        append(copied / name, f"print('this is {name}')\n")
    append(copied / "wsolbench" / "tools" / "stages.py", "import wsolbench.datasets.shapes, wsolbench.methods.cam\n")
    append(copied / "methods" / "cam.py", "import wsolbench.models.backbones.convnet\n")
    found = run_in(copied, "--version").splitlines()
    for name in OWN:
        assert f"this is {name}" in found


@pytest.mark.slow
def test_a_broken_method_of_a_copied_checkout_is_found_by_its_doctor(copied: Path) -> None:
    append(copied / "methods" / "cam.py", "def broken(:\n")
    assert "wrong: method cam: method 'cam' cannot be loaded (SyntaxError" in run_in(copied, "doctor")


@pytest.mark.slow
def test_a_queued_experiment_runs_the_code_that_it_records(
    copied: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """DVC runs it in a copy of the checkout, when the checkout itself has changed again."""
    ran = tmp_path_factory.mktemp("outside") / "ran"
    binaries = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", CODE_VARIABLE}}
    environment |= {"PATH": f"{binaries}:{os.environ['PATH']}", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b"}
    environment |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "DVC_NO_ANALYTICS": "1"}

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=copied, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    run("git", "init", "--quiet")
    run("dvc", "init", "--quiet")
    (copied / ".gitignore").write_text("/data\n/results\n/.wsolbench\n__pycache__\n")
    run("git", "add", "-A")
    run("git", "commit", "--quiet", "-m", "a checkout")
    stages = copied / "wsolbench" / "tools" / "stages.py"
    before = stages.read_text()
    append(stages, f"open({str(ran)!r}, 'a').write(__file__ + '\\n')\n")
    run("dvc", "exp", "run", "--queue", "--name", "changed", "resolve")
    stages.write_text(before)
    run("dvc", "exp", "run", "--run-all")
    (place,) = set(ran.read_text().splitlines())
    assert place != str(stages)
    assert place.endswith("wsolbench/tools/stages.py")


@pytest.mark.slow
def test_processes_that_a_command_starts_run_the_same_code(copied: Path) -> None:
    append(
        copied / "wsolbench" / "cli.py",
        "import subprocess, sys\n"
        "code = 'import wsolbench.errors as e, wsolbench.methods as m; print(e.__file__, m.__path__[0])'\n"
        "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout)\n",
    )
    assert f"{copied / 'wsolbench' / 'errors.py'} {copied / 'methods'}" in run_in(copied, "--version")


def test_other_code_is_refused_where_starting_again_does_not_help(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CODE_VARIABLE, str(copied))
    with pytest.raises(SettingsError, match="is a checkout of wsolbench, and the code that runs is that of"):
        run_code_of(copied)


def test_what_is_no_checkout_runs_the_installed_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started again"))
    run_code_of(tmp_path)
    (tmp_path / "params.yaml").touch()
    run_code_of(tmp_path)
    run_code_of(Path.cwd())
