"""Convolutions and products on a CPU by oneDNN, which PyTorch carries but leaves aside where it has one thread.

With one thread PyTorch sends 1x1 convolutions and products of fp32 matrices to MKL's gemm, on an AMD Zen 5 100 GFLOP/s
where oneDNN reaches 190 to 240; and an addition and a ReLU cost another pass over memory each. The operations used here
are those that torch.compile calls. Where they are missing, and for other devices and precisions, the plain ones work.
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor, nn


@functools.cache
def can_use(dtype: torch.dtype) -> bool:
    """Whether oneDNN's operations are in this build of PyTorch and work in this precision on this machine."""
    names = ("_convolution_pointwise", "_convolution_pointwise_", "_linear_pointwise")
    if not torch.backends.mkldnn.is_available() or not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return False
    if dtype == torch.bfloat16:
        knows = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
        return knows is not None and bool(knows())
    return dtype == torch.float32


def multiply(left: Float[Tensor, "M C"], right: Float[Tensor, "N C"]) -> Float[Tensor, "M N"]:
    """``left @ right.t()``; halves are summed in fp32 and rounded at the end."""
    if _suits(left, right):
        found: Tensor = torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
        return found
    return left @ right.t()


class FusedConvolution(nn.Conv2d):
    """A convolution for test time that adds a shortcut and clips at 0, or at 0 and ``most``, itself."""

    most: float | None = None

    @classmethod
    def of(cls, convolution: nn.Conv2d) -> FusedConvolution:
        """The same convolution, on the same weights."""
        made = cls.__new__(cls)
        made.__dict__.update(convolution.__dict__)
        return made

    def forward(
        self, x: Float[Tensor, "B C H W"], shortcut: Float[Tensor, "B D h w"] | None = None, *, clip: bool = False
    ) -> Float[Tensor, "B D h w"]:
        """The convolution of ``x``, with ``shortcut`` added, and then clipped; neither is changed."""
        pads_zeros = self.padding_mode == "zeros" and not isinstance(self.padding, str)
        if not pads_zeros or x.dim() != 4 or not _suits(x, self.weight):
            made = super().forward(x)
            made = made if shortcut is None else made + shortcut
            return made.clamp_(0, self.most) if clip else made
        how = self.padding, self.stride, self.dilation, self.groups
        pointwise, most = torch.ops.mkldnn._convolution_pointwise, self.most
        found: Tensor
        last: str | None
        if shortcut is None:
            last = "none" if not clip else "relu" if most is None else "hardtanh"
            found = pointwise(x, self.weight, self.bias, *how, last, [0.0, most] if last == "hardtanh" else [], "")
        else:
            last = "relu" if clip else None  # a clip at ``most`` too is not known together with a sum
            found = pointwise.binary(x, shortcut, self.weight, self.bias, *how, "add", None, last, [], "")
            found = found if most is None or not clip else found.clamp_(max=most)
        return found


def _suits(one: Tensor, other: Tensor) -> bool:
    """Whether oneDNN's operation may be taken for these; it knows no gradients and no meta tensors."""
    needs_gradient = torch.is_grad_enabled() and (one.requires_grad or other.requires_grad)
    return one.device.type == "cpu" and one.dtype == other.dtype and can_use(one.dtype) and not needs_gradient
