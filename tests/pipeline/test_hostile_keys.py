"""DVC puts keys of params.yaml into command lines; nothing of that may run before the keys were checked."""

from __future__ import annotations

import pytest

from tests.pipeline.conftest import Pipeline

pytestmark = pytest.mark.slow

TRACK = "shapes-convnet"


@pytest.mark.parametrize(
    "changes",
    [
        {"run__tracks": ["x; touch pwned", "$(touch pwned)", "a' ; touch pwned; '", "a\ntouch pwned"]},
        {"run__tracks": [TRACK], "run__methods": ["cam; touch pwned"]},
        {"run__methods": ["cam"], "run__readouts": ["x; touch pwned"]},
    ],
)
@pytest.mark.parametrize("command", [("dvc", "repro", "-k"), ("wsolbench", "launch")])
def test_no_shell_sees_a_key_that_is_none(
    pipeline: Pipeline, changes: dict[str, object], command: tuple[str, ...]
) -> None:
    pipeline.edit_params(**changes)
    done = pipeline.run(*command, check=False)
    assert done.returncode != 0
    assert "cannot be a key" in done.stdout + done.stderr
    assert "Running stage 'look" not in done.stdout
    assert not list(pipeline.root.rglob("pwned"))


def test_plain_keys_are_looked_at_after_the_check(pipeline: Pipeline) -> None:
    pipeline.edit_params(run__tracks=[TRACK], run__methods=["cam"], run__readouts=[])
    done = pipeline.run("wsolbench", "launch", "--dry-run")
    assert (pipeline.root / "data" / "look" / f"{TRACK}.json").is_file()
    assert f"prepare@{TRACK}" in done.stdout
    assert not (pipeline.root / "dvc.lock").exists()  # it prints, and pins nothing
