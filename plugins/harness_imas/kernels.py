"""The hot function of IMAS beside its network: the object's share of each pixel at the video's size.

The CRF is everybody's: harness.ops.crf.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from harness import kernel
from harness.api.timing import Example

SIZES = ((24, 43, 96, 172), (60, 107, 480, 854), (98, 175, 480, 854))


def share_examples(device: str) -> list[Example]:
    """Logits of four masks as they come: smooth, of up to ten."""
    examples = []
    for height, width, rows, columns in SIZES:
        generator = torch.Generator().manual_seed(0)
        coarse = torch.randn(1, 4, height // 4, width // 4, generator=generator)
        logits = 5 * functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]
        examples.append(
            Example(
                name=f"{height}x{width} to {rows}x{columns}",
                args=(logits.to(device), 1, (rows, columns)),
                kwargs={},
                rounded=(),
            )
        )
    return examples


def share_plain(
    logits: Float[Tensor, "C h w"], channel: int, size: tuple[int, int], *, export: int = 2
) -> Float[Tensor, "H W"]:
    """The released code's way: every channel's softmax enlarged, then the object's brought to the video's size."""
    enlarged = functional.interpolate(
        logits.softmax(0)[None], scale_factor=export, mode="bilinear", align_corners=False
    )
    return functional.interpolate(enlarged, size=size, mode="bilinear", align_corners=False)[0, channel]


def share_operations(logits: Tensor, channel: int, size: tuple[int, int], *, export: int = 2) -> float:
    """Softmax, and seven operations for each pixel made bilinearly."""
    cells = logits.shape[1] * logits.shape[2]
    return 3.0 * logits.numel() + 7.0 * (cells * export**2 + size[0] * size[1])


def share_traffic(logits: Tensor, channel: int, size: tuple[int, int], **_: object) -> float:
    """Every logit read once, every share written once."""
    return float(logits.numel() + size[0] * size[1]) * logits.element_size()


@kernel(example=share_examples, reference=share_plain, flops=share_operations, bytes=share_traffic, tolerance=1e-6)
def share(
    logits: Float[Tensor, "C h w"], channel: int, size: tuple[int, int], *, export: int = 2
) -> Float[Tensor, "H W"]:
    """The share, 0 to 1, of mask ``channel`` at each pixel of a video of ``size``; only that mask is enlarged."""
    mine = logits.softmax(0)[None, channel : channel + 1]
    enlarged = functional.interpolate(mine, scale_factor=export, mode="bilinear", align_corners=False)
    return functional.interpolate(enlarged, size=size, mode="bilinear", align_corners=False)[0, 0]
