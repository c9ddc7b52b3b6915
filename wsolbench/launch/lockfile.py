"""``dvc.lock``, written stage by stage at a cost that does not grow with the number of stages."""

from __future__ import annotations

import re
from pathlib import Path

from dvc.stage import PipelineStage
from dvc.stage.serialize import to_lockfile
from dvc.utils.serialize import dumps_yaml

from wsolbench.files import write_text

__all__ = ["record_stage"]

_START = re.compile(r"\Aschema: '2\.0'\nstages:\n(?=  \S)")


def record_stage(path: Path, stage: PipelineStage) -> None:
    """Put a stage's entry in the place of its former one, or at the end, with the bytes that DVC would write.

    DVC reads and writes the whole file for each stage, which takes seconds where there are hundreds of them. A file of
    another form than that which DVC gives it is left to DVC.
    """
    entry = dumps_yaml({"stages": to_lockfile(stage)}).removeprefix("stages:\n")
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not _START.match(text):
        stage.dump(update_pipeline=False)
        return
    head = re.escape(entry.partition("\n")[0])  # "  name:"
    former = re.search(rf"^{head}\n(?:   .*\n)*", text, re.MULTILINE)
    start, end = former.span() if former else (len(text), len(text))
    write_text(path, f"{text[:start]}{entry}{text[end:]}")
