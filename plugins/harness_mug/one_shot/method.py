"""One-shot VOS by MuG (Lu et al. 2020, eq. 17): each cell takes the labels of the cells of earlier frames like it.

No training at test time and no read-out: phi alone. The released code holds a form of its own, taken over from UVC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from harness import BuildContext, Prompts, Video, stage
from harness.ops.labels import VOID, one_hot, overlay, resize_bilinear
from harness_mug.config import Config
from harness_mug.frames import resize_frame, working_size
from harness_mug.kernels import spread
from harness_mug.network import Embeds, phi_of


def build(context: BuildContext) -> MuG:
    """Phi with the context's weights; without weights an untrained one."""
    return MuG(phi_of(context, dense=context.config.dense), context.config)


@dataclass(frozen=True)
class Seen:
    """A frame whose labels are known: features (h*w, C), labels (h*w, L) of the ids it was labelled with."""

    features: Tensor
    labels: Tensor

    def widen(self, objects: int) -> Seen:
        """With no share of objects that came later."""
        missing = objects - self.labels.shape[1]
        return Seen(self.features, torch.nn.functional.pad(self.labels, (0, missing))) if missing else self


@dataclass
class State:
    """What is kept between frames; the first label is background."""

    ids: list[int] = field(default_factory=lambda: [0])
    prompted: list[Seen] = field(default_factory=list)
    last: Seen | None = None


class MuG:
    """Card ``mug``: one-shot, online."""

    def __init__(self, phi: Embeds, config: Config) -> None:
        self.phi, self.config = phi, config

    @torch.inference_mode()
    def propagate(self, video: Video, prompts: Prompts) -> Iterator[Tensor]:
        """Yield a mask a frame; background until a first object is prompted."""
        state = State()
        for place in range(len(video)):
            prompt = prompts.get(place)
            shown = None if prompt is None else prompt.masked_fill(prompt == VOID, 0)
            if shown is not None and not shown.any():
                shown = None
            if state.last is None and shown is None:
                yield torch.zeros_like(video[place][..., 0])
                continue
            yield self.step(state, video[place], shown)

    def step(self, state: State, frame: Tensor, prompt: UInt8[Tensor, "H W"] | None) -> UInt8[Tensor, "H W"]:
        """The mask of one frame; state then holds it."""
        with stage("embed"):
            features, grid = self.embed(frame)
        size = (frame.shape[0], frame.shape[1])
        mask = torch.zeros_like(frame[..., 0])
        labels = None
        if state.last is not None:
            with stage("propagate"):
                labels = self.scores(state, features)  # (h*w, L)
            with stage("upsample"):
                mask = self.mask_of(labels, state.ids, grid, size)
        if prompt is not None:
            mask = self.take_in(state, mask, prompt)
        if prompt is not None or labels is None:
            whole = resize_bilinear(one_hot(mask, state.ids), grid)  # (L, h, w)
            labels = self.as_told(whole.flatten(1).t())
            state.prompted.append(Seen(features, labels))
        state.last = Seen(features, self.as_told(labels))
        return mask

    def embed(self, frame: Tensor) -> tuple[Float[Tensor, "N C"], tuple[int, int]]:
        """Features of each cell, and the grid."""
        config = self.config
        size = working_size((frame.shape[0], frame.shape[1]), config.short_side, config.stretch, self.phi.stride)
        features = self.phi.describe(resize_frame(frame, size), config.features)[0]
        return features.flatten(1).t().contiguous(), (features.shape[1], features.shape[2])

    def scores(self, state: State, features: Float[Tensor, "N C"]) -> Float[Tensor, "N L"]:
        """Eq. 17 from the last frame; in the released form the mean of that and of the prompted ones."""
        assert state.last is not None
        objects = len(state.ids)
        sources = [*(state.prompted if self.config.first else []), state.last]
        found = [spread(features, seen.features, seen.widen(objects).labels, self.config.top) for seen in sources]
        return torch.stack(found).mean(0)

    def as_told(self, labels: Float[Tensor, "N L"]) -> Float[Tensor, "N L"]:
        """What the next frame is told: the scores, or the object of each cell."""
        if self.config.labels == "soft":
            return labels
        return torch.nn.functional.one_hot(labels.argmax(1), labels.shape[1]).to(labels.dtype)

    def mask_of(
        self, labels: Float[Tensor, "N L"], ids: list[int], grid: tuple[int, int], size: tuple[int, int]
    ) -> UInt8[Tensor, "H W"]:
        """The object of the highest score at each pixel of the video."""
        planes = resize_bilinear(labels.t().unflatten(1, grid), size)  # (L, H, W)
        if self.config.stretch_scores:
            least, most = planes.amin((1, 2), keepdim=True), planes.amax((1, 2), keepdim=True)
            planes = torch.where(most > least, (planes - least) / (most - least).clamp(min=1e-12), planes)
        best = planes.max(0).indices
        mask = torch.zeros_like(best, dtype=torch.uint8)
        for place, name in enumerate(ids):
            mask.masked_fill_(best == place, name)
        return mask

    def take_in(self, state: State, mask: Tensor, prompt: UInt8[Tensor, "H W"]) -> UInt8[Tensor, "H W"]:
        """The mask with the objects of a prompt exactly as prompted, whose ids are known from here on."""
        new = [name for name in prompt.unique().tolist() if name not in state.ids]
        state.ids += new
        return overlay(mask, prompt)
