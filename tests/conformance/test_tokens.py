"""A transformer's patch tokens are a map; its class token and attention are taps."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from wsolbench.config import registry
from wsolbench.errors import SettingsError
from wsolbench.models.backbones.vit_embedded import ViTEmbedded

MODELS = {
    "deit_tiny": ("deit_tiny_patch16_224", {}),
    "deit_small": ("deit_small_patch16_224", {}),
    "dinov2_small": ("vit_small_patch14_dinov2", {"img_size": 518}),
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Timm's network, which takes any size, and our backbone with the same parameters."""

    def get(name):
        torch.manual_seed(0)
        model, arguments = MODELS[name]
        theirs = timm.create_model(model, dynamic_img_size=True, **arguments).eval()
        nn.init.normal_(theirs.cls_token)  # as learnt: no longer nearly zero
        path = Path(tmp_path_factory.mktemp(name)) / "theirs.pth"
        torch.save(theirs.state_dict(), path)
        return theirs, registry.load("backbone", name)(path).eval()

    return get


def embedded(seed=0, **arguments):
    torch.manual_seed(seed)
    return ViTEmbedded(width=24, **arguments).eval()


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("deit_tiny", [(224, 224), (96, 160), (256, 256)]),
        pytest.param("deit_small", [(224, 224)], marks=pytest.mark.slow),
        ("dinov2_small", [(112, 56)]),
        pytest.param("dinov2_small", [(518, 518), (448, 448)], marks=pytest.mark.slow),
    ],
)
@torch.no_grad()
def test_tokens_are_timms_at_any_size(pairs, name, sizes):
    theirs, ours = pairs(name)
    for height, width in sizes:
        images = torch.randn(1, 3, height, width)
        tokens = theirs.forward_features(images)
        last, taps = ours.forward_taps(images, ["norm.class_token", "norm"])
        cells = (height // ours.stride, width // ours.stride)
        torch.testing.assert_close(last, tokens[:, 1:].mT.reshape(1, -1, *cells), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(taps["norm.class_token"], tokens[:, 0], rtol=1e-4, atol=1e-4)
        assert torch.equal(taps["norm"], last)


@torch.no_grad()
def test_attention_is_the_class_tokens_row_of_every_head():
    backbone, seen = embedded(), {}
    for number in (1, 3):
        attention = backbone.stages.get_submodule(f"block{number}").attn
        attention.fused_attn = False  # timm then passes the matrix through this dropout
        attention.attn_drop.register_forward_hook(lambda module, args, out, key=number: seen.update({key: out}))
    names = ["block1.attention", "block3.attention"]
    _, taps = backbone.forward_taps(torch.randn(2, 3, 32, 48), names)
    assert list(taps) == names
    for number in (1, 3):
        row = seen[number][:, :, 0, 1:].reshape(2, 2, 8, 12)
        torch.testing.assert_close(taps[f"block{number}.attention"], row, rtol=1e-5, atol=1e-6)
        own = seen[number][:, :, 0, 0]
        torch.testing.assert_close(taps[f"block{number}.attention"].sum((2, 3)), 1 - own)


@torch.no_grad()
def test_attention_keeps_the_weights_precision_under_autocast():
    images = torch.randn(1, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        _, taps = embedded().forward_taps(images, ["block1.attention"])
    assert taps["block1.attention"].dtype == torch.float32


@torch.no_grad()
def test_what_is_inserted_sees_the_map_and_leaves_the_class_token():
    images, plain, changed = torch.randn(2, 3, 64, 64), embedded(), embedded()
    changed.insert_after("block2", _Twice())
    names = ["block2", "block2.class_token", "block3.class_token"]
    (one, before), (other, after) = plain.forward_taps(images, names), changed.forward_taps(images, names)
    assert torch.equal(after["block2"], 2 * before["block2"])
    assert torch.equal(after["block2.class_token"], before["block2.class_token"])
    assert not torch.equal(after["block3.class_token"], before["block3.class_token"])
    assert not torch.equal(one, other)


def test_taps_that_do_not_exist_are_refused():
    for name in ("embed.attention", "norm.attention", "block9", "block1.query", "block1.attention.class_token"):
        with pytest.raises(KeyError, match=name.partition(".")[0]):
            embedded().forward_taps(torch.randn(1, 3, 64, 64), [name])


def test_a_size_that_cuts_patches_is_refused():
    with pytest.raises(SettingsError, match=r"66x64.*multiple of 4"):
        embedded()(torch.randn(1, 3, 66, 64))


def test_drop_path_leaves_blocks_out_in_training_only():
    images, never, often = torch.randn(4, 3, 64, 64), embedded(), embedded(drop_path=0.9)
    assert torch.equal(never(images), often(images))
    never.train(), often.train()
    assert not torch.allclose(never(images), often(images))


class _Twice(nn.Module):
    def forward(self, x):
        assert x.shape[1:] == (24, 16, 16)
        return 2 * x
