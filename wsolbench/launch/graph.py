"""Tasks: the stages that are out of date, and what each waits for."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path

from wsolbench.config.paths import Layout

__all__ = ["Task", "before_training", "tasks_of"]

_TRAINING = ("train", "readout", "baseline")  # commands of ours that run a network, on a GPU where there is one

_REPORTS = ("report", "summary", "page")


@dataclass(frozen=True)
class Task:
    """A stage that is to be run.

    Attributes:
        after: names of the tasks that must be done first.
    """

    name: str
    command: str = ""
    after: frozenset[str] = frozenset()

    @cached_property
    def trains(self) -> str:
        """Key of the run whose network it trains; empty if it trains none."""
        words = shlex.split(self.command)
        return words[2] if len(words) > 2 and words[0] == "wsolbench" and words[1] in _TRAINING else ""

    @property
    def kind(self) -> str:
        """The stage's name without track, method and seed."""
        return self.name.partition("@")[0]

    @property
    def is_report(self) -> bool:
        """Whether it waits until no other task is left: reports read what all trainings write beside their outputs."""
        return self.kind in _REPORTS

    def log(self, root: Path) -> Path:
        """Return where what it prints goes, in a repository."""
        return Layout(root).log(f"launch/{self.name}")


def tasks_of(commands: Mapping[str, str], edges: Iterable[tuple[str, str]], changed: Iterable[str]) -> list[Task]:
    """Return the stale part of a graph of stages as tasks, each after those that it needs.

    Args:
        commands: what each stage runs.
        edges: pairs of a stage and one that depends on it; others than these stages are left out.
        changed: stages that are out of date by themselves.
    """
    needs: dict[str, set[str]] = {stage: set() for stage in commands}
    for needed, stage in edges:
        if needed in needs and stage in needs:
            needs[stage].add(needed)
    stale, tasks = {*changed}, []
    for stage in TopologicalSorter(needs).static_order():
        after = needs[stage] & stale
        if after or stage in stale:
            stale.add(stage)
            tasks.append(Task(stage, commands[stage], frozenset(after)))
    return tasks


def before_training(tasks: Sequence[Task]) -> set[str]:
    """Return the tasks for which a training waits, directly or not; each stands after those that it needs."""
    needed: dict[str, bool] = defaultdict(bool)
    for task in reversed(tasks):
        if task.trains or needed[task.name]:
            needed.update(dict.fromkeys(task.after, True))
    return {name for name, is_needed in needed.items() if is_needed}
