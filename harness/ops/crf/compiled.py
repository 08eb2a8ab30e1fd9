"""The dense CRF on a CPU: one frame at a time on the permutohedral lattice, in single precision.

Two things make it cheaper than filtering all labels with all factors apart. Probabilities of a pixel sum to 1, so that
of the last label is never filtered: its message is what the others leave of the filtered ones. And the symmetric
normalisation lies in the weights of the corners, both ways, so a step is one scan of the pixels: slice, softmax, splat.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from harness.api.dataclass import dataclass
from harness.ops.crf import lattice_loops, step_loops
from harness.ops.crf.codes import scales_of, span_of
from harness.ops.crf.settings import Bilateral, DenseCRF, Smooth

FIRST_ROOM = 1 << 16
"""Vertices there is room for at first; 854 x 480 pixels meet 15 to 300 thousand."""
NEVER = 2e9
"""The energy of a column that stands for no label."""
KEPT_PIXELS = 1 << 20
"""A lattice without colour is kept for the next frame of its size where it has at most so many pixels (25 MiB)."""


@dataclass(frozen=True)
class Lattice:
    """Where pixels lie among the vertices, normalised: filtering is splat, blur and slice with these weights."""

    corners: Int32[np.ndarray, "N corners"]
    weights: Float32[np.ndarray, "N corners"]
    neighbours: Int32[np.ndarray, "corners M 2"]
    alone: Float32[np.ndarray, " N"]
    """The filtered ones."""

    @property
    def vertices(self) -> int:
        """M."""
        return self.neighbours.shape[1]

    def rows(self, width: int) -> Float32[np.ndarray, "rows width"]:
        """Zeros, a row a vertex and one for what is not there."""
        return np.zeros((self.vertices + 1, width), np.float32)

    def blur(self, rows: Float32[np.ndarray, "rows width"], spare: Float32[np.ndarray, "rows width"]) -> np.ndarray:
        """Filter along every axis; answers one of the two arrays, the other is then free."""
        across, width = self.corners.shape[1], rows.shape[1]
        if width == 1:
            lattice_loops.blur_one(rows, spare, self.neighbours, self.vertices, across)
        else:
            lattice_loops.blur_many(rows, spare, self.neighbours, self.vertices, across, width // 4)
        return spare if across % 2 else rows


def bilateral_lattice(frame: UInt8[np.ndarray, "H W 3"], kernel: Bilateral) -> Lattice:
    """The lattice of position and colour."""
    widths = (kernel.sxy, kernel.sxy, kernel.srgb, kernel.srgb, kernel.srgb)
    return _normalise(*_build(frame, widths))


def smooth_lattice(size: tuple[int, int], kernel: Smooth) -> Lattice:
    """The lattice of position alone."""
    make = kept_smooth_lattice if math.prod(size) <= KEPT_PIXELS else _smooth_lattice
    return make(size, kernel.sxy)


def _smooth_lattice(size: tuple[int, int], sxy: int | float) -> Lattice:
    return _normalise(*_build(np.empty((*size, 3), np.uint8), (sxy, sxy)))


kept_smooth_lattice = functools.lru_cache(maxsize=2)(_smooth_lattice)


def _build(
    frame: UInt8[np.ndarray, "H W 3"], widths: tuple[int | float, ...]
) -> tuple[Int32[np.ndarray, "N corners"], Float32[np.ndarray, "N corners"], Int32[np.ndarray, "corners M 2"]]:
    """Corners, their barycentric weights, and the neighbours of the vertices found; room grows as it fills."""
    size, dimensions = frame.shape[:2], len(widths)
    pixels, across = math.prod(size), dimensions + 1
    span = span_of(size, widths)
    corners = np.empty((pixels, across), np.int32)
    weights = np.empty((pixels, across), np.float32)
    scales = np.array([widths, scales_of(dimensions)], np.float32)
    floats, ranks = np.empty((3, across + 2), np.float32), np.empty((3, across + 1), np.int64)
    room = min(FIRST_ROOM, 1 << math.ceil(math.log2(pixels * across + across)))
    codes, table, places = _tables(room)
    done = 0
    while True:
        done = lattice_loops.place_pixels(
            frame, size[1], pixels, scales, dimensions, span, done, table, places, len(table), codes, room,
            floats, ranks, corners, weights,
        )  # fmt: skip
        count = int(codes[room])
        if done == pixels:
            break
        room *= 4
        former, (codes, table, places) = codes, _tables(room)
        codes[:count], codes[room] = former[:count], count
        lattice_loops.fill_table(codes[:count], count, table, places, len(table))
    neighbours = np.empty((across, count, 2), np.int32)
    lattice_loops.find_neighbours(codes[:count], count, table, places, len(table), dimensions, span, neighbours)
    return corners, weights, neighbours


def _tables(room: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes by place with their count behind them; and a hash table, half full at most."""
    codes = np.empty(room + 1, np.int64)
    codes[room] = 0
    return codes, np.full(2 * room, -1, np.int64), np.empty(2 * room, np.int32)


