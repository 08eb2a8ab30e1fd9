"""Motion-semantic alignment: which of a method's competing masks is the object, told without truth.

IMAS 3.4: a mask found by motion is good where the pixels that look like it, by features that know no motion, are the
mask's own. The mean intersection over union of both, over the first frames of videos, picks the channel, and between
trainings the better one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from harness.api.dataclass import dataclass
from harness.api.errors import DataError, PluginError
from harness.api.video import Sample

THRESHOLD = 0.2
"""Cosine from which a feature is alike. The paper's own number is not in our copy; it says that none needs tuning."""
WIDEST, TALLEST = 0.8, 0.9
"""Share of the frame's width and height beyond which a response is the background's (6.3)."""


@runtime_checkable
class HasChannels(Protocol):
    """A method whose masks compete, as the tuner asks it."""

    def channels(self, frame: Tensor) -> Tensor:
        """Soft masks (C, h, w) of a (H, W, 3) uint8 frame, which sum to 1 at each pixel."""
        ...

    def semantics(self, frame: Tensor) -> Tensor:
        """Features (D, i, j) of that frame, made without motion; of any grid."""
        ...


@dataclass(frozen=True)
class Alignment:
    """What was found: the channel of the highest score, and the score of every channel."""

    channel: int
    scores: tuple[float, ...]

    @property
    def score(self) -> float:
        """That of the channel picked."""
        return self.scores[self.channel]


def respond(
    features: Float[Tensor, "D i j"], mask: Float[Tensor, "h w"], *, threshold: float = THRESHOLD
) -> Bool[Tensor, "h w"] | None:
    """Eq. 10, 11 and 13: where the frame looks like the mean of what the mask covers, at the mask's size.

    None where that says nothing: the mask is empty, or the response's bounding box is wider than 80 % or taller than
    90 % of the frame, which the background's is.
    """
    size = mask.shape[-2:]
    enlarged = functional.interpolate(features[None].float(), size=size, mode="bilinear", align_corners=False)[0]
    unit = functional.normalize(enlarged, dim=0)
    total = mask.sum()
    if total <= 0:
        return None
    mean = functional.normalize((enlarged * mask).sum((1, 2)) / total, dim=0)
    response = torch.einsum("d,dhw->hw", mean, unit) > threshold
    rows, columns = response.any(1), response.any(0)
    return None if extent(columns) > WIDEST or extent(rows) > TALLEST or not response.any() else response


def extent(line: Bool[Tensor, " n"]) -> float:
    """From the first to the last True, as a share of the line; 0 without any."""
    found = line.nonzero().flatten()
    return 0.0 if len(found) == 0 else float(found[-1] - found[0] + 1) / len(line)


def align(method: HasChannels, samples: Sequence[Sample], *, threshold: float = THRESHOLD) -> Alignment:
    """The alignment of each channel over the first frames of ``samples``, whose truth is never asked for.

    A channel's mask is where it is the largest. A frame counts 0 where the response says nothing.
    """
    if not samples:
        raise DataError("there are no videos to tune on", hint="see: harness ls benches")
    scores = [align_frame(method, first_frame(sample), threshold) for sample in samples]
    if len({len(each) for each in scores}) != 1:
        raise PluginError("the method gave different numbers of channels for different frames; expected one number")
    means = torch.stack(scores).mean(0)
    return Alignment(int(means.argmax()), tuple(float(score) for score in means))


def align_frame(method: HasChannels, frame: Tensor, threshold: float) -> Float[Tensor, " C"]:
    """Intersection over union of each channel's mask and its response on one frame."""
    soft, features = method.channels(frame).float(), method.semantics(frame).float()
    largest = soft.argmax(0)
    scores = soft.new_zeros(len(soft))
    for channel in range(len(soft)):
        mask = largest == channel
        response = respond(features, mask.to(features.dtype), threshold=threshold)
        if response is not None:
            scores[channel] = (response & mask).sum() / (response | mask).sum()
    return scores.cpu()


def first_frame(sample: Sample) -> Tensor:
    """(H, W, 3) uint8."""
    return torch.from_numpy(sample.read_frame(0))
