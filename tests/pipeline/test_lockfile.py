"""What a launch writes to ``dvc.lock`` are DVC's own bytes, whatever the file held before."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc.utils.serialize import dumps_yaml, loads_yaml

from tests.pipeline.test_tasks import toy
from wsolbench.launch.lockfile import record_stage

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # of pygtrie, which DVC uses

STAGES = """
stages:
  one:
    matrix: {{run: [a-b]}}
    cmd: echo {words} > one.txt
    outs: [one.txt]
  two:
    cmd:
    - cp one.txt two.txt
    - echo '# not a comment' >> two.txt
    deps: [one.txt]
    params: [some.yaml: [values.list, values.text]]
    outs: [two.txt: {{cache: false}}]
  two-b:
    cmd: cp two.txt 'three four.txt'
    deps: [two.txt]
    outs: ['three four.txt']
"""


def stages_of(root: Path) -> dict[str, PipelineStage]:
    found = {stage.name: stage for stage in Repo(str(root)).index.stages if isinstance(stage, PipelineStage)}
    assert len(found) == 3
    return found


def test_entries_are_dvcs_own_bytes_new_and_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "repository"
    toy(root, STAGES.format(words="long " * 40))
    monkeypatch.chdir(root)
    (root / "some.yaml").write_text("values: {list: [1, 2.5, 'no'], text: \"a: b\\n c\"}\n")
    (root / "one.txt").write_text("one")
    (root / "two.txt").write_text("two")
    (root / "three four.txt").write_text("three")
    lock, texts = root / "dvc.lock", []
    for content in ("two", "another"):
        (root / "two.txt").write_text(content)
        for name in ("two", "one@a-b", "two-b", "two"):
            stage = stages_of(root)[name]
            with stage.repo.lock:
                stage.save(run_cache=False)
            record_stage(lock, stage)
            ours = lock.read_bytes()
            stage.dump(update_pipeline=False)
            assert lock.read_bytes() == ours
            assert loads_yaml(ours.decode())["stages"][name]["cmd"] == stage.cmd
        texts.append(lock.read_text())
    assert list(loads_yaml(texts[1])["stages"]) == ["two", "one@a-b", "two-b"]
    assert texts[0] != texts[1]


@pytest.mark.slow
def test_the_committed_file_has_the_form_that_is_relied_on() -> None:
    text = Path("dvc.lock").read_text()
    entries = loads_yaml(text)["stages"]
    assert len(entries) > 50
    assert text == "schema: '2.0'\n" + dumps_yaml({"stages": entries})
    assert re.findall(r"^  (\S.*):$", text, re.MULTILINE) == [*entries]
