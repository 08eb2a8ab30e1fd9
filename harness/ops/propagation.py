"""Label propagation from reference frames to a target frame by softmaxed affinity, without the affinity matrix.

The target's pixel i takes sum_j P_ij w_ij y_j over all pixels j of all references, where P is the softmax of <f_i, f_j>
over all j, and w a Gaussian of the distance of i and j on the image. w comes after the softmax and is not renormalised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from harness.api.dataclass import dataclass
from harness.ops.onednn import can_use, multiply

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
# alone, which all classes share. It is held at e^LEAST or above, so every pixel keeps its decision. That is the very
# end of what single precision holds: up-sampling mixes scores of neighbours, and one lifted further outweighs others.
# The Triton kernel does just this. On a CPU a second exponential costs a
# fifth of the time: there all pixels first take e^-b as a factor, which is exact but for an error that is known
# (`Limits`), and the few whose scores are not far above that error have their label sums done again with the peak s_i,
# over the tiles of keys that can matter: s_i is bounded by the highest logits of the tiles, which are kept.
LEAST = -100.0
"""In single precision; e^-103 is the least number there is, and below e^-87 numbers lose digits."""
SURE = 1e5
"""Scores are kept where the best of a pixel is so many times the error of what was left out: then the rounding of its
logits is larger."""
NEGLIGIBLE = 20.0
"""Tiles whose keys together weigh less than e^-20 of the heaviest key are left out of what is done again."""
LOG2E = math.log2(math.e)


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
    """Propagate tile by tile with running maxima (as in online softmax); extra memory is about one tile.

    ``slots`` picks the references out of ``keys`` and ``labels``, each with its own of ``sigmas``. The arithmetic is
    in the dtype of ``labels``, whatever the features are stored in.
    """
    places = places_of(slots, len(keys))
    apart = offsets(sigmas, max(size), like=labels)[: len(places)]
    work = _Work(query, keys, labels, places, apart, size, temperature)
    limits = Limits.of(labels.dtype, len(places) * len(query))
    every = torch.arange(len(query), device=query.device)
    is_cpu_of_halves = query.dtype == keys.dtype == torch.bfloat16 and query.device.type == "cpu"
    sum_up = work.all_keys_in_halves if is_cpu_of_halves and can_use(torch.bfloat16) else work.all_keys
    tiles = [sum_up(cells, limits) for cells in every.split(TILES[labels.device.type][0])]
    scores = torch.cat([tile.scores() for tile in tiles])
    for cells, tile in zip(every.split(len(tiles[0].peak)), tiles, strict=True):
        doubtful = (scores[cells].amax(1) < SURE * limits.error).nonzero()[:, 0]
        if len(doubtful):
            scores[cells[doubtful]] = work.again(cells[doubtful], tile.only(doubtful))
    return scores.t()


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

    def key_tiles(self) -> list[tuple[int, slice]]:
        """Reference and image rows of each tile of keys."""
        height, width = self.size
        rows = max(1, TILES[self.labels.device.type][1] // width)
        tops = range(0, height, rows)
        return [(r, slice(top, min(top + rows, height))) for r in range(len(self.places)) for top in tops]

    def key_rows(self, reference: int, lines: slice) -> Float[Tensor, "keys C"]:
        """The features of some rows."""
        return self.keys[self.places[reference], lines.start * self.size[1] : lines.stop * self.size[1]]

    def logits(self, query: Tensor, reference: int, lines: slice) -> Float[Tensor, "M keys"]:
        """Products with the keys of some rows."""
        return multiply(query, self.key_rows(reference, lines).to(self.labels.dtype))

    def label_rows(self, reference: int, lines: slice) -> Float[Tensor, "keys K"]:
        """The labels of some rows."""
        pixels = slice(lines.start * self.size[1], lines.stop * self.size[1])
        return self.labels[self.places[reference], :, pixels].t()

    def queries(self, cells: Int[Tensor, " M"]) -> Float[Tensor, "M C"]:
        """The pixels' features times the temperature."""
        return self.query[cells].to(self.labels.dtype) * self.temperature

    def apart(self, table: Float[Tensor, "R length"], cells: Int[Tensor, " M"], *, rows: bool) -> Tensor:
        """``table`` by the distance of the pixels to every row (R, M, H), or to every column (R, M, W)."""
        width = self.size[1]
        place = cells // width if rows else cells % width
        every = torch.arange(self.size[0] if rows else width, device=cells.device)
        return table[:, (place[:, None] - every).abs()]

    def all_keys(self, cells: Int[Tensor, " M"], limits: Limits) -> _Sums:
        """Normaliser and label sums of these pixels over all keys, the prior as a factor between ``limits``."""
        query = self.queries(cells)
        return self.add_up(cells, limits, lambda reference, lines: self.logits(query, reference, lines))

    def all_keys_in_halves(self, cells: Int[Tensor, " M"], limits: Limits) -> _Sums:
        """The same with products in bf16, summed in fp32.

        Only differences of a pixel's logits count, and bf16 has 8 bits: logits near 90 would be good to .25. So its
        highest one in the last reference is taken off inside the product, before that is rounded.
        """
        query = self.queries(cells).to(self.query.dtype)
        last = [
            self.key_rows(reference, lines)
            for reference, lines in self.key_tiles()
            if reference == len(self.places) - 1
        ]
        highest = torch.stack([multiply(query, keys).amax(1) for keys in last]).amax(0)[:, None]

        def logits(reference: int, lines: slice) -> Tensor:
            return torch.addmm(-highest, query, self.key_rows(reference, lines).t()).to(self.labels.dtype)

        sums = self.add_up(cells, limits, logits)
        sums.raise_by(highest.to(self.labels.dtype))
        return sums

    def add_up(self, cells: Int[Tensor, " M"], limits: Limits, logits: Callable[[int, slice], Tensor]) -> _Sums:
        """The sums over all keys, whose logits are given by reference and image rows."""
        factors = self.offsets.neg().exp_()
        factors = torch.where(factors < limits.negligible, 0.0, factors)
        by_row = self.apart(factors * 2.0**limits.lift, cells, rows=True)
        by_column = self.apart(factors, cells, rows=False)
        sums = _Sums.none(len(cells), self.labels, limits)
        for reference, lines in self.key_tiles():
            apart = by_row[reference, :, lines], by_column[reference]
            sums.fold(logits(reference, lines), *apart, self.label_rows(reference, lines))
        return sums

    def again(self, cells: Int[Tensor, " M"], first: _Sums) -> Float[Tensor, "M K"]:
        """Scores of these pixels with the prior in the exponent; ``first``: their sums over all keys."""
        query = self.queries(cells)
        by_row = self.apart(self.offsets, cells, rows=True)
        by_column = self.apart(self.offsets, cells, rows=False)
        lowest = 0.95 * math.log(torch.finfo(self.labels.dtype).tiny)
        peak = query.new_full((len(cells), 1), -torch.inf)
        sums = query.new_zeros(len(cells), self.labels.shape[1])
        for needed, (reference, lines) in zip(self.choose(by_row, by_column, first), self.key_tiles(), strict=True):
            some = needed.nonzero()[:, 0]
            if not len(some):
                continue
            logits = self.logits(query[some], reference, lines)
            planes = logits.view(len(some), -1, self.size[1])
            planes.sub_(by_row[reference, some, lines, None]).sub_(by_column[reference, some, None, :])
            higher = torch.maximum(peak[some], logits.amax(1, keepdim=True))
            weights = logits.sub_(higher).clamp_(min=lowest).exp_()
            shrink = (peak[some] - higher).exp_()
            sums[some] = sums[some].mul_(shrink).addmm_(weights, self.label_rows(reference, lines))
            peak[some] = higher
        half = (0.5 * (peak - first.peak).clamp_(min=least_exponent(self.labels.dtype))).exp_()
        return half * (half * sums / first.total)  # e^LEAST itself is no normal number

    def choose(self, by_row: Tensor, by_column: Tensor, first: _Sums) -> list[Bool[Tensor, " M"]]:
        """For each tile of keys, which pixels it can matter for: by its highest logit and the distances it spans."""
        upper, lower = [], []
        for highest, (reference, lines) in zip(first.highest, self.key_tiles(), strict=True):
            rows = by_row[reference, :, lines]
            upper.append(highest - rows.amin(1))  # the pixel's own column is among the keys
            lower.append(highest - rows.amax(1) - by_column[reference].amax(1))
        weight = torch.stack(lower).amax(0) - NEGLIGIBLE - math.log(len(self.places) * math.prod(self.size))
        return [most >= weight for most in upper]


