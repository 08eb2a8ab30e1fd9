"""Is a paired difference real: exact sign flips, an interval that holds with few videos, what could be seen at all.

The bootstrap of ``intervals`` is too narrow where videos are few (its coverage is in docs/leaderboard.md), so what is
said of a difference goes by the t interval of the videos' shares in it, and by an exact test beside it. All of it is
about another choice of videos of the same kind, never about another training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from harness.api.dataclass import dataclass
from harness.api.records import Average, Detections, Interval
from harness.ranking.intervals import Floats, Frames, Rows, Weighed, in_order, weigh, weigh_pair
from harness.ranking.precision import leave_each_out

Verdict = Literal["better", "worse", "no difference shown"]

LEVEL = 0.05
POWER = 0.8
FEWEST = 6
"""Videos with which the exact test can reach the level at all: 2 / 2**5 is .0625, 2 / 2**6 is .031."""
MOST_EXACT = 40
"""Videos whose sign flips are all counted, as two halves of at most 2**20 sums."""
FLIPS = 9_999
"""Drawn where videos are more."""
SEED = 0
_TIE = 1e-12
"""Sums this close, as a share of the sum of all lengths, count as equal: 40 additions cannot be further off."""


@dataclass(frozen=True)
class SignFlips:
    """The two-sided p-value of "base and head are exchangeable on every video".

    ``flips`` were looked at: all 2**videos where ``is_exact``, so many drawn with a fixed seed otherwise.
    """

    p: float
    flips: int
    is_exact: bool


@dataclass(frozen=True)
class Significance:
    """What the videos say about a paired difference, head minus base; None where fewer than two have it.

    ``low`` and ``high`` are the ends of its 95 % t interval. ``detectable`` is the smallest true difference that as
    many videos, differing as these do, would show in 80 of 100 cases (two-sided, 5 %). ``equal_within`` is the smallest
    margin within which the two are shown to be equal: the interval lies inside it on both sides (two one-sided tests,
    each at 2.5 %).
    """

    videos: int
    low: float | None = None
    high: float | None = None
    p: float | None = None
    flips: int = 0
    is_exact: bool = False
    detectable: float | None = None
    equal_within: float | None = None

    @property
    def is_shown(self) -> bool:
        """Whether there is a difference by both: the interval leaves out zero, and the sign flips have p <= .05."""
        clear = self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)
        return clear and self.p is not None and self.p <= LEVEL

    def judge(self, *, higher_is_better: bool) -> Verdict:
        """Of head, in words."""
        if not self.is_shown or self.low is None:
            return "no difference shown"
        return "better" if (self.low > 0) == higher_is_better else "worse"


@dataclass(frozen=True)
class Shares:
    """A run's figure, and what each of its videos has to do with it.

    ``shares`` have the figure as their mean; ``residuals`` have mean 0 and say how far each video pulls it away.
    """

    videos: tuple[str, ...]
    value: float
    shares: Floats
    residuals: Floats

    @classmethod
    def of_rows(cls, rows: Rows, *, average: Average, frames: Frames | None = None) -> Shares | None:
        """Of a mean over the figures of objects; None where none is defined."""
        weighed = weigh(rows, average, frames)
        return cls._of(tuple(sorted(weighed)), in_order(weighed)) if weighed else None

    @classmethod
    def of_detections(cls, detections: Mapping[str, Detections], column: str) -> Shares | None:
        """Of a figure of average precision; None where it is undefined, or would be without one of the videos."""
        value, shares = leave_each_out(list(detections.values()), column)
        if not (math.isfinite(value) and np.isfinite(shares).all()):
            return None
        return cls(tuple(detections), value, shares, shares - value)

    @classmethod
    def _of(cls, videos: tuple[str, ...], weighed: Weighed) -> Shares:
        sums, weights = weighed
        value = float(sums.sum() / weights.sum())
        scale = len(sums) / weights.sum()
        return cls(videos, value, scale * sums, scale * (sums - value * weights))

    def interval(self) -> Interval:
        """The figure with its 95 % t interval over videos; none with fewer than two."""
        error = _error(self.residuals)
        if error is None:
            return Interval(value=self.value)
        reach = quantile(0.975, len(self.residuals)) * error
        return Interval(value=self.value, low=self.value - reach, high=self.value + reach)

    def judge(self, head: Shares) -> Significance:
        """What the videos say about head minus this; ValueError where the videos differ."""
        if self.videos != head.videos:
            raise ValueError(f"shares of other videos: {len(self.videos)} and {len(head.videos)}")
        return judge_shares(head.value - self.value, head.shares - self.shares, head.residuals - self.residuals)


def assess(base: Rows, head: Rows, *, average: Average, frames: tuple[Frames, Frames] | None = None) -> Significance:
    """What the videos that both have say about head minus base; arguments as of ``paired_difference``."""
    before, after = weigh_pair(base, head, average=average, frames=frames)
    if not len(before[0]):
        return Significance(videos=0)
    names = tuple(str(place) for place in range(len(before[0])))
    return Shares._of(names, before).judge(Shares._of(names, after))


def judge_shares(value: float, shares: Floats, residuals: Floats) -> Significance:
    """The same from each video's share in the difference, whose mean is ``value``, and from how far it strays.

    ``residuals`` have mean 0; of a plain mean they are shares less value. ValueError for what is no number.
    """
    if not (math.isfinite(value) and np.isfinite(shares).all() and np.isfinite(residuals).all()):
        raise ValueError("a difference of what is no number; leave such videos out")
    flips, count, error = flip_signs(shares), len(residuals), _error(residuals)
    if error is None:
        return Significance(videos=count, p=flips.p, flips=flips.flips, is_exact=flips.is_exact)
    reach = quantile(0.975, count) * error
    low, high = value - reach, value + reach
    return Significance(
        videos=count,
        low=low,
        high=high,
        p=flips.p,
        flips=flips.flips,
        is_exact=flips.is_exact,
        detectable=(quantile(0.975, count) + quantile(POWER, count)) * error,
        equal_within=max(abs(low), abs(high)),
    )


def flip_signs(shares: Floats, *, most_exact: int = MOST_EXACT, draws: int = FLIPS, seed: int = SEED) -> SignFlips:
    """The share of sign flips whose sum is at least as far from zero as that of ``shares`` (Fisher 1935, ch. 21).

    All flips are counted, those of each half of the videos summed, sorted and matched, where at most ``most_exact``
    shares are not zero; of more, ``draws`` are drawn from PCG64's raw words and the one at hand counts as one of them.
    """
    moved = shares[shares != 0]
    least = abs(float(moved.sum())) - _TIE * float(np.abs(moved).sum())
    if len(moved) <= most_exact:
        if least <= 0:
            return SignFlips(1.0, 2 ** len(shares), is_exact=True)
        first, second = (_sum_flips(half) for half in np.array_split(moved, 2))
        second.sort()
        above = first.size * second.size - int(np.searchsorted(second, least - first, side="left").sum())
        return SignFlips(2 * above / 2 ** len(moved), 2 ** len(shares), is_exact=True)
    sums = _draw_signs(draws, len(moved), seed) @ moved
    return SignFlips((1 + int((np.abs(sums) >= least).sum())) / (1 + draws), draws, is_exact=False)


def adjust_by_holm(ps: Sequence[float]) -> list[float]:
    """p-values that hold for all questions of a set at once, in the order given (Holm 1979)."""
    order = sorted(range(len(ps)), key=lambda place: ps[place])
    adjusted, highest = [1.0] * len(ps), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = highest
    return adjusted


def quantile(share: float, count: int) -> float:
    """The quantile of Student's t for a mean of ``count`` videos, to twelve digits: later ones differ between CPUs."""
    from scipy.special import stdtrit  # 0.1 s that no other command should wait for

    return float(f"{stdtrit(count - 1, share):.12g}")


def _error(residuals: Floats) -> float | None:
    """The standard error of a mean of as many videos; None with fewer than two."""
    count = len(residuals)
    return math.sqrt(float(residuals @ residuals) / (count - 1) / count) if count > 1 else None


@lru_cache(maxsize=4)
def _draw_signs(draws: int, videos: int, seed: int) -> Floats:
    """(draws, videos) of 1 and -1, by PCG64's raw words as in ``draw_videos``."""
    words = np.random.PCG64(seed).random_raw(draws * videos) >> np.uint64(63)
    signs: Floats = np.where(words.reshape(draws, videos) == 0, 1.0, -1.0)
    signs.flags.writeable = False
    return signs


def _sum_flips(shares: Floats) -> Floats:
    sums = np.zeros(1)
    for share in shares:
        sums = np.concatenate([sums - share, sums + share])
    return sums
