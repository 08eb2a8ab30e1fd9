"""The hot functions of selfsup: local attention to the references, and the coarse search that centres its windows.

Four forms of one sum: the plain one of the official code (the reference), compiled loops (CPU), a Triton kernel (CUDA),
and one tile by tile of PyTorch operations where Numba or Triton is missing.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from harness import kernel
from harness.api.timing import Example
from harness.ops.local_attention_plain import Offsets, attend_plain, coarse_offsets_plain
from harness.ops.local_attention_tiled import attend_tiled, coarse_offsets_tiled

try:
    from harness.ops.local_attention_compiled import attend_compiled, coarse_offsets_compiled
except ImportError:  # no Numba, or switched off
    attend_compiled, coarse_offsets_compiled = attend_tiled, coarse_offsets_tiled

CHANNELS = 64
# Rows, columns, references, and how many of them (the first) are searched for around offsets: t = 6 and t = 23 of MAST.
SIZES = ((16, 24, 3, 1), (60, 107, 5, 2), (120, 214, 4, 0))
DILATIONS = ((16, 24, 2), (60, 107, 3))


def attend_examples(device: str) -> list[Example]:
    """Features as they come: alike in neighbouring pixels and frames, self-products near 60; two classes."""
    return [_attend_example(device, *size) for size in SIZES]


def offset_examples(device: str) -> list[Example]:
    """One reference that has moved by (3, -5) pixels."""
    return [_offset_example(device, *size) for size in DILATIONS]


def _scene(height: int, width: int, generator: torch.Generator) -> Float[Tensor, "{height} {width} C"]:
    coarse = torch.randn(1, CHANNELS, height // 4, width // 4, generator=generator)
    scene = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0].permute(1, 2, 0)
    return (scene * math.sqrt(60.0 / float(scene.square().sum(2).mean()))).contiguous()


def _attend_example(device: str, height: int, width: int, references: int, far: int) -> Example:
    generator = torch.Generator().manual_seed(0)
    scene = _scene(height, width, generator)
    keys = scene + 0.1 * torch.randn(references, height, width, CHANNELS, generator=generator)
    ids = torch.randint(2, (references, height // 8 + 1, width // 8 + 1), generator=generator)
    ids = ids.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :height, :width]
    values = torch.nn.functional.one_hot(ids, 2).float().permute(0, 3, 1, 2).contiguous()
    drift = 6 * torch.randn(far, 2, height // 8 + 1, width // 8 + 1, generator=generator)
    drift = torch.nn.functional.interpolate(drift, size=(height, width), mode="bilinear") if far else drift
    offsets = [offset.permute(1, 2, 0).contiguous().to(device) for offset in drift]
    return Example(
        name=f"{height}x{width}, {references} references, {far} around offsets",
        args=(scene.to(device), keys.to(device), values.to(device), tuple(range(references))),
        kwargs={"offsets": (*offsets, *([None] * (references - far)))},
        rounded=(0, 1),
    )


def _offset_example(device: str, height: int, width: int, dilation: int) -> Example:
    generator = torch.Generator().manual_seed(0)
    scene = _scene(height, width, generator)
    key = scene.roll((3, -5), (0, 1)) + 0.1 * torch.randn(scene.shape, generator=generator)
    return Example(
        name=f"{height}x{width}, dilation {dilation}",
        args=(scene.to(device), key.to(device)),
        kwargs={"dilation": dilation},
        rounded=(),  # positions of hundreds of cells are beyond bf16: the method widens features first
    )


def attend_operations(
    query: Tensor, keys: Tensor, values: Tensor, slots: Sequence[int], *, radius: int = 12, **_: object
) -> float:
    """Multiply-adds of features and of values, counted twice; exp and interpolation are left out."""
    positions = query.shape[0] * query.shape[1] * len(slots) * (2 * radius + 1) ** 2
    return 2.0 * positions * (query.shape[2] + values.shape[1])


def attend_traffic(query: Tensor, keys: Tensor, values: Tensor, slots: Sequence[int], **_: object) -> float:
    """Every feature and value read once, every answer written once."""
    features = (query.numel() + len(slots) * keys[0].numel()) * keys.element_size()
    return float(features) + (len(slots) + 1) * values[0].numel() * values.element_size()


def offset_operations(query: Tensor, key: Tensor, *, radius: int = 12, **_: object) -> float:
    """Multiply-adds of features, counted twice."""
    return 2.0 * query.numel() * (2 * radius + 1) ** 2


def offset_traffic(query: Tensor, key: Tensor, **_: object) -> float:
    """Both frames read once, every offset written once."""
    return float(2 * query.numel() + 2 * query.shape[0] * query.shape[1]) * query.element_size()


@kernel(example=attend_examples, reference=attend_plain, flops=attend_operations, bytes=attend_traffic, tolerance=1e-3)
def attend(
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
    """Values of each target pixel, by one softmax over the (2r + 1)^2 positions of every reference.

    ``keys`` and ``values`` are rings of frames; ``slots`` names the references in them. ``offsets`` says of each
    reference where its windows are centred: None on the pixel, else (dy, dx) away from it, sampled bilinearly.
    ``value_offsets``, where they differ, centre the windows of values alone (MAST@a57b043 gives every far reference
    those of the last one). Logits are <query, key> * temperature; positions outside the frame keep logit 0, value 0.
    """
    attend_there, _ = _fastest_forms(values)
    return attend_there(
        query,
        keys,
        values,
        slots,
        offsets=offsets,
        value_offsets=value_offsets,
        radius=radius,
        temperature=temperature,
    )


@kernel(
    example=offset_examples,
    reference=coarse_offsets_plain,
    flops=offset_operations,
    bytes=offset_traffic,
    tolerance=1e-2,
)
def coarse_offsets(
    query: Float[Tensor, "h w C"],
    key: Float[Tensor, "h w C"],
    *,
    dilation: int,
    radius: int = 12,
    temperature: float = 1.0,
) -> Float[Tensor, "h w 2"]:
    """Where each target pixel lies in a far reference: the expected (dy, dx) over a window of ``dilation`` steps."""
    _, search_there = _fastest_forms(query)
    return search_there(query, key, dilation=dilation, radius=radius, temperature=temperature)


def _fastest_forms(like: Tensor) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """How to attend and how to search, for tensors of this device and dtype."""
    if like.is_cpu:
        return attend_compiled, coarse_offsets_compiled
    if like.is_cuda and like.dtype == torch.float32 and importlib.util.find_spec("triton"):
        from harness.ops.local_attention_cuda import attend_fused, coarse_offsets_fused

        return attend_fused, coarse_offsets_fused
    return attend_tiled, coarse_offsets_tiled
