"""What a GPU is asked for beyond the plain story: a whole frame as one CUDA graph."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from harness import untimed
from harness.api.errors import UsageError
from harness_tvos.config import Config
from harness_tvos.frames.references import Schedule, frames_kept
from harness_tvos.memory import Memory

Frame = Callable[[Memory, Tensor, Tensor, Tensor, Tensor], Tensor]
"""From memory, an image (H, W, 3), slots and widths of the priors of its references, and its own slot, to its mask."""

KEPT = 8
"""How many graphs are kept: each holds labels of one size and number of classes."""


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


class Graphs:
    """Frames as graphs, one for each size and number of classes, kept from video to video with their rings.

    How many references a frame has is data in its row of the schedule, so one graph serves every frame of a video but
    the first of its kind, which runs as it is: that warms up what a capture must not do (choosing algorithms, compiling
    kernels). So an object that enters later has one frame with more classes done as it is, and captured, in its lap:
    its time counts.

    A method with graphs works on one video at a time: the next one begins on the same tensors.
    """

    def __init__(self, frame: Frame, config: Config) -> None:
        self.frame = frame
        self.config = config
        self.graphs: dict[tuple[object, ...], FrameGraph] = {}
        self.begun: Memory | None = None

    def begin(self, grid: tuple[int, int], features: Tensor) -> Memory:
        """An empty memory for features (h*w, C); an earlier video's ring of this size is taken again."""
        frames = frames_kept(self.config)
        alike = (frames, *features.shape)
        rings = [each.memory.features for each in self.graphs.values() if each.memory.features.shape == alike]
        self.begun = Memory(frames, grid, features, ring=rings[0] if rings else None)
        return self.begun

    def run(self, memory: Memory, image: Tensor, schedule: Schedule, target: int) -> Tensor:
        """The mask of ``image``; memory holds the frame then. RuntimeError once another video has begun."""
        if memory is not self.begun:
            raise RuntimeError(
                "tvos was asked for a frame of a video after another had begun; with cuda_graph expected one video at "
                "a time: build the method twice, or set cuda_graph=false"
            )
        row = schedule.row(target)
        kind = (image.shape, memory.features.shape, len(memory.ids))
        graph = self.graphs.pop(kind, None)
        if graph is None:
            if len(self.graphs) == KEPT:
                del self.graphs[next(iter(self.graphs))]  # the one that was not used for longest
            graph = FrameGraph(self.frame, memory, image, row, schedule.unpack)
        self.graphs[kind] = graph
        return graph.run(memory, image, row)


Unpack = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


class FrameGraph:
    """One frame on tensors that stay where they are, captured on a GPU; on a CPU it is done anew each time.

    ``memory`` becomes the graph's own with the first video; of later ones, the content is copied into it once. What a
    frame needs besides (its references, their widths, its own slot) is the row of the schedule.
    """

    def __init__(self, frame: Frame, memory: Memory, image: Tensor, row: Tensor, unpack: Unpack) -> None:
        self.frame = frame
        self.memory = memory.alias()
        self.image = image.clone()
        self.row = row.clone()
        self.slots, self.widths, self.own = unpack(self.row)
        self.mask = torch.empty(0)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.is_fresh = True

    def run(self, memory: Memory, image: Tensor, row: Tensor) -> Tensor:
        """The mask of ``image``; ``memory`` holds the frame then, on the graph's tensors."""
        if memory.labels is not self.memory.labels:
            memory.move_into(self.memory)
        self.image.copy_(image)
        self.row.copy_(row)
        if self.is_fresh and image.is_cuda:
            self.is_fresh = False
            return self._run_and_capture()
        if self.graph is None:
            self._run()
        else:
            self.graph.replay()
        return self.mask.clone()

    def _run(self) -> None:
        self.mask = self.frame(self.memory, self.image, self.slots, self.widths, self.own)

    def _run_and_capture(self) -> Tensor:
        """The mask of this frame, run on the stream that is captured afterwards."""
        current = torch.cuda.current_stream()
        stream = torch.cuda.Stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            self._run()
        current.wait_stream(stream)
        mask = self.mask.clone()
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads go on meanwhile: one pins and uploads the next frames, which would break a capture that
            # minds the whole process. A stopwatch's marks would be recorded into the graph.
            with untimed(), torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._run()
            self.graph = graph
        except RuntimeError as error:
            torch.cuda.set_stream(current)  # which is left behind where the capture's end raises
            warnings.warn(f"tvos runs frames without a CUDA graph, its capture failed: {error}", stacklevel=2)
        return mask
