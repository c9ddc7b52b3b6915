"""Arguments that several commands share, and how a shell completes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from wsolbench.config.settings import Settings


def tracks_of(incomplete: str) -> list[str]:
    """Return the tracks of ``params.yaml`` that begin so."""
    return _beginning(incomplete, _params()["tracks"])


def methods_of(incomplete: str) -> list[str]:
    """Return the methods of ``params.yaml`` that begin so."""
    return _beginning(incomplete, _params()["methods"])


def runs_of(incomplete: str) -> list[str]:
    """Return the runs of ``params.yaml`` and of ``results/runs`` that begin so."""
    run = _params()["run"]
    names = [*run.get("methods", []), *run.get("seeded_baselines", [])]
    names += [f"{readout}_of_{read}" for read in run.get("read", []) for readout in run.get("readouts", [])]
    runs = [f"{name}-{seed}" for name in names for seed in run.get("seeds", [])]
    runs += [f"{name}-0" for name in run.get("baselines", [])]
    keys = [f"{track}-{each}" for track in run.get("tracks", []) for each in runs]
    return _beginning(incomplete, [*keys, *(path.name for path in Path("results/runs").glob("*"))])


def _beginning(incomplete: str, names: Any) -> list[str]:
    return sorted({name for name in names if str(name).startswith(incomplete)})


def _params() -> dict[str, Any]:
    """Return what completion needs of ``params.yaml``; nothing where it cannot be read."""
    from wsolbench.config.schema import PARAMS_FILE, load_yaml

    found: Any = None
    with suppress(OSError, ValueError):
        found = load_yaml(PARAMS_FILE.read_text(encoding="utf-8"))
    groups = found if isinstance(found, Mapping) else {}
    return {name: groups.get(name) or {} for name in ("tracks", "methods", "run")}


TrackName = Annotated[
    str,
    typer.Argument(help="Key of `tracks` in params.yaml, for instance shapes-convnet.", autocompletion=tracks_of),
]
RunKey = Annotated[
    str,
    typer.Argument(help="`<track>-<method>-<seed>`, for instance shapes-convnet-cam-0.", autocompletion=runs_of),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Parallel jobs; by default one per CPU core.")]
Device = Annotated[Literal["auto", "cpu", "cuda"] | None, typer.Option(help="Overrides runtime.device.")]


def read_settings(changes: Sequence[str] = ()) -> Settings:
    """Read ``params.yaml``, as :func:`wsolbench.config.settings.read_settings` does, whose import takes a while."""
    from wsolbench.config import settings

    return settings.read_settings(changes=changes)


def settings_with(track: str) -> Settings:
    """Return the settings, which have this track.

    Raises:
        SettingsError: they have not; or ``params.yaml`` is missing or wrong.
    """
    from wsolbench.config.schema import check_known
    from wsolbench.errors import SettingsError

    settings = read_settings()
    check_known("params.yaml: tracks", track, settings.tracks, SettingsError)
    return settings
