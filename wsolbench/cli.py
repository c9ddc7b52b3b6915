"""The command line: its commands, in the order of the help, and what holds for all of them.

Nothing is imported here, nor in the modules of the commands, that takes time: each command imports what it needs.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from wsolbench.errors import WsolbenchError
from wsolbench.files import OF_THE_DISK
from wsolbench.runs.startup import prepare_process, run_code_of, use_methods_of
from wsolbench.tools import commands, new, stages
from wsolbench.tools.launching import launch
from wsolbench.tools.searching import search

__all__ = ["app", "main"]

app = typer.Typer(
    help=(
        "A reproducible benchmark of weakly supervised object localization.\n\n"
        "`make benchmark` (`wsolbench launch`, which runs several at once, or `dvc repro -k`) runs all stages that are "
        "out of date, in order: resolve, prepare, weights, train, readout, evaluate, costs, baseline, photographs, "
        "report, summary, page. Each stage is also a command below, for one track or one run. A track "
        "(`shapes-convnet`) is a data set with a backbone and a recipe; a run (`shapes-convnet-cam-0`) is a track with "
        "a method and a seed. All choices stand in params.yaml."
    ),
    epilog=(
        "Exit status: 0 if all went well; 1 after an error, or if a part failed, which is named; 2 for a wrong option; "
        "128 + N if signal N (Ctrl-C is 2) stopped a training, whose state is saved."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown" if sys.stdout.isatty() else None,  # plain text in a pipe
)

_new = typer.Typer(no_args_is_help=True)
for _beginning in (new.project, new.method, new.dataset, new.track):
    _new.command()(_beginning)
for _command in (
    *(commands.list_components, stages.resolve, stages.prepare, stages.look, commands.show, stages.weights),
    *(stages.train, stages.readout, stages.evaluate, stages.costs, commands.score, commands.predict, commands.verify),
    commands.check,
    *(search, stages.baseline, stages.photographs, stages.report, stages.summary, stages.page, commands.plot),
    *(launch, commands.readme, commands.doctor),
):
    _name = _command.__name__.removesuffix("_components")
    _first = (_command.__doc__ or "").partition("\n\n")[0]  # whole, where help would cut it
    app.command(_name, short_help=_first)(_command)
_about = "Begin a project of your own; write the lines of a new method, data set or track in its params.yaml."
app.add_typer(_new, name="new", help=_about, short_help=_about)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        from wsolbench import __version__  # noqa: PLC0415

        typer.echo(__version__)
        raise typer.Exit


class _Lines(logging.Handler):
    """Writes to what standard error is at that moment: above a progress bar, while one is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{self.format(record)}\n")


def main() -> None:
    """Run the command line; errors meant for the user are printed without a traceback, with exit status 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_Lines()])
    try:
        run_code_of(Path.cwd())
        use_methods_of(Path.cwd())
        prepare_process()
        app()
    except WsolbenchError as error:
        _end(str(error), error.exit_status)
    except OSError as error:  # of what is not written by way of `files`
        if error.errno not in OF_THE_DISK:
            raise
        where = error.filename or f"a file of this command, in {Path.cwd()} or {tempfile.gettempdir()},"
        _end(f"{where} cannot be written or read ({error.strerror}); make room, or see to it that you may do so", 1)


def _end(message: str, status: int) -> NoReturn:
    typer.secho(f"wsolbench: {message}", fg=typer.colors.RED, err=True)
    sys.exit(status)
