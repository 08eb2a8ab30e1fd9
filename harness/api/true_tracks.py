"""The truth of a video as tracks, whether its dataset has tracks or id masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from harness.api.dataclass import dataclass
from harness.api.video import Sample, Track, Tracks

if TYPE_CHECKING:
    from harness.api.mask_files import RunLength


def read_tracks(sample: Sample) -> Tracks:
    """The objects in the truth of a video, of score 1; none where it has no truth.

    Masks are run-length codes, or None where an object is absent; ``RunLength.decode()`` is a (H, W) bool array, or
    uint8. Tracks of a dataset keep their order and category, and crowds are left out. Where there are id masks alone,
    each id is a track of category 0, in their order: all masks are read once, and one more time for each that is asked
    for; a frame without annotation counts as one without objects (``Sample.truth_frames``).
    """
    if "tracks" in sample.extra:
        true = [track for track in sample.extra["tracks"] if not track["iscrowd"]]
        return Tracks([Track(int(track["category_id"]), 1.0, track["segmentations"]) for track in true])
    if sample.read_truth is None:
        return Tracks()
    masks = (sample.read_truth(frame) for frame in range(sample.length))
    ids = {i for mask in masks if mask is not None for i in set(mask.ravel().tolist())}
    return Tracks([Track(0, 1.0, MasksOfId(sample, i)) for i in sorted(ids - {0, 255})])


@dataclass(frozen=True)
class MasksOfId(Sequence["RunLength | None"]):
    """Where one id is in the masks of a video, read when it is asked for."""

    sample: Sample
    id: int

    def __len__(self) -> int:
        return self.sample.length

    @overload
    def __getitem__(self, frame: int) -> RunLength | None: ...
    @overload
    def __getitem__(self, frame: slice) -> Sequence[RunLength | None]: ...
    def __getitem__(self, frame: int | slice) -> RunLength | Sequence[RunLength | None] | None:
        from harness.api.mask_files import RunLength

        if isinstance(frame, slice):
            return [self[t] for t in range(*frame.indices(len(self)))]
        if not 0 <= frame < len(self):
            raise IndexError(f"video {self.sample.name!r} has frames 0..{len(self) - 1}, not {frame}")
        truth = self.sample.read_truth(frame) if self.sample.read_truth is not None else None
        return None if truth is None or not (truth == self.id).any() else RunLength.encode(truth == self.id)
