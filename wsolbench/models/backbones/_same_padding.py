"""TensorFlow's SAME padding, which differs from PyTorch's where the stride is 2."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import pad

__all__ = ["pad_as_tensorflow"]


class _SameConv2d(nn.Conv2d):
    """Pads so that a size becomes ``ceil(size / stride)``, the odd pixel at the bottom and the right."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C', ceil(H / stride), ceil(W / stride))``."""
        bottom, right = (
            max((-(-size // stride) - 1) * stride + kernel - size, 0)
            for size, stride, kernel in zip(x.shape[2:], self.stride, self.kernel_size, strict=True)
        )
        return super().forward(pad(x, (right // 2, right - right // 2, bottom // 2, bottom - bottom // 2)))


def pad_as_tensorflow(network: nn.Module) -> None:
    """Replace every convolution of stride 2 by one with SAME padding and the same parameters."""
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, nn.Conv2d) and layer.stride != (1, 1):
                padded = _SameConv2d(
                    layer.in_channels,
                    layer.out_channels,
                    layer.kernel_size,  # type: ignore[arg-type]
                    layer.stride,  # type: ignore[arg-type]
                    groups=layer.groups,
                    bias=layer.bias is not None,
                    device=layer.weight.device,
                )
                padded.load_state_dict(layer.state_dict(), assign=True)
                setattr(parent, name, padded)
