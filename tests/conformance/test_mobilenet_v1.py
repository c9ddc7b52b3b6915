"""MobileNetV1: the weight files, TensorFlow's padding, and carving."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import conv2d

from wsolbench.errors import SettingsError, WeightsError
from wsolbench.models.backbones.mobilenet_v1 import MobileNetV1, PlainMobileNetV1
from wsolbench.models.backbones.weights import PINNED

WIDTHS = {"imagenet_1.0": 1.0, "imagenet_0.75": 0.75}
STRIDED = (0, 3, 7, 11, 23)  # convolutions of stride 2 among features.0 to features.26


def weight_file(test_data, name):
    return test_data / "weights" / PINNED["mobilenet_v1"][name].file


def reference_features(tensors, images, *, tf_padding, strided=STRIDED):
    """The network written down from its definition: convolution, (x - mean) / sqrt(var + eps), clip to [0, 6]."""
    x = images
    for index in range(27):
        weight = tensors[f"features.{index}.conv.weight"]
        stride = 2 if index in strided else 1
        before, after = (weight.shape[2] // 2,) * 2
        if tf_padding and stride == 2:
            size = x.shape[2]
            total = max((-(-size // 2) - 1) * 2 + 3 - size, 0)
            before, after = total // 2, total - total // 2
        padded = torch.zeros(*x.shape[:2], x.shape[2] + before + after, x.shape[3] + before + after)
        padded[:, :, before : before + x.shape[2], before : before + x.shape[3]] = x
        x = conv2d(padded, weight, stride=stride, groups=1 if weight.shape[1] > 1 or index == 0 else x.shape[1])
        bn = {
            part: tensors[f"features.{index}.bn.{part}"].view(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        }
        x = (x - bn["running_mean"]) / torch.sqrt(bn["running_var"] + 1e-3) * bn["weight"] + bn["bias"]
        x = x.clamp(0, 6)
    return x


def with_statistics(network):
    """Give batch normalisation something to do."""
    generator = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith(("running_mean", "bn.bias")):
            value.normal_(0, 0.1, generator=generator)
        elif name.endswith(("running_var", "bn.weight")):
            value.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


@pytest.mark.parametrize("name", WIDTHS)
def test_keys_and_shapes_are_those_of_the_weight_file(test_data, name):
    tensors = load_file(weight_file(test_data, name))
    expected = {key: value.shape for key, value in tensors.items()}
    state = PlainMobileNetV1(WIDTHS[name], 32, tf_padding=True).state_dict()
    has_classifier = "classifier.weight" in tensors
    own = {key: value.shape for key, value in state.items() if has_classifier or not key.startswith("classifier.")}
    assert own == expected


@pytest.mark.parametrize("name", WIDTHS)
@pytest.mark.parametrize("tf_padding", [True, False])
def test_loaded_backbone_equals_the_reference_on_the_real_weights(test_data, name, tf_padding):
    path = weight_file(test_data, name)
    images = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    backbone = MobileNetV1(path, width=WIDTHS[name], output_stride=32, tf_padding=tf_padding).eval()
    with torch.no_grad():
        found = backbone(images)
        expected = reference_features(load_file(path), images, tf_padding=tf_padding)
    assert found.shape == (1, int(1024 * WIDTHS[name]), 3, 3)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [64, 65, 67])
@pytest.mark.parametrize("tf_padding", [True, False])
@pytest.mark.parametrize(("output_stride", "strided"), [(32, STRIDED), (16, STRIDED[:4]), (8, STRIDED[:3])])
def test_random_network_equals_the_reference_at_every_stride_and_size(size, tf_padding, output_stride, strided):
    plain = with_statistics(PlainMobileNetV1(0.25, output_stride, tf_padding=tf_padding))
    images = torch.randn(1, 3, size, size)
    with torch.no_grad():
        expected = reference_features(plain.state_dict(), images, tf_padding=tf_padding, strided=strided)
        torch.testing.assert_close(plain.features(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_carved_backbone_is_the_plain_network(tmp_path, output_stride):
    plain = with_statistics(PlainMobileNetV1(0.25, output_stride, tf_padding=True))
    save_file(plain.state_dict(), tmp_path / "w.safetensors")
    backbone = MobileNetV1(tmp_path / "w.safetensors", width=0.25, output_stride=output_stride).eval()
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(backbone(images), plain.features(images))
    assert backbone.new_stages == ()
    assert sum(p.numel() for p in backbone.parameters()) == sum(p.numel() for p in plain.features.parameters())


def test_output_stride_changes_no_name_or_shape():
    shapes = [
        {key: value.shape for key, value in MobileNetV1(width=0.25, output_stride=stride).state_dict().items()}
        for stride in (8, 16, 32)
    ]
    assert shapes[0] == shapes[1] == shapes[2]


def test_weights_of_another_width_are_refused_with_a_hint(tmp_path):
    save_file(PlainMobileNetV1(0.25, 16, tf_padding=True).state_dict(), tmp_path / "quarter.safetensors")
    message = r"quarter.safetensors .*features.0.conv.weight is \[8, 3, 3, 3\], not \[16, 3, 3, 3\].*width \(0.5\)"
    with pytest.raises(WeightsError, match=message):
        MobileNetV1(tmp_path / "quarter.safetensors", width=0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("features.3.bn.bias"), "missing features.3.bn.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "unexpected extra"),
        (lambda state: state.pop("classifier.bias"), "missing classifier.bias"),
    ],
)
def test_keys_that_do_not_match_are_named(tmp_path, change, message):
    state = PlainMobileNetV1(0.25, 16, tf_padding=True).state_dict()
    change(state)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=message):
        MobileNetV1(tmp_path / "w.safetensors", width=0.25)


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", None])
def test_what_is_not_safetensors_is_refused(tmp_path, content):
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        MobileNetV1(path, width=0.25)


def test_a_width_without_channels_is_refused():
    with pytest.raises(SettingsError, match=r"width is 0\.01"):
        MobileNetV1(width=0.01)
