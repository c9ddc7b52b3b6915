"""Training curves: losses and learning rate over epochs, from the git-tracked histories."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.files import parse_file
from wsolbench.report.plots import look
from wsolbench.report.style import legend, new_figure, row_label, titled
from wsolbench.results.load import TrackResults, remedy

__all__ = ["training_figure"]

_LR_SHARE = 0.3  # of the height of the losses


def training_figure(results: TrackResults, root: Path) -> Figure:
    """Draw the sum of the losses over epochs, and below it the learning rate of the backbone.

    Lines are means over seeds, bands from the lowest seed to the highest. Losses of different methods have different
    terms: their heights do not compare, their courses do.

    Raises:
        DataError: a run's history is not here, or no run has trained anything.
    """
    rows = [row for row in results.measured if row.kind != "baseline"]
    figure = new_figure(4.2)
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=[1, _LR_SHARE])
    drawn = 0
    for row in rows:
        cure = remedy(row.kind, row.runs[0].key)
        frames = [_read(Layout(root).history(results.track, run.key), cure) for run in row.runs]
        frames = [frame for frame in frames if len(frame)]
        if not frames:
            continue
        drawn += 1
        sums = pd.concat([frame.filter(like="loss_").sum(axis=1) for frame in frames], axis=1).sort_index()
        mean = sums.mean(axis=1)
        losses.plot(mean.index, mean, label=row_label(row, len(results.seeds)), **look(row))
        if len(frames) > 1:
            ends = (sums.min(axis=1), sums.max(axis=1))  # a deviation may reach below 0, where the axis ends
            losses.fill_between(mean.index, *ends, color=look(row)["color"], alpha=0.15, linewidth=0)
        rates.plot(frames[0].index, frames[0]["lr"], **look(row))
    if not drawn:
        raise DataError(f"track '{results.track}' has no training curves: none of its runs trained anything")
    losses.set(ylabel="sum of losses", yscale="log")
    losses.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    losses.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    losses.yaxis.set_minor_formatter(NullFormatter())
    rates.set(xlabel="epoch", ylabel="learning rate")
    rates.xaxis.set_major_locator(MaxNLocator(integer=True))
    titled(figure, f"{results.track}: training, {_phrase(results)}")
    legend(figure, losses.get_legend_handles_labels()[0])
    return figure


def _phrase(results: TrackResults) -> str:
    count = len(results.seeds)
    return f"mean and range over {count} seeds" if count > 1 else "one seed"


def _read(path: Path, cure: str) -> pd.DataFrame:
    """Return a history by epoch."""
    return parse_file(path, _parsed, cure)


def _parsed(content: bytes) -> pd.DataFrame:
    frame = pd.read_csv(io.BytesIO(content), dtype=float).set_index("epoch")
    if "lr" not in frame or not np.isfinite(frame).all(axis=None):
        raise ValueError("no column lr, or empty cells")
    return frame
