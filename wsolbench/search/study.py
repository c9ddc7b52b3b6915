"""The trials of a search: who runs which, and what came of them.

They stand in an Optuna study whose journal is a file of JSON lines, so that several processes share it and a killed
search goes on. A process holds a lock of the operating system on each trial that it runs; a trial that is marked as
running and whose lock is free was left by a process that died, and is given to the next one that asks, under the same
number and with the same parameters.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from wsolbench.errors import WsolbenchError
from wsolbench.search.space import Parameter, RandomDraws

__all__ = ["Claim", "Finished", "SearchError", "Study", "changed_names", "remove_study"]

_JOURNAL, _LOCK, _TRIALS = "journal.jsonl", "lock", "trials"
_DEFINITION, _REASON = "definition", "reason"
_NAME = "search"


class SearchError(WsolbenchError):
    """A search cannot start or go on."""


@dataclass(frozen=True)
class Claim:
    """A trial that this process is to run.

    Attributes:
        number: from 0.
        stored: parameters as Optuna holds them.
        folder: scratch of the trial, which outlives a killed process.
        lock: held until the trial is finished or given up.
    """

    number: int
    stored: Mapping[str, Any]
    folder: Path
    lock: IO[str]


@dataclass(frozen=True)
class Finished:
    """A trial that is over.

    Attributes:
        stored: parameters as Optuna holds them.
        value: percent; None if it failed.
        reason: of the failure, else empty.
    """

    stored: Mapping[str, Any]
    value: float | None
    reason: str = ""


class Study:
    """A search that may be shared with other processes.

    Args:
        folder: of everything that belongs to it; made if need be.
        parameters: what trials differ in.
        sampler: draws them.
        definition: plain data on which the trials depend; a study of another definition is not gone on with.
        earlier: trials with which a new study starts, in order.
        again: what to do about a study that cannot be gone on with, for messages.

    Raises:
        SearchError: the study here has another definition, or its journal is damaged.
    """

    def __init__(
        self,
        folder: Path,
        parameters: Sequence[Parameter],
        sampler: RandomDraws,
        definition: Mapping[str, Any],
        earlier: Sequence[Finished] = (),
        again: str = "delete the directory",
    ) -> None:
        self.folder, self._sampler, self._again = folder, sampler, again
        self._parameters = tuple(parameters)
        (folder / _TRIALS).mkdir(parents=True, exist_ok=True)
        with self.alone():
            self._study = self._opened()
            found = self._study.user_attrs.get(_DEFINITION)
            wanted = json.loads(json.dumps(definition))
            if found is None:
                self._begin(earlier, wanted)
            elif found != wanted:
                raise SearchError(
                    f"{folder} holds a search under another definition: {', '.join(changed_names(found, wanted))} "
                    f"differ, and its trials would not compare with new ones; {again}"
                )
            for trial in self._trials():
                if trial.state.is_finished():  # a process may have died before it removed this
                    shutil.rmtree(self._scratch(trial.number), ignore_errors=True)

    def claim(self, budget: int) -> Claim | None:
        """Return a trial to run: one that a dead process left, or a new one; None if there is none at the moment.

        Args:
            budget: number of trials that the search may have.
        """
        with self.alone():
            trials = self._trials()
            for trial in trials[:budget]:
                if not trial.state.is_finished() and (lock := self._lock_of(trial.number)):
                    # Whoever asked for it may have died before all parameters were written: they are drawn again.
                    return self._claim(optuna.trial.Trial(self._study, trial._trial_id), lock)  # noqa: SLF001
            number = len(trials)
            needed = trials[: self._sampler.needs(number)]
            if number >= budget or not all(trial.state.is_finished() for trial in needed):
                return None
            lock = self._lock_of(number)
            return None if lock is None else self._claim(self._study.ask(), lock)

    def tell(self, claim: Claim, value: float | None, reason: str = "") -> None:
        """Say what came of a trial, and remove its scratch.

        Args:
            claim: the trial.
            value: percent; None if it failed.
            reason: of the failure.
        """
        with self.alone():
            trials = self._trials()  # with what others wrote meanwhile
            if value is None:
                trial = optuna.trial.Trial(self._study, trials[claim.number]._trial_id)  # noqa: SLF001
                trial.set_user_attr(_REASON, reason)
                self._study.tell(claim.number, state=TrialState.FAIL)
            else:
                self._study.tell(claim.number, value)
            shutil.rmtree(claim.folder, ignore_errors=True)
        self.give_up(claim)

    def give_up(self, claim: Claim) -> None:
        """Leave a trial, with its scratch, to whoever asks next."""
        claim.lock.close()

    def finished(self, budget: int) -> dict[int, Finished]:
        """Return the trials that are over, by number, of the first ``budget``."""
        with self.alone():
            trials = self._trials()[:budget]
        return {trial.number: _finished(trial) for trial in trials if trial.state.is_finished()}

    def _claim(self, trial: optuna.Trial, lock: IO[str]) -> Claim:
        for parameter in self._parameters:
            parameter.suggest(trial)
        return Claim(trial.number, dict(trial.params), self._scratch(trial.number), lock)

    def _scratch(self, number: int) -> Path:
        return self.folder / _TRIALS / str(number)

    def _trials(self) -> list[FrozenTrial]:
        with self._readable():
            return list(self._study.get_trials(deepcopy=False))

    def _opened(self) -> optuna.Study:
        _mend(self.folder / _JOURNAL)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self._readable():
            storage = JournalStorage(JournalFileBackend(str(self.folder / _JOURNAL), _Held()))
            return optuna.create_study(
                storage=storage, sampler=self._sampler, study_name=_NAME, direction="maximize", load_if_exists=True
            )

    def _begin(self, earlier: Sequence[Finished], definition: Any) -> None:
        """Write what a new study starts with, the definition last: without it, the next process begins once more."""
        for trial in earlier[len(self._trials()) :]:
            self._study.add_trial(
                optuna.create_trial(
                    state=TrialState.FAIL if trial.value is None else TrialState.COMPLETE,
                    value=trial.value,
                    params=dict(trial.stored),
                    distributions={parameter.name: parameter.distribution for parameter in self._parameters},
                    user_attrs={_REASON: trial.reason} if trial.reason else {},
                )
            )
        self._study.set_user_attr(_DEFINITION, definition)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the study: one process at a time looks at the journal, draws, and writes."""
        with (self.folder / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, TypeError, AssertionError) as error:  # of Optuna, on lines that are not its own
            raise SearchError(f"{self.folder / _JOURNAL} is damaged ({error}); {self._again}") from None

    def _lock_of(self, number: int) -> IO[str] | None:
        return _try_lock(self.folder / _TRIALS / f"{number}.lock")


