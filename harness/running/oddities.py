"""What is odd about ids while a video is measured, kept until all videos are through: figures stay what they are."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np

from harness.api.contracts import Rule
from harness.api.mask_files import ids_in
from harness.api.mask_runs import MaskRuns
from harness.api.oddities import VOID, Oddity, describe_oddities, find_holes, find_void_alone, some
from harness.api.video import Sample


class IdsSeen:
    """The ids of one video's masks, and those of its truth as far as they matter."""

    def __init__(self, sample: Sample, rule: Rule) -> None:
        self._sample = sample
        self._counts_to_highest = rule.objects == "first-frame-max"
        self._matches_ids = rule.objects == "seen" and rule.matching == "ids"
        self._has_void = rule.matching == "ids" and rule.void == "background"
        self._true: set[int] = set()
        self.predicted: set[int] = set()

    def see(self, mask: np.ndarray | MaskRuns, truth: np.ndarray | MaskRuns | None) -> None:
        """Take the masks of one frame; the truth is looked at only where the other has an id not yet known."""
        found = ids_in(mask)
        self.predicted |= found
        if self._matches_ids and truth is not None and not found <= self._true:
            self._true |= ids_in(truth)

    def find_oddities(self) -> tuple[Oddity, ...]:
        """What the rule makes something else of than was likely meant."""
        first = self._sample.read_truth(0) if self._counts_to_highest and self._sample.read_truth else None
        ids = set() if first is None else ids_in(first)
        return (*find_holes(ids), *(find_void_alone(ids) if self._has_void else ()), *self._find_strangers())

    def _find_strangers(self) -> list[Oddity]:
        if not self._matches_ids or self._sample.read_truth is None:
            return []
        for frame in range(self._sample.length):
            if self.predicted - self._true <= {0}:
                return []
            truth = self._sample.read_truth(frame)
            self._true |= set() if truth is None else ids_in(truth)
        strangers = sorted(self.predicted - self._true - {0})
        if not strangers:
            return []
        advice = "they count as no object: give each object the id of its first mask"
        if strangers == [VOID]:
            advice = "a mask of 0 and 255 names no object: write the id of its first mask, not 255"
        return [Oddity("ids in the masks that no truth has", advice, some(map(str, strangers)))]


class Oddities:
    """Gathers what was odd from the threads that measure."""

    def __init__(self) -> None:
        self._found: list[tuple[str, Oddity]] = []
        self._changes = threading.Lock()

    def add(self, video: str, oddities: Iterable[Oddity]) -> None:
        """Remember what was odd in a video."""
        with self._changes:
            self._found += [(video, oddity) for oddity in oddities]

    def describe(self) -> list[str]:
        """A line a kind."""
        return describe_oddities(sorted(self._found, key=lambda pair: pair[0]))
