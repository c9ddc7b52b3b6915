"""The command line: thin, one function per command."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from wsolbench import __version__
from wsolbench.errors import SettingsError, WsolbenchError, nearest
from wsolbench.layout import Layout
from wsolbench.search.command import search
from wsolbench.settings import Settings, read_settings

__all__ = ["app", "main"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h

app = typer.Typer(
    help=(
        "A reproducible benchmark of weakly supervised object localization.\n\n"
        "`make benchmark` (`wsolbench launch`, which runs several at once, or `dvc repro -k`) runs all stages that are "
        "out of date, in order: prepare, weights, selection, train, evaluate, costs, baseline, photographs, report, "
        "summary, page. Each stage is also a command below, for one track or one run. A track (`shapes-convnet`) is a "
        "data set with a backbone and a recipe; a run (`shapes-convnet-cam-0`) is a track with a method "
        "and a seed. All choices stand in params.yaml."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

TrackName = Annotated[str, typer.Argument(help="Key of `tracks` in params.yaml, for instance shapes-convnet.")]
RunKey = Annotated[str, typer.Argument(help="`<track>-<method>-<seed>`, for instance shapes-convnet-cam-0.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Parallel jobs; by default one per CPU core.")]


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command("list")
def list_components(
    kind: Annotated[
        Literal["methods", "datasets", "backbones", "baselines", "tracks", "cells", "runs"] | None,
        typer.Argument(help="What to list; everything if left out."),
    ] = None,
) -> None:
    """Show the methods, data sets, backbones, baselines, tracks, cells and runs that there are."""
    from wsolbench.listing import print_listing  # noqa: PLC0415 - imports torch

    print_listing(read_settings(), kind)


new = typer.Typer(help="Write the file of a new component, and its line in params.yaml.", no_args_is_help=True)
app.add_typer(new, name="new")


@new.command("method")
def new_method(
    name: Annotated[str, typer.Argument(help="Its name: stem of the file, key in params.yaml; in snake_case.")],
) -> None:
    """Write methods/NAME.py, a commented method that works, and its line in params.yaml."""
    from wsolbench.scaffold import new_method as write_method  # noqa: PLC0415

    written = write_method(name, read_settings(), Path())
    typer.echo(f"{written.path} is written, and {name}: {{}} stands under methods in params.yaml. Next:")
    if not written.runs:
        typer.echo(f"  add {name} to run.methods in params.yaml")
    typer.echo(f"  python -m pytest tests/conformance -k {name}   # passes now; keep it so\n  make benchmark")


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(help="A track, or a data set: then those of its tracks that are run.")],
) -> None:
    """Get the data set of a track (unpack, download), check it, and write its index to data/TRACK."""
    from wsolbench.data.prepare import prepare as run_prepare  # noqa: PLC0415

    settings = read_settings()
    for track in settings.tracks_of(name):
        run_prepare(settings, track, Layout())


@app.command()
def look(track: TrackName) -> None:
    """See whether files of a TRACK's data set have changed, without opening images; `dvc repro` does so each time."""
    from wsolbench.data.prepare import look as run_look  # noqa: PLC0415

    run_look(_settings_with(track), track, Layout())


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A prepared track, or its data set.")],
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which images; train has no boxes.")] = "test",
    n: Annotated[int, typer.Option("--n", min=1, max=400, help="How many, spread over the classes.")] = 24,
    seed: Annotated[int, typer.Option(help="Another one, other images.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Picture to write; by default show-NAME-SPLIT.png here.")] = None,
) -> None:
    """Draw a contact sheet of a prepared data set's images with boxes and masks, to look at them."""
    from wsolbench.show import contact_sheet  # noqa: PLC0415

    settings = read_settings()
    target = out or Path(f"show-{name}-{split}.png")
    typer.echo(contact_sheet(settings, settings.tracks_of(name)[0], split, n, seed, Layout(), target))


@app.command()
def weights(track: TrackName) -> None:
    """Find, check and place the pretrained weights of a TRACK's backbone in data/weights/TRACK."""
    from wsolbench.data.pretrained import place_weights  # noqa: PLC0415

    settings = _settings_with(track)
    chosen = settings.tracks[track]
    root = Path(settings.weights.root) if settings.weights.root else None
    place_weights(chosen.backbone, chosen.weights, root, Layout().weights(track))


@app.command()
def selection(track: TrackName) -> None:
    """Hand the boxes of val over to the trainings of a TRACK that selects epochs by them; to others, nothing."""
    from wsolbench.data.index import write_selection  # noqa: PLC0415

    settings, layout = _settings_with(track), Layout()
    wanted = settings.tracks[track].selection == "val_boxes"
    write_selection(layout.prepared(track), layout.selection(track), wanted=wanted)


