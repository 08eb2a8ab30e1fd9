"""All pairs of a board: who leads whom beyond doubt, what could have been seen, and what is left of many questions."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from harness.api.dataclass import dataclass
from harness.ranking.significance import (
    FEWEST,
    LEVEL,
    Shares,
    Significance,
    adjust_by_holm,
    flip_signs,
    quantile,
)

MOST_HELD = 50
"""Runs on a board whose pairs are also held together by Holm's rule; 1,225 pairs."""
_MOST_EXACT = 24
"""Videos whose sign flips are all counted for a board; of more, 9,999 are drawn."""

Judge = Callable[[int, int], Significance | None]
"""What the videos say about the second of two runs against the first, by their places."""


@dataclass(frozen=True)
class Pairs:
    """What the videos say about every pair of a board.

    ``leads`` (N, N): whether run i is shown to be better than run j > i, asked alone: its t interval is above zero and
    the sign flips have p of at most .05. ``shown`` counts these among ``count`` pairs, ``shown_together`` those that
    are left when all pairs are asked at once (Holm); None where there are too many. ``detectable`` is the median over
    pairs of the smallest detectable difference, None without a pair.
    """

    leads: npt.NDArray[np.bool_] = field(compare=False)
    count: int = 0
    videos: int = 0
    shown: int = 0
    shown_together: int | None = None
    detectable: float | None = None

    def describe(self, column: str) -> str:
        """What so many videos can tell at all, and how many pairs they do tell apart; empty without a pair."""
        if not self.count or self.detectable is None:
            return ""
        if self.videos < FEWEST:
            return (
                f"{self.videos} videos are too few to show a difference: were one method ahead on all of them, chance "
                f"alone would do as much in {200 / 2**self.videos:.3g} of 100 cases ({FEWEST} videos are the fewest)."
            )
        noun = "pair" if self.count == 1 else "pairs"
        together = "" if self.shown_together is None else f", {self.shown_together} when all are asked at once (Holm)"
        return (
            f"What {self.videos} videos can tell: a true difference of {100 * self.detectable:.1f} points {column} "
            f"between two rows like these would be seen in 80 of 100 cases (median of {self.count} {noun}). Shown to "
            f"differ: {self.shown} of {self.count} {noun}, each asked alone at 5 %{together}."
        )


def compare_all(runs: Sequence[Shares | None], judge: Judge) -> Pairs:
    """Compare each run with every later one; ``judge`` is asked about pairs whose figures are not of the same videos.

    None, a run without shares, leads nobody.
    """
    leads = np.zeros((len(runs), len(runs)), np.bool_)
    ps: dict[tuple[int, int], float] = {}
    detectable: list[float] = []
    is_held = len(runs) <= MOST_HELD
    for pair in combinations(range(len(runs)), 2):
        better, worse = (runs[place] for place in pair)
        if better is None or worse is None:
            continue
        if better.videos != worse.videos:
            found = judge(pair[1], pair[0])
            if found is not None and found.p is not None and found.low is not None and found.detectable is not None:
                leads[pair], ps[pair] = found.is_shown and found.low > 0, found.p
                detectable.append(found.detectable)
            continue
        residuals, count = better.residuals - worse.residuals, len(better.videos)
        if count < 2:
            continue
        error = float(np.sqrt(residuals @ residuals / (count - 1) / count))
        low = better.value - worse.value - _reach(count) * error
        detectable.append((_reach(count) + quantile(0.8, count)) * error)
        shares = better.shares - worse.shares
        if is_held:
            ps[pair] = flip_signs(shares, most_exact=_MOST_EXACT).p
        leads[pair] = low > 0 and count >= FEWEST and (ps[pair] if is_held else _p_where_it_matters(shares)) <= LEVEL
    return Pairs(
        leads=leads,
        count=len(detectable),
        videos=max((len(run.videos) for run in runs if run is not None), default=0),
        shown=int(leads.sum()),
        shown_together=_count_together(leads, ps) if is_held else None,
        detectable=statistics.median(detectable) if detectable else None,
    )


def _reach(count: int) -> float:
    return quantile(0.975, count)


def _p_where_it_matters(shares: npt.NDArray[np.float64]) -> float:
    """The p-value of the sign flips, or a bound that is as small as matters (Hoeffding 1963), which costs nothing."""
    bound = 2 * float(np.exp(-(shares.sum() ** 2) / (2 * (shares @ shares))))
    return bound if bound <= LEVEL else flip_signs(shares, most_exact=_MOST_EXACT).p


def _count_together(leads: npt.NDArray[np.bool_], ps: dict[tuple[int, int], float]) -> int:
    pairs = list(ps)
    adjusted = adjust_by_holm([ps[pair] for pair in pairs])
    return sum(bool(leads[pair]) and p <= LEVEL for pair, p in zip(pairs, adjusted, strict=True))
