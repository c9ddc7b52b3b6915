"""Commands beside the pipeline: to look, compare and check."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from wsolbench.config.paths import Layout
from wsolbench.errors import InterruptedTrainingError, SettingsError, WsolbenchError, counted
from wsolbench.tools.arguments import Device, Jobs, methods_of, read_settings, runs_of, tracks_of


class _Format(StrEnum):
    """Of a table; typer takes no list of literals."""

    csv = "csv"
    json = "json"
    coco = "coco"


def list_components(
    kind: Annotated[
        Literal["methods", "ranges", "datasets", "backbones", "baselines", "tracks", "variants", "runs"] | None,
        typer.Argument(help="What to list; everything if left out."),
    ] = None,
) -> None:
    """Show the components, tracks, variants and runs that there are, and the ranges of values that a search tries."""
    from wsolbench.tools.listing import print_listing

    of_repository = kind in {"tracks", "variants", "runs"}
    print_listing(read_settings() if of_repository or Path("params.yaml").exists() else None, kind)


def show(
    name: Annotated[str, typer.Argument(help="A prepared track, or its data set.", autocompletion=tracks_of)],
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which images; train has no boxes.")] = "test",
    n: Annotated[int, typer.Option("--n", min=1, max=400, help="How many, spread over the classes.")] = 24,
    seed: Annotated[int, typer.Option(help="Another one, other images.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Picture to write; by default show-NAME-SPLIT.png here.")] = None,
) -> None:
    """Draw a contact sheet of a prepared data set's images with boxes and masks, to look at them."""
    from wsolbench.tools.show import contact_sheet

    settings = read_settings()
    target = out or Path(f"show-{name}-{split}.png")
    typer.echo(contact_sheet(settings, settings.tracks_of(name)[0], split, n, seed, Layout(), target))


_Maps = Annotated[
    list[Path],
    typer.Option(
        help="Directory of maps, .npy or .npz, one per image: IMAGE_ID.npy, of any size and type; or a text file of "
        "boxes, one per image: IMAGE_ID,x0,y0,x1,y1, in pixels of the image. Given several times, they are compared."
    ),
]
_ValMaps = Annotated[
    list[Path] | None, typer.Option(help="Maps of the val split, of its labels; thresholds are then chosen on it, too.")
]
_Classes = Annotated[
    list[Path] | None,
    typer.Option(help="Text file of `id,class[,class ...]`, best first, for Top-1 and Top-5; one per --maps, or one."),
]
_MapsOf = Annotated[
    Literal["label", "predicted"],
    typer.Option(help="The class that each map is of. predicted: the first of --predictions; no GT-known then."),
]
_Entry = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Write to entries/NAME/TRACK: a row of the track's tables, set apart as not trained here."
    ),
]


