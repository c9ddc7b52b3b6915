"""What each method costs: counted on its network, and measured as its runs went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import pandas as pd
from pydantic import Field, TypeAdapter

from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.files import parse_file
from wsolbench.report.shown import ShownTable, shown_table
from wsolbench.results.load import Row, TrackResults
from wsolbench.results.run_result import RunResult
from wsolbench.results.stats import Spread, spread

__all__ = ["COST_COLUMNS", "CostColumn", "Costs", "Counted", "Provenance", "read_costs", "read_provenance"]

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Counted:
    """The file of stage ``costs``; see :class:`wsolbench.training.costs.Counts`."""

    key: str
    data_digest: str
    train_images: Count
    epochs: Count
    side: Count
    classes: Count
    parameters: Count | None = None
    train_flops_per_image: Count | None = None
    test_flops_per_image: Count | None = None


@dataclass(frozen=True)
class Seconds:
    """Wall time of a run."""

    training: Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Memory:
    """Largest memory of a run's process, MiB; of the device only where that is a GPU."""

    host: Count
    device: Count | None = None


@dataclass(frozen=True)
class Provenance:
    """What of a run's provenance concerns its costs."""

    key: str
    index_digest: str
    amp: str
    device: str
    threads: Count
    wall_seconds: Seconds
    peak_memory_mib: Memory
    processes: Count = 1


@dataclass(frozen=True)
class CostColumn:
    """One number of a run's costs.

    Attributes:
        name: start of its columns in the CSV file.
        heading: of a table's column.
        meaning: one sentence for people.
        unit: of what people are shown.
        decimals: digits after the point that people are shown.
        scale: what the CSV's number is multiplied by for people.
        of: the number of a run, None where it is not known.
        is_counted: the same for all seeds and machines, so that it has no spread.
        higher_is_better: whether larger numbers are better.
    """

    name: str
    heading: str
    meaning: str
    unit: str
    decimals: int
    scale: float
    of: Callable[[Counted, Provenance | None], float | None]
    is_counted: bool = False
    higher_is_better: bool = False


def _images_per_second(counted: Counted, seen: Provenance | None) -> float | None:
    if seen is None or not counted.epochs or not seen.wall_seconds.training:
        return None
    return counted.train_images * counted.epochs / seen.wall_seconds.training


def _seconds(counted: Counted, seen: Provenance | None) -> float | None:
    return seen.wall_seconds.training if seen and counted.epochs else None


_FLOP = "operations of convolutions and matrix products, two for an addition with a multiplication"

COST_COLUMNS = (
    CostColumn(
        "parameters", "parameters (millions)", "numbers that training may change, of all branches together",
        "millions", 3, 1e-6, lambda counted, _: counted.parameters, True,
    ),
    CostColumn(
        "train_flops_per_image", "GFLOP per training image", f"{_FLOP}, forward and backward",
        "GFLOP", 3, 1e-9, lambda counted, _: counted.train_flops_per_image, True,
    ),
    CostColumn(
        "test_flops_per_image", "GFLOP per test image", f"{_FLOP}, for class and map together",
        "GFLOP", 3, 1e-9, lambda counted, _: counted.test_flops_per_image, True,
    ),
    CostColumn(
        "train_images_per_second", "training images/s", "training images of all epochs, divided by the training's time",
        "images/s", 0, 1, _images_per_second, higher_is_better=True,
    ),
    CostColumn(
        "train_seconds", "training time (s)",
        "wall time of the training with its loading; of an interrupted one, since it last went on",
        "s", 1, 1, _seconds,
    ),
    CostColumn(
        "peak_host_mib", "peak memory, host (MiB)", "largest resident memory of the run's process, with its libraries",
        "MiB", 0, 1, lambda _, seen: seen.peak_memory_mib.host if seen else None,
    ),
    CostColumn(
        "peak_device_mib", "peak memory, device (MiB)", "largest memory that the run's tensors had on the GPU",
        "MiB", 0, 1, lambda _, seen: seen.peak_memory_mib.device if seen else None,
    ),
)  # fmt: skip
"""Every number of the table of costs, in its order."""