def changed_names(found: Mapping[str, Any], wanted: Mapping[str, Any], start: str = "") -> list[str]:
    """Return the names, with dots, under which two nested mappings differ."""
    names: list[str] = []
    for name in [*wanted, *(name for name in found if name not in wanted)]:
        one, other = found.get(name), wanted.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            names += changed_names(one, other, f"{start}{name}.")
        elif one != other:
            names.append(start + name)
    return names


def remove_study(folder: Path) -> None:
    """Remove a study with all that its trials left.

    Raises:
        SearchError: a process is running one of its trials.
    """
    if not folder.is_dir():
        return
    with (folder / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in (folder / _TRIALS).glob("*.lock"):
            held = _try_lock(path)
            if held is None:
                raise SearchError(f"another process runs trial {path.stem} of {folder}; wait for it or stop it")
            held.close()
        for path in folder.iterdir():
            if path.name != _LOCK:  # another process may wait for it
                shutil.rmtree(path) if path.is_dir() else path.unlink()


class _Held(JournalFileOpenLock):
    """No lock of the journal's own: whoever touches it holds the study."""

    def __init__(self) -> None:
        super().__init__("")

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


def _mend(journal: Path) -> None:
    """Cut off a last line that a dying machine did not finish; the journal goes on behind the one before it."""
    with suppress(FileNotFoundError), journal.open("r+b") as stream:
        content = stream.read()
        if content and not content.endswith(b"\n"):
            stream.truncate(content.rfind(b"\n") + 1)


def _try_lock(path: Path) -> IO[str] | None:
    stream = path.open("a")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        return None
    return stream


def _finished(trial: FrozenTrial) -> Finished:
    value = trial.value if trial.state == TrialState.COMPLETE else None
    return Finished(dict(trial.params), value, str(trial.user_attrs.get(_REASON, "")))
