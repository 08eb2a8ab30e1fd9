"""The dense CRF with PyTorch's operations: a batch of frames in one lattice, on any device, in any precision.

Codes of vertices (`lattice_loops`) are sorted to find equal ones; a frame's place in the batch is the first digit of
its codes, so frames share no vertex. The pixels of a vertex are summed in order, one vertex at a time, and never added
at places that others add to at the same time.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from harness.api.dataclass import dataclass
from harness.ops.crf.codes import scales_of, span_of
from harness.ops.crf.settings import DenseCRF


def mean_field(
    frames: UInt8[Tensor, "B H W 3"], unary: Float[Tensor, "B L H W"], crf: DenseCRF
) -> Float[Tensor, "B L H W"]:
    """Probabilities after mean field; ``unary`` is finite."""
    count, labels, height, width = unary.shape
    energies = -unary.permute(0, 2, 3, 1).reshape(-1, labels)  # (P, L)
    kernels = kernels_of(frames, crf, like=unary)
    q = energies.softmax(1)
    going = torch.ones(count, dtype=torch.bool, device=unary.device)
    for _ in range(crf.iterations):
        logits = energies
        for lattice, compat in kernels:
            logits = logits + compat * lattice.filter(q)
        further = logits.softmax(1)
        if crf.stop_at is None:
            q = further
            continue
        per_frame = (count, -1, labels)
        changed = (further - q).abs().view(per_frame).amax((1, 2))
        q = torch.where(going[:, None, None], further.view(per_frame), q.view(per_frame)).view_as(q)
        going = going & (changed > crf.stop_at)
        if not going.any():
            break
    return q.view(count, height, width, labels).permute(0, 3, 1, 2).contiguous()


def kernels_of(
    frames: UInt8[Tensor, "B H W 3"], crf: DenseCRF, *, like: Float[Tensor, "..."]
) -> list[tuple[Lattice, int | float]]:
    """The lattice of each kernel that is asked for, in the dtype of ``like``, with its weight."""
    found = []
    if crf.bilateral is not None:
        widths = (crf.bilateral.sxy, crf.bilateral.sxy, *(crf.bilateral.srgb,) * 3)
        found.append((Lattice.of(frames, widths, like.dtype), crf.bilateral.compat))
    if crf.smooth is not None:
        found.append((Lattice.of(frames, (crf.smooth.sxy,) * 2, like.dtype), crf.smooth.compat))
    return found


@dataclass(frozen=True)
class Lattice:
    """Where the P pixels of a batch lie among M vertices; ``weights`` hold the symmetric normalisation."""

    corners: Int[Tensor, "P corners"]
    weights: Float[Tensor, "P corners"]
    neighbours: Int[Tensor, "corners 2 M"]
    """M where there is none."""
    by_vertex: Int[Tensor, " P*corners"]
    """The corners of all pixels (as flat places), vertex after vertex."""
    lengths: Int[Tensor, " M"]
    """How many pixels have this vertex."""

    @classmethod
    def of(cls, frames: UInt8[Tensor, "B H W 3"], widths: tuple[int | float, ...], dtype: torch.dtype) -> Lattice:
        """Over position and colour with five widths, over position with two."""
        codes, weights, digits = _place(_features(frames, widths, dtype), widths, (frames.shape[1], frames.shape[2]))
        vertices, corners = codes.unique(return_inverse=True)
        found = cls(
            corners,
            weights,
            _neighbours(vertices, digits),
            corners.flatten().argsort(stable=True),
            corners.flatten().bincount(minlength=len(vertices)),
        )
        sums = found.filter(weights.new_ones(len(weights), 1))
        return cls(corners, weights / (sums + 1e-20).sqrt(), found.neighbours, found.by_vertex, found.lengths)

    def filter(self, q: Float[Tensor, "P L"]) -> Float[Tensor, "P L"]:
        """Splat, blur along each axis, slice."""
        across = self.corners.shape[1]
        parts = self.weights.flatten()[self.by_vertex, None] * q[self.by_vertex // across]
        rows = torch.segment_reduce(parts, "sum", lengths=self.lengths)
        nothing = rows.new_zeros(1, rows.shape[1])
        for one, other in self.neighbours:
            whole = torch.cat([rows, nothing])
            rows = rows + 0.5 * (whole[one] + whole[other])
        gain = 1 / (1 + 2.0 ** -(across - 1))
        return gain * (self.weights[..., None] * rows[self.corners]).sum(1)


def _features(
    frames: UInt8[Tensor, "B H W 3"], widths: tuple[int | float, ...], dtype: torch.dtype
) -> Float[Tensor, "P d"]:
    """Position (and colour) of each pixel over the kernel's widths."""
    count, height, width = frames.shape[:3]
    y, x = torch.meshgrid(
        torch.arange(height, device=frames.device), torch.arange(width, device=frames.device), indexing="ij"
    )
    place = torch.stack([x, y], -1).expand(count, height, width, 2).to(dtype)
    both = torch.cat([place, frames.to(dtype)], -1)[..., : len(widths)]
    return (both / torch.tensor(widths, dtype=dtype, device=frames.device)).flatten(0, 2)


