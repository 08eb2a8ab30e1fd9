"""What a method gives, as plain JSON and back: tracks as run lengths, and stand-ins for what breaks the contract."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from harness.api.errors import ContractError, HarnessError
from harness.api.mask_files import RunLength
from harness.api.video import Track, Tracks
from harness.hosting.worker.messages import Message

LONGEST_REPR = 200


def describe_value(value: Any) -> Message:
    """What the run must know of a value that breaks the contract, to say what was found."""
    if isinstance(value, torch.Tensor):
        return {"tensor": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}
    return {"type": type(value).__name__, "repr": repr(value)[:LONGEST_REPR]}


def stand_in(found: Message) -> Any:
    """A value that the run's own checks refuse with the words they would have for the real one.

    A tensor has the dtype and shape described, and one element of memory.
    """
    dtype = getattr(torch, str(found.get("tensor")), None)
    if isinstance(dtype, torch.dtype):
        return torch.zeros((), dtype=dtype).expand([int(size) for size in found["shape"]])
    name = "Tensor" if "tensor" in found else str(found.get("type"))
    return type(name, (), {"__repr__": lambda self: str(found.get("repr"))})()


def messages_of_tracks(tracks: Any) -> Iterator[Message]:
    """One message a track, so that no message grows with their number."""
    for track in tracks:
        if not isinstance(track, Track):
            yield {"re": "track", "not_a_track": describe_value(track)}
            continue
        plain = type(track.category) is int
        yield {
            "re": "track",
            "category": track.category if plain else describe_value(track.category),
            "score": float(track.score),
            "masks": [_segment(mask) for mask in track.masks],
        }


def tracks_from(messages: list[Message]) -> Tracks:
    """The tracks of these messages; ContractError where they make no sense."""
    try:
        return Tracks([_track(message) for message in messages])
    except (HarnessError, LookupError, TypeError, ValueError) as error:
        raise ContractError(f"the worker sent tracks that make no sense: {error}") from error


def _track(message: Message) -> Any:
    if "not_a_track" in message:
        return stand_in(message["not_a_track"])
    category = message["category"]
    category = stand_in(category) if isinstance(category, dict) else category
    return Track(category, float(message["score"]), [_mask(segment) for segment in message["masks"]])


def _segment(mask: Any) -> Message | None:
    if mask is None:
        return None
    if isinstance(mask, RunLength):
        return {"size": list(mask.size), "counts": mask.counts.decode("latin-1")}
    if isinstance(mask, torch.Tensor) and mask.dtype == torch.bool and mask.ndim == 2:
        return {"size": list(mask.shape), "runs": _runs(mask.cpu().numpy())}
    return describe_value(mask)


def _mask(segment: Message | None) -> Any:
    if segment is None:
        return None
    if "size" not in segment:
        return stand_in(segment)
    height, width = segment["size"]
    if "counts" in segment:
        return RunLength((height, width), segment["counts"].encode("latin-1"))
    return RunLength.from_runs((height, width), segment["runs"])


def _runs(mask: np.ndarray) -> list[int]:
    """Lengths of runs, column by column, the first of background: no pycocotools needed where the method lives."""
    flat = mask.T.reshape(-1)
    starts = [0, *(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
    lengths = [end - start for start, end in pairwise(starts)]
    return [0, *lengths] if flat.size and flat[0] else lengths
