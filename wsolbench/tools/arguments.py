"""Arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from wsolbench.config.settings import Settings, read_settings
from wsolbench.errors import SettingsError, nearest

__all__ = ["Jobs", "RunKey", "TrackName", "settings_with"]

TrackName = Annotated[str, typer.Argument(help="Key of `tracks` in params.yaml, for instance shapes-convnet.")]
RunKey = Annotated[str, typer.Argument(help="`<track>-<method>-<seed>`, for instance shapes-convnet-cam-0.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Parallel jobs; by default one per CPU core.")]


def settings_with(track: str) -> Settings:
    """Return the settings, which have this track.

    Raises:
        SettingsError: they have not; or ``params.yaml`` is missing or wrong.
    """
    settings = read_settings()
    if track not in settings.tracks:
        raise SettingsError(f"params.yaml: tracks has no '{track}'; {nearest(track, settings.tracks)}")
    return settings
