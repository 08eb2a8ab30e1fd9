"""Propagation by a momentum memory (Zhu et al. 2020, section 3.2): masks flow from up to five earlier frames.

The order is that of the paper; what it leaves to MAST is done as MAST does it, unless ``Config`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from harness import BuildContext, DataError, Prompts, Video, stage
from harness.api.errors import UsageError
from harness.ops.labels import VOID, overlay
from harness_selfsup.config import Config
from harness_selfsup.frames.grids import Size, resize_frame, upsample, working_size
from harness_selfsup.frames.lab import to_lab
from harness_selfsup.frames.references import dilation_of, reference_frames
from harness_selfsup.kernels import attend, coarse_offsets
from harness_selfsup.memory import Memory
from harness_selfsup.network import Encoders, build_encoder, for_inference, load_checkpoint


def build(context: BuildContext) -> SelfSup:
    """Propagation with the context's weights; without weights, by an untrained encoder."""
    config: Config = context.config
    if config.tf32 and not context.device.startswith("cuda"):
        raise UsageError(
            f"selfsup was asked for tf32 on device {context.device!r}; expected a CUDA device",
            hint="leave it out, or use --device cuda:0",
        )
    weights = context.weights
    encoders = Encoders(build_encoder(context.seed)) if weights is None else load_checkpoint(weights)
    query = for_inference(encoders.query, context.device, context.precision, tf32=config.tf32)
    if encoders.memory is None or config.shared_encoder:
        return SelfSup(query, None, config)
    phi_r = for_inference(encoders.memory, context.device, context.precision, tf32=config.tf32)
    return SelfSup(query, phi_r, config)


class SelfSup:
    """One-shot segmentation by propagation; all objects at once.

    ``phi_q`` encodes targets, ``phi_r`` references (None: Phi_q does both): Lab images (1, 3, H, W) to features
    (1, h, w, C).
    """

    def __init__(self, phi_q: nn.Module, phi_r: nn.Module | None, config: Config) -> None:
        self.phi_q = phi_q
        self.phi_r = phi_r
        self.config = config

    @torch.inference_mode()
    def propagate(self, video: Video, prompts: Prompts) -> Iterator[Tensor]:
        """Yield a mask a frame; background until a first object is prompted, from where frames are counted."""
        size = working_size(video.size, self.config.short_side)
        memory: Memory | None = None
        first = 0
        for frame in range(len(video)):
            prompt = self._prompt(prompts, frame)
            if memory is None and prompt is None:
                yield video[frame].new_zeros(video.size)
                continue
            query, kept = self.encode(video[frame], size)
            if memory is None:
                first, memory = frame, Memory(self.config, len(video) - frame, size, kept)
                mask = video[frame].new_zeros(video.size)
            else:
                mask = memory.ids[self.classes(memory, query, frame - first, video.size)]
            if prompt is not None:
                mask = overlay(mask, prompt)
                memory.add_objects(prompt)
            memory.write(frame - first, kept, mask)
            yield mask

    def _prompt(self, prompts: Prompts, frame: int) -> Tensor | None:
        """The prompt of a frame with void as background; None where nothing is prompted."""
        prompt = prompts.get(frame)
        if prompt is None:
            return None
        prompt = prompt.masked_fill(prompt == VOID, 0)
        highest = int(prompt.max())
        if self.config.classes is not None and highest >= self.config.classes:
            raise DataError(
                f"found object id {highest} in the prompt of frame {frame}; expected ids below "
                f"{self.config.classes}, as MAST has so many classes",
                hint="use preset correct, or --set classes=256",
            )
        return prompt if highest > 0 else None

    def encode(self, frame: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        """Features (h, w, C) of a frame as the target and as a reference: equation 5."""
        with stage("encode"):
            images = to_lab(resize_frame(frame, size)[None])  # (1, 3, H, W)
            query = self.phi_q(images)[0]  # (h, w, C)
            return query, query if self.phi_r is None else self.phi_r(images)[0]

    def classes(self, memory: Memory, query: Tensor, target: int, size: Size) -> Tensor:
        """The class (H, W) of each pixel of frame ``target``: the highest score, upsampled."""
        with stage("match"):
            scores = self.scores(memory, query, target)  # (K, h, w)
        with stage("upsample"):
            scores = upsample(scores, memory.size, aligned=self.config.aligned)
            if memory.size != size:
                scores = nn.functional.interpolate(scores[None], size=size, mode="bilinear")[0]
            return scores.max(0).indices  # argmax is 20 times slower on CPU

    def scores(self, memory: Memory, query: Tensor, target: int) -> Tensor:
        """Class scores (K, h, w): equations 6 and 7 with masks for colours, one softmax over all references."""
        config = self.config
        references = reference_frames(target, config)
        slots = [memory.place(frame) for frame in references]
        offsets = [
            self.offsets(memory, query, slot, dilation_of(target, frame, config))
            for frame, slot in zip(references, slots, strict=True)
        ]
        return attend(
            query,
            memory.features,
            memory.labels,
            slots,
            radius=config.radius,
            offsets=offsets,
            value_offsets=offsets if config.own_offsets else slip(offsets),
            temperature=config.temperature,
        )

    def offsets(self, memory: Memory, query: Tensor, slot: int, dilation: int) -> Tensor | None:
        """Where each cell lies in a long-term reference, (h, w, 2) off itself; None where it is not searched for."""
        if dilation == 0:
            return None
        exact = memory.labels.dtype  # positions of hundreds of cells are beyond bf16
        return coarse_offsets(
            query.to(exact),
            memory.features[slot].to(exact),
            dilation=dilation,
            radius=self.config.radius,
            temperature=self.config.temperature,
        )


def slip(offsets: list[Tensor | None]) -> list[Tensor | None]:
    """The last offsets for every long-term reference, as the released code of MAST takes them for labels."""
    last = next((found for found in reversed(offsets) if found is not None), None)
    return [None if found is None else last for found in offsets]