@app.command()
def train(
    run: RunKey,
    device: Annotated[Literal["auto", "cpu", "cuda"] | None, typer.Option(help="Overrides runtime.device.")] = None,
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
        from wsolbench.listing import print_run  # noqa: PLC0415 - imports torch

        print_run(resolved, runtime)
        return
    from wsolbench.engine.trainer import train as run_train  # noqa: PLC0415 - imports torch, after the settings hold

    run_train(resolved, settings.model_copy(update={"runtime": runtime}), Layout(), launcher)


@app.command()
def evaluate(run: RunKey, jobs: Jobs = None) -> None:
    """Turn the stored maps of a RUN into metrics, curves, per-image results and small maps for the gallery."""
    from wsolbench.metrics.evaluate import evaluate_key  # noqa: PLC0415
    from wsolbench.metrics.history import write_history  # noqa: PLC0415

    settings = read_settings()
    evaluate_key(settings, run, Layout(), jobs)
    write_history(Layout(), settings.resolve(run).track_name, run)


@app.command()
def costs(
    key: Annotated[str, typer.Argument(help="`<track>-<method>`, for instance shapes-convnet-cam, or a cell's run.")],
) -> None:
    """Count the parameters and floating-point operations of a method on a track: results/costs/TRACK/KEY.json."""
    from wsolbench.costs import write_costs  # noqa: PLC0415 - imports torch

    write_costs(read_settings(), key, Layout())


@app.command()
def score(
    maps: Annotated[
        Path, typer.Option(help="Directory of maps, .npy or .npz, one per image: IMAGE_ID.npy, of any size and type.")
    ],
    dataset: Annotated[
        str | None, typer.Option(help="Data set in params.yaml; a track with it must be prepared.")
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="Instead of --dataset: directory of the split's lists in Choe et al.'s format.")
    ] = None,
    masks: Annotated[Path, typer.Option(help="With --metadata: folder that its mask paths are relative to.")] = Path(),
    split: Annotated[Literal["val", "test"], typer.Option(help="The split to report.")] = "test",
    val_maps: Annotated[
        Path | None, typer.Option(help="Maps of the val split; thresholds are then chosen on it, too.")
    ] = None,
    val_metadata: Annotated[
        Path | None, typer.Option(help="With --metadata and --val-maps: lists of the val split.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Text file of `id,class[,class ...]`, best first, for Top-1 and Top-5.")
    ] = None,
    as_they_are: Annotated[
        bool, typer.Option("--as-they-are", help="Maps are 224x224 in [0, 1]: neither resize nor normalise them.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where metrics.json and tables go.")] = Path("scores"),
    jobs: Jobs = None,
) -> None:
    """Score the localization maps of any method against the truth of a split, and print and write all numbers."""
    from wsolbench.score.command import Truths, run_score  # noqa: PLC0415

    truths = Truths(dataset, metadata, masks, val_metadata)
    settings = read_settings() if dataset or Path("params.yaml").is_file() else None
    found = run_score(settings, truths, split, maps, val_maps, predictions, out, jobs, as_they_are=as_they_are)
    typer.echo(found)


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="Photographs, and directories of photographs.")],
    run: Annotated[str, typer.Option(help="`<track>-<method>-<seed>` of a trained run.")],
    out: Annotated[Path, typer.Option(help="Where maps, boxes and pictures go.")] = Path("predictions"),
    threshold: Annotated[
        float | None, typer.Option(min=0, max=0.999, help="By default the one that the run's val split chose.")
    ] = None,
) -> None:
    """Write class, localization map, box and picture of anybody's photographs, by a trained run."""
    from wsolbench.predict import predict as run_predict  # noqa: PLC0415 - imports torch

    count = run_predict(read_settings(), run, images, out, Layout(), threshold)
    typer.echo(f"{count} images: {out}/predictions.csv, {out}/maps and {out}/pictures")


@app.command()
def verify(
    runs: Annotated[list[str] | None, typer.Argument(help="Keys of runs; all runs of methods if left out.")] = None,
    origin: Annotated[
        Literal["maps", "checkpoint", "scratch"],
        typer.Option("--from", help="What to start from: stored maps, stored weights, or nothing (trains again)."),
    ] = "maps",
    tolerance: Annotated[float | None, typer.Option(min=0, help="Points; by default 0, 0.5 and 5.")] = None,
    jobs: Jobs = None,
) -> None:
    """Compute stored runs again in a scratch place, and say whether their numbers are reproduced; writes no results."""
    from wsolbench import verify as verifying  # noqa: PLC0415 - imports torch

    settings = read_settings()
    found = [
        verifying.verify(settings, key, origin, Layout(), jobs, tolerance)
        for key in runs or verifying.run_keys(settings)
    ]
    for verdict in found:
        typer.echo(f"{verdict.key}: {verdict.outcome} ({verdict.detail})")
    raise typer.Exit(any(verdict.outcome == "differs" for verdict in found))


app.command()(search)


@app.command()
def baseline(run: RunKey, jobs: Jobs = None) -> None:
    """Fit and evaluate a baseline; RUN is `<track>-<baseline>-<seed>`."""
    from wsolbench.baselines.stage import run_baseline  # noqa: PLC0415 - imports torch

    run_baseline(read_settings(), run, Layout(), jobs)


