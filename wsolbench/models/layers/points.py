"""Where in a backbone a method puts its layers."""

from __future__ import annotations

from collections.abc import Sequence

from wsolbench.errors import SettingsError, nearest
from wsolbench.models.backbones.base import Backbone

__all__ = ["chosen_points"]


def chosen_points(
    backbone: Backbone, argument: str, points: Sequence[str] | None, default: Sequence[str], count: int | None = None
) -> tuple[str, ...]:
    """Return the stages that a method works behind.

    Args:
        backbone: whose stages are meant.
        argument: name of the method's argument, for messages.
        points: names of stages, or None for the backbone's own choice.
        default: the backbone's own choice.
        count: how many the method needs; None for any number.

    Raises:
        SettingsError: a name is unknown or stands twice, or there are more or fewer than needed.
    """
    chosen = tuple(default if points is None else points)
    for name in chosen:
        if name not in backbone.stage_names:
            hint = nearest(name, backbone.stage_names)
            raise SettingsError(f"{argument}: the backbone has no stage '{name}'; {hint}")
    if len(set(chosen)) != len(chosen):
        raise SettingsError(f"{argument}: a stage is named twice in {', '.join(chosen)}")
    if count is not None and len(chosen) != count:
        raise SettingsError(f"{argument}: {count} stages are needed, not {len(chosen)}")
    return chosen
