"""Label propagation from reference frames to a target frame by softmaxed affinity, without the affinity matrix.

The target's pixel i takes sum_j P_ij w_ij y_j over all pixels j of all references, where P is the softmax of <f_i, f_j>
over all j, and w a Gaussian of the distance of i and j on the image. w comes after the softmax and is not renormalised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

Slots = Sequence[int] | Int[Tensor, " R"]
"""As a tensor, slots may end in -1s, which are no references: their number is data too."""
Sigmas = Sequence[float] | Float[Tensor, " R"]
"""As numbers, or as tensors on the device: then a CUDA graph of the propagation can be replayed with others."""

TILES = {"cpu": (512, 1024), "cuda": (4096, 8192)}
"""Queries and keys of one tile. CPU: 2 MiB stay in the second-level cache; README of harness_tvos has the timing."""

# The prior is not renormalised, so a pixel whose match lies far away has small scores (e^-233 at 122 cells, sigma 8),
# of which only the largest counts. With l_ij = <f_i, f_j>, b_ij = d_ij^2 / sigma^2, and the peaks p_i = max_j l_ij and
# s_i = max_j (l_ij - b_ij), the scores of pixel i are
#
#     e^(s_i - p_i) * sum_j e^(l_ij - b_ij - s_i) y_j / sum_j e^(l_ij - p_i)
#
# Both sums lie between 1 and the number of keys, however far the match is: what underflows is the factor before them
# alone, which all classes share. It is held at e^LEAST or above, so every pixel keeps its decision, and mixing scores
# of neighbours (up-sampling) does not notice. The Triton kernel does just this. On a CPU a second exponential costs a
# fifth of the time: there all pixels first take e^-b as a factor (`_OneExponential`), which is exact but for an error
# that is known, and the few whose scores are not far above that error are done again with two peaks (`_TwoPeaks`).
LEAST = -83.0
"""Exponents below are taken for it in single precision: e^-83 is 1e-36, and e^-87 the least number that is normal."""
SURE = 1e5
"""Scores are kept where the best of a pixel is so many times the error of what was left out: then the rounding of its
logits is larger."""


def propagate_streaming(
    query: Float[Tensor, "N C"],
    keys: Float[Tensor, "S N C"],
    labels: Float[Tensor, "S K N"],
    slots: Slots,
    sigmas: Sigmas,
    *,
    size: tuple[int, int],
    temperature: float = 1.0,
) -> Float[Tensor, "K N"]:
    """Propagate tile by tile with running maxima (as in online softmax); extra memory is one tile.

    ``slots`` picks the references out of ``keys`` and ``labels``, each with its own of ``sigmas``. The arithmetic is
    in the dtype of ``labels``, whatever the features are stored in.
    """
    places = places_of(slots, len(keys))
    work = _Work(query, keys, labels, places, offsets(sigmas, max(size), like=labels)[: len(places)], size, temperature)
    every = torch.arange(len(query), device=query.device)
    if query.is_cuda:  # where exponentials are cheap, and a look at scores would make the host wait
        return work.scores(every, _TwoPeaks)
    limits = Limits.of(labels.dtype, len(places) * len(query))
    scores = work.scores(every, lambda count, like: _OneExponential(count, like, limits))
    doubtful = (scores.amax(0) < SURE * limits.error).nonzero()[:, 0]
    if len(doubtful):
        scores[:, doubtful] = work.scores(doubtful, _TwoPeaks)
    return scores


def places_of(slots: Slots, frames: int) -> list[int]:
    """The slots as numbers, without what only fills them up; IndexError where the ring has no such frame."""
    numbers = slots.tolist() if isinstance(slots, Tensor) else list(slots)
    while isinstance(slots, Tensor) and numbers and numbers[-1] == -1:
        numbers.pop()
    if not numbers or min(numbers) < 0 or max(numbers) >= frames:
        raise IndexError(f"found slots {numbers}; expected at least one, each in 0..{frames - 1}")
    return numbers


def on_device(numbers: Slots | Sigmas, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The numbers as a tensor; on their way to a GPU they do not wait for it."""
    if isinstance(numbers, Tensor):
        return numbers.to(device=device, dtype=dtype)
    made = torch.tensor(numbers, dtype=dtype)
    return made.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else made


