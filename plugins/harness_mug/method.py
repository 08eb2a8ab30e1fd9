"""Object-level zero-shot VOS by MuG (Lu et al. 2020, 3.3): each frame is read out against eight of its whole video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from harness import BuildContext, Video, stage
from harness.api.errors import UsageError
from harness.models.saliency import saliency_provider
from harness.ops.crf import MATNET, refine, refine_plain, unary_of
from harness_mug.config import ObjectConfig
from harness_mug.frames import resize_frame, working_size
from harness_mug.network import Memory, Phi, phi_of
from harness_mug.readout.accidents import draw_as_released
from harness_mug.readout.maps import Maps


def build(context: BuildContext) -> MuGObjects:
    """MuG with the context's weights, or what its config has in its place."""
    return MuGObjects(foreground_of(context))


def foreground_of(context: BuildContext) -> Foreground:
    """What tells objects from background, as the config has it."""
    config: ObjectConfig = context.config
    if config.source != "maps":
        return Foreground(config, Learned(phi_of(context, plain=config.plain), config, context.seed))
    spec = context.providers.get("saliency")
    if spec is None:
        raise UsageError(
            "found source=maps and no saliency provider; expected the name of one",
            hint="--set saliency=boundary, or another of docs/providers.md",
        )
    return Foreground(config, Maps(saliency_provider(spec, context.device)))


def middles(length: int, count: int) -> list[int]:
    """The middle frame of each of ``count`` equal parts of a video; all frames of a shorter one.

    >>> middles(80, 8), middles(3, 8)
    ([5, 15, 25, 35, 45, 55, 65, 75], [0, 1, 2])
    """
    if length <= count:
        return list(range(length))
    return [(2 * part + 1) * length // (2 * count) for part in range(count)]


def draw_references(length: int, count: int, seed: int) -> list[int]:
    """Any frame of each of ``count`` equal parts; all frames of a shorter video."""
    if length <= count:
        return list(range(length))
    generator = torch.Generator().manual_seed(seed)
    shares = torch.rand(count, generator=generator, dtype=torch.float64).tolist()
    bounds = [part * length // count for part in range(count + 1)]
    return [low + int(share * (high - low)) for share, low, high in zip(shares, bounds[:-1], bounds[1:], strict=True)]


@dataclass
class References:
    """What is kept of the frames that stand for a video, by frame."""

    memories: dict[int, Memory]

    def others(self, frame: int, *, leave_out_own: bool) -> Sequence[Memory]:
        """Those that a frame is compared with: all, or all but itself where it is one of several."""
        return [
            memory
            for place, memory in self.memories.items()
            if place != frame or not leave_out_own or len(self.memories) == 1
        ]


class Learned:
    """The probability of the object in each frame, by the network. A source of ``Foreground``."""

    def __init__(self, phi: Phi, config: ObjectConfig, seed: int) -> None:
        self.phi, self.config, self.seed = phi, config, seed
        phi.network.upsilon.plain = config.plain

    def begin(self, video: Video) -> References:
        """Look at the references; none where each frame is judged by itself."""
        if self.config.source == "frames":
            return References({})
        found = {}
        for frame in self._pick(len(video)):
            with stage("embed"):
                found[frame] = self.phi.network.remember(self.phi.embed(self._resize(video[frame])))
        return References(found)

    def rate(self, frame: Tensor, place: int, references: References) -> Float[Tensor, "H W"]:
        """Probabilities at the video's size."""
        network = self.phi.network
        with stage("embed"):
            embedding = self.phi.embed(self._resize(frame))
        if self.config.source == "frames":
            with stage("read out"):
                logits = network.judge(embedding)  # (1, 1, h, w)
        else:
            others = references.others(place, leave_out_own=self.config.leave_out_own)
            r = network.represent(network.remember(embedding), others)
            with stage("read out"):
                logits = network.read_out(r[None], embedding)
        with stage("read out"):
            size = (frame.shape[0], frame.shape[1])
            ends = None if self.config.enlarge == "nearest" else False
            rated = logits.float().sigmoid()
            return functional.interpolate(rated, size=size, mode=self.config.enlarge, align_corners=ends)[0, 0]

    def _pick(self, length: int) -> list[int]:
        config = self.config
        if config.pick == "middle":
            return middles(length, config.references)
        draw = draw_references if config.pick == "random" else draw_as_released
        return draw(length, config.references, self.seed)

    def _resize(self, frame: Tensor) -> Tensor:
        config = self.config
        size = working_size((frame.shape[0], frame.shape[1]), config.short_side, config.stretch, self.phi.stride)
        return resize_frame(frame, size)


@runtime_checkable
class Source(Protocol):
    """Something that rates the pixels of a video's frames, after it was shown the video."""

    def begin(self, video: Video) -> Any:
        """What it wants to know of the video when it rates a frame."""
        ...

    def rate(self, frame: Tensor, place: int, begun: Any) -> Float[Tensor, "H W"]:
        """Probabilities of the object at the video's size."""
        ...


class Foreground:
    """Probabilities of a source, decided with or without the CRF."""

    def __init__(self, config: ObjectConfig, source: Source) -> None:
        self.config, self.source = config, source

    def masks(self, video: Video) -> Iterator[tuple[Tensor, Bool[Tensor, "H W"]]]:
        """Each frame and its foreground."""
        begun = self.source.begin(video)
        for place in range(len(video)):
            frame = video[place]
            yield frame, self.decide(frame, self.source.rate(frame, place, begun))

    def decide(self, frame: Tensor, rated: Float[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
        """From probabilities (H, W) to a mask, with the CRF along the frame's edges."""
        if not self.config.crf:
            return rated >= self.config.threshold
        with stage("CRF"):
            return decide_by_crf(frame, rated, self.config.threshold, plain=self.config.plain)


def decide_by_crf(
    frame: Tensor, rated: Float[Tensor, "H W"], threshold: float = 0.5, *, plain: bool = False
) -> Bool[Tensor, "H W"]:
    """The CRF of MATNet's code, which MuG's authors wrote too; the paper names no constants.

    A probability of ``threshold`` is as likely object as not to it.
    """
    unary = unary_of(rated[None], divide=2 * threshold)
    return (refine_plain if plain else refine)(frame[None], unary, MATNET)[0, 1] >= 0.5


class MuGObjects:
    """Card ``mug-zvos``."""

    def __init__(self, foreground: Foreground) -> None:
        self.foreground = foreground

    @torch.inference_mode()
    def segment_object(self, video: Video) -> Iterator[Tensor]:
        """Yield a mask a frame: 1 the object, 0 the rest."""
        for _, mask in self.foreground.masks(video):
            yield mask.byte()
