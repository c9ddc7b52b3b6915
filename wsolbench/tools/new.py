"""``wsolbench new``: begin a project, a method, a data set or a track."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from wsolbench.tools.arguments import read_settings

__all__ = ["dataset", "method", "project", "track"]


def project(folder: Annotated[Path, typer.Argument(help="Where; an empty one, or a new one.")] = Path()) -> None:
    """Write a small benchmark of your own: params.yaml, dvc.yaml and methods/, ready for `dvc repro`."""
    from wsolbench.tools.project import new_project as write_project

    typer.echo(f"{', '.join(write_project(folder))} are written in {folder.resolve()}. Next, in that folder:")
    typer.echo(
        "  wsolbench doctor\n  dvc repro   # or wsolbench launch\n  wsolbench new dataset NAME FOLDER   # your images"
    )


def method(
    name: Annotated[str, typer.Argument(help="Its name: stem of the file, key in params.yaml; in snake_case.")],
    kind: Annotated[
        Literal["cam", "layer", "readout", "generator", "transformer"],
        typer.Option(
            help="What it begins as: a class-map classifier, a layer that acts in training, maps out of trained "
            "networks, a generator of masks, a head on a transformer's tokens."
        ),
    ] = "cam",
) -> None:
    """Write methods/NAME.py, a commented method that works, and its lines in params.yaml."""
    from wsolbench.tools.scaffold import new_method as write_method

    written, run = write_method(name, read_settings(), Path(), kind), "readouts" if kind == "readout" else "methods"
    typer.echo(f"{written} is written, and {name} stands under methods and run.{run} in params.yaml. Next:")
    if kind == "readout":
        typer.echo("  name what it reads in run.read, if that names nothing")
    typer.echo(f"  wsolbench check {name}   # all promises are kept now; keep it so")
    typer.echo("  make benchmark" if Path("Makefile").is_file() else "  dvc repro")


def dataset(
    name: Annotated[str, typer.Argument(help="Its key in params.yaml.")],
    root: Annotated[Path, typer.Argument(help="Directory that holds images, and what says where their objects are.")],
    of: Annotated[
        str | None, typer.Option(help="What reads it (`wsolbench list datasets`); by default its layout says it.")
    ] = None,
) -> None:
    """Look at a folder of images, say what it holds, and write it into params.yaml as a data set."""
    from wsolbench.tools.scaffold_sets import new_dataset as write_dataset

    typer.echo(write_dataset(name, root, of, read_settings(), Path()))
    typer.echo(f"{name} stands under datasets in params.yaml. Next:")
    typer.echo(f"  wsolbench new track {name}-BACKBONE --dataset {name}   # `wsolbench list backbones` names them")


def track(
    name: Annotated[str, typer.Argument(help="Its key in params.yaml, for instance DATASET-BACKBONE.")],
    dataset: Annotated[str, typer.Option(help="Key of datasets in params.yaml.")],
    backbone: Annotated[str | None, typer.Option(help="By default what NAME ends in.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Pretrained ones, or none; by default those of the track that it extends.")
    ] = None,
) -> None:
    """Write a track of a data set, with a recipe for a first training, into params.yaml, and NAME into run.tracks."""
    from wsolbench.tools.scaffold_sets import new_track as write_track
    from wsolbench.tools.scaffold_sets import weights_at_hand

    settings = read_settings()
    typer.echo(write_track(name, dataset, backbone, weights, settings, Path()))
    if lacking := weights_at_hand(read_settings(), name):
        typer.echo(lacking)
    run = f"{name}-{next(iter(settings.run.methods), 'METHOD')}-0"
    typer.echo(f"{name} stands under tracks and run.tracks in params.yaml. Next:")
    typer.echo(f"  wsolbench prepare {name}   # classes and images per split\n  wsolbench show {name}   # look at them")
    typer.echo(f"  wsolbench weights {name}\n  wsolbench train {run}\n  wsolbench evaluate {run}   # a first run")
    typer.echo(f"  wsolbench launch --track {name}   # all its runs, tables, plots and results/report.html")
