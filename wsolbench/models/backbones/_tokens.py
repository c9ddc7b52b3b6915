"""Vision transformers as backbones: patch tokens are a map, class token and attention are taps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, linear

from wsolbench.config.ranges import Fraction
from wsolbench.errors import SettingsError
from wsolbench.models.backbones._strict_load import load_strictly
from wsolbench.models.backbones.base import Backbone
from wsolbench.models.detached import call_apart

__all__ = ["Embedding", "TimmTransformer", "TokenBackbone"]


class Embedding(nn.Module):
    """Patches and a class token, with position embeddings: ``(B, 3, H, W)`` to ``(B, 1 + h w, C)``.

    Position embeddings are resized bicubically, with antialiasing, as timm does, to an image of any whole number of
    patches: a network may be tested at another size than it was trained at.

    Args:
        proj: turns images into patches, ``(B, C, h, w)``.
        cls_token: ``(1, 1, C)``.
        pos_embed: of the class token and the cells of ``grid``, ``(1, 1 + h w, C)``.
        grid: cells of the position embeddings.
        patch: side of a patch in pixels.
    """

    def __init__(
        self, proj: nn.Module, cls_token: nn.Parameter, pos_embed: nn.Parameter, grid: tuple[int, int], patch: int
    ) -> None:
        super().__init__()
        self.proj = proj
        self.cls_token = cls_token
        self.pos_embed = pos_embed
        self.grid = grid
        self.patch = patch

    def forward(self, images: Tensor) -> Tensor:
        """Turn ``(B, 3, H, W)`` into tokens ``(B, 1 + h w, C)``, the class token first."""
        patches = self.proj(images)
        tokens = patches.flatten(2).mT
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1)
        return tokens + self.positions(patches.shape[2], patches.shape[3])

    def positions(self, height: int, width: int) -> Tensor:
        """Return position embeddings for a grid of any size, ``(1, 1 + height width, C)``."""
        if (height, width) == self.grid:
            return self.pos_embed
        own, patches = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        rows, columns = (_shares(old, new, patches) for old, new in zip(self.grid, (height, width), strict=True))
        with torch.autocast(patches.device.type, enabled=False):
            resized = torch.einsum("bijc,ih,jw->bhwc", patches.view(1, *self.grid, -1), rows, columns)
        return torch.cat([own, resized.flatten(1, 2)], 1)


class TokenBackbone(Backbone):
    """A vision transformer (Dosovitskiy et al., ICLR 2021, arXiv 2010.11929): ``embed``, ``block1``, ..., ``norm``.

    A stage's output is its patch tokens as a map ``(B, C, h, w)``, so that whatever reads or changes a convolutional
    map works here, too; what is inserted behind a stage sees and changes that map. ``norm`` is the last layer
    normalisation. The class token goes along by itself. :meth:`forward_taps` takes two more names for each stage:

    - ``block3.class_token``: the class token behind that stage, ``(B, C)``;
    - ``block3.attention``: of a block only, the row of its attention that belongs to the class token, at the patches,
      ``(B, heads, h, w)``. Rows sum to one together with the class token's own share, which is left out. It is
      computed only then, from the block's query of the class token and its keys, because fused attention keeps no
      weights; in the weights' own precision, also under autocast.

    Where layers go and branches read is ours: after each third of the blocks, and after half of them and the last but
    one.
    """

    tokens: ClassVar[bool] = True

    def __init__(self, embedding: Embedding, blocks: Sequence[nn.Module], norm: nn.Module, *, pretrained: bool) -> None:
        depth = len(blocks)
        stages: dict[str, nn.Module] = {"embed": embedding}
        stages |= {f"block{number}": block for number, block in enumerate(blocks, start=1)}
        stages["norm"] = norm
        super().__init__(
            stages,
            dict.fromkeys(stages, embedding.pos_embed.shape[-1]),
            embedding.patch,
            erase_points=(f"block{depth // 3}", f"block{2 * depth // 3}", "norm"),
            side_points=(f"block{depth // 2}", f"block{depth - 1}"),
            pretrained=pretrained,
        )

    def forward(self, x: Tensor, first: str | None = None, class_token: Tensor | None = None) -> Tensor:
        """Map normalised images to the last stage's patch tokens; with ``first``, see :meth:`forward_from`."""
        return self._forward(x, (), first, class_token)[0]

    def forward_from(
        self,
        stage: str,
        x: Tensor,
        *,
        detached: bool = False,
        running_stats: bool = False,
        class_token: Tensor | None = None,
    ) -> Tensor:
        """Run the network from a stage on; behind ``embed``, that stage reads ``class_token`` ``(B, C)``, too.

        Raises:
            KeyError: there is no such stage.
            SettingsError: the class token is missing.
        """
        found: Tensor = call_apart(self, x, stage, class_token, detached=detached, running_stats=running_stats)
        return found

    def _forward(
        self, x: Tensor, names: Sequence[str], first: str | None, class_token: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        for name in names:
            self._check_tap(name)
        x, grid = (x, self._grid(x)) if first in {None, "embed"} else self._entered(x, str(first), class_token)
        taps: dict[str, Tensor] = {}
        (watched, seen), children = self._watched, dict(self.stages.named_children())
        for key, child in children.items():
            if first not in {None, key}:
                continue
            first, stage = None, key.removesuffix("_then")
            if stage != key:  # inserted
                x = torch.cat([x[:, :1], child(_as_map(x, grid)).flatten(2).mT], 1)
            else:
                if f"{stage}.attention" in names:
                    taps[f"{stage}.attention"] = _class_attention(child, x, grid)
                x = child(x)
            if stage in watched and stage not in seen and f"{key}_then" not in children:
                seen[stage], x = _watched(x, grid)
            if stage in names:
                taps[stage] = _as_map(x, grid)
            if f"{stage}.class_token" in names:
                taps[f"{stage}.class_token"] = x[:, 0]
        return _as_map(x, grid), taps

    def _entered(self, cells: Tensor, first: str, class_token: Tensor | None) -> tuple[Tensor, tuple[int, int]]:
        """Return what a later stage reads, of a map and a class token, and the map's sides."""
        self._check(first)
        if class_token is None:
            raise SettingsError(f"stage '{first}' reads a class token, too: pass the tap '<stage>.class_token'")
        return torch.cat([class_token[:, None], cells.flatten(2).mT], 1), (cells.shape[2], cells.shape[3])

    def _grid(self, images: Tensor) -> tuple[int, int]:
        height, width = images.shape[2:]
        if height % self.stride or width % self.stride:
            raise SettingsError(
                f"{type(self).__name__} takes whole patches of {self.stride} pixels, and images have {height}x{width}; "
                f"set the track's crop to a multiple of {self.stride}"
            )
        return height // self.stride, width // self.stride

    def _check_tap(self, name: str) -> None:
        owner, _, kind = name.partition(".")
        self._check(owner)
        if kind not in {"", "class_token"} and not (kind == "attention" and owner.startswith("block")):
            raise KeyError(f"stage '{owner}' has no tap '{kind}'; it has 'class_token', and a block 'attention'")


class TimmTransformer(TokenBackbone):
    """One of timm's networks with a class token and learnt position embeddings.

    The published classifier is linear in the class token, no class map, and is left out.

    Args:
        weights: the authors' state dict; None initialises as timm does.
        drop_path: probability that the last block is left out in training; it rises linearly from 0 at the first.

    Attributes:
        published: makes timm's network.
        ignored: keys of the file that it has no use for.

    Raises:
        WeightsError: the file's keys or shapes are not the network's.
    """

    published: ClassVar[partial[Any]]
    ignored: ClassVar[tuple[str, ...]] = ()

    def __init__(self, weights: Path | None = None, *, drop_path: Fraction = 0.0) -> None:
        network = self.published(drop_path_rate=drop_path)
        if weights is not None:
            load_strictly(network, weights, optional="head.", rename=lambda key: None if key in self.ignored else key)
        patches = network.patch_embed
        embedding = Embedding(
            patches.proj, network.cls_token, network.pos_embed, patches.grid_size, patches.patch_size[0]
        )
        super().__init__(embedding, list(network.blocks), network.norm, pretrained=weights is not None)


def _shares(old: int, new: int, like: Tensor) -> Tensor:
    """Return the share of each of ``old`` cells in each of ``new`` ones, ``(old, new)``.

    A product with it has a deterministic gradient on CUDA, which bicubic interpolation has not.
    """
    with torch.no_grad():
        cells = torch.eye(old, dtype=like.dtype, device=like.device)[None, None]
        return interpolate(cells, (old, new), mode="bicubic", antialias=True)[0, 0]


def _watched(x: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the patch tokens as a map that gradients reach, and all tokens made of it."""
    cells = _as_map(x, grid)
    cells = cells if cells.requires_grad else cells.detach().requires_grad_()
    return cells, torch.cat([x[:, :1], cells.flatten(2).mT], 1)


def _as_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return patch tokens as ``(B, C, h, w)``, without a copy."""
    return tokens[:, 1:].mT.view(len(tokens), -1, *grid)


def _class_attention(block: nn.Module, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the share of each patch in what the class token takes in, ``(B, heads, h, w)``."""
    attention = cast("nn.Module", block.attn)
    qkv, heads = cast("nn.Linear", attention.qkv), cast("int", attention.num_heads)
    tokens = cast("nn.Module", block.norm1)(tokens)
    (to_query, to_key, _), (add_query, add_key, _) = qkv.weight.chunk(3), qkv.bias.chunk(3)
    with torch.autocast(tokens.device.type, enabled=False):
        tokens = tokens.to(qkv.weight.dtype)
        query = linear(tokens[:, 0], to_query, add_query).view(len(tokens), heads, -1)
        key = linear(tokens, to_key, add_key).view(len(tokens), -1, heads, query.shape[-1])
        scores = torch.einsum("bhd,bnhd->bhn", query * cast("float", attention.scale), key)
        return scores.softmax(-1)[:, :, 1:].view(len(tokens), heads, *grid)
