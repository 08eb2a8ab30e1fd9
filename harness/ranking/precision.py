"""Average precision over resampled videos: a video counts as often as it was drawn, and no mask is looked at again.

AP is no mean over videos, so it is put together anew for every draw from what a record keeps of each detection
(``Detections``). With every video counted once the figures are those of the metric, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness.api.dataclass import dataclass
from harness.api.records import Detections, Interval
from harness.ranking.compiled_precision import fill_parts
from harness.ranking.intervals import SAMPLES, SEED, Difference, Floats, draw_videos, spread_of, tails_of

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
THRESHOLDS = 10
LIMITS = {"AR1": 1, "AR10": 10, "AR100": 100}
SIZES = ("S", "M", "L")
_RECALLS = np.linspace(0.0, 1.0, 101)
_MOST = 100
"""Detections of one image or video that count for all figures but AR1 and AR10."""
_MOST_AT_ONCE = 2**15
"""Numbers in one array: draws times detections."""
_MANY, _FEWER_SAMPLES = 20_000, 200
"""Detections from which the interval is of 200 draws: 2,000 would take minutes."""


@dataclass(frozen=True)
class _Category:
    """Detections of one category in all videos, by falling score; ``truths`` (A, V) counts them by range and video."""

    video: Ints
    rank: Ints
    true: Bools
    """(A, T, D)"""
    false: Bools
    truths: Floats
    hits: Floats
    """(A, V, T): truths that were found, of each video."""
    limited: Floats
    """(M, V, T): those of any size among the first so many detections, as ``LIMITS`` has it."""


def pool(videos: Sequence[Detections], weights: Floats) -> dict[str, Floats]:
    """The 12 figures of COCO for each row of ``weights`` (S, V): how often each video counts; NaN without any truth."""
    order = sorted(range(len(videos)), key=lambda place: _order_of(videos, place))
    weights = np.asarray(weights, np.float64)[:, order]
    categories = _by_category([videos[place] for place in order])
    together = max(1, _MOST_AT_ONCE // max(1, *(len(category.video) for category in categories), 1))
    parts = [_pool(categories, weights[first : first + together]) for first in range(0, len(weights), together)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _pool(categories: Sequence[_Category], weights: Floats) -> dict[str, Floats]:
    shape = (len(weights), len(categories))
    precision, recall = np.full((4, *shape, THRESHOLDS), np.nan), np.full((4, *shape), np.nan)
    limited = np.full((len(LIMITS), *shape), np.nan)
    for k, category in enumerate(categories):
        known: dict[tuple[bytes, ...], Floats] = {}
        for a in range(4):
            positives = weights @ category.truths[a]
            counted = positives > 0
            if counted.any():
                precision[a, counted, k] = _precision(category, a, weights[counted], positives[counted], known)
                recall[a, counted, k] = _recall(category.hits[a], weights[counted], positives[counted])
        positives = weights @ category.truths[0]
        counted = positives > 0
        for m, hits in enumerate(category.limited):
            if counted.any():
                limited[m, counted, k] = _recall(hits, weights[counted], positives[counted])
    whole = [precision[0], precision[0, :, :, :1], precision[0, :, :, 5:6], *precision[1:]]
    names = ("AP", "AP50", "AP75", *(f"AP_{size}" for size in SIZES))
    figures = {name: _mean_known(values.reshape(len(weights), -1)) for name, values in zip(names, whole, strict=True)}
    figures |= {name: _mean_known(values) for name, values in zip(LIMITS, limited, strict=True)}
    return figures | {f"AR_{size}": _mean_known(values) for size, values in zip(SIZES, recall[1:], strict=True)}


def resample_figures(videos: Sequence[Detections], *, seed: int = SEED) -> dict[str, Interval]:
    """Each figure with its 95 % percentile interval, drawing videos as ``clustered_interval`` does.

    Draws in which a figure is undefined, since no drawn video has a truth for it, are left out. Of more than 20,000
    detections there are 200 draws instead of 2,000.
    """
    count = len(videos)
    if not count:
        return {}
    once = pool(videos, np.ones((1, count)))
    if count < 2:
        return {name: Interval(value=_or_none(values[0])) for name, values in once.items()}
    rows, places = np.unique(_count_draws(_choose_samples(videos), count, seed), axis=0, return_inverse=True)
    drawn = {name: values[places.ravel()] for name, values in pool(videos, rows).items()}
    return {name: _interval(_or_none(once[name][0]), values) for name, values in drawn.items()}


def resample_difference(base: Sequence[Detections], head: Sequence[Detections], column: str) -> Difference:
    """Head minus base of a figure on the same videos in the same order, both resampled with the same draws."""
    if len(base) != len(head):
        raise ValueError(f"a paired difference needs the same videos, found {len(base)} and {len(head)}")
    sides, count = (base, head), len(base)
    once = [pool(side, np.ones((1, count)))[column][0] for side in sides]
    value = _or_none(once[1] - once[0])
    if value is None or count < 2:
        return Difference(value=value)
    rows, places = np.unique(_count_draws(_choose_samples(base), count, SEED), axis=0, return_inverse=True)
    before, after = (pool(side, rows)[column][places.ravel()] for side in sides)
    return spread_of(value, (after - before)[~np.isnan(after - before)])


def leave_each_out(videos: Sequence[Detections], column: str) -> tuple[float, Floats]:
    """A figure, and each video's share in it: by how much it would change without the video (jackknife pseudo-values).

    The shares are moved so that their mean is the figure. NaN where it is undefined without one of the videos.
    """
    count = len(videos)
    value = float(pool(videos, np.ones((1, count)))[column][0])
    without = pool(videos, 1.0 - np.eye(count))[column]
    shares = count * value - (count - 1) * without
    return value, shares + (value - shares.mean())


def _choose_samples(videos: Sequence[Detections]) -> int:
    detections = sum(len(group.scores) for video in videos for group in video.groups)
    return SAMPLES if detections <= _MANY else _FEWER_SAMPLES


def _order_of(videos: Sequence[Detections], place: int) -> int:
    """By the dataset's own order where every video has one."""
    orders = [video.order for video in videos]
    order = orders[place]
    return place if order is None or None in orders else order


