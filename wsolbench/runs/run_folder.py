"""The files of a run: its record, ``run.yaml``, holds the sha256 of the others and of itself.

A run that its method does not support has the record alone, ``skipped.json``, with the reason.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.files import check_record, file_sha256, parse_file, read_file, with_digest, write_text

__all__ = ["CHECKPOINT_FILE", "HISTORY_FILE", "RUN_FILE", "SKIPPED_FILE", "read_part", "read_record", "write_record"]

RUN_FILE, SKIPPED_FILE = "run.yaml", "skipped.json"
CHECKPOINT_FILE, HISTORY_FILE = "checkpoint.safetensors", "history.csv"
_NEEDED = {"key", "track", "method", "seed", "files"}


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a run whose other files are all there; with a ``reason`` where it was skipped."""
    digests = {path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.name != RUN_FILE}
    content = with_digest({**record, "files": digests})
    if "reason" in record:
        write_text(folder / SKIPPED_FILE, json.dumps(content, indent=2) + "\n")
        return
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(content, stream)
    write_text(folder / RUN_FILE, stream.getvalue())


def read_record(layout: Layout, key: str) -> dict[str, Any]:
    """Return the record of a run; it has a ``reason`` where the run was skipped.

    Raises:
        DataError: the run was not trained here, its record is damaged, or the directory is another run's.
    """
    folder = layout.run(key)
    skipped = (folder / SKIPPED_FILE).is_file()
    path, again = folder / (SKIPPED_FILE if skipped else RUN_FILE), _again(folder)
    parse: Callable[[bytes], Any] = json.loads if skipped else YAML(typ="safe", pure=True).load
    record = check_record(parse_file(path, parse, again), path, again)
    if not record.keys() >= _NEEDED:
        raise DataError(f"{path} was not written by this version of wsolbench; {again}")
    if record["key"] != key:
        raise DataError(f"{path} is that of run '{record['key']}', not of '{key}'; {again}")
    return record


def read_part(layout: Layout, record: Mapping[str, Any], name: str) -> bytes:
    """Return one of the other files of a run, by its name, as it was when its record was written.

    Raises:
        DataError: it is missing, damaged, or another training's; the message names it.
    """
    folder = layout.run(record["key"])
    return read_file(folder / name, _again(folder), record["files"].get(name, "none"))


def _again(folder: Path) -> str:
    how = ("read", "readout") if "_of_" in folder.name else ("train", "train")
    return "{} the run again (`wsolbench {} {}`), or fetch it (`dvc pull {}`)".format(*how, folder.name, folder)
