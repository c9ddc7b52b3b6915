"""What figures call and how they draw each method of the frame of results, whichever of them a figure shows."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from wsolbench.report.looks import COLOURS, LINES, MARKERS
from wsolbench.report.palette import CATEGORICAL
from wsolbench.report.track import records
from wsolbench.results.load import truth_of
from wsolbench.results.metrics import METRICS

__all__ = ["handles", "heading", "labelled", "localization", "numbers", "styles_of", "threshold_of"]

_KEYS = ["kind", "recipe", "method"]
_DRAWN = {
    "circle": "o", "square": "s", "diamond": "D", "triangle": "^", "inverted triangle": "v", "plus": "P", "star": "*",
    "cross": "X", "left triangle": "<", "right triangle": ">", "pentagon": "p", "hexagon": "h",
}  # fmt: skip
_DASHES: dict[str, Any] = {
    "solid": "-",
    "dashed": (0, (4, 1.5)),
    "dash-dot": (0, (4, 1.5, 1, 1.5)),
    "dotted": (0, (1, 1)),
    "long-dashed": (0, (6, 1)),
}


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with ``row``, what figures call each method, and ``block``, the number of its group.

    Rows are in the order of tables: methods by their recipes, then variants, then the other kinds.
    """
    groups = frame.groupby(_KEYS, observed=True, sort=False)
    rows = groups.agg(title=("title", "first"), of=("variant_of", "first"), n=("seed", "nunique")).reset_index()
    rows["of"] = rows["of"].notna()
    rows["part"] = pd.factorize(rows["recipe"].where((rows["kind"] == "method") & ~rows["of"], ""))[0]
    rows = rows.sort_values(["kind", "of", "part"], kind="stable")
    rows["block"] = rows.groupby(["kind", "of", "part"], observed=True).ngroup()
    names = []
    for row in records(rows):
        remarks = [] if row.kind == "baseline" or row.recipe == "common" else [f"recipe: {row.recipe}"]
        remarks += [f"n = {row.n}"] if row.n < rows["n"].max() else []
        noted = f" [{', '.join(remarks)}]".replace(": ", ":\N{NO-BREAK SPACE}").replace(
            " = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"
        )
        names.append(f"{row.title}{noted}" if remarks else str(row.title))
    named = zip(names, rows["method"], strict=True)
    names = [name if names.count(name) == 1 else f"{name} ({method})" for name, method in named]
    rows["row"] = pd.Categorical(names, names, ordered=True)
    return frame.merge(rows[[*_KEYS, "row", "block"]], on=_KEYS)


def styles_of(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return marker, line and colour by row of a labelled frame: those of its ``look``."""
    rows = frame.drop_duplicates("row").sort_values("row")
    edge = {"markersize": 4.5, "linewidth": 1.3, "markeredgecolor": "black", "markeredgewidth": 0.4}
    return {
        str(row): {
            "marker": _DRAWN[MARKERS[look % len(MARKERS)]],
            "linestyle": _DASHES[LINES[look % len(LINES)]],
            "color": CATEGORICAL[COLOURS[look % len(COLOURS)]],
            **edge,
        }
        for row, look in zip(rows["row"], rows["look"], strict=True)
    }


def handles(frame: pd.DataFrame, *, lines: bool = False) -> list[Line2D]:
    """Return the rows of a labelled frame for a legend, as points or lines."""
    plain = {} if lines else {"linestyle": "none"}
    return [Line2D([], [], label=row, **style | plain) for row, style in styles_of(frame).items()]


def numbers(frame: pd.DataFrame, *metrics: str) -> pd.DataFrame:
    """Return the runs of a labelled frame that have all of these metrics, each in a column."""
    runs = frame[frame["metric"].isin(metrics)].astype({"metric": str})
    wide = runs.pivot_table(index=["row", "look", "key"], columns="metric", values="value", observed=True)
    return wide.reindex(columns=list(metrics)).dropna().reset_index()


def threshold_of(frame: pd.DataFrame) -> tuple[str, str]:
    """Return how the threshold of a track's figures was chosen, and the words for it.

    It is that from ``val`` where every run that is measured at the fixed one has it.
    """
    metric = "p_iou" if truth_of(frame) == "masks" else "gt_known"
    fixed, val = (set(frame.loc[frame["metric"] == f"{metric}.{at}", "key"]) for at in ("fixed", "val"))
    return ("val", "threshold from val") if fixed <= val else ("fixed", "fixed threshold")


def localization(frame: pd.DataFrame) -> tuple[str, str]:
    """Return the metric that stands for localization on a track, and its name for people."""
    metric = "px_ap" if truth_of(frame) == "masks" else f"gt_known.{threshold_of(frame)[0]}"
    return metric, METRICS[metric].heading


def heading(frame: pd.DataFrame, shows: str, spread: str = " and sd") -> str:
    """Return the title of a track's figure, with what it says of the seeds."""
    count = frame["seed"].nunique()
    seeds = f"mean{spread} over {count} seeds" if count > 1 else "one seed, so no spread"
    return f"{frame['track'].iloc[0]}: {shows}, {seeds}"
