"""Read Parquet files in the calling thread.

``pyarrow.parquet.read_table`` and ``pandas.read_parquet`` start Arrow's pools of threads, even when told to use none. A
process that ends while such a thread starts is aborted now and then ("terminate called without an active exception"),
after its work is done but with a failing exit status.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["read_parquet"]


def read_parquet(source: Path | bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the table of a Parquet file, without starting threads.

    Args:
        source: the file, or what it holds.
        columns: those to read, by default all.

    Raises:
        OSError: the file is missing or cannot be read.
        pa.ArrowException: it is no Parquet file, is damaged, or lacks a column.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as file:
        names = file.schema_arrow.names
        if missing := [name for name in columns or () if name not in names]:
            raise pa.ArrowKeyError(f"no column {missing[0]!r}")
        table = file.read(columns=None if columns is None else list(columns), use_threads=False)
    table.validate(full=True)  # texts that are not UTF-8
    return table
