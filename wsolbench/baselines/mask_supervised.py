"""The same backbone, trained on masks: what its features allow."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from wsolbench.baselines.base import Baseline, BaselineInputs
from wsolbench.config.settings import Run
from wsolbench.data.cache import Pictures, pictures_of
from wsolbench.data.dataset import Item, Split
from wsolbench.data.images import resize
from wsolbench.data.loader import Batch, SizedDataset, augment
from wsolbench.data.scoremaps import Stored
from wsolbench.data.seeding import generator, image_key
from wsolbench.errors import DataError
from wsolbench.models.backbones.base import Backbone
from wsolbench.models.method import Method, Prediction
from wsolbench.runs.device import set_up_device
from wsolbench.runs.machine import check_precision
from wsolbench.training.building import build_backbone
from wsolbench.training.loop import fit
from wsolbench.training.prediction import predict_split

__all__ = ["MaskSupervised"]

_FIT_SHARE = 0.8


class MaskSupervised(Baseline):
    """Few-shot supervised bound: a per-pixel object/background head, trained on the masks of ``val``.

    Choe et al. (CVPR 2020, arXiv 2001.07437; TPAMI 2022) compare weakly supervised methods with a model that learns
    from the same few boxes or masks that those use to choose thresholds and hyper-parameters; as in the journal
    version, 80 % of ``val`` fit the model and 20 % choose its threshold. The backbone and recipe are the track's, and
    the training sees as many images. Where a data set has boxes only, filled boxes stand for the mask.

    Our choices: one 1x1 convolution on the last stage; binary cross-entropy against the area-averaged mask at map
    resolution; the 80 % by sha256 of the image id, the same for all seeds.
    """

    title = "mask-supervised bound"
    reference = "few-shot supervised baseline of Choe et al., CVPR 2020 (arXiv 2001.07437) and TPAMI 2022"
    seeded = True
    trains = True

    def predictions(self, inputs: BaselineInputs) -> Mapping[str, Stored]:
        """Fit on 80 % of ``val``; return maps of the other 20 % and of ``test``.

        Raises:
            DataError: the data set has no ``val`` to learn from.
        """
        run, runtime = inputs.run, inputs.runtime
        device = set_up_device(runtime)
        if device.type == "cpu":
            check_precision([run])
        fitted, held_out = _divide(inputs.val)
        head = _MaskHead(build_backbone(inputs.run, inputs.weights_file))
        pictures = pictures_of(fitted, inputs.image_root, run.track.resize, inputs.reading)
        masks = [_resized_mask(item, inputs) for item in fitted.items]
        data = _MaskedSet(fitted, pictures, masks, run.track.crop, run.seed)
        longer = _as_many_images(run, inputs.train_size / len(fitted))
        definition = {"run": longer.as_dict(), "index_digest": fitted.digest, "weights": str(inputs.weights_file)}
        fit(head, data, longer, runtime, device, inputs.work, definition)
        return {
            name: predict_split(
                head,
                split,
                inputs.image_root,
                side=run.track.test_side,
                batch=run.track.batch,
                device=device,
                reading=inputs.reading,
            )
            for name, split in (("val", held_out), ("test", inputs.test))
        }


class _MaskHead(Method):
    """One logit per cell; targets are masks ``(B, 1, H, W)`` uint8 instead of labels."""

    title, reference = MaskSupervised.title, MaskSupervised.reference

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone, 0)
        self.head = nn.Conv2d(backbone.out_channels, 1, 1)

    def losses(self, images: Tensor, targets: Tensor, progress: float) -> dict[str, Tensor]:
        logits = self.head(self.backbone(images)).float()
        share = functional.adaptive_avg_pool2d(targets.float(), logits.shape[-2:])
        return {"mask": functional.binary_cross_entropy_with_logits(logits, share)}

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        maps = self.head(self.backbone(images)).float().sigmoid()[:, 0]
        return Prediction(maps.new_zeros(len(images), 0), maps)


class _MaskedSet(SizedDataset):
    """Like the loader's training set, with the mask cropped and flipped along as target."""

    def __init__(self, split: Split, pictures: Pictures, masks: list[NDArray[np.uint8]], crop: int, seed: int) -> None:
        self._pictures, self._masks, self._crop, self._seed = pictures, masks, crop, seed
        self._keys = [image_key(item.id) for item in split.items]

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, where: tuple[int, int]) -> Batch:
        epoch, position = where
        random = generator("augmentation", self._seed, epoch, self._keys[position])
        stacked = np.concatenate([self._pictures[position], self._masks[position][..., None]], axis=2)
        both = np.empty((self._crop, self._crop, 4), np.uint8)
        augment(stacked, self._crop, random, both)
        planes = torch.from_numpy(both).permute(2, 0, 1)
        return planes[:3], planes[3:], torch.tensor(position)


def _divide(val: Split) -> tuple[Split, Split]:
    order = sorted(val.items, key=lambda item: hashlib.sha256(item.id.encode()).digest())
    count = round(_FIT_SHARE * len(order))
    if not 0 < count < len(order):
        raise DataError(
            f"the mask-supervised bound needs at least 3 images in 'val', and there are {len(order)}; "
            "take it out of run.baselines or give the data set a val split"
        )
    chosen = {item.id for item in order[:count]}
    fitted = [item for item in val.items if item.id in chosen]
    held_out = [item for item in val.items if item.id not in chosen]
    return replace(val, items=fitted), replace(val, items=held_out)


def _resized_mask(item: Item, inputs: BaselineInputs) -> NDArray[np.uint8]:
    truth = inputs.val.truth(item.id)
    masks = truth.object_masks()
    if not masks:
        filled = np.zeros((item.height, item.width), bool)
        for x0, y0, x1, y1 in np.rint(truth.boxes).astype(int):
            filled[max(y0, 0) : y1, max(x0, 0) : x1] = True
        masks = [filled]
    side = inputs.run.track.resize
    resized = np.zeros((side, side), bool)
    for mask in masks:  # an image's masks may differ in size
        grey = np.repeat(mask[..., None].astype(np.uint8), 3, axis=2) * 255
        resized |= resize(grey, (side, side))[..., 0] > 127
    return resized.astype(np.uint8)


def _as_many_images(run: Run, ratio: float) -> Run:
    """Stretch a recipe's epochs by ``ratio``, so that a smaller split is shown as many images."""
    track = run.track
    longer: dict[str, int | list[int]] = {"epochs": math.ceil(track.epochs * ratio)}
    if track.step_epochs is not None:
        longer["step_epochs"] = math.ceil(track.step_epochs * ratio)
    if track.milestones is not None:
        longer["milestones"] = [math.ceil(epoch * ratio) for epoch in track.milestones]
    return replace(run, track=track.model_copy(update=longer))
