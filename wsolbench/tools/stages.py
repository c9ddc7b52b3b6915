"""The stages of the pipeline as commands: each for one track or one run, as ``dvc.yaml`` calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsolbench.config.paths import Layout
from wsolbench.errors import SettingsError
from wsolbench.tools.arguments import Device, Jobs, RunKey, TrackName, read_settings, settings_with, tracks_of


def resolve() -> None:
    """Write what each run is to do, all defaults included, and the digests of its code to data/recipes."""
    from wsolbench.launch.resolve import resolve as run_resolve

    changed = run_resolve(read_settings(), Layout())
    typer.echo(f"{changed} recipes are new or changed; `dvc status` names the runs that they touch")


def prepare(
    name: Annotated[
        str,
        typer.Argument(help="A track, or a data set: then those of its tracks that are run.", autocompletion=tracks_of),
    ],
) -> None:
    """Get the data set of a track (unpack, download), check it, and write its index to data/TRACK."""
    from wsolbench.acquire.prepare import prepare as run_prepare

    settings = read_settings()
    for track in settings.tracks_of(name):
        run_prepare(settings, track, Layout())


def look(track: TrackName) -> None:
    """See whether files of a TRACK's data set were added, removed or renamed; `dvc repro` does so each time.

    No file is opened: run `wsolbench prepare` after one was overwritten in place.
    """
    from wsolbench.acquire.prepare import look as run_look

    run_look(settings_with(track), track, Layout())


def weights(track: TrackName) -> None:
    """Find, check and place the pretrained weights of a TRACK's backbone in data/weights/TRACK."""
    from wsolbench.models.placing import place_weights

    settings = settings_with(track)
    chosen = settings.tracks[track]
    root = Path(settings.weights.root) if settings.weights.root else None
    place_weights(chosen.backbone, chosen.weights, root, Layout().weights(track))


def train(
    run: RunKey,
    device: Device = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Overrides runtime.threads.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Overrides runtime.workers.")] = None,
    cfg_options: Annotated[
        list[str] | None,
        typer.Option(
            help="Overrides of params.yaml: key.of.params=value, several in a row. DVC sees that the files are "
            "not those of params.yaml, and makes them anew."
        ),
    ] = None,
    more_options: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    launcher: Annotated[
        Literal["none", "pytorch", "slurm"],
        typer.Option(help="What started this process as one of several: pytorch is torchrun, slurm is srun."),
    ] = "none",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved run and stop.")] = False,
) -> None:
    """Train a RUN and store its checkpoint and localization maps in results/runs/RUN."""
    if more_options and not cfg_options:
        raise SettingsError(f"unexpected argument '{more_options[0]}'; overrides follow --cfg-options")
    settings = read_settings(changes=[*(cfg_options or ()), *(more_options or ())])
    resolved = settings.resolve(run)
    given = {"device": device, "threads": threads, "workers": workers}
    runtime = settings.runtime.model_copy(update={name: value for name, value in given.items() if value is not None})
    if dry_run:
        from wsolbench.tools.listing import print_run

        print_run(resolved, runtime)
        return
    from wsolbench.training.trainer import train as run_train  # imports torch, after the settings hold

    run_train(resolved, settings.model_copy(update={"runtime": runtime}), Layout(), launcher)


def readout(run: RunKey) -> None:
    """Read maps out of a trained run in another way; RUN is `<track>-<readout>_of_<method>-<seed>`."""
    from wsolbench.training.readout import read_out

    settings = read_settings()
    read_out(settings.resolve(run), settings, Layout())


def evaluate(run: RunKey, jobs: Jobs = None) -> None:
    """Turn the stored maps of a RUN into metrics, curves, per-image results and small maps for the gallery."""
    from wsolbench.evaluation.evaluate import evaluate_key
    from wsolbench.evaluation.history import write_history

    settings = read_settings()
    evaluate_key(settings, run, Layout(), jobs)
    if settings.resolve(run).reads is None:
        write_history(Layout(), settings.resolve(run).track_name, run)


def costs(track: TrackName) -> None:
    """Count the parameters and floating-point operations of all methods on a TRACK: results/costs/TRACK."""
    from wsolbench.training.costs import write_costs_of

    write_costs_of(settings_with(track), track, Layout())


def baseline(run: RunKey, jobs: Jobs = None) -> None:
    """Fit and evaluate a baseline; RUN is `<track>-<baseline>-<seed>`."""
    from wsolbench.baselines.stage import run_baseline

    run_baseline(read_settings(), run, Layout(), jobs)


def photographs(track: TrackName) -> None:
    """Write small copies of the images of a TRACK that the gallery may show."""
    from wsolbench.evaluation.gallery import write_photographs

    write_photographs(settings_with(track), track, Layout())


def report(track: TrackName) -> None:
    """Write the tables and plots of a TRACK from its git-tracked results."""
    from wsolbench.report.build import write_report

    write_report(settings_with(track), track, Path())


def summary() -> None:
    """Write results/summary.md over all tracks of `run`."""
    from wsolbench.report.build import write_summary

    write_summary(read_settings(), Path())


def page() -> None:
    """Write results/report.html: tables, plots and gallery of all tracks of `run` in one file."""
    from wsolbench.report.page import write_page

    write_page(read_settings(), Path())
