"""A search from its command to its stored trials."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.runs.device import set_up_device
from wsolbench.runs.machine import check_precision
from wsolbench.search.apply import apply_search
from wsolbench.search.plan import Plan, is_placed, place_data, plan_of
from wsolbench.search.record import OBJECTIVES, Search, read_search, search_files
from wsolbench.search.runs import run_here, run_in_processes, write_finished
from wsolbench.search.space import sampler_of
from wsolbench.search.study import Finished, SearchError, Study, changed_names, remove_study
from wsolbench.search.trial import trainer_of

__all__ = ["open_study", "search_method"]


def search_method(
    settings: Settings,
    track: str,
    method: str,
    layout: Layout,
    trials: int | None = None,
    workers: int = 1,
    *,
    restart: bool = False,
    apply: bool = False,
) -> str:
    """Search a method on a track until the budget is spent, and store all trials.

    Args:
        settings: all of ``params.yaml``.
        track: key of ``tracks``.
        method: key of ``methods``.
        layout: where data and results lie.
        trials: of the search; None takes ``search.trials``. More than an earlier search had adds to it.
        workers: trials at a time.
        restart: begin from nothing.
        apply: write the winner to ``params.yaml``.

    Returns:
        What was found, for people.

    Raises:
        SettingsError: a name, an argument or the search space is wrong.
        DataError: the data set is not prepared, or cannot judge.
        SearchError: trials that are here were made under another definition, or processes broke down.
        InterruptedTrainingError: SIGINT or SIGTERM came; the state is saved.
    """
    device = set_up_device(settings.runtime)  # complain before anything is written
    plan = plan_of(settings, track, method, layout)
    if device.type == "cpu":
        check_precision([plan.run])
    budget = trials or settings.search.trials
    study = open_study(plan, layout, restart=restart)
    if workers == 1:
        finished = run_here(study, budget, trainer_of(plan), _say)
    else:
        finished = run_in_processes(plan, study, budget, workers, layout)
    search = write_finished(plan, study, finished, layout.root)
    lines = [_summary(search)]
    if apply:
        block = apply_search(search, layout.root)
        lines.append(f"params.yaml: methods.{method}.tracks.{track} is now {block}; `make benchmark` trains with it")
        lines.append("(comments there are as they were, and may speak of earlier values)")
        epochs = settings.tracks[track].epochs
        if search.head.epochs != epochs:
            lines.append(f"its trials had {search.head.epochs} epochs; a run has {epochs}")
    return "\n".join(lines)


def open_study(plan: Plan, layout: Layout, *, restart: bool) -> Study:
    """Open a plan's study, with the trials that are stored in ``results/search`` if nothing is in progress here.

    Raises:
        SearchError: trials that are here were made under another definition.
    """
    track, method = plan.run.track_name, plan.run.method
    again = f"search again with --restart (`wsolbench search {track} --method {method} --restart`)"
    if restart:
        remove_study(plan.folder)
    earlier: list[Finished] = []
    if not restart and not (plan.folder / "journal.jsonl").exists():
        stored = read_search(layout.root, track, method)
        if stored is not None:
            if names := changed_names(stored.head.definition, plan.definition):
                raise SearchError(
                    f"{search_files(layout.root, track, method)[0]} holds a search under another definition: "
                    f"{', '.join(names)} differ; {again}"
                )
            earlier = _stored_trials(stored)
    sampler = sampler_of(plan.settings.search.sampler, plan.parameters, plan.run.seed, track, method)
    study = Study(plan.folder, plan.parameters, sampler, plan.definition, earlier, again)
    with study.alone():
        if not is_placed(plan, layout):
            place_data(plan, layout)
    return study


def _stored_trials(search: Search) -> list[Finished]:
    names = [entry.name for entry in search.head.space]
    return [
        Finished(
            {name: value if isinstance(value := row[name], str) else float(value) for name in names},
            None if row["state"] == "failed" else float(row["value"]),
            str(row["reason"]),
        )
        for row in search.table.to_dict("records")
    ]


def _summary(search: Search) -> str:
    head, values = search.head, search.values
    what = f"{head.track}, {head.method}: {head.trials} trials, {search.failed} failed"
    where = search_files(Path(), head.track, head.method)[0]
    if search.best is None:
        return f"{what}; reasons: {where}"
    best = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in search.parameters(search.best).items()
    )
    name = OBJECTIVES[head.objective].partition(",")[0]
    return f"{what}; {name} on val: best {max(values):.2f}, median {median(values):.2f}; {best}; all: {where}"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
