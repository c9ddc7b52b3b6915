"""Find out what is out of date, and what may run beside what, from DVC's graph alone."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import networkx as nx
from dvc.exceptions import DvcException
from dvc.repo import Repo

from wsolbench.config.paths import Layout
from wsolbench.errors import LaunchError

__all__ = ["Unit", "before_training", "looking_stages", "stale_units", "units_of"]

_TRAINING = ("train", "baseline")  # commands of ours that may train, on a GPU where there is one


@dataclass(frozen=True)
class Unit:
    """Stages that one DVC process runs, in order.

    Attributes:
        stages: names of stages as DVC knows them.
        after: names of the stages that must be done first.
        trains: key of the run whose network one of them trains; empty if none does.
        is_report: nothing depends on it, so that it waits until no other unit is left.
    """

    stages: tuple[str, ...]
    after: frozenset[str] = frozenset()
    trains: str = ""
    is_report: bool = False

    @property
    def name(self) -> str:
        """The first stage's name."""
        return self.stages[0]

    def log(self, root: Path) -> Path:
        """Return where what it prints goes, in a repository."""
        return Layout(root).log(f"launch/{self.name}")

    @property
    def kind(self) -> tuple[str, ...]:
        """Names of the stages without track, method and seed."""
        return tuple(stage.partition("@")[0] for stage in self.stages)


def looking_stages(root: Path, chosen: Callable[[str], bool] = lambda _: True) -> list[str]:
    """Return the stages that DVC runs each time: those that look whether something outside the repository has changed.

    Raises:
        LaunchError: DVC cannot read the repository.
    """
    try:
        with Repo(str(root)) as repo:
            found = [stage for stage in repo.index.stages if stage.always_changed]
            return [stage.addressing for stage in found if chosen(str(getattr(stage, "cmd", "")))]
    except DvcException as error:
        raise LaunchError(f"DVC cannot read this repository: {error}") from error


def stale_units(root: Path, chosen: Callable[[str], bool] = lambda _: True, *, apart: bool = False) -> list[Unit]:
    """Return the units of work of a repository that is to be brought up to date; none if it is.

    A stage counts as stale if DVC says so or if it depends on one that does. DVC decides again when the stage's turn
    comes: what turns out to be unchanged is not run. Stages that DVC always runs are not among them.

    Args:
        root: a directory with ``dvc.yaml``.
        chosen: says of a stage's command whether it is wanted.
        apart: see :func:`units_of`.

    Raises:
        LaunchError: DVC cannot read the repository.
    """
    try:
        with Repo(str(root)) as repo:
            changed = set(repo.status()) - {stage.addressing for stage in repo.index.stages if stage.always_changed}
            if not changed:
                return []
            depends = repo.index.graph  # an edge leads from a stage to what it needs
            commands = {stage.addressing: str(getattr(stage, "cmd", "")) for stage in depends.nodes}
            commands = {name: command for name, command in commands.items() if chosen(command)}
            edges = [(needed.addressing, stage.addressing) for stage, needed in depends.edges]
            edges = [(needed, stage) for needed, stage in edges if needed in commands and stage in commands]
    except DvcException as error:
        raise LaunchError(f"DVC cannot read this repository: {error}") from error
    return units_of(commands, edges, changed, apart=apart)


def units_of(
    commands: Mapping[str, str], edges: Iterable[tuple[str, str]], changed: Iterable[str], *, apart: bool = False
) -> list[Unit]:
    """Split the stale part of a graph into chains that can run beside one another.

    Args:
        commands: what each stage runs.
        edges: pairs of a stage and one that depends on it.
        changed: stages that are out of date by themselves.
        apart: keep what may train and what does not in different units, because only one of them needs a GPU.

    Returns:
        Units in an order in which each comes after those that it needs. A stage joins the unit of the stage that it
        needs if neither has another such neighbour; so a run's training and evaluation are one unit.
    """
    graph = nx.DiGraph(edges)
    graph.add_nodes_from(commands)
    reports = {stage for stage in graph if graph.out_degree(stage) == 0}
    stale = set(changed) & set(graph)
    stale |= {later for stage in stale for later in nx.descendants(graph, stage)}
    order = {stage: place for place, stage in enumerate(commands)}
    trained = {stage: _trained_by(command) for stage, command in commands.items()}
    # What is implied by other edges would hide chains: an evaluation needs the index, but its training does, too.
    reduced = nx.transitive_reduction(graph.subgraph(stale))
    first_of: dict[str, str] = {}
    units: dict[str, Unit] = {}
    for stage in nx.lexicographical_topological_sort(reduced, key=order.__getitem__):
        needed = list(reduced.predecessors(stage))
        joins = len(needed) == 1 and reduced.out_degree(needed[0]) == 1 and stage not in reports
        if joins and not (apart and bool(trained[stage]) != bool(trained[needed[0]])):
            first = first_of[stage] = first_of[needed[0]]
            unit = units[first]
            units[first] = replace(unit, stages=(*unit.stages, stage), trains=unit.trains or trained[stage])
        else:
            first_of[stage] = stage
            units[stage] = Unit((stage,), frozenset(needed), trained[stage], stage in reports)
    return list(units.values())


def before_training(units: Sequence[Unit]) -> set[str]:
    """Return the stages for which a training waits, directly or not; each unit stands after those that it needs."""
    needed: set[str] = set()
    for unit in reversed(units):
        if unit.trains or not needed.isdisjoint(unit.stages):
            needed |= unit.after
    return needed


def _trained_by(command: str) -> str:
    words = shlex.split(command)
    return words[2] if len(words) > 2 and words[0] == "wsolbench" and words[1] in _TRAINING else ""
