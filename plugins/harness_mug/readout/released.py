"""The released code's read-out: keys and values of eight frames, two softmaxes, and a decoder with two skips.

Read in carrierlxk/MuG at c923518, written here anew. The first softmax is over the frame's own cells and leaves values
of about 1/HW; the second, over all cells of the references, of such small numbers, is nearly uniform: what is gathered
lies close to the mean of the references' values. Kept as it is, since weights of that network would want it.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from harness import stage
from harness_mug.kernels import aggregate_twice, aggregate_twice_plain

KEY, VALUE = 32, 128
GLOBAL, WIDE = 64, 256
DILATIONS = (6, 12, 18)


class Memory(NamedTuple):
    """What is kept of a frame: key (32, i, j) and value (128, i, j), at half the size of its features."""

    key: Tensor
    value: Tensor


class Residual(nn.Module):
    """Two 3x3 convolutions with ReLU before each; a shortcut, with a convolution where the width changes."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Identity() if channels == out else nn.Conv2d(channels, out, 3, padding=1)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D h w"]:
        return cast(Tensor, self.shortcut(x) + self.conv2(functional.relu(self.conv1(functional.relu(x)))))


class GlobalConvolution(nn.Module):
    """A 7x7 view by columns and rows apart, both orders, summed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        tall, wide = {"kernel_size": (7, 1), "padding": (3, 0)}, {"kernel_size": (1, 7), "padding": (0, 3)}
        self.down = nn.Sequential(nn.Conv2d(channels, WIDE, **tall), nn.Conv2d(WIDE, GLOBAL, **wide))  # type: ignore[arg-type]
        self.across = nn.Sequential(nn.Conv2d(channels, WIDE, **wide), nn.Conv2d(WIDE, GLOBAL, **tall))  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D h w"]:
        return cast(Tensor, self.down(x) + self.across(x))


class ReleasedReadout(nn.Module):
    """``widths``: channels of the trunk's second, third and last map, all of one size here but the last's keys."""

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.plain = False  # see ObjectConfig
        second, third, last = widths
        self.encode = nn.Sequential(
            nn.Conv2d(last, KEY + VALUE, 3, padding=1), nn.BatchNorm2d(KEY + VALUE), nn.ReLU(inplace=True)
        )
        self.form = nn.Parameter(torch.eye(KEY))
        self.skip3, self.refine3 = Residual(third, 2 * VALUE), Residual(2 * VALUE, VALUE)
        self.skip2, self.refine2 = Residual(second, VALUE), Residual(VALUE, VALUE)
        self.globally = nn.Sequential(GlobalConvolution(VALUE), nn.BatchNorm2d(GLOBAL), nn.ReLU(inplace=True))
        self.answers = nn.ModuleList(nn.Conv2d(GLOBAL, 1, 3, padding=each, dilation=each) for each in DILATIONS)

    def remember(self, last: Float[Tensor, "C h w"]) -> Memory:
        """Key and value of a frame's last map."""
        both = self.encode(functional.max_pool2d(last[None], 2, ceil_mode=True))[0]
        return Memory(both[:KEY], both[KEY:])

    def represent(self, own: Memory, keys: Float[Tensor, "K k i j"], values: Float[Tensor, "K v i j"]) -> Tensor:
        """(256, i, j): what is gathered from the references, and the frame's own value."""
        with stage("attend"):
            query = own.key.flatten(1).t() @ self.form  # (i*j, 32)
            gathered = (aggregate_twice_plain if self.plain else aggregate_twice)(
                query,
                keys.flatten(2).transpose(1, 2).flatten(0, 1),
                values.flatten(2).transpose(1, 2).flatten(0, 1),
            )
            return torch.cat([gathered.t().unflatten(1, own.value.shape[1:]), own.value])

    def forward(self, represented: Float[Tensor, "B 256 i j"], third: Tensor, second: Tensor) -> Tensor:
        """The logits of the object (B, 1, h, w), at the size of the trunk's maps."""
        size = third.shape[-2:]
        y = functional.interpolate(represented, size=size, mode="bilinear", align_corners=False)
        y = self.refine3(y + self.skip3(third))
        y = self.refine2(y + self.skip2(second))
        y = self.globally(y)
        return torch.stack([answer(y) for answer in self.answers]).sum(0)
