"""IMAS (Lian et al. 2022) at test time: each frame alone, one of its competing masks is the object."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from harness import BuildContext, DataError, Video, stage
from harness.api.records import Precision
from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES
from harness.ops.crf import IMAS as CRF
from harness.ops.crf import refine, unary_of
from harness_imas.config import Config
from harness_imas.frames import resize_whole
from harness_imas.kernels import share
from harness_imas.network import OBJECT_CHANNEL, Features, Segmenter, build_segmenter, imagenet_features, load_segmenter


def build(context: BuildContext) -> IMAS:
    """IMAS with the context's weights, whose names decide the architecture; without, an untrained network."""
    config: Config = context.config
    if context.weights is None:
        network = build_segmenter(
            config.untrained_architecture, config.untrained_channels, merging=True, seed=context.seed
        )
    else:
        network = load_segmenter(context.weights)
    return IMAS(network, config, context.device, context.precision, find_channel(context, network.channels))


def find_channel(context: BuildContext, channels: int) -> int:
    """Which mask is the object: as the config says, or the weights; the first of an untrained network."""
    config: Config = context.config
    named = config.object_channel
    if named is None and context.weights is not None:
        told = context.facts.get(OBJECT_CHANNEL)
        if told is None or not told.isdecimal():
            raise DataError(
                f"{context.weights} does not say which of its {channels} masks is the object: found "
                f"{told!r} as the fact {OBJECT_CHANNEL}",
                hint="harness train finds it without truth; or give it with --set object_channel=N",
            )
        named = int(told)
    channel = named or 0
    if channel >= channels:
        raise DataError(f"found object channel {channel} of a network of {channels} masks; they are counted from 0")
    return channel


class IMAS:
    """Object-level zero-shot segmentation by a network that learnt from motion and looks at single frames."""

    def __init__(self, network: Segmenter, config: Config, device: str, precision: Precision, channel: int) -> None:
        self.config, self.device, self.channel = config, device, channel
        self.dtype = DTYPES[precision]
        self.layout = fastest_layout(device, self.dtype, tf32=False)
        network.eval().requires_grad_(False).fold()
        self.network: Segmenter = network.to(device=device, dtype=self.dtype, memory_format=self.layout)  # type: ignore[call-overload]
        self._imagenet: Features | None = None

    @torch.inference_mode()
    def segment_object(self, video: Video) -> Iterator[Tensor]:
        """Yield a mask a frame: 1 the object, 0 the rest."""
        for index in range(len(video)):
            yield self.mask(video[index])

    def mask(self, frame: Tensor) -> Tensor:
        """The mask (H, W) uint8 of a (H, W, 3) uint8 frame."""
        height, width = frame.shape[:2]
        with stage("network"):
            logits = self.logits(frame)  # (C, h, w)
        with stage("read out"):
            mine = share(logits, self.channel, (height, width), export=self.config.export)  # (H, W)
        if self.config.crf:
            with stage("CRF"):
                unary = unary_of(mine[None], divide=self.config.crf_divide, stretch=True)
                return (refine(frame[None], unary, CRF)[0, 1] > 0.5).byte()
        if self.config.decide == "threshold":
            return (mine > self.config.threshold).byte()
        others = [channel for channel in range(len(logits)) if channel != self.channel]
        most = torch.stack([share(logits, each, (height, width), export=self.config.export) for each in others])
        return (mine > most.amax(0)).byte()

    def logits(self, frame: Tensor) -> Tensor:
        """The masks' logits (C, h, w) in fp32."""
        images = self.network.normalise(self._resize(frame))  # (1, 3, H, W)
        found: Tensor = self.network(images.to(self.dtype, memory_format=self.layout))[0].float()
        return found

    @torch.inference_mode()
    def channels(self, frame: Tensor) -> Tensor:
        """What an alignment asks: the soft masks (C, h, w) of a frame."""
        return self.logits(frame).softmax(0)

    @torch.inference_mode()
    def semantics(self, frame: Tensor) -> Tensor:
        """And features (D, i, j) made without motion."""
        pixels = self._resize(frame)
        if self.config.semantics == "own":
            images = self.network.normalise(pixels).to(self.dtype, memory_format=self.layout)
            high: Tensor = self.network.backbone(images).high[0].float()
            return high
        if self._imagenet is None:
            self._imagenet = imagenet_features().to(self.device)
        features: Tensor = self._imagenet(pixels)[0]
        return features

    def _resize(self, frame: Tensor) -> Tensor:
        return resize_whole(frame, self.config.short_side, self.config.stretch)
