"""The hot functions of TVOS: the network, propagation of labels to the target frame, and the way up to a mask.

Each has a plain form, which is that of the official code, and fast ones. Propagation has a streaming one of PyTorch
operations (CPU, and CUDA where there is no Triton) and a fused Triton kernel (CUDA).
"""

from __future__ import annotations

import importlib.util
from typing import cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from harness import kernel
from harness.ops.labels import VOID, resize_bilinear
from harness.ops.propagation import Sigmas, Slots, places_of, propagate_streaming
from harness_tvos.network import InferenceNetwork
from harness_tvos.speed import kernel_examples
from harness_tvos.speed.kernel_examples import convolutions


def embed_plain(images: Float[Tensor, "1 3 H W"], network: nn.Module) -> Float[Tensor, "N C"]:
    """The network as it was trained: batch norms apart, channels first."""
    return as_rows(cast(InferenceNetwork, network).unfold(images))


def embedding_work(images: Tensor, network: nn.Module) -> float:
    """Multiply-adds of every convolution, counted twice."""
    return sum(2.0 * each.multiply_adds for each in convolutions(network, images.shape))


def embedding_traffic(images: Tensor, network: nn.Module) -> float:
    """Every convolution reads its input and its weights and writes its output, in the precision of ``images``."""
    return float(sum(each.numbers for each in convolutions(network, images.shape)) * images.element_size())


@kernel(
    example=kernel_examples.of_embed,
    reference=embed_plain,
    flops=embedding_work,
    bytes=embedding_traffic,
    tolerance=1e-3,
)
def embed(images: Float[Tensor, "1 3 H W"], network: nn.Module) -> Float[Tensor, "N C"]:
    """A row of features for each pixel of the grid; no copy where the network works channels-last."""
    return as_rows(network(images))


def as_rows(features: Float[Tensor, "1 C h w"]) -> Float[Tensor, "N C"]:
    """Pixels as rows."""
    return features[0].permute(1, 2, 0).flatten(0, 1).contiguous()


def propagate_plain(
    query: Float[Tensor, "N C"],
    keys: Float[Tensor, "S N C"],
    labels: Float[Tensor, "S K N"],
    slots: Slots,
    sigmas: Sigmas,
    *,
    size: tuple[int, int],
    temperature: float = 1.0,
) -> Float[Tensor, "K N"]:
    """The official form: the whole N x RN softmax, times the spatial prior, times the labels."""
    pixels = len(query)
    index = places_of(slots, len(keys))
    references = keys[index].to(labels.dtype).flatten(0, 1)  # (R*N, C)
    affinity = (query.to(labels.dtype) * temperature @ references.t()).softmax(1)  # (N, R*N)
    widths = [float(sigma) for sigma in sigmas][: len(index)]
    priors = {sigma: _spatial_prior(size, sigma, labels) for sigma in set(widths)}
    for place, sigma in enumerate(widths):
        affinity[:, place * pixels : (place + 1) * pixels] *= priors[sigma]
    return (affinity @ labels[index].transpose(1, 2).flatten(0, 1)).t()


def _spatial_prior(size: tuple[int, int], sigma: float, like: Tensor) -> Float[Tensor, "N N"]:
    """w_ij = exp(-|loc(i) - loc(j)|^2 / sigma^2), Zhang et al. 2020, eq. 6; in pixels of the feature grid."""
    rows = torch.arange(size[0], device=like.device, dtype=like.dtype).repeat_interleave(size[1])
    columns = torch.arange(size[1], device=like.device, dtype=like.dtype).repeat(size[0])
    squared = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    return torch.exp(-squared / sigma**2)


def propagation_work(query: Tensor, keys: Tensor, labels: Tensor, slots: Slots, *_: object, **__: object) -> float:
    """Multiply-adds of both products, counted twice; exp and the prior are left out."""
    return 2.0 * len(query) * len(slots) * keys.shape[1] * (keys.shape[2] + labels.shape[1])


def propagation_traffic(query: Tensor, keys: Tensor, labels: Tensor, slots: Slots, *_: object, **__: object) -> float:
    """Every feature and label read once, every score written once."""
    features = (query.numel() + len(slots) * keys[0].numel()) * keys.element_size()
    return float(features) + (len(slots) + 1) * labels[0].numel() * labels.element_size()


@kernel(
    example=kernel_examples.of_propagate,
    reference=propagate_plain,
    flops=propagation_work,
    bytes=propagation_traffic,
    tolerance=1e-3,
)
def propagate(
    query: Float[Tensor, "N C"],
    keys: Float[Tensor, "S N C"],
    labels: Float[Tensor, "S K N"],
    slots: Slots,
    sigmas: Sigmas,
    *,
    size: tuple[int, int],
    temperature: float = 1.0,
) -> Float[Tensor, "K N"]:
    """Scores of each class at each target pixel: sum_j softmax_j(<f_i, f_j>) w_ij y_j over the pixels of ``slots``.

    ``keys`` and ``labels`` are rings of frames; ``slots`` names the references in them (a tensor of them may end in
    -1s, which are none) and ``sigmas`` the width of each one's prior in feature pixels. The prior comes after the
    softmax and nothing is normalised again, so a pixel's scores sum to at most 1 (microsoft/transductive-vos 1312e43,
    lib/predict.py).
    """
    if query.is_cuda and labels.dtype == torch.float32 and has_triton():
        from harness.ops.propagation_cuda import propagate_fused

        return propagate_fused(query, keys, labels, slots, sigmas, size=size, temperature=temperature)
    return propagate_streaming(query, keys, labels, slots, sigmas, size=size, temperature=temperature)


def has_triton() -> bool:
    """Whether Triton is installed; it comes with PyTorch for CUDA."""
    return importlib.util.find_spec("triton") is not None


def upsample_plain(
    scores: Float[Tensor, "K h w"], ids: UInt8[Tensor, " K"], size: tuple[int, int]
) -> UInt8[Tensor, "H W"]:
    """The official form: bilinear up-sampling of every class, then argmax."""
    planes = functional.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)
    return ids[planes[0].argmax(0)].masked_fill(planes[0].isnan().any(0), VOID)


def upsampling_work(scores: Tensor, ids: Tensor, size: tuple[int, int]) -> float:
    """Two linear interpolations (multiply, multiply-add) and a comparison a class and pixel, rows shared."""
    return float(len(scores) * size[1] * (3 * scores.shape[1] + 4 * size[0]))


def upsampling_traffic(scores: Tensor, ids: Tensor, size: tuple[int, int]) -> float:
    """Every score read once, every id written once."""
    return float(scores.numel() * scores.element_size() + size[0] * size[1])


@kernel(example=kernel_examples.of_upsample, reference=upsample_plain, flops=upsampling_work, bytes=upsampling_traffic)
def upsample(scores: Float[Tensor, "K h w"], ids: UInt8[Tensor, " K"], size: tuple[int, int]) -> UInt8[Tensor, "H W"]:
    """The id of the class with the highest score at each pixel of a mask of this size, the first of equals.

    Where a score is no number nothing is decided: that is void, which no method may give, so the runner names it.
    """
    if scores.is_cuda and scores.dtype == torch.float32 and has_triton():
        from harness.ops.upsampling_cuda import upsample_fused

        return upsample_fused(scores, ids, size)
    best = resize_bilinear(scores, size).max(0)  # on a CPU argmax is 20 times slower than max
    return ids[best.indices].masked_fill(best.values.isnan(), VOID)
