"""Bootstrap intervals of a mean over objects, clustered by video: how sure a figure, or a difference, is.

Objects of one video share its difficulty, so whole videos are drawn with replacement, never single objects (Field and
Welsh 2007, clustered bootstrap). The same draws are used for every run on the same videos, which makes differences
paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harness.api.records import Average, Interval

Rows = Mapping[str, Sequence[float | None]]
Frames = Mapping[str, Sequence[int]]
"""For each figure of ``Rows`` the frames it is a mean of; needed where every frame weighs the same."""
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


def clustered_interval(
    rows_by_video: Rows, *, average: Average, frames: Frames | None = None, samples: int = SAMPLES, seed: int = SEED
) -> Interval:
    """Give the mean of per-object figures and its 95 % percentile interval, drawing videos with replacement.

    ``average`` says what has weight 1: every object (DAVIS 2017), every video's mean (DAVIS 2016), or every frame of
    ``frames``. Undefined figures (None) and videos without a defined one are left out; with nothing left the value is
    None.
    """
    sums, weights = _in_order(_weigh(rows_by_video, average, frames))
    if not len(sums):
        return Interval(value=None)
    value = float(sums.sum() / weights.sum())
    if len(sums) < 2:
        return Interval(value=value)
    low, high = np.quantile(_resample_means(sums, weights, samples, seed), _TAILS)
    return Interval(value=value, low=float(low), high=float(high))


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
    if set(base) != set(head):
        only = sorted(set(base) ^ set(head))
        raise ValueError(f"a paired difference needs the same videos; only one run has {', '.join(only[:5])}")
    base_frames, head_frames = frames or (None, None)
    weighed = _weigh(base, average, base_frames), _weigh(head, average, head_frames)
    shared = weighed[0].keys() & weighed[1].keys()
    if not shared:
        return Difference(value=None)
    before, after = (_in_order({video: found[video] for video in shared}) for found in weighed)
    value = float(after[0].sum() / after[1].sum() - before[0].sum() / before[1].sum())
    if len(shared) < 2:
        return Difference(value=value)
    differences = _resample_means(*after, samples, seed) - _resample_means(*before, samples, seed)
    low, high = np.quantile(differences, _TAILS)
    doubt = 2 * min((differences <= 0).mean(), (differences >= 0).mean())
    return Difference(value=value, low=float(low), high=float(high), doubt=min(1.0, float(doubt)))


def find_clear_leads(
    runs: Sequence[Rows], *, average: Average, frames: Sequence[Frames] | None = None
) -> npt.NDArray[np.bool_]:
    """(N, N): whether run i lies clearly above run j > i, its paired interval above zero; False for other videos.

    The same as ``paired_difference(...).low > 0`` of each pair. Runs on the same videos are resampled once each and
    their differences counted: with 2,000 samples the lower end lies between the 50th and the 51st smallest, so its
    sign is known but where exactly 50 are not above zero.
    """
    leads = np.zeros((len(runs), len(runs)), np.bool_)
    weighed = [_weigh(rows, average, frames[place] if frames else None) for place, rows in enumerate(runs)]
    groups: dict[tuple[frozenset[str], tuple[str, ...]], list[int]] = {}
    for place, rows in enumerate(runs):
        groups.setdefault((frozenset(rows), tuple(sorted(weighed[place]))), []).append(place)

    def compare(better: int, worse: int) -> bool:
        counts = (frames[worse], frames[better]) if frames else None
        low = paired_difference(runs[worse], runs[better], average=average, frames=counts).low
        return low is not None and low > 0

    for (videos, shared), places in groups.items():
        if len(shared) > 1:
            means = np.stack([_resample_means(*_in_order(weighed[place]), SAMPLES, SEED) for place in places])
            last = int(_TAILS[0] * (SAMPLES - 1))
            for row, better in enumerate(places):
                not_above = (means[row] <= means[row + 1 :]).sum(axis=1)
                leads[better, places[row + 1 :]] = not_above <= last
                for worse in np.flatnonzero(not_above == last + 1).tolist():
                    leads[better, places[row + 1 + worse]] = compare(better, places[row + 1 + worse])
        for other, others in groups.items():
            if other[0] == videos and other[1] != shared:
                for better, worse in ((p, q) for p in places for q in others if p < q):
                    leads[better, worse] = compare(better, worse)
    return leads


def _weigh(rows_by_video: Rows, average: Average, frames: Frames | None) -> dict[str, tuple[float, float]]:
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


def _in_order(weighed: Mapping[str, tuple[float, float]]) -> tuple[Floats, Floats]:
    """Sums and weights by name of video."""
    sums, weights = (np.array([weighed[video][place] for video in sorted(weighed)], np.float64) for place in (0, 1))
    return sums, weights


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
