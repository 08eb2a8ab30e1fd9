"""What a method must return: checks whose messages name the plugin, the video and the frame."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from harness.api.errors import ContractError, DataError
from harness.api.mask_files import RunLength, ids_in
from harness.api.video import Prompts, Sample, Track, Tracks
from harness.planning.plan import Plan


def check_mask(mask: Any, frame: int, sample: Sample, plan: Plan, prompts: Prompts) -> np.ndarray:
    """The mask as a (H, W) uint8 array; ContractError where it is not what the task promises."""
    array = check_form(mask, frame, sample, plan)
    allowed = {0, *prompts.ids} if plan.task.prompted else set(range((plan.task.max_id or 0) + 1))
    extra = sorted(ids_in(array) - allowed)
    if extra:
        expected = f"0 and the prompted ids {list(prompts.ids)}" if plan.task.prompted else f"0..{plan.task.max_id}"
        raise ContractError(f"{_place(frame, sample, plan)}: yielded ids {extra}, expected only {expected}")
    return array


def check_form(mask: Any, frame: int, sample: Sample, plan: Plan) -> np.ndarray:
    """The mask as a (H, W) uint8 array, whatever ids it holds; ContractError where it is none of the video's size."""
    where = _place(frame, sample, plan)
    if mask is None:
        raise ContractError(f"{where}: no mask; the method stopped after {frame} of {sample.length} frames")
    if not isinstance(mask, torch.Tensor):
        raise ContractError(f"{where}: yielded {type(mask).__name__}, expected a (H, W) uint8 torch tensor")
    if mask.dtype != torch.uint8:
        raise ContractError(f"{where}: yielded dtype {mask.dtype}, expected torch.uint8 object ids")
    if tuple(mask.shape) != (sample.height, sample.width):
        raise ContractError(
            f"{where}: yielded a mask of {tuple(mask.shape)}, expected {(sample.height, sample.width)}; "
            "resize to the video's size"
        )
    array: np.ndarray = mask.numpy()
    return array


def _place(frame: int, sample: Sample, plan: Plan) -> str:
    return f"{plan.method.name}, video {sample.name}, frame {frame}"


def check_tracks(tracks: Any, sample: Sample, plan: Plan) -> Tracks:
    """The tracks with run-length coded masks in host memory; ContractError where they break the contract."""
    where = f"{plan.method.name}, video {sample.name}"
    if not isinstance(tracks, Tracks):
        raise ContractError(f"{where}: returned {type(tracks).__name__}, expected harness.Tracks")
    return Tracks(tuple(_check_track(track, f"{where}, track {i}", sample) for i, track in enumerate(tracks)))


def _check_track(track: Any, where: str, sample: Sample) -> Track:
    if not isinstance(track, Track):
        raise ContractError(f"{where}: is {type(track).__name__}, expected harness.Track")
    if not isinstance(track.category, int) or not math.isfinite(track.score):
        raise ContractError(f"{where}: category {track.category!r}, score {track.score!r}; expected int and finite")
    if len(track.masks) != sample.length:
        raise ContractError(f"{where}: has {len(track.masks)} masks, expected one a frame ({sample.length})")
    size = (sample.height, sample.width)
    masks = [_check_segment(mask, f"{where}, frame {t}", size) for t, mask in enumerate(track.masks)]
    return Track(track.category, float(track.score), masks)


def _check_segment(mask: Any, where: str, size: tuple[int, int]) -> RunLength | None:
    if mask is None:
        return None
    if isinstance(mask, RunLength):
        found = tuple(mask.size)
    elif isinstance(mask, torch.Tensor) and mask.dtype == torch.bool:
        found = tuple(mask.shape)
    else:
        raise ContractError(f"{where}: mask is {type(mask).__name__}, expected a bool tensor, a RunLength or None")
    if found != size:
        raise ContractError(f"{where}: mask of {found}, expected {size}; resize to the video's size")
    if not isinstance(mask, RunLength):
        return RunLength.encode(mask.cpu().numpy())
    try:
        mask.runs()
    except DataError as error:
        raise ContractError(f"{where}: {error.message}") from error
    return mask
