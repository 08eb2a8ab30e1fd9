"""Local attention without written-out windows, in PyTorch operations: tile by tile of query pixels.

Same sums as ``local_attention_plain``. A tile of queries needs the keys around the tile once: one matrix product gives
all logits, those outside a query's own window are dropped. Where windows are centred on offsets, the fraction of the
offset is shared by the whole window: (2r + 2)^2 products with whole pixels, interpolated, give all (2r + 1)^2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from harness.ops.local_attention_plain import Offsets, first_pixels, pixels

TILE = (12, 22)
"""Rows and columns of queries; with radius 12 it needs 36 x 46 keys (1.7 MB of logits in fp32)."""


def attend_tiled(
    query: Float[Tensor, "h w C"],
    keys: Float[Tensor, "S h w C"],
    values: Float[Tensor, "S K h w"],
    slots: Sequence[int],
    *,
    offsets: Offsets | None = None,
    value_offsets: Offsets | None = None,
    radius: int = 12,
    temperature: float = 1.0,
) -> Float[Tensor, "K h w"]:
    """Attend one reference after the other, tile by tile, with running maxima; in the dtype of ``values``."""
    height, width = query.shape[:2]
    offsets = [None] * len(slots) if offsets is None else offsets
    value_offsets = offsets if value_offsets is None else value_offsets
    tiles = [
        (rows, columns, _Running((rows.stop - rows.start) * (columns.stop - columns.start), values))
        for rows, columns in _tiles(height, width)
    ]
    for slot, offset, value_offset in zip(slots, offsets, value_offsets, strict=True):
        key = _pad(keys[slot].to(values.dtype), radius)
        value = _pad(values[slot].permute(1, 2, 0), radius)
        for rows, columns, running in tiles:
            tile = query[rows, columns].to(values.dtype) * temperature
            if offset is None and value_offset is None:
                running.fold(*_around(tile, key, value, rows, columns, radius))
            else:
                centre = _centres(offset, rows, columns, like=values)
                value_centre = _centres(value_offset, rows, columns, like=values)
                running.fold(*_elsewhere(tile, key, value, centre, value_centre, radius))
    attended = values.new_empty(values.shape[1], height, width)
    for rows, columns, running in tiles:
        found = running.sums / running.total
        attended[:, rows, columns] = found.t().view(-1, rows.stop - rows.start, columns.stop - columns.start)
    return attended


def coarse_offsets_tiled(
    query: Float[Tensor, "h w C"],
    key: Float[Tensor, "h w C"],
    *,
    dilation: int,
    radius: int = 12,
    temperature: float = 1.0,
) -> Float[Tensor, "h w 2"]:
    """Expected (dy, dx), at least fp32: dense attention on each phase of the grid, with key positions as values."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    query, key = query.to(dtype), key.to(dtype)
    offsets = query.new_empty(*query.shape[:2], 2)
    for top in range(min(dilation, query.shape[0])):
        for left in range(min(dilation, query.shape[1])):
            phase = query[top::dilation, left::dilation]
            height, width = phase.shape[:2]
            frame = _pad(key[top::dilation, left::dilation], radius)
            margin = frame.shape[0] - height
            place = pixels(height + margin, width + margin, like=query) - margin // 2
            found = torch.empty_like(place[:height, :width])
            for rows, columns in _tiles(height, width):
                tile = phase[rows, columns] * temperature
                running = _Running(tile.shape[0] * tile.shape[1], place.permute(2, 0, 1)[None])
                running.fold(*_around(tile, frame, place, rows, columns, radius))
                found[rows, columns] = (running.sums / running.total).view(*tile.shape[:2], 2)
            offsets[top::dilation, left::dilation] = (found - pixels(height, width, like=query)) * dilation
    return offsets


def _tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, height, TILE[0]):
        for left in range(0, width, TILE[1]):
            yield slice(top, min(top + TILE[0], height)), slice(left, min(left + TILE[1], width))


def _pad(frame: Float[Tensor, "h w C"], radius: int) -> Float[Tensor, "H W C"]:
    """With zeros around, so wide that a window of (2r + 2)^2 pixels wholly outside still lies in it."""
    margin = 2 * radius + 2
    return functional.pad(frame, (0, 0, margin, margin, margin, margin))


def _centres(
    offset: Float[Tensor, "h w 2"] | None, rows: slice, columns: slice, *, like: Float[Tensor, "..."]
) -> Float[Tensor, "Q 2"]:
    """Where the windows of a tile are centred."""
    place = pixels(rows.stop, columns.stop, like=like)[rows.start :, columns.start :]
    return (place if offset is None else place + offset[rows, columns].to(like.dtype)).flatten(0, 1)


