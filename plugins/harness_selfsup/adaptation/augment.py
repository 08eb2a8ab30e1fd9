"""What a frame and its mask go through before the U-Net learns from them: mirrored, other colours, grey.

Zhu et al. 2020, section 4.1: "random colour jittering, gray-scaling and horizontal flipping"; how often and how much is
open there (see ``adaptation_config``). Every chance is drawn beforehand, on the CPU, from one generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# RGB to luma and two colour axes (YIQ of NTSC), in which saturation is a factor and hue a turn.
YIQ = ((0.299, 0.587, 0.114), (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))


@dataclass(frozen=True)
class Changes:
    """What happens to each of B images: factors of 1 and turns of 0 change nothing."""

    brightness: Tensor  # (B,)
    contrast: Tensor  # (B,)
    colours: Tensor  # (B, 3, 3), RGB to RGB
    is_mirrored: Tensor  # (B,) bool


def draw(
    batch: int,
    generator: torch.Generator,
    *,
    jitter: float,
    strengths: tuple[float, ...],
    gray: float,
    flip: float,
) -> Changes:
    """Draw the changes of ``batch`` images: each is jittered, grey and mirrored with the three probabilities.

    ``strengths`` are of brightness, contrast and saturation (factors 1 - s .. 1 + s) and of hue (turns of -s .. s).
    """
    chances = torch.rand(batch, 7, generator=generator)
    reach = torch.tensor(strengths) * (chances[:, :1] < jitter)  # (B, 4), 0 where not jittered
    amounts = reach * (2 * chances[:, 3:] - 1)
    saturation = (1 + amounts[:, 2]) * (chances[:, 1] >= gray)
    return Changes(
        brightness=1 + amounts[:, 0],
        contrast=1 + amounts[:, 1],
        colours=colour_matrices(saturation, amounts[:, 3]),
        is_mirrored=chances[:, 2] < flip,
    )


def colour_matrices(saturation: Tensor, turns: Tensor) -> Tensor:
    """(B, 3, 3) matrices on RGB that multiply saturation and turn hue, and keep luma; saturation 0 is grey."""
    to_yiq = torch.tensor(YIQ, dtype=torch.float64)
    angle = 2 * torch.pi * turns.double()
    cosine, sine = saturation * angle.cos(), saturation * angle.sin()
    zero, one = torch.zeros_like(cosine), torch.ones_like(cosine)
    turned = torch.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], -1).view(-1, 3, 3)
    return (torch.linalg.inv(to_yiq) @ turned @ to_yiq).float()


def change(images: Tensor, classes: Tensor, changes: Changes) -> tuple[Tensor, Tensor]:
    """Images (B, 3, h, w) in [0, 1] and their class maps (B, h, w) after ``changes``; colours stay in [0, 1]."""
    brightness, contrast, colours, is_mirrored = (
        part.to(images.device, non_blocking=True)
        for part in (changes.brightness, changes.contrast, changes.colours, changes.is_mirrored)
    )
    images = (images * brightness.view(-1, 1, 1, 1)).clamp(0, 1)
    red, green, blue = (weight * plane.mean((1, 2)) for weight, plane in zip(YIQ[0], images.unbind(1), strict=True))
    luma = (red + green + blue).view(-1, 1, 1, 1)
    images = ((images - luma) * contrast.view(-1, 1, 1, 1) + luma).clamp(0, 1)
    images = torch.einsum("bdc,bchw->bdhw", colours, images).clamp(0, 1)
    return (
        torch.where(is_mirrored.view(-1, 1, 1, 1), images.flip(-1), images),
        torch.where(is_mirrored.view(-1, 1, 1), classes.flip(-1), classes),
    )
