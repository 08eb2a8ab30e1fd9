"""Bootstrap intervals of a mean over objects, clustered by video: how sure a figure, or a difference, is.

Objects of one video share its difficulty, so whole videos are drawn with replacement, never single objects (Field and
Welsh 2007, clustered bootstrap). The same draws are used for every run on the same videos, which makes differences
paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.api.records import Interval

Average = Literal["objects", "sequences"]
Rows = Mapping[str, Sequence[float | None]]
Floats = npt.NDArray[np.float64]

SAMPLES = 2000
SEED = 0
_TAILS = (0.025, 0.975)


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


def clustered_interval(rows_by_video: Rows, *, average: Average, samples: int = SAMPLES, seed: int = SEED) -> Interval:
    """Give the mean of per-object figures and its 95 % percentile interval, drawing videos with replacement.

    ``average`` says what has weight 1: every object (DAVIS 2017) or every video's mean (DAVIS 2016). Undefined figures
    (None) and videos without a defined one are left out; with nothing left the value is None.
    """
    sums, weights = _sums_and_weights(_drop_undefined(rows_by_video), average)
    if not len(sums):
        return Interval(value=None)
    value = float(sums.sum() / weights.sum())
    if len(sums) < 2:
        return Interval(value=value)
    low, high = np.quantile(_resample_means(sums, weights, samples, seed), _TAILS)
    return Interval(value=value, low=float(low), high=float(high))


def paired_difference(
    base: Rows, head: Rows, *, average: Average, samples: int = SAMPLES, seed: int = SEED
) -> Difference:
    """Give head minus base on the same videos: both runs are resampled with the same draws.

    Videos where either run has no defined figure are left out of both. Raises ValueError when the videos differ.
    """
    if set(base) != set(head):
        only = sorted(set(base) ^ set(head))
        raise ValueError(f"a paired difference needs the same videos; only one run has {', '.join(only[:5])}")
    base, head = _drop_undefined(base), _drop_undefined(head)
    shared = sorted(set(base) & set(head))
    if not shared:
        return Difference(value=None)
    before = _sums_and_weights({video: base[video] for video in shared}, average)
    after = _sums_and_weights({video: head[video] for video in shared}, average)
    value = float(after[0].sum() / after[1].sum() - before[0].sum() / before[1].sum())
    if len(shared) < 2:
        return Difference(value=value)
    differences = _resample_means(*after, samples, seed) - _resample_means(*before, samples, seed)
    low, high = np.quantile(differences, _TAILS)
    doubt = 2 * min((differences <= 0).mean(), (differences >= 0).mean())
    return Difference(value=value, low=float(low), high=float(high), doubt=min(1.0, float(doubt)))


def _drop_undefined(rows_by_video: Rows) -> dict[str, list[float]]:
    defined = {
        video: [float(row) for row in rows if row is not None and not np.isnan(row)]
        for video, rows in rows_by_video.items()
    }
    return {video: rows for video, rows in defined.items() if rows}


def _sums_and_weights(rows_by_video: Mapping[str, Sequence[float]], average: Average) -> tuple[Floats, Floats]:
    """Per video, in order of names: the sum of its figures and its weight; a mean is sums over weights."""
    videos = sorted(rows_by_video)
    sums = np.array([sum(rows_by_video[video]) for video in videos], dtype=np.float64)
    counts = np.array([len(rows_by_video[video]) for video in videos], dtype=np.float64)
    if average == "objects":
        return sums, counts
    return sums / np.maximum(counts, 1), np.ones_like(counts)


def _resample_means(sums: Floats, weights: Floats, samples: int, seed: int) -> Floats:
    draws = _draws(samples, len(sums), seed)
    means: Floats = sums[draws].sum(axis=1) / weights[draws].sum(axis=1)
    return means


@lru_cache(maxsize=8)
def _draws(samples: int, videos: int, seed: int) -> npt.NDArray[np.int64]:
    """(samples, videos) indices drawn with replacement.

    Made from PCG64's raw words, a stream NumPy promises never to change (``Generator.integers`` has no such promise):
    an interval written into a record today can be computed again, equal, years later.
    """
    words = np.random.PCG64(seed).random_raw(samples * videos) >> np.uint64(32)
    draws = ((words * np.uint64(videos)) >> np.uint64(32)).astype(np.int64).reshape(samples, videos)
    draws.flags.writeable = False
    return draws
