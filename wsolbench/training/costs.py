"""What a method costs, as far as that can be counted: parameters, and floating-point operations per image.

Counts depend on the network alone: they are the same on every machine, and equal runs give equal bytes. What has to be
measured (times, memory) stands in a run's provenance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.index import read_split
from wsolbench.data.seeding import torch_seed
from wsolbench.errors import SettingsError
from wsolbench.files import write_text
from wsolbench.models.method import Method
from wsolbench.models.pretrained import read_placed
from wsolbench.results.schema import Costs
from wsolbench.training.building import build_method

__all__ = ["Counts", "count_costs", "flops_of", "write_costs", "write_costs_of"]

_IMAGES = 2  # a batch normalisation of one value per channel has no statistics


@dataclass(frozen=True)
class Counts:
    """What a method costs on a track; floating-point operations are those of one image."""

    parameters: int  # numbers that training may change, all branches together
    train_flops_per_image: int | None  # forward and backward; None where nothing is trained
    test_flops_per_image: int  # class and map together


def flops_of(work: Callable[[], object]) -> int:
    """Return the floating-point operations of convolutions and matrix products in a piece of work.

    An addition and a multiplication are two operations, as torch counts them; element-wise operations, normalisations
    and poolings are not counted.
    """
    backward = {torch.ops.aten.convolution_backward: _backward_of_convolution}
    with FlopCounterMode(display=False, custom_mapping=backward) as counter:
        work()
    return int(counter.get_total_flops())


def _backward_of_convolution(
    gradient: Sequence[int], inputs: Sequence[int], weight: Sequence[int], *rest: Any, **_: Any
) -> int:
    """Count a convolution's backward pass from its shapes: each gradient costs what the forward pass does.

    torch's own formula takes every weight's gradient for that of an ungrouped convolution, and counts 65 forward
    passes instead of two for a depthwise one of 64 channels.
    """
    transposed, wanted = rest[4], rest[7]
    return 2 * prod(inputs if transposed else gradient) * prod(weight[1:]) * sum(map(int, wanted[:2]))


def count_costs(method: Method, side: int, test_side: int, *, trained: bool) -> Counts:
    """Count a method's costs on made-up images, on the CPU and in float32; precision changes no count."""
    torch.manual_seed(torch_seed("iteration", 0, 0))
    labels = torch.arange(_IMAGES) % method.num_classes
    inputs, tested = (
        method.backbone.normalise(torch.randint(0, 256, (_IMAGES, 3, each, each), dtype=torch.uint8))
        for each in (side, test_side)
    )

    def train() -> None:
        method.train()
        changed, targets = method.batch_transform(inputs, labels, torch.Generator().manual_seed(0))
        torch.stack(list(method.losses(changed, targets, 0.5).values())).sum().backward()  # type: ignore[no-untyped-call]

    def test() -> None:
        method.eval()
        with torch.set_grad_enabled(method.needs_grad):
            method.predict(tested, labels)

    return Counts(
        parameters=sum(each.numel() for each in method.parameters() if each.requires_grad),
        train_flops_per_image=flops_of(train) // _IMAGES if trained else None,
        test_flops_per_image=flops_of(test) // _IMAGES,
    )


def write_costs_of(settings: Settings, track: str, layout: Layout) -> None:
    """Write what each method of ``run`` costs on a track; see :func:`write_costs`."""
    for method in settings.run.methods:
        write_costs(settings, f"{track}-{method}", layout)


def write_costs(settings: Settings, key: str, layout: Layout) -> None:
    """Count what ``<track>-<method>`` costs, whatever the seed, and write ``results/costs/<track>/<key>.json``.

    Raises:
        SettingsError: the key names no method, or an argument does not fit its constructor.
        DataError: the data set is not prepared.
        WeightsError: the weights are not in place.
    """
    run = settings.resolve(f"{key}-0")
    if run.method not in settings.methods:
        raise SettingsError(f"'{key}' is a baseline, whose costs are not counted; give <track>-<method>")
    data = layout.prepared(run.track_name)
    train, test = (read_split(data, name, with_truth=False) for name in ("train", "test"))
    record: dict[str, object] = {"key": key, "data_digest": train.digest, "train_images": len(train)}
    record |= {"epochs": run.track.epochs, "side": run.track.crop, "classes": test.num_classes}
    reason = settings.unsupported(run)
    if reason is None:
        _, weights = read_placed(layout.weights(run.track_name), run.track.backbone, run.track.weights)
        method = build_method(run, test.num_classes, weights)
        record |= vars(count_costs(method, run.track.crop, run.track.test_side, trained=run.track.epochs > 0))
    else:
        record["skipped"] = reason
    write_text(layout.costs(run.track_name, key), Costs.model_validate(record).text())
