"""The losses of a training in a form small enough for git, so that a clone can draw them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd

from wsolbench.errors import DataError
from wsolbench.layout import Layout

__all__ = ["write_history"]

_MOST_ROWS = 100
_FORMAT = "%.5g"
_COLUMNS = ["epoch", "lr"]


def write_history(layout: Layout, track: str, key: str) -> None:
    """Write learning rate, losses and scores of a run's epochs to ``results/history``, atomically.

    Numbers are rounded to five digits. Of more than 100 epochs, 100 are kept at equal distances, the first and the last
    among them. A run that trained nothing, or was skipped, has no row.

    Args:
        layout: where the run lies, and the file goes.
        track: of the run.
        key: of the run.

    Raises:
        DataError: the run's ``history.csv`` is missing or damaged; the message names it.
    """
    folder = layout.run(key)
    skipped = (folder / "skipped.json").is_file()
    frame = pd.DataFrame(columns=_COLUMNS) if skipped else _read(folder / "history.csv")
    kept = np.unique(np.linspace(0, len(frame) - 1, min(len(frame), _MOST_ROWS)).round().astype(int))
    text = frame.iloc[kept].to_csv(index=False, float_format=_FORMAT, lineterminator="\n")
    path = layout.history(track, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _read(path: Path) -> pd.DataFrame:
    cure = f"fetch it (`dvc pull {path.parent}`) or train the run again"
    try:
        frame = pd.read_csv(io.BytesIO(path.read_bytes()))
    except FileNotFoundError:
        raise DataError(f"{path} is missing; {cure}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}); {cure}") from None
    if not set(_COLUMNS) <= set(frame):
        raise DataError(f"{path} is damaged (it needs the columns {', '.join(_COLUMNS)}); {cure}")
    return frame.drop(columns="iteration", errors="ignore")
