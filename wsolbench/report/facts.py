"""What was measured on a track, in words: data, protocol, seeds, weights, marks, and what was skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from wsolbench.errors import counted
from wsolbench.report.markdown import escaped
from wsolbench.report.track import MARKS, TrackResults, records
from wsolbench.results.schema import Entry
from wsolbench.results.stats import LEVEL

__all__ = [
    "entries_told",
    "facts",
    "marks",
    "over_seeds",
    "skipped_list",
    "skipped_runs",
    "track_facts",
    "truth_used",
    "weights_of",
]

_SELECTIONS = {
    "last": "Maps of the last epoch's weights",
    "val_boxes": "Maps of the weights of the epoch with the best BoxAcc on `val`",
    "val_cls": "Maps of the weights of the epoch with the best Top-1 accuracy on `val`",
}


def track_facts(track: TrackResults, *, interval: bool = True) -> str:
    """Return :func:`facts` in Markdown."""
    return "\n\n".join(facts(track, escaped, interval=interval)) + "\n"


def facts(track: TrackResults, mark: Callable[[str], str], *, interval: bool = True) -> list[str]:
    """Return what was measured, as paragraphs in which names of parameters stand in backticks."""
    entries = [f"Not trained here: {mark(each)}." for each in entries_told(track)]
    if track.ours.measured.empty:
        return [f"Every run was skipped (seeds asked for: {', '.join(map(str, track.seeds))}).", *entries]
    run: Any = track.ours.measured.iloc[0]
    masks = track.truth == "masks"
    protocol = "Masks, no boxes: thresholds are chosen by pIoU" if masks else f"Box protocol {mark(run.protocol)}"
    percent = "Percent." if masks else "Percent of the test images unless a heading says otherwise."
    measured = (
        f"Data set {mark(run.dataset)}, backbone {mark(run.backbone)}, {int(run.images_test)} test images. "
        f"{protocol}. {_SELECTIONS[run.selection]}. "
        f"Seeds {over_seeds(track, interval=interval)}, n = number of seeds. {percent}"
    )
    chosen = (
        f"Truth of `val` that chose thresholds: {mark(track.ours.by_row(truth_used))}. "
        f"Weights: {mark(track.ours.by_row(weights_of))}."
    )
    notes = [mark(track.note)] if track.note else []
    return [measured, *notes, chosen, *(f"{sign} {note}" for sign, note in marks(track, mark)), *entries]


def entries_told(track: TrackResults) -> list[str]:
    """Return what each entry of a track says of itself."""
    found: list[str] = []
    for run in (each for each in records(track.runs) if each.kind == "entry"):
        about: Entry = run.entry
        found.append(
            f"{about.title} ({int(run.images_val)} images of val have maps). Reference: {about.reference}. Licence: "
            f"{about.licence}. Network: {about.network}. Pretraining: {about.pretraining}. Epoch: {about.epoch}. "
            f"Threshold of its authors: {about.threshold}. Code: {about.code}"
        )
    return found


def marks(track: TrackResults, mark: Callable[[str], str]) -> list[tuple[str, str]]:
    """Return the footnotes that the titles of rows refer to, each with its sign."""
    failed, agnostic, exempt = [], [], []
    for _, runs in track.measured.groupby(["kind", "method", "recipe"], sort=False, observed=True):
        title = mark(runs["title"].iloc[0])
        seeds = runs.loc[runs["learned_nothing"], "seed"].tolist()
        if seeds:
            failed.append(f"{title} (seeds {', '.join(map(str, seeds))}; {len(seeds)} of {len(runs)})")
        if runs["class_agnostic"].any():
            agnostic.append(title)
        if runs["exempt"].any():
            exempt.append(f"{title} ({mark(runs['exempt'].max())})")
    nothing = (
        "Trained without learning anything that shows (Top-1 Cls on `val` not above that of one class for all images, "
        "or a loss that grew), and counted in all numbers"
    )
    notes = {
        "learned_nothing": (nothing, failed),
        "class_agnostic": ("Maps are the same for every class", agnostic),
        "exempt": ("Keeps a promise of the conformance suite in part only", exempt),
    }
    return [(MARKS[fact], f"{note}: {', '.join(titles)}.") for fact, (note, titles) in notes.items() if titles]


def over_seeds(track: TrackResults, *, interval: bool = True) -> str:
    """Return the seeds of a track, and what its numbers say about them."""
    seeds = ", ".join(map(str, track.used_seeds))
    if len(track.used_seeds) == 1:
        return f"{seeds}: one seed, so no spread"
    start = f"{seeds}: mean ± sample standard deviation over the seeds"
    if not interval:
        return start
    return (
        f"{start}, in brackets half the width of the {LEVEL:.0%} interval of the mean (Student's t, n - 1 degrees of "
        "freedom; it speaks of training again and not of other images)"
    )


def truth_used(run: Any) -> str:
    """Return how much of ``val`` chose thresholds, and whose truth it is."""
    whose = "" if run.val_truth == "gt" else f", {run.val_truth} instead of true ones"
    boxes, masks = counted(int(run.boxes_used), "box", "boxes"), counted(int(run.masks_used), "mask")
    return f"{counted(int(run.images_val), 'image')} with {boxes} and {masks}{whose}"


def weights_of(run: Any) -> str:
    """Return which pretrained weights a run started from."""
    if pd.isna(run.weights):
        return "none (random initialisation)"
    return f"{run.weights} (sha256 {run.weights_sha256[:12]})"


def skipped_runs(track: TrackResults) -> list[tuple[str, str, str]]:
    """Return titles, seeds and reason of the runs without results; methods that share seeds and reason together."""
    runs = track.runs[track.runs["skipped"].notna()]
    seeds: dict[tuple[str, str], list[str]] = {}
    for title, reason, seed in runs[["title", "skipped", "seed"]].to_numpy():
        seeds.setdefault((title, reason), []).append(str(seed))
    titles: dict[tuple[str, str], list[str]] = {}
    for (title, reason), found in seeds.items():
        titles.setdefault((", ".join(found), reason), []).append(title)
    return [("; ".join(found), each, reason) for (each, reason), found in titles.items()]


def skipped_list(track: TrackResults) -> str:
    """Return a section on runs without results and why, empty if there is none."""
    lines = [f"- {escaped(title)} (seeds {seeds}): {escaped(why)}\n" for title, seeds, why in skipped_runs(track)]
    return "## Skipped\n\n" + "".join(lines) if lines else ""