def _around(
    tile: Float[Tensor, "y x C"],
    key: Float[Tensor, "H W C"],
    value: Float[Tensor, "H W K"],
    rows: slice,
    columns: slice,
    radius: int,
) -> tuple[Float[Tensor, "Q M"], Float[Tensor, "M K"]]:
    """Logits and values of the region around a tile; -inf where a key is in no window of the query's."""
    reach = radius + 2  # the margin is 2r + 2, the window begins r before the pixel
    down = slice(rows.start + reach, rows.stop + reach + 2 * radius)
    region = down, slice(columns.start + reach, columns.stop + reach + 2 * radius)
    logits = tile.flatten(0, 1) @ key[region].flatten(0, 1).t()
    near_y = _is_near(tile.shape[0], radius, tile.device)
    near_x = _is_near(tile.shape[1], radius, tile.device)
    by_place = logits.view(*tile.shape[:2], *near_y.shape[1:], *near_x.shape[1:])
    by_place.masked_fill_(~(near_y[:, None, :, None] & near_x[None, :, None, :]), -torch.inf)
    return logits, value[region].flatten(0, 1)


def _is_near(count: int, radius: int, device: torch.device) -> Bool[Tensor, "{count} M"]:
    """Whether key j of ``count + 2r`` lies in the window of query i."""
    distance = torch.arange(count + 2 * radius, device=device) - torch.arange(count, device=device)[:, None]
    return (distance >= 0) & (distance <= 2 * radius)


def _elsewhere(
    tile: Float[Tensor, "y x C"],
    key: Float[Tensor, "H W C"],
    value: Float[Tensor, "H W K"],
    centre: Float[Tensor, "Q 2"],
    value_centre: Float[Tensor, "Q 2"],
    radius: int,
) -> tuple[Float[Tensor, "Q n"], Float[Tensor, "Q n K"]]:
    """Logits and values of windows that each have a centre of their own."""
    logits = _sample(key, centre, radius, tile.flatten(0, 1))
    return logits.squeeze(-1).flatten(1), _sample(value, value_centre, radius, None).flatten(1, 2)


def _sample(
    frame: Float[Tensor, "H W C"],
    centre: Float[Tensor, "Q 2"],
    radius: int,
    query: Float[Tensor, "Q C"] | None,
) -> Float[Tensor, "Q n n D"]:
    """Windows around fractional centres: of products with ``query`` (D = 1), or of the frame itself (D = C)."""
    margin = 2 * radius + 2
    first, fraction = first_pixels(centre, radius, (frame.shape[0] - 2 * margin, frame.shape[1] - 2 * margin))
    span = torch.arange(2 * radius + 2, device=frame.device)
    y = (first[:, 0] + margin)[:, None] + span
    x = (first[:, 1] + margin)[:, None] + span
    lines = []
    for line in y.unbind(1):  # one row of each window at a time: (Q, 2r + 2, C)
        found = frame[line[:, None], x]
        lines.append(found if query is None else found @ query[:, :, None])
    whole = torch.stack(lines, 1)  # (Q, 2r + 2, 2r + 2, D)
    along_y, along_x = fraction[:, :1, None, None], fraction[:, 1:, None, None]
    whole = whole[:, :-1].lerp(whole[:, 1:], along_y)
    return whole[:, :, :-1].lerp(whole[:, :, 1:], along_x)


class _Running:
    """Normaliser and value sums of some query pixels over the keys seen so far, relative to their highest logit."""

    def __init__(self, count: int, like: Float[Tensor, "S K h w"]) -> None:
        self.peak = like.new_full((count, 1), -torch.inf)
        self.total = like.new_zeros(count, 1)
        self.sums = like.new_zeros(count, like.shape[1])

    def fold(self, logits: Float[Tensor, "Q M"], values: Float[Tensor, "*Q M K"]) -> None:
        """Take in more keys; ``logits`` is overwritten."""
        higher = torch.maximum(self.peak, logits.amax(1, keepdim=True))
        shrink = (self.peak - higher).exp_()
        self.peak = higher
        weights = logits.sub_(higher).exp_()
        self.total.mul_(shrink).add_(weights.sum(1, keepdim=True))
        found = weights @ values if values.ndim == 2 else (weights[:, None] @ values).squeeze(1)
        self.sums.mul_(shrink).add_(found)
