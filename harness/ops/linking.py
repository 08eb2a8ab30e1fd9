"""Masks of one frame linked with those of the next, and tracks that keep their ids for good.

An online method chooses its objects when it sees them: an id that was given stays with its track, and one that was
yielded is never given again. What "the best twenty of the video" are is known at its end only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, UInt8
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from harness.api.dataclass import dataclass
from harness.ops.warping import warp_masks

MOST_IDS = 20
"""As many objects as a video may have (DAVIS 2017 unsupervised)."""


def link(
    previous: Bool[Tensor, "N H W"],
    current: Bool[Tensor, "M h w"],
    flow: Float[Tensor, "2 h w"] | None,
    *,
    least: float,
) -> list[tuple[int, int]]:
    """Pairs (previous, current) of the matching with the highest sum of IoU, over pairs of at least ``least``.

    ``flow`` leads from the frame of ``previous`` to that of ``current``; without it masks are compared where they are.
    An empty mask has no pair. The same masks always give the same pairs, in the order of ``previous``.
    """
    if not 0 < least <= 1:
        raise ValueError(f"found least={least}; expected an IoU above 0, at most 1")
    if previous.shape[1:] != current.shape[1:]:
        raise ValueError(
            f"found masks of {tuple(previous.shape[1:])} and {tuple(current.shape[1:])}; expected one size"
        )
    if not len(previous) or not len(current):
        return []
    overlaps = mask_iou(previous if flow is None else warp_masks(previous, flow), current).cpu()
    worth = torch.where(overlaps >= least, overlaps, 0.0)  # pairs that may not be take no other pair's place
    rows, columns = linear_sum_assignment(worth.numpy(), maximize=True)
    return [(int(n), int(m)) for n, m in zip(rows, columns, strict=True) if worth[n, m] > 0]


def mask_iou(one: Bool[Tensor, "N H W"], other: Bool[Tensor, "M H W"]) -> Float[Tensor, "N M"]:
    """Intersection over union of each pair, in double precision; 0 where both are empty."""
    exact = (
        torch.float32 if one.shape[1:].numel() <= 1 << 24 else torch.float64
    )  # of whole numbers, the pixels of a frame
    one, other = one.flatten(1).to(exact), other.flatten(1).to(exact)
    together = (one @ other.t()).double()
    union = one.sum(1).double()[:, None] + other.sum(1).double() - together
    return torch.where(union > 0, together / union.clamp(min=1), 0.0)


@dataclass(frozen=True)
class _Track:
    id: int
    mask: Bool[Tensor, "H W"]
    """Where it was last seen, moved along the flow since."""
    missed: int = 0
    """Frames since."""


class Tracks:
    """Tracks of a video as its frames come: at most ``most`` ids for the whole video, none of them ever reused.

    A track that is not found for more than ``patience`` frames has ended; its id goes with it.
    """

    def __init__(self, *, least: float, patience: int = 0, most: int = MOST_IDS) -> None:
        self._least = least
        self._patience = patience
        self._most = most
        self._given = 0
        self._tracks: list[_Track] = []

    def add(
        self,
        masks: Bool[Tensor, "N H W"],
        flow: Float[Tensor, "2 H W"] | None = None,
        scores: Sequence[float] | None = None,
    ) -> list[int]:
        """The id of each mask of the next frame; 0 for those that came when all ids were given.

        ``flow`` leads here from the frame added last. New ids go to the highest of ``scores`` first, of equal ones to
        the first; without scores in the order of the masks. An empty mask gets none.
        """
        if scores is not None and len(scores) != len(masks):
            raise ValueError(f"found {len(scores)} scores of {len(masks)} masks; expected one a mask")
        tracks = self._move(flow)
        places = torch.stack([track.mask for track in tracks]) if tracks else masks[:0]
        pairs = link(places, masks, None, least=self._least)
        ids = [0] * len(masks)
        for track, mask in pairs:
            ids[mask] = tracks[track].id
        found = {track for track, _ in pairs}
        waiting = [replace(track, missed=track.missed + 1) for n, track in enumerate(tracks) if n not in found]
        self._give_new(masks, scores, ids)
        seen = [_Track(name, mask) for name, mask in zip(ids, masks, strict=True) if name]
        self._tracks = sorted(
            seen + [track for track in waiting if track.missed <= self._patience], key=lambda track: track.id
        )
        return ids

    def _move(self, flow: Float[Tensor, "2 H W"] | None) -> list[_Track]:
        """The tracks where the flow takes them; moved once, not again when they are compared."""
        if flow is None or not self._tracks:
            return self._tracks
        moved = warp_masks(torch.stack([track.mask for track in self._tracks]), flow)
        return [replace(track, mask=mask) for track, mask in zip(self._tracks, moved, strict=True)]

    def _give_new(self, masks: Bool[Tensor, "N H W"], scores: Sequence[float] | None, ids: list[int]) -> None:
        """Give masks without an id the next ones, as long as there are some."""
        free = [n for n, filled in enumerate(masks.flatten(1).any(1).tolist()) if filled and not ids[n]]
        if scores is not None:
            free.sort(key=lambda n: -scores[n])  # keeps the order of equal ones
        for n in free[: self._most - self._given]:
            self._given += 1
            ids[n] = self._given


def id_map(masks: Bool[Tensor, "N H W"], ids: Sequence[int]) -> UInt8[Tensor, "H W"]:
    """The frame's ids, 0 where no mask with an id is; where masks overlap, the one with the lowest id lies on top."""
    answer = torch.zeros(masks.shape[1:], dtype=torch.uint8, device=masks.device)
    for n in sorted(range(len(ids)), key=lambda n: -ids[n]):
        if ids[n]:
            answer[masks[n]] = ids[n]
    return answer
