"""D-Net: trunk, pyramids, guidance, foreground head and instance head (Zhou et al. 2021, section 3.1)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from harness.models.aspp import ASPP, convolution
from harness_dtnet.discovery.encoders import Encoder, LiteEncoder, Maps, ResNetEncoder
from harness_dtnet.discovery.guidance import GuidanceGate, squeeze
from harness_dtnet.discovery.heads import Decoder, fold_sequences

Guidance = Literal["task", "printed", "off"]
RATES = (6, 12, 18)
OFFSET_UNIT = 16.0
"""Pixels that an offset of 1 out of the instance head stands for: a cell of task features. ours; in pixels (PDL) the
weights of a fresh head would have to grow by tens, which 1,000 steps of AdamW do not do."""


@dataclass(frozen=True)
class Layout:
    """The sizes of a D-Net."""

    trunk: Literal["r50", "lite0"]
    width: int
    """Channels of task features."""
    foreground_width: int
    instance_width: int
    is_shared: bool
    """One trunk for a frame and for the guidance, and one pyramid for both tasks; else each has its own."""


PAPER = Layout("r50", 256, 256, 128, is_shared=False)
SMALL = Layout("lite0", 64, 64, 32, is_shared=True)


class Answers(NamedTuple):
    """What D-Net says at a quarter of the image's sides."""

    foreground: Tensor
    """Logits (B, 1, h, w), or (B, 1 + categories, h, w), background first."""
    heatmap: Tensor
    """(B, 1, h, w): about 1 at a centre."""
    offsets: Tensor
    """(B, 2, h, w): (dy, dx) to the object's centre, in pixels of the image."""


class DNet(nn.Module):
    """Images normalised by ``mean`` and ``std``, and perhaps the frames before with their masks, to ``Answers``."""

    def __init__(self, layout: Layout, *, categories: int = 0, guidance: Guidance = "task") -> None:
        super().__init__()
        self.layout, self.categories, self.guidance = layout, categories, guidance
        self.encoder = build_encoder(layout.trunk)
        quarter, eighth, top = self.encoder.channels
        self.salient_pyramid = ASPP(top, RATES, layout.width)
        if layout.is_shared:
            self.salient = convolution(layout.width, layout.width, 1)
            self.instance = convolution(layout.width, layout.width, 1)
        else:
            self.instance_pyramid = ASPP(top, RATES, layout.width)
        if guidance != "off":
            self.mask_stem = self.encoder.mask_stem()
            if not layout.is_shared:
                self.guidance_encoder = copy.deepcopy(self.encoder)
            self.guidance_pyramid = ASPP(top, RATES, layout.width)
            self.salient_gate = GuidanceGate(layout.width)
            self.instance_gate = GuidanceGate(layout.width)
        out = 1 + categories if categories else 1
        self.foreground_head = Decoder(layout.width, eighth, quarter, layout.foreground_width, out)
        self.instance_head = Decoder(layout.width, eighth, quarter, layout.instance_width, 3)

    @property
    def mean(self) -> tuple[float, float, float]:
        """Of the images this is given."""
        return self.encoder.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """Of the images this is given."""
        return self.encoder.std

    def forward(
        self,
        images: Float[Tensor, "B 3 H W"],
        before: Float[Tensor, "B 3 H W"] | None = None,
        masks: Float[Tensor, "B 1 H W"] | None = None,
        is_guided: Bool[Tensor, " B"] | None = None,
    ) -> Answers:
        """``masks`` are those of the frames ``before``, in 0..1. Without them the features stay as they are.

        ``is_guided`` says which frames of a batch take them, all unless it is given.
        """
        maps = self.encoder(images)
        salient, instance = self.task_features(maps)
        if before is not None and masks is not None and self.guidance != "off":
            plain = salient, instance
            salient, instance = self.guide(salient, instance, self.guidance_features(before, masks))
            if is_guided is not None:
                takes = is_guided[:, None, None, None]
                salient, instance = torch.where(takes, salient, plain[0]), torch.where(takes, instance, plain[1])
        both = cast(Tensor, self.instance_head(instance, maps.eighth, maps.quarter))
        foreground = self.foreground_head(salient, maps.eighth, maps.quarter)
        return Answers(foreground, both[:, :1], OFFSET_UNIT * both[:, 1:])

    def task_features(self, maps: Maps) -> tuple[Tensor, Tensor]:
        """X^SAL and X^INS."""
        seen = self.salient_pyramid(maps.sixteenth)
        if self.layout.is_shared:
            return self.salient(seen), self.instance(seen)
        return seen, self.instance_pyramid(maps.sixteenth)

    def guidance_features(self, before: Tensor, masks: Tensor) -> Float[Tensor, "B C h w"]:
        """X^SGM of the frames before and their masks."""
        encoder = self.encoder if self.layout.is_shared else self.guidance_encoder
        return cast(Tensor, self.guidance_pyramid(encoder(before, self.mask_stem(masks)).sixteenth))

    def guide(self, salient: Tensor, instance: Tensor, guidance: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. 1 to 7. As printed both gates see X^SAL and X^INS; ours see the map they gate and X^SGM."""
        if self.guidance == "printed":
            seen = squeeze(salient, instance)
            return self.salient_gate(salient, guidance, seen), self.instance_gate(instance, guidance, seen)
        return (
            self.salient_gate(salient, guidance, squeeze(salient, guidance)),
            self.instance_gate(instance, guidance, squeeze(instance, guidance)),
        )

    def fold(self) -> None:
        """Put batch norms into convolutions, for test time."""
        self.encoder.fold()
        if self.guidance != "off" and not self.layout.is_shared:
            self.guidance_encoder.fold()
        fold_sequences(self)


def build_encoder(trunk: Literal["r50", "lite0"]) -> Encoder:
    """The trunk of this name, untrained."""
    return LiteEncoder() if trunk == "lite0" else ResNetEncoder("r50")
