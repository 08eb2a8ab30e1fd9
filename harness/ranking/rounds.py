"""Base and head measured in turns, round by round on each video: the ratio of both, and how sure it is.

Two levels, as the figures have them: videos are drawn with replacement, and of each drawn one its rounds. A load that
comes and goes meets both sides of a round alike, and what it does to single rounds is in the interval.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from harness.api.dataclass import dataclass
from harness.ranking.intervals import SAMPLES, SEED

Rounds = Mapping[str, Sequence[float]]
"""Video -> one value a round, in the order of the rounds; all more than 0."""
_TAILS = (0.025, 0.975)
_FEWEST_PROCESSES = 3
FEWEST_ROUNDS = 3
"""Of a video with two rounds head is the slower side of both in a quarter of all matches of equal code, by chance."""


@dataclass(frozen=True)
class Ratio:
    """head / base with its 95 % interval: above 1 head takes more, ``longer_by_ms``; of so many rounds a video."""

    value: float
    low: float
    high: float
    longer_by_ms: float
    rounds: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 1."""
        return self.low > 1 or self.high < 1


@dataclass(frozen=True)
class Peaks:
    """The most memory each side took, one value a fresh process."""

    base: tuple[float, ...]
    head: tuple[float, ...]

    @property
    def medians(self) -> tuple[float, float]:
        """Of base and of head."""
        return statistics.median(self.base), statistics.median(self.head)

    @property
    def is_clear(self) -> bool:
        """Whether no process of the one side took as little, or as much, as one of the other; False with two or less.

        Of three and three, equal code comes in such an order in one of ten matches, in half of these with head above.
        """
        if min(len(self.base), len(self.head)) < _FEWEST_PROCESSES:
            return False
        return min(self.head) > max(self.base) or max(self.head) < min(self.base)


LEAST_MS = 1e-3
"""What a clock of CPU time can tell from nothing: a method that only copies may take less."""


def ratio_of_rounds(base: Rounds, head: Rounds, *, samples: int = SAMPLES, seed: int = SEED) -> Ratio:
    """The geometric mean over videos of each video's ratio of its quicker turns, with its interval.

    Of each side and video the quicker half of the turns counts, by its mean: what else runs makes single turns much
    longer and none much shorter, so the slower half says more about the machine than about the code. An interval draws
    rounds, each with both of its turns, which lay beside each other. ValueError where the sides do not have the same
    videos with the same number of rounds.
    """
    if {video: len(rounds) for video, rounds in base.items()} != {video: len(rounds) for video, rounds in head.items()}:
        raise ValueError("a ratio of rounds needs the same videos and the same number of rounds on both sides")
    both = [np.maximum([side[video] for video in sorted(base)], LEAST_MS) for side in (base, head)]  # (V, R) each
    draws = _draw(np.random.PCG64(seed), samples, *both[0].shape)
    drawn = [_log_of_quicker_half(side[draws]).mean(axis=1) for side in both]
    low, high = np.quantile(drawn[1] - drawn[0], _TAILS)
    before, after = typical_ms(base), typical_ms(head)
    low, high = (float(np.exp(end)) for end in (low, high))
    return Ratio(after / before, low, high, longer_by_ms=after - before, rounds=both[0].shape[1])


def typical_ms(rounds: Rounds) -> float:
    """One side's time as the ratio takes it: of each video the mean of its quicker turns, of these the geometric mean.

    So two of these divided by each other are the ``value`` of their ``Ratio``.
    """
    turns = np.maximum([rounds[video] for video in sorted(rounds)], LEAST_MS)  # (V, R)
    return float(np.exp(_log_of_quicker_half(turns).mean()))


def _log_of_quicker_half(turns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of turns (..., R) the log of the mean of the shorter ones: (R + 1) // 2 of them."""
    count = (turns.shape[-1] + 1) // 2
    return np.log(np.partition(turns, count - 1, axis=-1)[..., :count].mean(axis=-1))


def _draw(
    words: np.random.PCG64, samples: int, videos: int, rounds: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(samples, V, 1) videos and (samples, V, R) rounds of each, drawn with replacement; from raw words, which stay."""

    def draw(shape: tuple[int, ...], below: int) -> npt.NDArray[np.int64]:
        raw = words.random_raw(int(np.prod(shape))) >> np.uint64(32)
        return ((raw * np.uint64(below)) >> np.uint64(32)).astype(np.int64).reshape(shape)

    return draw((samples, videos, 1), videos), draw((samples, videos, rounds), rounds)
