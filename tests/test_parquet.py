from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wsolbench.files import read_parquet

_TABLE = pa.table({"id": ["a", "b"], "label": [0, 1]})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pq.write_table(_TABLE, tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


def test_reads_what_pyarrow_wrote_from_a_file_and_from_bytes(file: Path):
    assert read_parquet(file).equals(_TABLE)
    assert read_parquet(file.read_bytes(), ["label"]).to_pydict() == {"label": [0, 1]}


def test_a_missing_column_is_an_error_that_names_it(file: Path):
    with pytest.raises(pa.ArrowException, match="boxes"):
        read_parquet(file, ["id", "boxes"])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_no_parquet_file_is_an_error_that_readers_catch(content: bytes):
    with pytest.raises((pa.ArrowException, OSError)):
        read_parquet(content)


def test_starts_no_threads(file: Path):
    script = (
        "import os, sys, pathlib\n"
        "from wsolbench.files import read_parquet\n"
        "before = set(os.listdir('/proc/self/task'))\n"
        "read_parquet(pathlib.Path(sys.argv[1])).to_pandas(use_threads=False)\n"
        "sys.exit(len(set(os.listdir('/proc/self/task')) - before))\n"
    )
    subprocess.run([sys.executable, "-c", script.replace("import os", "import pandas, os"), str(file)], check=True)
