"""What a search leaves behind: ``results/search/<track>/<method>/``, with a JSON file per trial.

``search.json`` says how the trials are made and is written first; ``0000.json`` and so on are the trials, each written
whole when it is over, failed ones included. All are functions of code, parameters, data and seed, and hold neither
times nor names of machines. The models here are used by the search, which writes, and by the report, which reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from wsolbench.config.distributions import Choice, LogUniform, Uniform
from wsolbench.config.schema import StrictModel
from wsolbench.errors import DataError, SearchError, SettingsError
from wsolbench.files import bytes_sha256, parse_file, write_text

__all__ = ["OBJECTIVES", "Definition", "Objective", "Search", "SearchHead", "Trial", "folder_of", "read_head"]
__all__ += ["read_search", "read_searches", "read_trial", "store", "trial_file", "trial_files"]

Objective = Literal["max_box_acc_v2", "px_ap", "p_iou", "top1_cls"]

OBJECTIVES: dict[Objective, str] = {
    "max_box_acc_v2": "MaxBoxAccV2 (choe2020), each IoU at its best threshold",
    "px_ap": "PxAP",
    "p_iou": "pIoU at the best threshold",
    "top1_cls": "Top-1 Cls, without boxes or masks",
}
"""What trials are judged by, percent of ``val``, and its name for people."""

_HEAD = "search.json"
_M = TypeVar("_M", bound="_Stored")


class _Stored(StrictModel):
    """A file that holds the sha256 of everything else that it says."""

    sha256: str = ""

    def signed(self) -> Self:
        """Return the same with its digest."""
        plain = self.model_copy(update={"sha256": ""})
        return self.model_copy(update={"sha256": bytes_sha256(plain.model_dump_json().encode())})


class Definition(StrictModel):
    """Everything on which the trials depend but for the machine.

    Attributes:
        recipe: the track's, with the method's overrides; of a field that is searched, the track's own value.
        args: the method's arguments that are not searched.
        space: what is searched, by name with ``args.`` or ``train.`` in front.
        data: digest of the index.
        truth_of_val: sha256 of the boxes and masks that judge.
        weights: name and sha256 of the pretrained weights.
        code: sha256 of the modules that train and judge, by name; comments do not count.
    """

    seed: int
    objective: Objective
    threshold_step: float
    recipe: dict[str, Any]
    args: dict[str, Any]
    space: dict[str, Annotated[Uniform | LogUniform | Choice, Field(discriminator="kind")]]
    data: str
    truth_of_val: str
    weights: dict[str, Any] | None
    torch: str
    code: dict[str, str]

    @property
    def sha256(self) -> str:
        """The digest by which trials name their definition."""
        return bytes_sha256(self.model_dump_json().encode())


class SearchHead(_Stored):
    """How the trials of a search are made.

    Attributes:
        trials: how many there are to be, failed ones included.
        epochs: passes over the training split per trial.
        images: images of ``val`` that every trial is judged on.
        boxes_used: true boxes of ``val`` that judge (and select epochs, where the track does), the same in every trial.
        masks_used: masks, likewise.
        val_truth: whose truth ``val`` has.
    """

    track: str
    method: str
    title: str
    trials: Annotated[int, Field(gt=0)]
    epochs: int
    batch: int
    images: int
    boxes_used: int
    masks_used: int
    val_truth: str
    definition: Definition

    @property
    def objective(self) -> str:
        """The name of the objective for people."""
        return OBJECTIVES[self.definition.objective].partition(",")[0]


class Trial(_Stored):
    """A trial that is over.

    Attributes:
        number: from 0.
        values: what it tried, by name, as ``params.yaml`` has it.
        value: percent of ``val``; None if it failed.
        reason: of a failure, else empty.
        definition: sha256 of the definition under which it was made.
    """

    number: Annotated[int, Field(ge=0)]
    values: dict[str, Any]
    value: Annotated[float, Field(ge=0, le=100)] | None
    reason: str = ""
    definition: str

    @model_validator(mode="after")
    def _failed_or_not(self) -> Trial:
        if (self.value is None) != bool(self.reason):
            raise ValueError("a trial has either a value, or the reason of its failure")
        return self


@dataclass(frozen=True)
class Search:
    """A search as far as it has come: how its trials are made, and those that are over, by number."""

    head: SearchHead
    trials: tuple[Trial, ...]

    @property
    def finished(self) -> bool:
        """Whether all trials are there."""
        return len(self.trials) == self.head.trials

    @property
    def values(self) -> list[float]:
        """Percent of the trials that did not fail, by number."""
        return [trial.value for trial in self.trials if trial.value is not None]

    @property
    def failed(self) -> int:
        """Number of trials that failed."""
        return len(self.trials) - len(self.values)

    @property
    def best(self) -> Trial | None:
        """The trial with the highest value, of equals the first; None if there is none that did not fail."""
        done = [(trial.value, -trial.number, trial) for trial in self.trials if trial.value is not None]
        return max(done)[2] if done else None


def folder_of(root: Path, track: str, method: str) -> Path:
    """Return the folder of a search."""
    return root / "results" / "search" / track / method


def trial_file(folder: Path, number: int) -> Path:
    """Return the file of a trial in the folder of its search."""
    return folder / f"{number:04d}.json"


def trial_files(folder: Path) -> list[Path]:
    """Return the files of all trials that are over, by number."""
    return sorted((path for path in folder.glob("*.json") if path.stem.isdecimal()), key=lambda path: int(path.stem))


def store(folder: Path, record: SearchHead | Trial) -> None:
    """Write how the trials of a search are made, or a trial that is over, atomically; equal ones give equal bytes."""
    path = folder / _HEAD if isinstance(record, SearchHead) else trial_file(folder, record.number)
    write_text(path, record.signed().model_dump_json(indent=1) + "\n")


def read_head(folder: Path) -> SearchHead | None:
    """Read how the trials of a search are made; None where there is no search.

    Raises:
        DataError: the file is damaged, missing beside trials, or another search's; the message names it.
    """
    path = folder / _HEAD
    if not path.exists() and not trial_files(folder):
        return None
    head = _read(path, SearchHead)
    if (head.track, head.method) != (folder.parent.name, folder.name):
        raise DataError(f"{path} is of {head.method} on {head.track}; {_cure(path)}")
    return head


def read_trial(path: Path, head: SearchHead) -> Trial:
    """Read a trial.

    Raises:
        DataError: the file is missing or damaged; the message names it.
        SearchError: it is whole, but no trial of this search; likewise.
    """
    trial = _read(path, Trial)
    if path != trial_file(path.parent, trial.number) or trial.number >= head.trials:
        raise SearchError(f"{path} is trial {trial.number}, of {head.trials}; {_cure(path)}")
    if trial.definition != head.definition.sha256:
        raise SearchError(f"{path} was made under another definition than {_HEAD} holds; {_cure(path)}")
    space = head.definition.space
    if trial.values.keys() != space.keys() or not all(value in space[name] for name, value in trial.values.items()):
        raise DataError(f"{path} is damaged (its values are not of the space that {_HEAD} holds); {_cure(path)}")
    return trial


def read_search(root: Path, track: str, method: str) -> Search | None:
    """Read a search as far as it has come; None where there is none. Raises as :func:`read_trial` does."""
    folder = folder_of(root, track, method)
    head = read_head(folder)
    return None if head is None else Search(head, tuple(read_trial(path, head) for path in trial_files(folder)))


def read_searches(root: Path, track: str) -> list[Search]:
    """Read all searches of a track, by the names of their methods."""
    folders = sorted({path.parent for path in folder_of(root, track, "*").parent.glob("*/*.json")})
    return [search for folder in folders if (search := read_search(root, track, folder.name)) is not None]


def _read(path: Path, model: type[_M]) -> _M:
    try:
        found = parse_file(path, model.model_validate_json, _cure(path))
    except SettingsError as error:  # of a distribution
        raise DataError(f"{path} is damaged ({error}); {_cure(path)}") from None
    if found != found.signed():
        raise DataError(f"{path} is damaged (its content is not what its digest says); {_cure(path)}")
    return found


def _cure(path: Path) -> str:
    track, method = path.parent.parent.name, path.parent.name
    return f"restore it from git, or search again (`wsolbench search {track} --method {method} --restart`)"
