"""The life of tracks: an id for good, the first look, and for video instance segmentation category and score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness import Track
from harness.api.mask_files import RunLength
from harness_dtnet.discovery.categories import Categories


@dataclass
class TrackRecord:
    """One track so far. A lost one stays, so its id is never given to another."""

    id: int
    born: int
    """The frame it was found in."""
    masks: list[RunLength | None] = field(default_factory=list)
    """From its birth on; only where tracks are asked for."""
    qualities: list[float] = field(default_factory=list)
    """Of the frames it was seen in."""
    evidence: list[float] = field(default_factory=list)
    """The sum over frames of the mean probability of each category inside its mask; empty where none is known."""

    def note(self, mask: RunLength | None, quality: float, shares: Sequence[float]) -> None:
        """Keep what one frame says of the track; ``mask`` None: it is lost there."""
        self.masks.append(mask)
        if mask is None:
            return
        self.qualities.append(quality)
        if shares:
            before = self.evidence or [0.0] * len(shares)
            self.evidence = [a + b for a, b in zip(before, shares, strict=True)]

    def finish(self, length: int, categories: Categories) -> Track:
        """The track of the whole video: the category with most evidence, whose share of it the score is weighed by.

        Without categories it is category 1, as if there were no other. Ours: the paper says neither.
        """
        seen = max(len(self.qualities), 1)
        quality = sum(self.qualities) / seen
        category, share = 1, 1.0
        if self.evidence:
            place = max(range(len(self.evidence)), key=self.evidence.__getitem__)
            category, share = categories.number(place), self.evidence[place] / max(sum(self.evidence), 1e-9)
        absent: list[RunLength | None] = [None] * self.born
        masks = absent + self.masks
        return Track(category, quality * share, masks + [None] * (length - len(masks)))