def _by_category(videos: Sequence[Detections]) -> list[_Category]:
    groups = [(place, group) for place, video in enumerate(videos) for group in video.groups]
    found = []
    for number in sorted({group.category for _, group in groups}):
        members = [(place, group) for place, group in groups if group.category == number]
        scores = np.array([score for _, group in members for score in group.scores], np.float64)
        letters = [
            np.concatenate([np.frombuffer(group.outcomes[a].encode(), np.uint8) for _, group in members])
            for a in range(4)
        ]
        outcomes = np.stack(letters).reshape(4, len(scores), THRESHOLDS).transpose(0, 2, 1)
        best = np.argsort(-scores, kind="stable")
        truths = np.zeros((4, len(videos)))
        for place, group in members:
            truths[:, place] += group.truths
        video = np.array([place for place, group in members for _ in group.scores], np.int64)[best]
        rank = np.array([rank for _, group in members for rank in group.ranks], np.int64)[best]
        true = (outcomes == ord("t"))[:, :, best]
        found.append(
            _Category(
                video=video,
                rank=rank,
                true=true,
                false=(outcomes == ord("f"))[:, :, best],
                truths=truths,
                hits=np.stack([_by_video(each, video, len(videos)) for each in true & (rank < _MOST)]),
                limited=np.stack([_by_video(true[0] & (rank < most), video, len(videos)) for most in LIMITS.values()]),
            )
        )
    return found


def _by_video(true: Bools, video: Ints, videos: int) -> Floats:
    """(V, T): how many detections (T, D) are true in each video."""
    places = video + videos * np.arange(len(true))[:, None]
    counts = np.bincount(places[true], minlength=len(true) * videos).astype(np.float64)
    return np.ascontiguousarray(counts.reshape(len(true), videos).T)


def _precision(
    category: _Category, a: int, weights: Floats, positives: Floats, known: dict[tuple[bytes, ...], Floats]
) -> Floats:
    """(S, T): precision, made to fall, at 101 recalls, and their mean.

    ``known`` keeps what was computed for the category: most thresholds and ranges sort its detections alike.
    """
    kept = category.rank < _MOST
    video = category.video[kept]
    found = np.zeros((len(weights), THRESHOLDS))
    share = share_compiled if fill_parts.is_compiled else share_plainly
    if not len(video):
        return found
    for t in range(THRESHOLDS):
        alike = (category.true[a, t].tobytes(), category.false[a, t].tobytes(), category.truths[a].tobytes())
        if alike in known:
            found[:, t] = known[alike]
            continue
        parts = share(weights, video, category.true[a, t, kept], category.false[a, t, kept], positives)
        found[:, t] = parts.sum(axis=1) / len(_RECALLS)
        known[alike] = found[:, t]
    return found


def share_plainly(weights: Floats, video: Ints, true: Bools, false: Bools, positives: Floats) -> Floats:
    """(S, D): the part of each detection in a draw's precision: what has fallen to it, for each recall it reaches."""
    counts = np.take(weights, video, axis=1)
    found, wrong = np.cumsum(counts * true, axis=1), np.cumsum(counts * false, axis=1)
    falling = found / (wrong + found + np.spacing(1))
    falling = np.maximum.accumulate(falling[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(_RECALLS, found / positives[:, None], side="right")
    return falling * np.diff(reached, axis=1, prepend=0)  # type: ignore[no-any-return]


def share_compiled(weights: Floats, video: Ints, true: Bools, false: Bools, positives: Floats) -> Floats:
    """The same to the bit by machine code, in one pass there and one back."""
    parts, room = np.zeros((len(weights), len(video))), np.empty(len(video))
    flags = (np.ascontiguousarray(each).view(np.uint8) for each in (true, false))
    sizes = *weights.shape, len(video), len(_RECALLS)
    fill_parts(weights, video, *flags, positives, _RECALLS, float(np.spacing(1)), *sizes, room, parts)
    return parts


def _recall(hits: Floats, weights: Floats, positives: Floats) -> Floats:
    """(S,): the share of truths that were found, mean over thresholds; ``hits`` (V, T) counts them by video."""
    found: Floats = (weights @ hits) / positives[:, None]
    return found.mean(axis=1)  # type: ignore[no-any-return]


def _mean_known(values: Floats) -> Floats:
    """(S,): the mean over categories that have a truth; NaN where none has."""
    known = ~np.isnan(values)
    counts = known.sum(axis=1)
    sums = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


def _count_draws(samples: int, videos: int, seed: int) -> Floats:
    """(S, V): how often each video was drawn, of the draws of ``clustered_interval``."""
    places = draw_videos(samples, videos, seed) + np.arange(samples)[:, None] * videos
    counts = np.bincount(places.ravel(), minlength=samples * videos)
    return counts.reshape(samples, videos).astype(np.float64)


def _interval(value: float | None, drawn: Floats) -> Interval:
    known = drawn[~np.isnan(drawn)]
    if value is None or not len(known):
        return Interval(value=value)
    low, high = tails_of(known)
    return Interval(value=value, low=low, high=high)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