def _place(
    features: Float[Tensor, "P d"], widths: tuple[int | float, ...], size: tuple[int, int]
) -> tuple[Int[Tensor, "P corners"], Float[Tensor, "P corners"], list[int]]:
    """Codes of the corners of each pixel's simplex, barycentric weights, and what one more of each digit adds."""
    pixels, dimensions = features.shape
    across = dimensions + 1
    frames = pixels // (size[0] * size[1])
    span = span_of(size, widths, frames)
    strides = [across * span ** (dimensions - 1 - axis) for axis in range(dimensions)] + [0]
    elevated = _elevate(features)
    quotients = (elevated / across).round()
    apart = elevated - quotients * across
    quotients, off = quotients.long(), quotients.long().sum(1, keepdim=True)
    # Of equal ones the first axis comes first.
    rank = apart.argsort(dim=1, descending=True, stable=True).argsort(dim=1) + off
    turn = (rank < 0).long() - (rank > dimensions).long()
    rank, quotients, apart = rank + across * turn, quotients + turn, apart + (-across * turn).to(apart.dtype)
    at_rank = rank.argsort(dim=1)
    share = (apart / across).gather(1, at_rank)  # by rank
    weights = torch.cat([1 + share[:, -1:] - share[:, :1], (share[:, :-1] - share[:, 1:]).flip(1)], 1)
    step = torch.tensor(strides, device=features.device)
    first = ((quotients + span // 2) * step).sum(1, keepdim=True)
    frame = torch.arange(frames, device=features.device).repeat_interleave(size[0] * size[1])
    first += frame[:, None] * (across * span**dimensions)
    steps = (1 - step[at_rank.flip(1)[:, :-1]]).cumsum(1)
    return torch.cat([first, first + steps], 1), weights, strides


def _elevate(features: Float[Tensor, "P d"]) -> Float[Tensor, "P corners"]:
    """Into the hyperplane of coordinates that sum to 0, scaled."""
    dimensions = features.shape[1]
    scaled = features * torch.tensor(scales_of(dimensions), dtype=features.dtype, device=features.device)
    total = torch.zeros_like(scaled[:, 0])
    found = []
    for axis in reversed(range(dimensions)):
        found.append(total - (axis + 1) * scaled[:, axis])
        total = total + scaled[:, axis]
    return torch.stack([total, *reversed(found)], 1)


def _neighbours(vertices: Int[Tensor, " M"], strides: list[int]) -> Int[Tensor, "corners 2 M"]:
    """Places of the vertices before and after each one along each axis."""
    count, across = len(vertices), len(strides)
    remainder = vertices % across
    every = sum(strides)
    after, before = (remainder == across - 1).long() * (every - across), (remainder == 0).long() * (every - across)
    found = []
    for stride in strides:
        beside = torch.stack([vertices - 1 + stride - before, vertices + 1 - stride + after])
        place = torch.searchsorted(vertices, beside).clamp(max=count - 1)
        found.append(torch.where(vertices[place] == beside, place, count))
    return torch.stack(found)
