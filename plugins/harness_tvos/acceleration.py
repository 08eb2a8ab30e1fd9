"""What a GPU is asked for beyond the plain story: TF32, and a whole frame as one CUDA graph."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from harness.api.errors import UsageError
from harness.ops.propagation import Sigmas, Slots, on_device
from harness_tvos.config import Config
from harness_tvos.memory import Memory

Frame = Callable[[Tensor, Slots, Sigmas, int | Tensor], Tensor]
"""From an image (H, W, 3), slots and widths of the priors of its references, and its own slot, to its mask."""


def refuse_what_needs_cuda(config: Config, device: str, *, has_triton: bool) -> None:
    """UsageError for options that the device does not have."""
    asked = [name for name in ("tf32", "cuda_graph") if getattr(config, name)]
    if asked and not device.startswith("cuda"):
        raise UsageError(
            f"tvos was asked for {' and '.join(asked)} on device {device!r}; expected a CUDA device",
            hint="leave it out, or use --device cuda:0",
        )
    if config.cuda_graph and not has_triton:
        raise UsageError(
            "tvos was asked for cuda_graph, but Triton is not installed; other forms of the propagation cannot be "
            "captured",
            hint="leave it out, or install triton",
        )


@contextmanager
def products_in_tf32(allowed: bool, device: torch.device) -> Iterator[None]:
    """Whether fp32 products may be rounded to TF32 inside; on a CPU there is nothing to decide."""
    if device.type != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32, cudnn.allow_tf32 = allowed, allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def replayed(frame: Frame, memory: Memory, config: Config) -> Frame:
    """``frame`` as it is, or where the config asks for it as a CUDA graph."""
    return Replayed(frame, memory) if config.cuda_graph else frame


class Replayed:
    """``frame`` of one video: as it is first, then as a graph as soon as two in a row have the same shapes.

    The first of them warms up what a capture must not do (choosing algorithms, allocating tables). Another number of
    references or classes begins anew.
    """

    def __init__(self, frame: Frame, memory: Memory) -> None:
        self.frame = frame
        self.memory = memory
        self.shapes: object = None
        self.graph: FrameGraph | None = None

    def __call__(self, image: Tensor, slots: Slots, widths: Sigmas, own: int | Tensor) -> Tensor:
        """The mask of ``image``; memory holds the frame then."""
        shapes = len(slots), self.memory.labels.shape
        if shapes != self.shapes:
            self.shapes, self.graph = shapes, None
            return self.frame(image, slots, widths, own)
        if self.graph is None:
            self.graph = FrameGraph(self.frame, image, len(slots))
        return self.graph(image, slots, widths, own)


class FrameGraph:
    """One frame on buffers that stay where they are, captured on a GPU; on a CPU it is done anew each time.

    What a frame needs besides its image (slots and widths of its references, its own slot) is data in the buffers.
    """

    def __init__(self, frame: Frame, image: Tensor, references: int) -> None:
        self.frame = frame
        self.image = image.clone()
        self.slots = torch.zeros(references, dtype=torch.int64, device=image.device)
        self.widths = torch.ones(references, dtype=torch.float64, device=image.device)
        self.own = torch.zeros(1, dtype=torch.int64, device=image.device)
        self.mask = torch.empty(0)
        self.graph = self._captured() if image.is_cuda else None

    def __call__(self, image: Tensor, slots: Slots, widths: Sigmas, own: int | Tensor) -> Tensor:
        """The mask of ``image``."""
        self.image.copy_(image)
        self.slots.copy_(on_device(slots, torch.int64, image.device))
        self.widths.copy_(on_device(widths, torch.float64, image.device))
        self.own.copy_(on_device(own if isinstance(own, Tensor) else (own,), torch.int64, image.device))
        if self.graph is None:
            self._run()
        else:
            self.graph.replay()
        return self.mask.clone()

    def _run(self) -> None:
        self.mask = self.frame(self.image, self.slots, self.widths, self.own)

    def _captured(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()

        def capture() -> None:
            with torch.cuda.graph(graph):
                self._run()

        contextvars.Context().run(capture)  # where no stopwatch runs: its events do not belong into the graph
        return graph
