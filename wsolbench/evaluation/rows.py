"""A table of numbers that grows by rows and is read by columns, on disk instead of in memory."""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from wsolbench.files import writing

__all__ = ["Rows"]

_READ_BYTES = 8 << 20


class Rows:
    """Rows of one shape and type in a temporary file, which vanishes with the object.

    Fifty thousand images at a thousand thresholds are 400 MB of overlaps; what is asked of them in the end is a few
    columns.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed when this object is collected
        weakref.finalize(self, self._file.close)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, rows: NDArray[Any]) -> None:
        """Append ``(m, *shape)`` rows."""
        with writing(Path(tempfile.gettempdir())):
            self._file.seek(0, 2)
            content = np.ascontiguousarray(rows, self._dtype).data.cast("B") if len(rows) else memoryview(b"")
            while content:  # a write at the end of the disk may be a part
                content = content[self._file.write(content) :]
        self._count += len(rows)

    def column(self, position: int) -> NDArray[Any]:
        """Return one column, ``(N, *shape[1:])``."""
        found = np.empty((self._count, *self._shape[1:]), self._dtype)
        size = int(np.prod(self._shape))
        step = max(_READ_BYTES // (size * self._dtype.itemsize), 1)
        self._file.seek(0)
        for start in range(0, self._count, step):
            count = min(step, self._count - start)
            block = np.frombuffer(self._file.read(count * size * self._dtype.itemsize), self._dtype)
            found[start : start + count] = block.reshape(count, *self._shape)[:, position]
        return found
