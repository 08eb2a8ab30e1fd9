"""The dense CRF as it is defined: every pixel summed with every other, for small frames to hold others against."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from harness.ops.crf.settings import DenseCRF

MOST_PIXELS = 4096
"""Kernels are (N, N): 128 MiB each in double precision."""


def refine_exactly(
    frame: UInt8[Tensor, "H W 3"], unary: Float[Tensor, "L H W"], crf: DenseCRF
) -> Float[Tensor, "L H W"]:
    """Probabilities after mean field in double precision; the pixel itself is among those it is summed with."""
    labels, height, width = unary.shape
    if height * width > MOST_PIXELS:
        raise ValueError(f"found {height} x {width} pixels; expected at most {MOST_PIXELS}: kernels are (N, N)")
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([y, x], -1).reshape(-1, 2).double()
    colour = frame.reshape(-1, 3).double()
    kernels = []
    if crf.bilateral is not None:
        features = torch.cat([place / crf.bilateral.sxy, colour / crf.bilateral.srgb], 1)
        kernels.append(crf.bilateral.compat * _normalise(features))
    if crf.smooth is not None:
        kernels.append(crf.smooth.compat * _normalise(place / crf.smooth.sxy))
    energies = -unary.reshape(labels, -1).T.double()
    q = energies.softmax(1)
    for _ in range(crf.iterations):
        before, q = q, (energies + sum(kernel @ q for kernel in kernels)).softmax(1)
        if crf.stop_at is not None and (q - before).abs().max() <= crf.stop_at:
            break
    return q.T.reshape(labels, height, width)


def _normalise(features: Float[Tensor, "N d"]) -> Float[Tensor, "N N"]:
    """D^-1/2 K D^-1/2 of the Gaussian kernel K, with the sums of its rows in D."""
    kernel = torch.exp(-0.5 * torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist") ** 2)
    scale = kernel.sum(1).rsqrt()
    return scale[:, None] * kernel * scale