def _normalise(
    corners: Int32[np.ndarray, "N corners"],
    weights: Float32[np.ndarray, "N corners"],
    neighbours: Int32[np.ndarray, "corners M 2"],
) -> Lattice:
    """Scale the weights such that filtering is D^-1/2 K D^-1/2, where D has the sums of the rows of K."""
    pixels, across = corners.shape
    sums = np.empty(pixels, np.float32)
    gain = np.float32(1 / (1 + 2.0 ** -(across - 1)))  # of splat, blur and slice together
    lattice = Lattice(corners, weights, neighbours, sums)
    rows, spare = lattice.rows(1), lattice.rows(1)

    def filter_ones() -> None:
        lattice_loops.splat_ones(corners, weights, pixels, across, rows, len(rows))
        lattice_loops.slice_ones(corners, weights, pixels, across, lattice.blur(rows, spare), len(rows), sums)

    filter_ones()
    weights *= (np.sqrt(gain) / np.sqrt(gain * sums + np.float32(1e-20)))[:, None]
    filter_ones()
    return lattice


class _Part:
    """One kernel at work: what was blurred last, and what the next step splats."""

    def __init__(self, lattice: Lattice | None, compat: int | float, pixels: int, across: int, width: int) -> None:
        self.lattice = lattice
        self.compat = compat
        if lattice is None:  # a loop is handed arrays of the right shape, and does not look at them
            self.place = [np.empty((pixels, across), np.int32), np.empty((pixels, across), np.float32)]
            self.blurred, self.splatted = np.zeros((2, 1, width), np.float32)
        else:
            self.place = [lattice.corners, lattice.weights]
            self.blurred, self.splatted = lattice.rows(width), lattice.rows(width)

    def arguments(self) -> tuple[Any, ...]:
        """What a step takes of it."""
        count = 0 if self.lattice is None else self.lattice.vertices
        return (*self.place, self.blurred, self.splatted, count, self.compat)

    def blur(self) -> None:
        """Filter what was splatted; what was blurred before becomes room for the next splat."""
        if self.lattice is not None:
            answer = self.lattice.blur(self.splatted, self.blurred)
            if answer is self.splatted:
                self.splatted, self.blurred = self.blurred, answer


def refine_frame(
    frame: UInt8[np.ndarray, "H W 3"], unary: Float32[np.ndarray, "L H W"], crf: DenseCRF
) -> Float32[np.ndarray, "L H W"]:
    """Probabilities of each label after mean field; ``unary`` is finite."""
    labels, pixels = len(unary), unary[0].size
    flat = unary.reshape(labels, pixels)
    if labels == 1:
        return np.ones_like(unary)
    width = 1 if labels == 2 else -(-(labels - 1) // 4) * 4
    colour = None if crf.bilateral is None else bilateral_lattice(frame, crf.bilateral)
    place = None if crf.smooth is None else smooth_lattice(frame.shape[:2], crf.smooth)
    parts = [
        _Part(colour, 0.0 if crf.bilateral is None else crf.bilateral.compat, pixels, step_loops.CORNERS, width),
        _Part(place, 0.0 if crf.smooth is None else crf.smooth.compat, pixels, step_loops.FLAT_CORNERS, width),
    ]
    probabilities = np.zeros((pixels, width), np.float32)
    step = _step_of_two if labels == 2 else _step_of_many
    take = step(flat, width, probabilities)
    alone = np.zeros(pixels, np.float32)
    take(alone, parts)
    for part in parts:
        if part.lattice is not None:
            alone += np.float32(part.compat) * part.lattice.alone
    for _ in range(crf.iterations):
        for part in parts:
            part.blur()
        changed = take(alone, parts)
        if crf.stop_at is not None and changed <= crf.stop_at:
            break
    answer = np.empty((labels, pixels), np.float32)
    answer[:-1] = probabilities[:, : labels - 1].T
    np.maximum(1 - answer[:-1].sum(0), 0, out=answer[-1])
    return answer.reshape(unary.shape)


Step = Callable[[np.ndarray, Sequence[_Part]], float]


def _step_of_two(unary: Float32[np.ndarray, "2 N"], width: int, probabilities: Float32[np.ndarray, "N 1"]) -> Step:
    energies = unary[1] - unary[0]

    def take(alone: np.ndarray, parts: Sequence[_Part]) -> float:
        first, second = parts
        return float(
            step_loops.step_two(len(energies), energies, alone, *first.arguments(), *second.arguments(), probabilities)
        )

    return take


def _step_of_many(unary: Float32[np.ndarray, "L N"], width: int, probabilities: Float32[np.ndarray, "N width"]) -> Step:
    labels, pixels = unary.shape
    energies = np.full((pixels, width), -NEVER, np.float32)
    energies[:, : labels - 1] = -unary[:-1].T
    groups = width // 4
    last, logits = -unary[-1], np.empty((step_loops.BLOCK, groups + 1, 4), np.float32)

    def take(alone: np.ndarray, parts: Sequence[_Part]) -> float:
        first, second = parts
        arguments = (*first.arguments(), *second.arguments())
        return float(step_loops.step_many(pixels, energies, alone, *arguments, groups, last, logits, probabilities))

    return take
