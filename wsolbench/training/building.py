"""From settings to an initialised network."""

from __future__ import annotations

from pathlib import Path

import torch

from wsolbench.config import registry
from wsolbench.config.settings import Run, validated_arguments
from wsolbench.data.seeding import torch_seed
from wsolbench.errors import SettingsError
from wsolbench.models.backbones.base import Backbone
from wsolbench.models.method import Method
from wsolbench.models.pretrained import backbone_arguments

__all__ = ["build_backbone", "build_method"]


def build_method(run: Run, num_classes: int, weights_file: Path | None) -> Method:
    """Build a run's backbone and method, initialised from the run's seed.

    Raises:
        SettingsError: an argument in ``params.yaml`` does not fit the constructor, or the method has no use for the
            pretrained classifier that the track asks for.
    """
    method_class = registry.load("method", run.component)
    method_args = validated_arguments(method_class, run.on_track.args, f"methods.{run.method}.args", given=2)
    backbone = build_backbone(run, weights_file)
    method: Method = method_class(backbone, num_classes, **method_args)
    if backbone.pretrained_classifier is not None:
        raise SettingsError(
            f"tracks.{run.track_name}.backbone_args.keep_classifier: method '{run.method}' brings its own classifiers; "
            "remove keep_classifier for it"
        )
    return method


def build_backbone(run: Run, weights_file: Path | None) -> Backbone:
    """Build a run's backbone, and seed torch with the run's seed for it and what is put on top.

    Raises:
        SettingsError: an argument in ``params.yaml`` does not fit the constructor.
    """
    backbone_class, where = registry.load("backbone", run.track.backbone), f"tracks.{run.track_name}.backbone_args"
    checked = validated_arguments(backbone_class, backbone_arguments(run.track), where, given=1)
    torch.manual_seed(torch_seed("initialisation", run.seed))
    backbone: Backbone = backbone_class(weights_file, **checked)
    return backbone
