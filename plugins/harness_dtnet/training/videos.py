"""The videos a training learns from: ids of the objects in each frame, which are told apart, their categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness import DataError, Sample, read_tracks
from harness_dtnet.training.targets import MOST, UNKNOWN, VOID

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Ids = NDArray[np.uint8]  # (H, W)


@dataclass(frozen=True)
class LearnedVideo:
    """One video and its truth."""

    sample: Sample
    frames: tuple[int, ...]
    """Those that have a truth."""
    is_merged: bool
    """Whether its ids are one object though there may be several, as in DAVIS 2016."""
    categories: Mapping[int, int] = field(default_factory=dict)
    """The category of each id, where it is known."""

    def read(self, t: int) -> tuple[Image, Ids]:
        """Frame ``t`` and its ids: 0, 1 to ``MOST``, ``UNKNOWN`` for objects that are not told apart, ``VOID``.

        Objects beyond the first ``MOST`` are not told apart either.
        """
        sample = self.sample
        truth = sample.read_truth(t) if sample.read_truth else paint_tracks(sample, t)
        if truth is None:
            raise DataError(
                f"video {sample.name!r} has no truth at frame {t}, which its dataset says is annotated",
                hint="train on a split whose truth is public, such as davis17-unsup-train",
            )
        is_object = (truth > 0) & (truth != VOID)
        beyond = is_object if self.is_merged else is_object & (truth > MOST)
        return np.asarray(sample.read_frame(t), np.uint8), np.where(beyond, UNKNOWN, truth).astype(np.uint8)


def open_videos(samples: Sequence[Sample], categories: Mapping[int, str]) -> list[LearnedVideo]:
    """The videos that have a frame with a truth; ``categories`` are those that are learnt, by number."""
    found = []
    for sample in samples:
        frames = sample.truth_frames if sample.truth_frames is not None else tuple(range(sample.length))
        if frames:
            is_merged = bool(sample.extra.get("is_merged", False))
            found.append(LearnedVideo(sample, tuple(frames), is_merged, categories_of(sample) if categories else {}))
    if not found:
        raise DataError("none of the videos has a frame with a truth", hint="name data with masks: harness ls benches")
    return found


def paint_tracks(sample: Sample, t: int) -> Ids:
    """The tracks of a frame as ids, in their order from 1; of two that overlap the smaller lies on top."""
    masks = [(k + 1, track.masks[t].decode()) for k, track in enumerate(read_tracks(sample)) if track.masks[t]]
    ids = np.zeros((sample.height, sample.width), np.uint8)
    for number, mask in sorted(masks, key=lambda pair: -int(pair[1].sum())):
        ids[mask > 0] = min(number, MOST + 1)
    return ids


def categories_of(sample: Sample) -> dict[int, int]:
    """The category of each id; tracks of data that have ids, too, are called by them, others by their order."""
    if "tracks" not in sample.extra:
        return {}
    tracks = [track for track in sample.extra["tracks"] if not track["iscrowd"]]
    names = [int(track["id"]) for track in tracks] if sample.read_truth else range(1, len(tracks) + 1)
    return {name: int(track["category_id"]) for name, track in zip(names, tracks, strict=True)}


def list_categories(samples: Sequence[Sample]) -> dict[int, str]:
    """All categories of the data by number; DataError where there is none, or one number has two names."""
    found: dict[int, str] = {}
    for sample in samples:
        for number, name in sample.extra.get("category_names", {}).items():
            if found.setdefault(int(number), str(name)) != str(name):
                raise DataError(
                    f"video {sample.name!r} calls category {number} {name!r}, another one calls it {found[number]!r}",
                    hint="train on data of one set of categories, or with --set categories=false",
                )
    if not found:
        raise DataError("none of the videos names categories", hint="--set categories=false, or data as youtube-vis19")
    return dict(sorted(found.items()))
