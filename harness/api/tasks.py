"""The four tasks, and the protocol a method implements for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from harness.api.dataclass import dataclass
from harness.api.video import Prompts, Tracks, Video

if TYPE_CHECKING:
    import torch

TaskName = Literal["object-zvos", "instance-zvos", "one-shot", "vis"]


@runtime_checkable
class ObjectZVOS(Protocol):
    """Find the primary object without any prompt."""

    def segment_object(self, video: Video) -> Iterator[torch.Tensor]:
        """Yield one (H, W) uint8 mask a frame, in order; ids {0, 1}; any device."""
        ...


@runtime_checkable
class InstanceZVOS(Protocol):
    """Find the objects without any prompt and keep their ids through the video."""

    def segment_instances(self, video: Video) -> Iterator[torch.Tensor]:
        """Yield one (H, W) uint8 mask a frame, in order; ids 0..20; any device."""
        ...


@runtime_checkable
class OneShotVOS(Protocol):
    """Follow the prompted objects (semi-supervised VOS)."""

    def propagate(self, video: Video, prompts: Prompts) -> Iterator[torch.Tensor]:
        """Yield one (H, W) uint8 mask a frame, in order; ids of the prompts seen so far, and 0; any device.

        The mask of a prompted frame is yielded too; the benchmark decides which frames are scored.
        """
        ...


@runtime_checkable
class VIS(Protocol):
    """Video instance segmentation: categorised, scored tracks that may overlap."""

    def segment_tracks(self, video: Video) -> Tracks:
        """Return the tracks of the whole video."""
        ...


@dataclass(frozen=True)
class Task:
    """One task: what a method must offer and which ids its masks may hold (``None``: those of the prompts)."""

    name: TaskName
    title: str
    protocol: type
    entry: str
    max_id: int | None
    main_metric: str
    returns: Literal["masks", "tracks"] = "masks"
    """One id map a frame, or the tracks of the whole video."""
    prompted: bool = False
    """Whether the method is given prompts."""


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("object-zvos", "object-level zero-shot VOS", ObjectZVOS, "segment_object", 1, "J&F"),
        Task("instance-zvos", "instance zero-shot VOS", InstanceZVOS, "segment_instances", 20, "J&F"),
        Task("one-shot", "one-shot VOS", OneShotVOS, "propagate", None, "J&F", prompted=True),
        Task("vis", "video instance segmentation", VIS, "segment_tracks", None, "AP", returns="tracks"),
    )
}


def works_by_video(task: str, causality: str) -> bool:
    """Whether a whole video is worked through before its first mask, or its tracks: the speed is then a throughput."""
    return TASKS[task].returns == "tracks" or causality == "offline"
