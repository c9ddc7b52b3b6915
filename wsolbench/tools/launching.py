"""``wsolbench launch``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsolbench.errors import SettingsError
from wsolbench.tools.arguments import methods_of, read_settings, tracks_of

__all__ = ["launch"]


def launch(
    workers: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Runs at a time. auto: one per GPU; without a GPU as many as the cores hold at runtime.threads each; "
            "on Slurm no limit.",
        ),
    ] = "auto",
    slurm: Annotated[bool, typer.Option("--slurm", help="Queue each run as a job of a Slurm cluster.")] = False,
    slurm_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A Slurm job's option, for instance partition=gpu, account=me, time=240 (minutes), mem_gb=32, "
            "gpus_per_node=1. May be given several times.",
        ),
    ] = None,
    tracks: Annotated[
        list[str] | None,
        typer.Option("--track", help="Only what concerns it; may be given several times.", autocompletion=tracks_of),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method", help="Only its runs, and baselines; may be given several times.", autocompletion=methods_of
        ),
    ] = None,
    benchmark: Annotated[bool, typer.Option("--benchmark", help="All but run.full_only: `make benchmark`.")] = False,
    suite: Annotated[
        bool, typer.Option("--suite", help="The tracks of run.suite, but for run.full_only.methods: `make suite`.")
    ] = False,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Leave alone what is up to date but for checkpoints that are not here."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, and stop.")] = False,
) -> None:
    """Run all stages that are out of date, several runs at a time; DVC runs each of them and pins its results.

    What each run prints goes to results/logs/launch/. A run that fails stops only what needs it, is named at the end,
    and makes the exit status 1. Ctrl-C lets the runs save their state; calling it again goes on.
    """
    from wsolbench.launch.command import launch as run_launch

    if workers != "auto" and not (workers.isdigit() and int(workers)):
        raise SettingsError(f"--workers: '{workers}' is neither 'auto' nor a positive number")
    pairs = [option.partition("=") for option in slurm_option or []]
    if wrong := [name for name, _, value in pairs if not value]:
        raise SettingsError(f"--slurm-option: '{wrong[0]}' is not NAME=VALUE")
    if pairs and not slurm:
        raise SettingsError("--slurm-option: only with --slurm")
    options = {name: value for name, _, value in pairs} if slurm else None
    count = None if workers == "auto" else int(workers)
    settings = read_settings()
    chosen = settings.run.part(tracks or (), methods or (), benchmark=benchmark, suite=suite)
    how = {"allow_missing": allow_missing, "dry_run": dry_run}
    raise typer.Exit(run_launch(Path(), settings, count, options, chosen, **how))
