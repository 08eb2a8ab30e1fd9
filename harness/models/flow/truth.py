"""The exact flow that a dataset has: supervision, for upper bounds and for what is measured, never for a claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from harness.api.errors import DataError
from harness.api.providers import TRUTH_FLOW
from harness.api.video import Sample
from harness.models.frame_files import Frame, Place


class TruthFlow:
    """``Sample.read_flow`` of neighbouring frames; the flow back is its inverse."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.name = TRUTH_FLOW
        self.samples = {sample.name: sample for sample in samples}

    def between(self, first: Frame, second: Frame, places: tuple[Place, Place] | None = None) -> Float[Tensor, "2 H W"]:
        if places is None:
            raise ValueError("truth-flow looks frames up: it has to be given their places")
        sample, read_flow = self._find_sample(places[0].video)
        here, there = (sample.frame_names.index(place.frame) for place in places)
        if there == here + 1:
            flow = read_flow(here)
        elif there == here - 1:
            flow = invert(read_flow(there), second.cpu().numpy(), first.cpu().numpy())
        else:
            raise ValueError(f"truth-flow knows neighbouring frames, not {here} and {there} of {sample.name!r}")
        return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1))).to(first.device)

    def fingerprint(self, video: str) -> str:
        return self.name

    def _find_sample(self, video: str) -> tuple[Sample, Callable[[int], np.ndarray]]:
        sample = self.samples.get(video)
        if sample is None or sample.read_flow is None:
            raise DataError(
                f"video {video!r} brings no exact flow: found {'no flow' if sample else 'no such video'}, expected "
                "Sample.read_flow",
                hint="mini has it; other data are for flow by dis, raft:FILE or files:DIR",
            )
        return sample, sample.read_flow


def invert(flow: Float[np.ndarray, "H W 2"], first: np.ndarray, second: np.ndarray) -> Float[np.ndarray, "H W 2"]:
    """The flow from ``second`` back to ``first``, of the flow from ``first`` to ``second`` (frames (H, W, 3) uint8).

    Where several pixels land, that of the likest colour is the one seen; where none lands, the nearest known flow is
    taken.
    """
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = np.rint(columns + flow[..., 0]).astype(np.int64), np.rint(rows + flow[..., 1]).astype(np.int64)
    from_y, from_x = np.nonzero((x >= 0) & (x < width) & (y >= 0) & (y < height))
    to_y, to_x = y[from_y, from_x], x[from_y, from_x]
    unlike = np.abs(first[from_y, from_x].astype(np.int32) - second[to_y, to_x]).sum(-1)
    order = np.argsort(-unlike, kind="stable")  # the likest is written last, and stays
    source = np.full((height, width), -1, np.int64)
    source[to_y[order], to_x[order]] = (from_y * width + from_x)[order]
    if not (source >= 0).any():
        return -flow
    nearest = ndimage.distance_transform_edt(source < 0, return_distances=False, return_indices=True)
    return -flow.reshape(-1, 2)[source[tuple(nearest)]]
