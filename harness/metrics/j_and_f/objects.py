"""Which objects of a video are scored, and which id of prediction and truth stands for each."""

from __future__ import annotations

import functools
from collections.abc import Collection

import numpy as np

from harness.api.contracts import Rule
from harness.api.errors import DataError
from harness.api.mask_files import ids_in
from harness.api.oddities import find_grey_levels
from harness.api.video import Sample
from harness.metrics.j_and_f.pair_counts import Slots
from harness.metrics.shapes import Bool, UInt8

VOID = 255
LEARNT_ON_THE_WAY = ("annotated", "prompted")
"""Rules of ``frames`` by which an object counts after the frame that it is learnt from."""


@functools.cache
def _identity(count: int) -> UInt8[np.ndarray, "256"]:
    slots = np.arange(256, dtype=np.uint8)
    slots[count + 1 :] = 0
    return slots


_ANY_OBJECT = Slots(np.minimum(_identity(255), 1), np.minimum(_identity(255), 1), 1, 1)
"""Every value that is not 0 is the one object."""


class ScoredObjects:
    """The ids scored so far, by the rules ``objects`` and ``frames`` of a scoring rule; ``ids[k]`` has slot k + 1."""

    def __init__(self, sample: Sample, rule: Rule) -> None:
        self.ids: list[int] = [1] if rule.objects == "single" else []
        self.highest_proposal = 0
        self._sample = sample
        self._rule = rule
        self._fixed = rule.objects == "single"
        self._true: set[int] = set()

    def look(self, frame: int, true: Collection[int]) -> None:
        """Learn the objects of DAVIS 2017 from the first truth: 1..its highest id, gaps included, void left out.

        ``true`` holds the values of this frame's truth, as all that is given to the methods below holds a mask's.
        """
        if self._rule.objects != "first-frame-max" or self._fixed:
            return
        first = self._sample.read_truth(0) if frame and self._sample.read_truth else None
        ids = true if first is None else ids_in(first)
        self.ids = list(range(1, max(set(ids) - ({VOID} if self._rule.void != "object" else set()), default=0) + 1))
        self._fixed = True

    def slots(self, frame: int, predicted: Collection[int], true: Collection[int]) -> Slots:
        """Number the objects of one scored frame; raise DataError for ids the official toolkit refuses."""
        if self._rule.objects == "single":
            return _ANY_OBJECT
        if self._rule.objects == "seen":
            return self._find_seen_slots(predicted, true)
        crossed = self._rule.matching == "hungarian"
        limit = self._rule.max_proposals if crossed else len(self.ids)
        highest = max(predicted, default=0)
        if highest > limit:
            what = f"at most {limit} proposals" if crossed else f"the ids 0..{limit} of the first truth"
            raise make_refusal(
                self._sample,
                frame,
                found=f"id {highest} in the prediction",
                expected=what,
                hint=_advise(set(predicted) - {0}),
            )
        self.highest_proposal = max(self.highest_proposal, highest)
        proposals = max(limit, len(self.ids))
        return Slots(_identity(proposals), _identity(len(self.ids)), proposals, len(self.ids))

    def _find_seen_slots(self, predicted: Collection[int], true: Collection[int]) -> Slots:
        if self._rule.frames not in LEARNT_ON_THE_WAY:
            self.remember(true)
            self._number(set(predicted) - {0})
        slots = np.zeros(256, np.uint8)
        slots[self.ids] = np.arange(1, len(self.ids) + 1)
        return Slots(slots, slots, len(self.ids), len(self.ids))

    def remember(self, ids: Collection[int]) -> None:
        """Note which ids this truth, or this prompt, holds."""
        found = set(ids) - ({0} if self._rule.void == "object" else {0, VOID})
        if self._rule.objects == "single":
            found = {1} if any(ids) else set()
        self._true |= found
        if self._rule.objects == "seen":
            self._number(found)

    def _number(self, ids: set[int]) -> None:
        self.ids.extend(sorted(ids - set(self.ids)))

    def are_scored(self) -> Bool[np.ndarray, " objects"]:
        """Which objects count on the frame now measured: all, or those that were learnt from an earlier one."""
        if self._rule.frames not in LEARNT_ON_THE_WAY:
            return np.ones(len(self.ids), np.bool_)
        return np.array([id_ in self._true for id_ in self.ids], np.bool_)

    def are_reported(self) -> Bool[np.ndarray, " objects"]:
        """Which objects are in the result: all, or where ids are learned on the way those the truth ever held."""
        if self._rule.objects != "seen":
            return np.ones(len(self.ids), np.bool_)
        return np.array([id_ in self._true for id_ in self.ids], np.bool_)


_MEND = "mend the prediction of this frame, or choose another with --rule"


def _advise(ids: set[int]) -> str:
    """What to do about a prediction of these ids, some of them too high."""
    if ids == {VOID}:
        return "a mask of 0 and 255 names no object: write the object's id (1) in place of 255, or --rule davis-2016"
    if find_grey_levels(ids):
        return "grey levels of a soft mask are no ids: cut it first, as mask > 127, and write the object's id"
    return _MEND


def make_refusal(sample: Sample, frame: int, *, found: str, expected: str, hint: str = _MEND) -> DataError:
    """The error about one predicted mask, naming video and frame."""
    name = f" ({sample.frame_names[frame]})" if frame < len(sample.frame_names) else ""
    return DataError.at(
        f"video {sample.name!r}, frame {frame}{name}",
        found=found,
        expected=expected,
        hint=hint,
    )