@app.command()
def photographs(track: TrackName) -> None:
    """Write small copies of the images of a TRACK that the gallery may show."""
    from wsolbench.gallery.stage import write_photographs  # noqa: PLC0415

    settings = _settings_with(track)
    write_photographs(settings, track, Layout())


@app.command()
def report(track: TrackName) -> None:
    """Write the tables and plots of a TRACK from its git-tracked results."""
    from wsolbench.report.build import write_report  # noqa: PLC0415

    settings = _settings_with(track)
    write_report(settings, track, Path())


@app.command()
def summary() -> None:
    """Write results/summary.md over all tracks of `run`."""
    from wsolbench.report.build import write_summary  # noqa: PLC0415

    write_summary(read_settings(), Path())


@app.command()
def page() -> None:
    """Write results/report.html: tables, plots and gallery of all tracks of `run` in one file."""
    from wsolbench.report.page import write_page  # noqa: PLC0415

    write_page(read_settings(), Path())


@app.command()
def plot(
    kind: Annotated[str, typer.Argument(help="One of those that `wsolbench plot list` names.")],
    out: Annotated[Path, typer.Option(help="A .pdf, .svg or .png file.")] = Path("plot.pdf"),
    tracks: Annotated[list[str] | None, typer.Option(help="Track; some plots take several.")] = None,
    methods: Annotated[
        list[str] | None, typer.Option(help="Method, cell or baseline to show; may be given several times.")
    ] = None,
    width: Annotated[float | None, typer.Option(min=0.5, help="Inches.")] = None,
    height: Annotated[float | None, typer.Option(min=0.5, help="Inches.")] = None,
    font_size: Annotated[float | None, typer.Option(min=1, help="Points.")] = None,
    font: Annotated[str | None, typer.Option(help="Family that matplotlib finds.")] = None,
) -> None:
    """Draw one plot of the present results for a paper."""
    from wsolbench.report.plot import PLOTS, PlotOptions, write_plot  # noqa: PLC0415

    if kind == "list":
        typer.echo("\n".join(f"{name}: {shows}" for name, shows in PLOTS.items()))
        return
    options = PlotOptions(width, height, font_size, font)
    write_plot(read_settings(), kind, tracks or [], methods or [], out, Path(), options)
    typer.echo(str(out))


@app.command()
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, and stop.")] = False,
) -> None:
    """Run all stages that are out of date, several runs at a time; DVC runs each of them and pins its results.

    What each run prints goes to results/logs/launch/. A run that fails stops only what needs it, is named at the end,
    and makes the exit status 1. Ctrl-C lets the runs save their state; calling it again goes on.
    """
    from wsolbench.launch.command import launch as run_launch  # noqa: PLC0415

    if workers != "auto" and not (workers.isdigit() and int(workers)):
        raise SettingsError(f"--workers: '{workers}' is neither 'auto' nor a positive number")
    pairs = [option.partition("=") for option in slurm_option or []]
    if wrong := [name for name, _, value in pairs if not value]:
        raise SettingsError(f"--slurm-option: '{wrong[0]}' is not NAME=VALUE")
    if pairs and not slurm:
        raise SettingsError("--slurm-option: only with --slurm")
    options = {name: value for name, _, value in pairs} if slurm else None
    count = None if workers == "auto" else int(workers)
    raise typer.Exit(run_launch(Path(), read_settings().runtime, count, options, dry_run=dry_run))


@app.command()
def readme() -> None:
    """Put the present results into the tables of README.md."""
    from wsolbench.report.readme import write_readme  # noqa: PLC0415

    typer.echo("README.md has changed" if write_readme(read_settings(), Path()) else "README.md is up to date")


@app.command()
def doctor() -> None:
    """Check the environment, data roots, weights and params.yaml, and say what to do about what is wrong."""
    from wsolbench.doctor import run_checks  # noqa: PLC0415 - imports torch

    raise typer.Exit(run_checks(Path()))


def main() -> None:
    """Run the command line; errors meant for the user are printed without a traceback, with exit status 1."""
    # Threads that spin for long while they wait make a training several times slower as soon as anything else runs;
    # threads that sleep at once cost a quarter when nothing does. Read when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    _keep_freed_memory()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except WsolbenchError as error:
        typer.secho(f"wsolbench: {error}", fg=typer.colors.RED, err=True)
        sys.exit(error.exit_status)


def _keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks instead of returning them to the kernel.

    A network frees and allocates the same tensors in every iteration; getting their pages anew took a fifth of a small
    training on a CPU. Other C libraries have no such switch and are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _settings_with(track: str) -> Settings:
    """Return the settings, which have this track."""
    settings = read_settings()
    if track not in settings.tracks:
        raise SettingsError(f"params.yaml: tracks has no '{track}'; {nearest(track, settings.tracks)}")
    return settings
