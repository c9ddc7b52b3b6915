"""A launched command in a process of its own."""

from __future__ import annotations

import os
from multiprocessing import get_context
from pathlib import Path

from wsolbench.launch.local import _run


def test_a_command_that_used_several_processes_ends_with_them(tmp_path: Path) -> None:
    command = tmp_path / "wsolbench"
    command.write_text(
        "from joblib import Parallel, delayed\nprint(Parallel(2)(delayed(abs)(each) for each in (-1, -2)))\n"
    )
    log, environment = tmp_path / "log", os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command.chmod(0o755)
    arguments = ("wsolbench evaluate toy", tmp_path, log, environment, tmp_path / "lock")
    process = get_context("forkserver").Process(target=_run, args=arguments)
    process.start()
    process.join(120)  # idle, joblib's processes live for 300 seconds
    ended = process.exitcode
    process.kill()
    assert (ended, log.read_text()) == (0, "[1, 2]\n")