def least_exponent(dtype: torch.dtype) -> float:
    """`LEAST`, and as near the end of other precisions."""
    numbers = torch.finfo(dtype)
    return LEAST if dtype == torch.float32 else math.log(numbers.tiny) + 0.8 * math.log(numbers.eps)


@dataclass(frozen=True)
class Limits:
    """What taking the prior as a factor leaves out, so that no product on its way is subnormal.

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


@dataclass
class _Sums:
    """Normaliser and lifted label sums of some pixels over the keys seen so far, relative to their highest logit."""

    peak: Float[Tensor, "M 1"]
    total: Float[Tensor, "M 1"]
    sums: Float[Tensor, "M K"]
    highest: list[Float[Tensor, " M"]]
    """The highest logit of each tile of keys."""
    limits: Limits

    @classmethod
    def none(cls, count: int, like: Float[Tensor, "S K N"], limits: Limits) -> _Sums:
        """Before the first key."""
        peak = like.new_full((count, 1), -torch.inf)
        return cls(peak, like.new_zeros(count, 1), like.new_zeros(count, like.shape[1]), [], limits)

    def fold(
        self,
        logits: Float[Tensor, "M keys"],
        by_row: Float[Tensor, "M rows"],
        by_column: Float[Tensor, "M columns"],
        labels: Float[Tensor, "keys K"],
    ) -> None:
        """Take in the keys of whole image rows; ``logits`` is overwritten.

        Weights are powers of 2: PyTorch takes exp() on a CPU from MKL, where it costs four times its own exp2().
        """
        highest = logits.amax(1, keepdim=True)
        self.highest.append(highest[:, 0])
        higher = torch.maximum(self.peak, highest)
        shrink = ((self.peak - higher) * LOG2E).exp2_()
        self.peak = higher
        weights = logits.sub_(higher).clamp_(min=self.limits.floor).mul_(LOG2E).exp2_()
        self.total.mul_(shrink).add_(weights.sum(1, keepdim=True))  # the prior is not in it
        planes = weights.view(len(logits), by_row.shape[1], by_column.shape[1])
        planes.mul_(by_row[:, :, None]).mul_(by_column[:, None, :])
        self.sums.mul_(shrink).addmm_(weights, labels)

    def raise_by(self, logits: Float[Tensor, "M 1"]) -> None:
        """Add what was taken off the logits of each pixel."""
        self.peak = self.peak + logits
        self.highest = [each + logits[:, 0] for each in self.highest]

    def scores(self) -> Float[Tensor, "M K"]:
        """Label sums over the normaliser."""
        return self.sums / self.total * 2.0**-self.limits.lift

    def only(self, some: Int[Tensor, " L"]) -> _Sums:
        """Those of some of the pixels."""
        highest = [each[some] for each in self.highest]
        return _Sums(self.peak[some], self.total[some], self.sums[some], highest, self.limits)