def score(
    maps: _Maps,
    names: Annotated[
        list[str] | None, typer.Option("--name", help="Of each directory of maps; by default its own.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Data set in params.yaml; a track with it must be prepared.")
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option(help="Instead of --dataset: directory of the split's lists in Choe et al.'s format.")
    ] = None,
    masks: Annotated[Path, typer.Option(help="With --metadata: folder that its mask paths are relative to.")] = Path(),
    split: Annotated[Literal["val", "test"], typer.Option(help="The split to report.")] = "test",
    val_maps: _ValMaps = None,
    val_metadata: Annotated[
        Path | None, typer.Option(help="With --metadata and --val-maps: lists of the val split.")
    ] = None,
    predictions: _Classes = None,
    maps_of: _MapsOf = "label",
    as_they_are: Annotated[
        bool, typer.Option("--as-they-are", help="Maps are 224x224 in [0, 1]: neither resize nor normalise them.")
    ] = False,
    entry: _Entry = None,
    track: Annotated[
        str | None, typer.Option(help="With --entry, instead of --dataset: a prepared track.", autocompletion=tracks_of)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where metrics.json and tables go; by default scores.")] = None,
    jobs: Jobs = None,
) -> None:
    """Score the localization maps of any method against the truth of a split, and print and write all numbers.

    Several directories of maps give a column each, and a bootstrap over images says whether they differ.
    """
    from wsolbench.tools.score import Truths, folders_of, run_score

    if (entry is None) != (track is None):
        raise SettingsError("--entry and --track go together: a row belongs to a track")
    how: dict[str, Any] = {"maps_of": maps_of, "as_they_are": as_they_are}
    if entry is not None and track is not None:
        from wsolbench.tools.entries import score_entry

        if len(maps) > 1 or names or dataset or metadata or val_metadata or out or split != "test":
            raise SettingsError("--entry takes one --maps, and none of --name, --dataset, --metadata, --split, --out")
        (folder,) = folders_of(maps, [entry], val_maps or [], predictions or [])
        typer.echo(score_entry(read_settings(), track, folder, Path(), jobs, **how))
        return
    truths = Truths(dataset, metadata, masks, val_metadata)
    folders = folders_of(maps, names or [], val_maps or [], predictions or [])
    settings = read_settings() if dataset or Path("params.yaml").is_file() else None
    typer.echo(run_score(settings, truths, split, folders, out or Path("scores"), jobs, **how))


_CUT = (
    "Of boxes and masks. By default those chosen on the run's val split: for protocol pixel (not choe2020, whose "
    "threshold tables show), and, of masks, for pIoU."
)


def predict(
    images: Annotated[list[Path], typer.Argument(help="Photographs, and directories of photographs.")],
    run: Annotated[
        str, typer.Option(help="`<track>-<method>-<seed>` of a trained run, or its folder.", autocompletion=runs_of)
    ],
    out: Annotated[Path, typer.Option(help="Results go to OUT/RUN, in place of earlier ones of this run.")] = Path(
        "predictions"
    ),
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="Localize this class and not the predicted one.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=0.999, help=_CUT)] = None,
    masks: Annotated[
        bool, typer.Option("--masks", help="Also write a mask per photograph; runs on masks only always do.")
    ] = False,
    all_boxes: Annotated[
        bool, typer.Option("--all-boxes", help="Boxes of all components, and not of the largest only.")
    ] = False,
    formats: Annotated[
        list[_Format] | None,
        typer.Option(
            "--format", help="Of the table; may be given several times. coco has boxes as x, y, width, height."
        ),
    ] = None,
    device: Device = None,
) -> None:
    """Write class, probability, localization map, box and picture of anybody's photographs, by a trained run.

    Photographs are turned as viewers display them, and boxes are in pixels of the displayed picture; a box's score is
    the mean of the map, 0 to 1, inside it. A file that cannot be read is named at the end, and makes the exit status 1.
    """
    from wsolbench.tools.predict import predict as run_predict

    settings = read_settings() if Path("params.yaml").exists() else None
    listed: list[Any] = [each.value for each in formats or [_Format.csv]]
    found = run_predict(
        settings,
        run,
        images,
        out,
        Layout(),
        threshold=threshold,
        class_name=class_name,
        masks=masks,
        all_boxes=all_boxes,
        formats=listed,
        device=device,
    )
    total = counted(found.count + len(found.skipped), "photograph")
    typer.echo(f"{f'{found.count} of ' if found.skipped else ''}{total}: {', '.join(found.kinds)} in {found.folder}")
    if found.skipped:
        typer.echo(f"{counted(len(found.skipped), 'was', 'were')} left out:", err=True)
        for sentence in found.skipped:
            typer.echo(f"  {sentence}", err=True)
        raise typer.Exit(1)


def verify(
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Keys of runs; all runs of methods that are here, if left out.", autocompletion=runs_of),
    ] = None,
    origin: Annotated[
        Literal["maps", "checkpoint", "scratch"],
        typer.Option("--from", help="What to start from: stored maps, stored weights, or nothing (trains again)."),
    ] = "maps",
    tolerance: Annotated[float | None, typer.Option(min=0, help="Points; by default 0, 0.5 and 5.")] = None,
    jobs: Jobs = None,
) -> None:
    """Compute stored runs again in a scratch place, and say whether their numbers are reproduced; writes no results.

    A run that cannot be verified is named with the reason, and the others are verified all the same.
    """
    from wsolbench.tools import verify as verifying

    settings, failed = read_settings(), False
    chosen = runs or verifying.run_keys(settings)
    here = [key for key in chosen if runs or origin == "scratch" or Layout().run(key).is_dir()]
    if len(here) < len(chosen):
        absent = f"{len(chosen) - len(here)} of {counted(len(chosen), 'run')} not in {Layout().run('any').parent}"
        typer.echo(f"{absent}, and so left out; `wsolbench launch` makes them, and `dvc pull` fetches them", err=True)
        failed = not here
    for key in [settings.resolve(key).key for key in here]:  # all keys before the first is verified
        try:
            found = verifying.verify(settings, key, origin, Layout(), jobs, tolerance)
        except InterruptedTrainingError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the other runs' verdicts are wanted
            what = str(error) if isinstance(error, WsolbenchError) else f"{type(error).__name__}: {error}"
            typer.echo(f"{key}: not verified ({what})", err=True)
            failed = True
            continue
        typer.echo(f"{key}: {found.outcome} ({found.detail})")
        failed |= found.outcome == "differs"
    raise typer.Exit(failed)


