"""The hot function of TVOS: propagating labels from the reference frames to the target frame.

Three forms of one sum: the plain one of the official code (the reference), the streaming one of PyTorch operations
(CPU, and CUDA where there is no Triton), and a fused Triton kernel (CUDA).
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from harness import kernel
from harness.api.timing import Example
from harness.ops.propagation import propagate_streaming

# (rows, columns), channels, classes, references; the last is DAVIS at 480p with the network's own sizes.
SIZES = (((16, 24), 32, 3, 4), ((30, 54), 256, 2, 9), ((60, 107), 256, 2, 9))
SIGMAS = (21.0, 21.0, 21.0, 21.0, 21.0, 8.0, 8.0, 8.0, 8.0)


def examples(device: str) -> list[Example]:
    """Features as they come: alike in neighbouring pixels and frames, self-products near 90 (official: 92)."""
    return [_example(device, *size) for size in SIZES]


def _example(device: str, size: tuple[int, int], channels: int, classes: int, references: int) -> Example:
    generator = torch.Generator().manual_seed(0)
    pixels = size[0] * size[1]
    coarse = torch.randn(1, channels, size[0] // 8, size[1] // 8, generator=generator)
    scene = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")[0].flatten(1).t()
    scene = scene * math.sqrt(90.0 / scene.square().sum(1).mean())
    frames = [scene + 0.1 * torch.randn(pixels, channels, generator=generator) for _ in range(references + 1)]
    ids = torch.randint(classes, (references, size[0] // 8 + 1, size[1] // 8 + 1), generator=generator)
    ids = ids.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, : size[0], : size[1]].flatten(1)
    labels = torch.nn.functional.one_hot(ids, classes).float().transpose(1, 2).contiguous()
    return Example(
        name=f"{size[0]}x{size[1]}, {references} references, {channels} channels, {classes} classes",
        args=(
            frames[0].to(device),
            torch.stack(frames[1:]).to(device),
            labels.to(device),
            tuple(range(references)),
            SIGMAS[-references:],
        ),
        kwargs={"size": size},
    )


def propagate_plain(
    query: Float[Tensor, "N C"],
    keys: Float[Tensor, "S N C"],
    labels: Float[Tensor, "S K N"],
    slots: Sequence[int],
    sigmas: Sequence[float],
    *,
    size: tuple[int, int],
    temperature: float = 1.0,
) -> Float[Tensor, "K N"]:
    """The official form: the whole N x RN softmax, times the spatial prior, times the labels."""
    pixels = len(query)
    index = torch.tensor(slots, device=labels.device)
    references = keys[index].to(labels.dtype).flatten(0, 1)  # (R*N, C)
    affinity = (query.to(labels.dtype) * temperature @ references.t()).softmax(1)  # (N, R*N)
    priors = {sigma: _spatial_prior(size, sigma, labels) for sigma in set(sigmas)}
    for place, sigma in enumerate(sigmas):
        affinity[:, place * pixels : (place + 1) * pixels] *= priors[sigma]
    return (affinity @ labels[index].transpose(1, 2).flatten(0, 1)).t()


def _spatial_prior(size: tuple[int, int], sigma: float, like: Tensor) -> Float[Tensor, "N N"]:
    """w_ij = exp(-|loc(i) - loc(j)|^2 / sigma^2), Zhang et al. 2020, eq. 6; in pixels of the feature grid."""
    rows = torch.arange(size[0], device=like.device, dtype=like.dtype).repeat_interleave(size[1])
    columns = torch.arange(size[1], device=like.device, dtype=like.dtype).repeat(size[0])
    squared = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    return torch.exp(-squared / sigma**2)


def operations(query: Tensor, keys: Tensor, labels: Tensor, slots: Sequence[int], *_: object, **__: object) -> float:
    """Multiply-adds of both products, counted twice; exp and the prior are left out."""
    return 2.0 * len(query) * len(slots) * keys.shape[1] * (keys.shape[2] + labels.shape[1])


def traffic(query: Tensor, keys: Tensor, labels: Tensor, slots: Sequence[int], *_: object, **__: object) -> float:
    """Every feature and label read once, every score written once."""
    features = (query.numel() + len(slots) * keys[0].numel()) * keys.element_size()
    return float(features) + (len(slots) + 1) * labels[0].numel() * labels.element_size()


@kernel(example=examples, reference=propagate_plain, flops=operations, bytes=traffic, tolerance=1e-3)
def propagate(
    query: Float[Tensor, "N C"],
    keys: Float[Tensor, "S N C"],
    labels: Float[Tensor, "S K N"],
    slots: Sequence[int],
    sigmas: Sequence[float],
    *,
    size: tuple[int, int],
    temperature: float = 1.0,
) -> Float[Tensor, "K N"]:
    """Scores of each class at each target pixel: sum_j softmax_j(<f_i, f_j>) w_ij y_j over the pixels of ``slots``.

    ``keys`` and ``labels`` are rings of frames; ``slots`` names the references in them and ``sigmas`` the width of
    each one's prior in feature pixels. The prior comes after the softmax and nothing is normalised again, so a
    pixel's scores sum to at most 1 (microsoft/transductive-vos 1312e43, lib/predict.py).
    """
    if query.is_cuda and labels.dtype == torch.float32 and importlib.util.find_spec("triton"):
        from harness.ops.propagation_cuda import propagate_fused

        return propagate_fused(query, keys, labels, slots, sigmas, size=size, temperature=temperature)
    return propagate_streaming(query, keys, labels, slots, sigmas, size=size, temperature=temperature)