def offsets(sigmas: Sigmas, length: int, *, like: Float[Tensor, "..."]) -> Float[Tensor, "R {length}"]:
    """d^2 / sigma^2 for distances d of 0..length-1, one row a reference: the Gaussian's exponent without its sign.

    It is a sum over both axes: b_ij = offsets[|y_i - y_j|] + offsets[|x_i - x_j|].
    """
    distance = torch.arange(length, dtype=torch.float64, device=like.device)
    scale = on_device(sigmas, torch.float64, like.device)
    return ((distance / scale[:, None]) ** 2).to(like.dtype)


@dataclass(frozen=True)
class _Work:
    """What is propagated, for any pixels of the target."""

    query: Float[Tensor, "N C"]
    keys: Float[Tensor, "S N C"]
    labels: Float[Tensor, "S K N"]
    places: list[int]
    offsets: Float[Tensor, "R length"]
    size: tuple[int, int]
    temperature: float

    def scores(self, cells: Int[Tensor, " M"], running: Callable[[int, Tensor], _Running]) -> Float[Tensor, "K M"]:
        """The scores of these pixels, summed up tile by tile by what ``running`` makes."""
        queries, key_pixels = TILES[self.labels.device.type]
        height, width = self.size
        rows = min(max(1, key_pixels // width), height)
        scratch = self.labels.new_empty(min(queries, len(cells)) * rows * width)
        return torch.cat([self._tile(some, rows, scratch, running) for some in cells.split(queries)]).t()

    def _tile(
        self, cells: Tensor, rows: int, scratch: Tensor, running: Callable[[int, Tensor], _Running]
    ) -> Float[Tensor, "M K"]:
        height, width = self.size
        query = self.query[cells].to(self.labels.dtype) * self.temperature
        sums = running(len(cells), self.labels)
        apart_y, apart_x = self._apart(cells, sums)
        for reference, slot in enumerate(self.places):
            for top in range(0, height, rows):
                lines = slice(top, min(top + rows, height))
                pixels = slice(lines.start * width, lines.stop * width)
                logits = scratch[: len(cells) * (pixels.stop - pixels.start)].view(len(cells), -1)
                torch.mm(query, self.keys[slot, pixels].to(self.labels.dtype).t(), out=logits)
                sums.fold(logits, apart_y[reference, :, lines], apart_x[reference], self.labels[slot, :, pixels])
        return sums.scores()

    def _apart(self, cells: Tensor, sums: _Running) -> tuple[Tensor, Tensor]:
        """What the prior is made of for these pixels: (R, M, rows) and (R, M, columns)."""
        height, width = self.size
        y, x = torch.arange(height, device=cells.device), torch.arange(width, device=cells.device)
        by_row, by_column = sums.prior(self.offsets)
        return by_row[:, (cells[:, None] // width - y).abs()], by_column[:, (cells[:, None] % width - x).abs()]


class _Running(Protocol):
    """Normaliser and label sums of some pixels over the keys seen so far."""

    def prior(self, offsets: Float[Tensor, "R length"]) -> tuple[Tensor, Tensor]:
        """What ``fold`` wants to know of the prior, by distance in rows and by distance in columns."""

    def fold(
        self,
        logits: Float[Tensor, "Q M"],
        apart_y: Float[Tensor, "Q rows"],
        apart_x: Float[Tensor, "Q columns"],
        labels: Float[Tensor, "K M"],
    ) -> None:
        """Take in the keys of whole image rows; ``logits`` is overwritten."""

    def scores(self) -> Float[Tensor, "Q K"]:
        """Label sums over the normaliser."""


class _TwoPeaks:
    """Each sum relative to a peak of its own."""

    def __init__(self, count: int, like: Float[Tensor, "S K N"]) -> None:
        self.peak = like.new_full((count, 1), -torch.inf)
        self.total = like.new_zeros(count, 1)
        self.near_peak = like.new_full((count, 1), -torch.inf)
        self.sums = like.new_zeros(count, like.shape[1])
        self.least = least(like.dtype)

    def prior(self, offsets: Float[Tensor, "R length"]) -> tuple[Tensor, Tensor]:
        return offsets, offsets

    def fold(
        self,
        logits: Float[Tensor, "Q M"],
        apart_y: Float[Tensor, "Q rows"],
        apart_x: Float[Tensor, "Q columns"],
        labels: Float[Tensor, "K M"],
    ) -> None:
        higher = torch.maximum(self.peak, logits.amax(1, keepdim=True))
        weights = (logits - higher).clamp_(min=self.least).exp_()
        self.total.mul_((self.peak - higher).exp_()).add_(weights.sum(1, keepdim=True))  # the prior is not in it
        self.peak = higher
        by_row = logits.view(len(logits), apart_y.shape[1], apart_x.shape[1])
        by_row.sub_(apart_y[:, :, None]).sub_(apart_x[:, None, :])
        higher = torch.maximum(self.near_peak, logits.amax(1, keepdim=True))
        weights = logits.sub_(higher).clamp_(min=self.least).exp_()
        self.sums.mul_((self.near_peak - higher).exp_()).addmm_(weights, labels.t())
        self.near_peak = higher

    def scores(self) -> Float[Tensor, "Q K"]:
        return (self.near_peak - self.peak).clamp_(min=self.least).exp_() * self.sums / self.total


def least(dtype: torch.dtype) -> float:
    """`LEAST`, in other precisions what it is to their range."""
    return LEAST * math.log(torch.finfo(dtype).tiny) / math.log(torch.finfo(torch.float32).tiny)


@dataclass(frozen=True)
class Limits:
    """What `_OneExponential` leaves out, so that no product on its way is subnormal.

    exp() of far logits gives subnormal numbers, which slow x86 down some ten times, in exp and in every product after
    it. So logits are floored at ``floor`` below the peak, factors of the prior below ``negligible`` become 0, and all
    are lifted by 2^``lift``, as far as the sum over all keys allows.
    """

    floor: float
    negligible: float
    lift: int

    @classmethod
    def of(cls, dtype: torch.dtype, keys: int) -> Limits:
        """The widest for sums of so many keys: e^floor * negligible^2 * 2^lift is the least normal number.

        The prior's two factors are cut off apart; ``floor`` is such that all keys together leave out as much.
        """
        numbers = torch.finfo(dtype)
        lift = math.floor(math.log2(numbers.max) - math.log2(keys) - 1)
        negligible = (math.log(numbers.tiny) - lift * math.log(2) + math.log(keys)) / 3
        return cls(floor=negligible - math.log(keys), negligible=math.exp(negligible), lift=lift)

    @property
    def error(self) -> float:
        """How far a score can be off: what the cut prior loses and what floored logits add."""
        return 2 * self.negligible


class _OneExponential:
    """Both sums relative to the highest logit, and the prior as factors, between ``limits``."""

    def __init__(self, count: int, like: Float[Tensor, "S K N"], limits: Limits) -> None:
        self.peak = like.new_full((count, 1), -torch.inf)
        self.total = like.new_zeros(count, 1)
        self.sums = like.new_zeros(count, like.shape[1])  # lifted
        self.limits = limits

    def prior(self, offsets: Float[Tensor, "R length"]) -> tuple[Tensor, Tensor]:
        factors = offsets.neg().exp_()
        factors = torch.where(factors < self.limits.negligible, 0.0, factors)
        return factors * 2.0**self.limits.lift, factors

    def fold(
        self,
        logits: Float[Tensor, "Q M"],
        apart_y: Float[Tensor, "Q rows"],
        apart_x: Float[Tensor, "Q columns"],
        labels: Float[Tensor, "K M"],
    ) -> None:
        higher = torch.maximum(self.peak, logits.amax(1, keepdim=True))
        shrink = (self.peak - higher).exp_()
        self.peak = higher
        weights = logits.sub_(higher).clamp_(min=self.limits.floor).exp_()
        self.total.mul_(shrink).add_(weights.sum(1, keepdim=True))  # the prior is not in it
        by_row = weights.view(len(logits), apart_y.shape[1], apart_x.shape[1])
        by_row.mul_(apart_y[:, :, None]).mul_(apart_x[:, None, :])
        self.sums.mul_(shrink).addmm_(weights, labels.t())

    def scores(self) -> Float[Tensor, "Q K"]:
        return self.sums / self.total * 2.0**-self.limits.lift
