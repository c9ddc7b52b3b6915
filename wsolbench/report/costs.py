"""What each method costs: counted on its network, and measured as its runs went."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.files import parse_file
from wsolbench.report.track import TrackResults, score_table
from wsolbench.results.metrics import Metric
from wsolbench.results.schema import Costs, Provenance
from wsolbench.results.stats import BY_ROW, summarise_by

__all__ = ["COSTS", "cost_summary", "cost_table", "costs_csv", "costs_reading", "read_costs", "read_provenance"]

_FLOP = "operations of convolutions and matrix products, two for an addition with a multiplication"
_GOES_ON = "wall time of the training with its loading; of an interrupted one, since it last went on"
_RESIDENT = "largest resident memory of the run's process, with its libraries"
_TENSORS = "largest memory that the run's tensors had on the GPU"
_MAPS = "wall time of class and map of all images of val and test with their loading, divided by their number"
_SPEED = "training images of all epochs, divided by the training's time"
_TRAINABLE = "numbers that training may change, of all branches together"
_OF_COSTS: Literal["costs"] = "costs"
_COUNTED = (
    Metric("parameters", "parameters (millions)", _TRAINABLE, "millions", _OF_COSTS),
    Metric("train_flops_per_image", "GFLOP per training image", f"{_FLOP}, forward and backward", "GFLOP", _OF_COSTS),
    Metric("test_flops_per_image", "GFLOP per test image", f"{_FLOP}, for class and map together", "GFLOP", _OF_COSTS),
)
_MEASURED = (
    Metric("train_images_per_second", "training images/s", _SPEED, "images/s", _OF_COSTS),
    Metric("train_seconds", "training time (s)", _GOES_ON, "s", _OF_COSTS),
    Metric("test_ms_per_image", "time per test image (ms)", _MAPS, "ms", _OF_COSTS),
    Metric("peak_host_mib", "peak memory, host (MiB)", _RESIDENT, "MiB", _OF_COSTS),
    Metric("peak_device_mib", "peak memory, device (MiB)", _TENSORS, "MiB", _OF_COSTS),
)

COSTS = {each.name: each for each in (*_COUNTED, *_MEASURED)}
"""Every number of the table of costs, in its order."""


def read_costs(track: TrackResults, root: Path) -> pd.DataFrame:
    """Read what the methods and read-outs of a track cost.

    Returns:
        :attr:`~wsolbench.report.track.TrackResults.measured` of these only, with a column per number of :data:`COSTS`
        (NaN where it is not known), and ``machine``: where and in which precision the run went. Read-outs train no
        parameters, and their operations are not counted.

    Raises:
        DataError: the counts of a method are missing, damaged or of other data, or a provenance file is damaged; the
            message names the file.
    """
    runs = track.measured[track.measured["kind"].isin(["method", "readout"])]
    found = [_of_run(run, root) for run in runs.to_dict("records")]
    return runs.join(pd.DataFrame(found, index=runs.index, columns=[*COSTS, "machine"]))


def _of_run(run: dict[Any, Any], root: Path) -> dict[str, Any]:
    counted = None if run["kind"] == "readout" else _counted(run, root)
    record: dict[str, Any] = {each.name: getattr(counted, each.name) for each in _COUNTED} if counted else {}
    record = record or {"parameters": 0}
    seen = read_provenance(run["key"], run["data_digest"], root)
    if seen is None:
        return record
    seconds = seen.wall_seconds
    if counted and counted.epochs and seconds.training is not None:
        trained = counted.train_images * counted.epochs
        record["train_seconds"] = seconds.training
        record["train_images_per_second"] = trained / seconds.training if seconds.training else None
    if seconds.prediction is not None:
        record["test_ms_per_image"] = 1000 * seconds.prediction / (run["images_val"] + run["images_test"])
    memory = seen.peak_memory_mib
    return record | {"peak_host_mib": memory.host, "peak_device_mib": memory.device, "machine": _machine(seen)}


def read_provenance(key: str, data_digest: str | None, root: Path) -> Provenance | None:
    """Return the provenance of what made a run's maps; None if there is none, or of other data.

    Raises:
        DataError: the file is damaged; the message names it.
    """
    path = Layout(root).provenance(key)
    if not path.is_file():
        return None
    read = partial(Provenance.model_validate_json, strict=True)
    found = parse_file(path, read, f"train the run again (`wsolbench train {key}`)")
    alike = not isinstance(data_digest, str) or found.index_digest == data_digest
    return found if found.key == key and alike else None


def _counted(run: dict[Any, Any], root: Path) -> Costs:
    key, cure = f"{run['track']}-{run['method']}", f"run `wsolbench costs {run['track']}`"
    path = Layout(root).costs(run["track"], key)
    found = parse_file(path, partial(Costs.model_validate_json, strict=True), cure)
    if found.key != key or (isinstance(run["data_digest"], str) and found.data_digest != run["data_digest"]):
        raise DataError(f"{path} was counted for other data than {run['key']} was trained on; {cure}")
    return found


def _machine(seen: Provenance) -> str:
    threads = "1 thread" if seen.threads == 1 else f"{seen.threads} threads"
    precision = "float32" if seen.amp == "off" else f"{seen.amp} autocast"
    processes = "" if seen.processes == 1 else f", {seen.processes} processes"
    return f"{seen.device}, {threads}{processes}, {precision}"


def cost_summary(costs: pd.DataFrame) -> pd.DataFrame:
    """Summarise costs over seeds; what is counted is the same for all, and has no spread."""
    plain = costs.astype(dict.fromkeys(BY_ROW, str) | dict.fromkeys(COSTS, float))
    found = {name: summarise_by(plain, BY_ROW, name) for name in COSTS}
    for each in _COUNTED:
        found[each.name][["sd", "ci95"]] = float("nan")
    return pd.concat(found, axis=1)


def cost_table(track: TrackResults, costs: pd.DataFrame) -> pd.DataFrame:
    """Return the table for people, as :func:`~wsolbench.report.track.score_table` does; empty without costs."""
    rows = track.rows[track.rows.index.isin(cost_summary(costs).index)]
    return score_table(rows, cost_summary(costs), COSTS.values())


def costs_csv(track: TrackResults, costs: pd.DataFrame) -> str:
    """Return the table with full precision: counts as they are, measurements as mean, sd, ci95 and n.

    Empty where no method has results.
    """
    if costs.empty:
        return ""
    summary = cost_summary(costs)
    table = summary.index.to_frame(index=False)[["track", "kind", "method", "recipe"]]
    table.insert(3, "title", track.rows["title"].reindex(summary.index).to_numpy())
    for name, cost in COSTS.items():
        numbers = summary[name].reset_index(drop=True)
        table = table.join(numbers["mean"].rename(name) if cost in _COUNTED else numbers.add_prefix(f"{name}_"))
    machines = costs.dropna(subset="machine").astype(dict.fromkeys(BY_ROW, str)).groupby(BY_ROW)["machine"]
    where = machines.agg(lambda each: "; ".join(dict.fromkeys(each))).reindex(summary.index)
    return table.assign(measured_on=where.to_numpy()).to_csv(index=False, lineterminator="\n")


def costs_reading(costs: pd.DataFrame) -> str:
    """Return what a reader has to know about the numbers, in one paragraph without markup."""
    places: dict[str, dict[str, None]] = {}
    for title, machine in costs[["title", "machine"]].dropna().to_numpy():
        places.setdefault(machine, {})[title] = None
    where = [f"on {place}" + f" ({', '.join(titles)})" * (len(places) > 1) for place, titles in places.items()]
    missing = int(costs["machine"].isna().sum())
    lacking = f" {missing} runs have no provenance of these data and count in no measurement." if missing else ""
    seen = (
        " Images per second, times and memory are measurements of the runs as they went, mean over the seeds, "
        f"{'; '.join(where)}: other work of the machine slows them, so that small differences mean nothing."
    )
    counts = "Parameters and operations are counted on the network and the same on every machine."
    nothing = " Read-outs train nothing; their time is that of reading maps out of a network trained before."
    reads = nothing if (costs["kind"] == "readout").any() else ""
    return f"{counts}{reads}{seen if places else ''}{lacking}"
