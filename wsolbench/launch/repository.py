"""DVC's part of a launch: which stages are out of date, what its run cache has, and ``dvc.lock``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from dvc.dvcfile import LOCK_FILE
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc.stage.cache import RunCacheNotFoundError

from wsolbench.config.paths import Layout
from wsolbench.errors import LaunchError
from wsolbench.launch.graph import Task, tasks_of
from wsolbench.launch.lockfile import record_stage

__all__ = ["Repository"]


class Repository:
    """DVC's repository, with all stages read once, which takes DVC seconds.

    ``chosen`` says of a stage's command whether it is wanted. With ``allow_missing``, as DVC's own option has it, an
    output that ``dvc.lock`` names and that is not here is made only where a stage that has to run needs it. DVC's lock
    is held while its files are read and written, not while a command runs.

    Raises:
        LaunchError: DVC cannot read the repository.
    """

    def __init__(
        self, root: Path, chosen: Callable[[str], bool] = lambda _: True, *, allow_missing: bool = False
    ) -> None:
        logging.getLogger("dvc").setLevel(logging.CRITICAL)  # its bars, too
        try:
            self._repo = Repo(str(root), _wait_for_lock=True)
            graph = self._repo.index.graph  # an edge leads from a stage to what it needs
        except DvcException as error:
            raise LaunchError(f"DVC cannot read this repository: {error}") from error
        stages = {stage.name: stage for stage in graph.nodes if isinstance(stage, PipelineStage)}
        self._stages = {name: stage for name, stage in stages.items() if chosen(str(stage.cmd))}
        pairs = [pair for pair in graph.edges if all(isinstance(each, PipelineStage) for each in pair)]
        self._edges = [(needed.name, stage.name) for stage, needed in pairs]
        self._allow_missing = allow_missing
        self._to_make = set[str]()  # stages whose missing outputs another one needs

    def always_run(self) -> list[Task]:
        """Return the stages that look each time whether something outside the repository has changed."""
        commands = {name: str(stage.cmd) for name, stage in self._stages.items() if stage.always_changed}
        return tasks_of(commands, self._edges, commands)

    def stale(self, failed: Iterable[str] = ()) -> list[Task]:
        """Return the others that are out of date, or depend on one that is.

        What they turn out to be when their turn comes says :meth:`is_done`. Of stages that run each time and
        ``failed``, data are not here: what needs them is left out, stored results stay as they are, and reports are
        made of those.

        Raises:
            LaunchError: DVC cannot tell.
        """
        commands = {name: str(stage.cmd) for name, stage in self._stages.items() if not stage.always_changed}
        try:
            with self._repo.lock:
                for task in tasks_of(dict.fromkeys(self._stages, ""), self._edges, failed):
                    lacks = any(not dep.exists for dep in self._stages[task.name].deps)
                    if task.name in commands and (lacks or not task.is_report):
                        del commands[task.name]
                changed = [name for name in commands if self._has_changed(name)]
                tasks = tasks_of(commands, self._edges, changed)
                if any(task.trains for task in tasks):
                    changed += sorted({*self._reports_of_trainings(commands)} - {*changed})
                self._to_make = self._needed_by(task.name for task in tasks_of(commands, self._edges, changed))
        except DvcException as error:
            raise LaunchError(f"DVC cannot read this repository: {error}") from error
        return tasks_of(commands, self._edges, [*changed, *(self._to_make & commands.keys())])

    def _reports_of_trainings(self, names: Iterable[str]) -> list[str]:
        """Return the stages that read what trainings write beside their outputs, where DVC sees no edge.

        A failed training does not keep them from being made, as an edge would.
        """
        beside = str(Layout(Path(self._repo.root_dir)).provenance("any").parent)
        return [name for name in names if any(dep.fs_path == beside for dep in self._stages[name].deps)]

    def is_done(self, name: str) -> bool:
        """Return whether a stage need not run: nothing has changed, or DVC had its outputs and has put them there.

        Raises:
            LaunchError: a dependency is missing, or DVC's files are damaged.
        """
        stage = self._stages[name]
        try:
            with self._repo.lock:
                if not stage.always_changed and not self._has_changed(name):
                    return True
                if lacking := [str(dep) for dep in stage.deps if not dep.exists]:
                    raise LaunchError(f"'{name}' needs {lacking[0]}, which is not here, and nothing chosen makes it")
                stage.remove_outs()
                if stage.always_changed:
                    return False
                try:
                    self._repo.stage_cache.restore(stage)
                except RunCacheNotFoundError:
                    return False
                self._save(stage)
        except DvcException as error:
            raise LaunchError(f"DVC cannot run '{name}': {error}") from error
        return True

    def record(self, name: str) -> None:
        """Write what a stage has made to DVC's cache and ``dvc.lock``.

        Raises:
            LaunchError: an output is missing, or cannot be written.
        """
        try:
            with self._repo.lock:
                self._save(self._stages[name])
        except DvcException as error:
            raise LaunchError(f"DVC cannot record '{name}': {error}") from error

    def _has_changed(self, name: str) -> bool:
        stage = self._stages[name]
        if not self._allow_missing or name in self._to_make:
            return bool(stage.changed())
        # DVC takes a stage for unchanged that never ran, where all its files are missing.
        return not all(out.hash_info for out in stage.outs) or bool(stage.changed(allow_missing=True))

    def _needed_by(self, names: Iterable[str]) -> set[str]:
        """Return the stages whose missing outputs these need, directly or for each other's sake."""
        producers = {out.fs_path: stage.name for stage in self._stages.values() for out in stage.outs}
        found, open_ends = set[str](), [*names]
        while open_ends:
            for dep in self._stages[open_ends.pop()].deps:
                places = [] if dep.exists else [dep.fs_path, *map(str, Path(dep.fs_path).parents)]
                new = {producers[place] for place in places if place in producers} - found
                found |= new
                open_ends += new
        return found

    def _save(self, stage: PipelineStage) -> None:
        cached = all(out.use_cache or out.is_metric or out.is_plot for out in stage.outs)
        stage.save(run_cache=cached)
        stage.commit()
        record_stage(Path(self._repo.root_dir) / LOCK_FILE, stage)