@dataclass(frozen=True)
class Costs:
    """What the rows of a track cost; baselines have no provenance and are left out.

    Attributes:
        track: its name.
        rows: methods with results.
        counted: by run key.
        provenance: by run key, of those runs that have one.
    """

    track: str
    rows: tuple[Row, ...]
    counted: Mapping[str, Counted]
    provenance: Mapping[str, Provenance]

    def summary(self, row: Row, column: CostColumn) -> Spread | None:
        """Return a number over a row's seeds, in the unit of the CSV file; None where no run has it."""
        found = (column.of(self.counted[run.key], self.provenance.get(run.key)) for run in row.runs)
        values = [value for value in found if value is not None]
        if not values:
            return None
        # Runs of a method cannot differ in what they count.
        return Spread(values[0], None, 1) if column.is_counted and len(set(values)) == 1 else spread(values)

    def shown(self) -> ShownTable:
        """Return the table for people."""

        def scaled(row: Row, column: CostColumn) -> Spread | None:
            found = self.summary(row, column)
            if found is None:
                return None
            return Spread(found.mean * column.scale, found.sd and found.sd * column.scale, found.n)

        return shown_table(self.rows, COST_COLUMNS, scaled)

    def machines(self, row: Row) -> str:
        """Return where and in which precision a row's runs went, each different answer once."""
        seen = [self.provenance[run.key] for run in row.runs if run.key in self.provenance]
        return "; ".join(dict.fromkeys(map(_machine, seen)))

    @property
    def reading(self) -> str:
        """What a reader has to know about the numbers, in one paragraph without markup."""
        places: dict[str, list[str]] = {}
        for row in self.rows:
            if place := self.machines(row):
                places.setdefault(place, []).append(row.title)
        where = [f"on {place}" + f" ({', '.join(names)})" * (len(places) > 1) for place, names in places.items()]
        missing = sum(run.key not in self.provenance for row in self.rows for run in row.runs)
        lacking = f" {missing} runs have no provenance of these data and count in no measurement." if missing else ""
        seen = (
            " Images per second, time and memory are measurements of the trainings as they went, mean over the seeds, "
            f"{'; '.join(where)}: other work of the machine slows them, so that small differences mean nothing."
        )
        counts = "Parameters and operations are counted on the network and the same on every machine."
        return f"{counts}{seen if places else ''}{lacking}"

    def csv(self) -> str:
        """Return the table with full precision: counts as they are, measurements as mean, sd, ci95 and n.

        Empty where no method has results.
        """
        if not self.rows:
            return ""
        return pd.DataFrame([self._record(row) for row in self.rows]).to_csv(index=False, lineterminator="\n")

    def _record(self, row: Row) -> dict[str, object]:
        record: dict[str, object] = {
            "track": self.track, "kind": row.kind, "method": row.method, "title": row.title, "recipe": row.recipe,
        }  # fmt: skip
        for column in COST_COLUMNS:
            found = self.summary(row, column)
            if column.is_counted:
                record[column.name] = found.mean if found else None
                continue
            record[f"{column.name}_mean"] = found.mean if found else None
            record[f"{column.name}_sd"] = found.sd if found else None
            record[f"{column.name}_ci95"] = found.half_width() if found else None
            record[f"{column.name}_n"] = found.n if found else 0
        return record | {"measured_on": self.machines(row)}


def read_costs(results: TrackResults, root: Path) -> Costs:
    """Read what the methods of a track cost.

    Raises:
        DataError: the counts of a row are missing, damaged or of other data, or a provenance file is damaged; the
            message names the file.
    """
    rows = tuple(row for row in results.measured if row.kind != "baseline")
    counted: dict[str, Counted] = {}
    provenance: dict[str, Provenance] = {}
    for row in rows:
        for run in row.runs:
            key = f"{results.track}-{row.method}"
            counted[run.key] = _read_counted(Layout(root).costs(results.track, key), key, run)
            seen = read_provenance(run, root)
            if seen is not None:
                provenance[run.key] = seen
    return Costs(results.track, rows, counted, provenance)


def read_provenance(run: RunResult, root: Path) -> Provenance | None:
    """Return the provenance of the training that made a run's numbers; None if there is none, or of other data.

    Raises:
        DataError: the file is damaged; the message names it.
    """
    path = Layout(root).provenance(run.key)
    if not path.is_file():
        return None
    found = _checked(path, Provenance, f"train the run again (`wsolbench train {run.key}`)")
    alike = run.data_digest is None or found.index_digest == run.data_digest
    return found if found.key == run.key and alike else None


def _read_counted(path: Path, key: str, run: RunResult) -> Counted:
    cure = f"run `wsolbench costs {run.track}`"
    if not path.is_file():
        raise DataError(f"{path} is missing; {cure}")
    found = _checked(path, Counted, cure)
    if found.key != key or (run.data_digest is not None and found.data_digest != run.data_digest):
        raise DataError(f"{path} was counted for other data than {run.key} was trained on; {cure}")
    return found


def _machine(seen: Provenance) -> str:
    threads = "1 thread" if seen.threads == 1 else f"{seen.threads} threads"
    precision = "float32" if seen.amp == "off" else f"{seen.amp} autocast"
    processes = "" if seen.processes == 1 else f", {seen.processes} processes"
    return f"{seen.device}, {threads}{processes}, {precision}"


_Record = TypeVar("_Record")


def _checked(path: Path, kind: type[_Record], cure: str) -> _Record:
    return parse_file(path, partial(TypeAdapter(kind).validate_json, strict=True), cure)
