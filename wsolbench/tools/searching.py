"""``wsolbench search``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from wsolbench.config.paths import Layout
from wsolbench.tools.arguments import TrackName, methods_of, read_settings

if TYPE_CHECKING:
    from wsolbench.config.settings import Settings

__all__ = ["search"]


def search(
    track: TrackName,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="Key of `methods`; may be given several times. All of run.methods if left out.",
            autocompletion=methods_of,
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Overrides search.trials.")] = None,
    workers: Annotated[
        int,
        typer.Option(min=1, help="Trials at a time, each in a process of its own; one per GPU where there are any."),
    ] = 1,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away the trials of an earlier search, finished or not.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the winner to methods.M.tracks.TRACK in params.yaml.")
    ] = False,
) -> None:
    """Search a TRACK's recipe and a method's arguments on val, with the budget that `search` in params.yaml sets.

    Every trial is a training from the start, judged on val; test is not among its data. What trial k tries is drawn at
    random and depends on search.seed, track, method and k alone. Trials are stored in results/search/TRACK/METHOD as
    they end: Ctrl-C saves the state of the one that runs, and the same command goes on. It may be started several
    times, also on machines that share the directory.
    """
    from statistics import median

    from wsolbench.search.apply import apply_search
    from wsolbench.search.run import search_method

    settings, layout = read_settings(), Layout()
    for method in methods or _supported(settings, track):
        found = search_method(settings, track, method, layout, trials, workers, restart=restart)
        typer.echo(
            f"{track}, {method}: {len(found.trials)} trials, {found.failed} failed; results/search/{track}/{method}"
        )
        if found.best is not None:
            best, middle = max(found.values), median(found.values)
            typer.echo(
                f"{found.head.objective} on val: best {best:.2f} (trial {found.best.number}), median {middle:.2f}"
            )
        if apply:
            block = apply_search(found, layout.root)
            typer.echo(
                f"params.yaml: methods.{method}.tracks.{track} is now {block}; `wsolbench launch` trains with it"
            )
            typer.echo("(comments there are as they were, and may speak of earlier values)")
            if found.head.epochs != (epochs := settings.tracks[track].epochs):
                typer.echo(f"its trials had {found.head.epochs} epochs; a run has {epochs}")


def _supported(settings: Settings, track: str) -> list[str]:
    """Return the methods of ``run`` that can run on a track, without variants of others."""
    runs = [settings.resolve(f"{track}-{name}-0") for name in settings.run.methods if name in settings.plain_methods]
    return [run.method for run in runs if settings.unsupported(run) is None]
