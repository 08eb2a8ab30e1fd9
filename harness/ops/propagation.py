"""Label propagation from reference frames to a target frame by softmaxed affinity, without the affinity matrix.

The target's pixel i takes sum_j P_ij w_ij y_j over all pixels j of all references, where P is the softmax of <f_i, f_j>
over all j, and w a Gaussian of the distance of i and j on the image. w comes after the softmax and is not renormalised.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

Slots = Sequence[int] | Int[Tensor, " R"]
Sigmas = Sequence[float] | Float[Tensor, " R"]
"""As numbers, or as tensors on the device: then a CUDA graph of the propagation can be replayed with others."""

TILES = {"cpu": (512, 1024), "cuda": (4096, 8192)}
"""Queries and keys of one tile. CPU: 2 MiB stay in the second-level cache; README of harness_tvos has the timing."""

# exp() of far logits gives subnormal numbers, which slow x86 down some ten times, in exp and in every product after it.
# So logits are lifted by 2^60 (which cancels, since numerator and normaliser carry it), floored at e^-14 after that,
# and prior factors below 1e-15 become 0: no product is below 1e-6 * 1e-15 * 1e-15, and no score changes by 1e-14.
LIFT = 41.5888  # ln 2^60
FLOOR = -14.0
NEGLIGIBLE = 1e-15


def spatial_tables(sigmas: Sigmas, length: int, *, like: Float[Tensor, "..."]) -> Float[Tensor, "R {length}"]:
    """exp(-d^2 / sigma^2) for distances d of 0..length-1, one row a reference; values below 1e-15 are 0.

    The Gaussian is separable: w_ij = table[|y_i - y_j|] * table[|x_i - x_j|].
    """
    distance = torch.arange(length, dtype=torch.float64, device=like.device)
    scale = on_device(sigmas, torch.float64, like.device)
    table = torch.exp(-((distance / scale[:, None]) ** 2))
    return torch.where(table < NEGLIGIBLE, 0.0, table).to(like.dtype)


def on_device(numbers: Slots | Sigmas, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The numbers as a tensor; on their way to a GPU they do not wait for it."""
    if isinstance(numbers, Tensor):
        return numbers.to(device=device, dtype=dtype)
    made = torch.tensor(numbers, dtype=dtype)
    return made.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else made


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
    """Propagate tile by tile with a running maximum (as in online softmax); extra memory is one tile.

    ``slots`` picks the references out of ``keys`` and ``labels``, each with its own of ``sigmas``. The arithmetic is
    in the dtype of ``labels``, whatever the features are stored in.
    """
    height, width = size
    queries, key_pixels = TILES[labels.device.type]
    rows = max(1, key_pixels // width)
    places = slots.tolist() if isinstance(slots, Tensor) else slots
    tables = spatial_tables(sigmas, max(height, width), like=labels)
    scratch = labels.new_empty(min(queries, len(query)) * min(rows, height) * width)
    scores = []
    for start in range(0, height * width, queries):
        tile_query = query[start : start + queries].to(labels.dtype) * temperature
        running = _RunningSums(len(tile_query), like=labels)
        prior_y, prior_x = _prior_factors(tables, start, len(tile_query), size)
        for reference, slot in enumerate(places):
            for top in range(0, height, rows):
                lines = slice(top, min(top + rows, height))
                pixels = slice(lines.start * width, lines.stop * width)
                tile = scratch[: len(tile_query) * (pixels.stop - pixels.start)].view(len(tile_query), -1)
                torch.mm(tile_query, keys[slot, pixels].to(labels.dtype).t(), out=tile)
                running.fold(tile, prior_y[reference, :, lines], prior_x[reference], labels[slot, :, pixels])
        scores.append(running.sums / running.total)
    return torch.cat(scores).t()


def _prior_factors(
    tables: Float[Tensor, "R length"], start: int, count: int, size: tuple[int, int]
) -> tuple[Float[Tensor, "R {count} {size[0]}"], Float[Tensor, "R {count} {size[1]}"]]:
    """What w is made of, for ``count`` query pixels from ``start`` on: a factor for each key row and key column."""
    height, width = size
    query = torch.arange(start, start + count, device=tables.device)
    y = torch.arange(height, device=tables.device)
    x = torch.arange(width, device=tables.device)
    return tables[:, (query[:, None] // width - y).abs()], tables[:, (query[:, None] % width - x).abs()]


class _RunningSums:
    """Normaliser and label sums of some query pixels over the keys seen so far, relative to their highest logit."""

    def __init__(self, count: int, *, like: Float[Tensor, "S K N"]) -> None:
        self.peak = like.new_full((count, 1), -torch.inf)
        self.total = like.new_zeros(count, 1)
        self.sums = like.new_zeros(count, like.shape[1])

    def fold(
        self,
        logits: Float[Tensor, "Q M"],
        prior_y: Float[Tensor, "Q rows"],
        prior_x: Float[Tensor, "Q columns"],
        labels: Float[Tensor, "K M"],
    ) -> None:
        """Take in the keys of whole image rows; ``logits`` is overwritten."""
        higher = torch.maximum(self.peak, logits.amax(1, keepdim=True))
        shrink = (self.peak - higher).exp_()
        self.peak = higher
        weights = logits.sub_(higher - LIFT).clamp_(min=FLOOR).exp_()
        self.total.mul_(shrink).add_(weights.sum(1, keepdim=True))  # the prior is not in it
        by_row = weights.view(len(logits), prior_y.shape[1], prior_x.shape[1])
        by_row.mul_(prior_y[:, :, None]).mul_(prior_x[:, None, :])
        self.sums.mul_(shrink).addmm_(weights, labels.t())
