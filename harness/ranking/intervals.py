"""Bootstrap intervals of a mean over objects, clustered by video: how sure a figure, or a difference, is.

Objects of one video share its difficulty, so whole videos are drawn with replacement, never single objects (Field and
Welsh 2007, clustered bootstrap). The same draws are used for every run on the same videos, which makes differences
paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harness.api.dataclass import dataclass
from harness.api.records import Average, Interval

Rows = Mapping[str, Sequence[float | None]]
Frames = Mapping[str, Sequence[int]]
"""For each figure of ``Rows`` the frames it is a mean of; needed where every frame weighs the same."""
Floats = npt.NDArray[np.float64]
Weighed = tuple[Floats, Floats]
"""Each video's sum of figures and its weight; the mean is sum over sum."""

SAMPLES = 2000
SEED = 0
TAILS = (0.025, 0.975)


@dataclass(frozen=True)
class Difference:
    """A paired difference, head minus base, with its 95 % interval (None with fewer than two videos).

    ``doubt`` is twice the smaller share of resamples on one side of zero, at most 1: near 0, the sign is sure; it is
    a bootstrap share that behaves like a two-sided p, not an exact one.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    doubt: float | None = None

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def clustered_interval(
    rows_by_video: Rows, *, average: Average, frames: Frames | None = None, samples: int = SAMPLES, seed: int = SEED
) -> Interval:
    """Give the mean of per-object figures and its 95 % percentile interval, drawing videos with replacement.

    ``average`` says what has weight 1: every object (DAVIS 2017), every video's mean (DAVIS 2016), or every frame of
    ``frames``. Undefined figures (None) and videos without a defined one are left out; with nothing left the value is
    None.
    """
    sums, weights = in_order(weigh(rows_by_video, average, frames))
    if not len(sums):
        return Interval(value=None)
    value = float(sums.sum() / weights.sum())
    if len(sums) < 2:
        return Interval(value=value)
    low, high = tails_of(_resample_means(sums, weights, samples, seed))
    return Interval(value=value, low=low, high=high)


def paired_difference(
    base: Rows,
    head: Rows,
    *,
    average: Average,
    frames: tuple[Frames, Frames] | None = None,
    samples: int = SAMPLES,
    seed: int = SEED,
) -> Difference:
    """Give head minus base on the same videos: both runs are resampled with the same draws.

    Videos where either run has no defined figure are left out of both; ``frames`` are those of base and of head.
    Raises ValueError when the videos differ.
    """
    before, after = weigh_pair(base, head, average=average, frames=frames)
    if not len(before[0]):
        return Difference(value=None)
    value = float(after[0].sum() / after[1].sum() - before[0].sum() / before[1].sum())
    if len(before[0]) < 2:
        return Difference(value=value)
    return spread_of(value, _resample_means(*after, samples, seed) - _resample_means(*before, samples, seed))


def spread_of(value: float, differences: Floats) -> Difference:
    """A difference with the interval and the doubt of its resamples; without them where there are none."""
    if not len(differences):
        return Difference(value=value)
    low, high = tails_of(differences)
    doubt = 2 * min((differences <= 0).mean(), (differences >= 0).mean())
    return Difference(value=value, low=low, high=high, doubt=min(1.0, float(doubt)))


def tails_of(drawn: Floats) -> tuple[float, float]:
    """The ends of the 95 % percentile interval of drawn values: to the bit those of ``np.quantile``.

    That imports NumPy's masked arrays to find out that these are none: 0.01 s that no score should wait for.
    """
    ordered = np.sort(drawn)
    ends = []
    for tail in TAILS:
        place = (len(ordered) - 1) * tail
        below = int(place)
        low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
        share = place - below
        ends.append(low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share))
    return ends[0], ends[1]


def weigh_pair(
    base: Rows, head: Rows, *, average: Average, frames: tuple[Frames, Frames] | None = None
) -> tuple[Weighed, Weighed]:
    """Sums and weights of base and of head, of the videos that have a defined figure in both; ValueError as above."""
    if set(base) != set(head):
        only = sorted(set(base) ^ set(head))
        raise ValueError(f"a paired difference needs the same videos; only one run has {', '.join(only[:5])}")
    base_frames, head_frames = frames or (None, None)
    weighed = weigh(base, average, base_frames), weigh(head, average, head_frames)
    shared = weighed[0].keys() & weighed[1].keys()
    before, after = (in_order({video: found[video] for video in shared}) for found in weighed)
    return before, after


def weigh(rows_by_video: Rows, average: Average, frames: Frames | None) -> dict[str, tuple[float, float]]:
    """Each video's sum of defined figures and its weight, where it has any; a mean is sums over weights."""
    if average == "frames" and frames is None:
        raise ValueError("a mean over frames needs the number of frames of each figure")
    weighed: dict[str, tuple[float, float]] = {}
    for video, rows in rows_by_video.items():
        counts = frames[video] if average == "frames" and frames is not None else [1] * len(rows)
        pairs = zip(rows, counts, strict=True)
        known = [(float(row), count) for row, count in pairs if row is not None and not np.isnan(row)]
        weight = sum(count for _, count in known)
        if weight:
            total = sum(row * count for row, count in known)
            weighed[video] = (total / weight, 1) if average == "sequences" else (total, weight)
    return weighed


def in_order(weighed: Mapping[str, tuple[float, float]]) -> Weighed:
    """Sums and weights by name of video."""
    sums, weights = (np.array([weighed[video][place] for video in sorted(weighed)], np.float64) for place in (0, 1))
    return sums, weights


def _resample_means(sums: Floats, weights: Floats, samples: int, seed: int) -> Floats:
    draws = draw_videos(samples, len(sums), seed)
    means: Floats = sums[draws].sum(axis=1) / weights[draws].sum(axis=1)
    return means


@lru_cache(maxsize=8)
def draw_videos(samples: int, videos: int, seed: int) -> npt.NDArray[np.int64]:
    """(samples, videos) indices drawn with replacement.

    Made from PCG64's raw words, a stream NumPy promises never to change (``Generator.integers`` has no such promise):
    an interval written into a record today can be computed again, equal, years later.
    """
    words = np.random.PCG64(seed).random_raw(samples * videos) >> np.uint64(32)
    draws = ((words * np.uint64(videos)) >> np.uint64(32)).astype(np.int64).reshape(samples, videos)
    draws.flags.writeable = False
    return draws