def check(
    what: Annotated[
        str,
        typer.Argument(
            help="Key of a method or read-out, path of its file, or package.module:Class.", autocompletion=methods_of
        ),
    ],
) -> None:
    """Try what the harness promises of methods on one of them, and print one line per promise; needs pytest.

    The exit status is 1 if one is broken.
    """
    from wsolbench.tools.check import check as run_check

    for line in run_check(what):
        typer.echo(line)


def plot(
    kind: Annotated[str, typer.Argument(help="One of those that `wsolbench plot list` names.")],
    out: Annotated[Path, typer.Option(help="A .pdf, .svg or .png file.")] = Path("plot.pdf"),
    tracks: Annotated[
        list[str] | None, typer.Option(help="Track; some plots take several.", autocompletion=tracks_of)
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(help="Method or baseline to show; may be given several times.", autocompletion=methods_of),
    ] = None,
    width: Annotated[float | None, typer.Option(min=0.5, help="Inches.")] = None,
    height: Annotated[float | None, typer.Option(min=0.5, help="Inches.")] = None,
    font_size: Annotated[float | None, typer.Option(min=1, help="Points.")] = None,
    font: Annotated[str | None, typer.Option(help="Family that matplotlib finds.")] = None,
    images: Annotated[
        list[str] | None, typer.Option(help="grid: id of a test image; may be given several times.")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="grid: how many images to choose; 4 by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="grid: another one chooses other images.")] = None,
) -> None:
    """Draw one plot of the present results for a paper."""
    from wsolbench.report.plot import PLOTS, PlotOptions, write_plot

    if kind == "list":
        typer.echo("\n".join(f"{name}: {shows}" for name, shows in PLOTS.items()))
        return
    options = PlotOptions(width, height, font_size, font, images or [], n, seed)
    write_plot(read_settings(), kind, tracks or [], methods or [], out, Path(), options)
    typer.echo(str(out))


def readme() -> None:
    """Put the present results into the tables of README.md."""
    from wsolbench.report.readme import write_readme

    typer.echo("README.md has changed" if write_readme(read_settings(), Path()) else "README.md is up to date")


def doctor() -> None:
    """Check the environment, data roots, weights and params.yaml, and say what to do about what is wrong."""
    from wsolbench.tools.doctor import run_checks

    raise typer.Exit(run_checks(Path()))
