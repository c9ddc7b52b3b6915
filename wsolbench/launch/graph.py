"""Find out what is out of date, and what may run beside what, from DVC's graph alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
from dvc.exceptions import DvcException
from dvc.repo import Repo

from wsolbench.errors import LaunchError

__all__ = ["Unit", "looking_stages", "stale_units", "units_of"]


@dataclass(frozen=True)
class Unit:
    """Stages that one worker runs, in order.

    Attributes:
        stages: names of stages as DVC knows them; each needs the one before.
        after: names of the units that must be done first.
        is_report: nothing depends on it, so that it waits until no other unit is left.
    """

    stages: tuple[str, ...]
    after: frozenset[str] = frozenset()
    is_report: bool = False

    @property
    def name(self) -> str:
        """The first stage's name."""
        return self.stages[0]


def looking_stages(root: Path) -> list[str]:
    """Return the stages that DVC runs each time: those that look whether something outside the repository has changed.

    Raises:
        LaunchError: DVC cannot read the repository.
    """
    try:
        with Repo(str(root)) as repo:
            return [stage.addressing for stage in repo.index.stages if stage.always_changed]
    except DvcException as error:
        raise LaunchError(f"DVC cannot read this repository: {error}") from error


def stale_units(root: Path) -> list[Unit]:
    """Return the units of work of a repository that is to be brought up to date; none if it is.

    A stage counts as stale if DVC says so or if it depends on one that does. DVC decides again when the stage's turn
    comes: what turns out to be unchanged is not run. Stages that DVC always runs are not among them.

    Args:
        root: a directory with ``dvc.yaml``.

    Raises:
        LaunchError: DVC cannot read the repository.
    """
    try:
        with Repo(str(root)) as repo:
            changed = set(repo.status()) - {stage.addressing for stage in repo.index.stages if stage.always_changed}
            if not changed:
                return []
            depends = repo.index.graph  # an edge leads from a stage to what it needs
            edges = [(needed.addressing, stage.addressing) for stage, needed in depends.edges]
            names = [stage.addressing for stage in depends.nodes]
    except DvcException as error:
        raise LaunchError(f"DVC cannot read this repository: {error}") from error
    return units_of(names, edges, changed)


def units_of(stages: Iterable[str], edges: Iterable[tuple[str, str]], changed: Iterable[str]) -> list[Unit]:
    """Split the stale part of a graph into chains that can run beside one another.

    Args:
        stages: all stages.
        edges: pairs of a stage and one that depends on it.
        changed: stages that are out of date by themselves.

    Returns:
        Units in an order in which each comes after those that it needs. A stage joins the unit of the stage that it
        needs if neither has another such neighbour; so a run's training and evaluation are one unit.
    """
    graph = nx.DiGraph(edges)
    graph.add_nodes_from(stages)
    reports = {stage for stage in graph if graph.out_degree(stage) == 0}
    stale = set(changed) & set(graph)
    stale |= {later for stage in stale for later in nx.descendants(graph, stage)}
    order = {stage: place for place, stage in enumerate(stages)}
    # What is implied by other edges would hide chains: an evaluation needs the index, but its training does, too.
    reduced = nx.transitive_reduction(graph.subgraph(stale))
    unit_of: dict[str, str] = {}
    chains: dict[str, list[str]] = {}
    for stage in nx.lexicographical_topological_sort(reduced, key=order.__getitem__):
        needed = list(reduced.predecessors(stage))
        joins = len(needed) == 1 and reduced.out_degree(needed[0]) == 1 and stage not in reports
        unit_of[stage] = unit_of[needed[0]] if joins else stage
        chains.setdefault(unit_of[stage], []).append(stage)
    return [
        Unit(
            tuple(chain),
            frozenset(unit_of[needed] for needed in reduced.predecessors(chain[0])),
            is_report=chain[0] in reports,
        )
        for chain in chains.values()
    ]
