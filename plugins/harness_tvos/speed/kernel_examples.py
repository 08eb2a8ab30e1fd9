"""What the kernels of TVOS are tried and timed with, and what a network's convolutions amount to."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.api.timing import Example
from harness_tvos.network import Architecture, build_network, for_inference

# (rows, columns), channels, classes, references; the last is DAVIS at 480p with the network's own sizes.
PROPAGATIONS = (((16, 24), 32, 3, 4), ((30, 54), 256, 2, 9), ((60, 107), 256, 2, 9))
SIGMAS = (21.0, 21.0, 21.0, 21.0, 21.0, 8.0, 8.0, 8.0, 8.0)
IMAGES: tuple[tuple[Architecture, tuple[int, int]], ...] = (("r18", (64, 96)), ("r18", (240, 427)), ("r50", (480, 854)))
MASKS = ((3, (8, 12), (61, 96)), (2, (60, 107), (480, 854)), (11, (60, 107), (480, 854)))


def of_propagate(device: str) -> list[Example]:
    """Features as they come: alike in neighbouring pixels and frames, self-products near 90 (official: 92)."""
    return [_propagation(device, *size) for size in PROPAGATIONS]


def _propagation(device: str, size: tuple[int, int], channels: int, classes: int, references: int) -> Example:
    generator = torch.Generator().manual_seed(0)
    pixels = size[0] * size[1]
    coarse = torch.randn(1, channels, size[0] // 8, size[1] // 8, generator=generator)
    scene = nn.functional.interpolate(coarse, size=size, mode="bilinear")[0].flatten(1).t()
    scene = scene * math.sqrt(90.0 / scene.square().sum(1).mean())
    frames = [scene + 0.1 * torch.randn(pixels, channels, generator=generator) for _ in range(references + 1)]
    ids = torch.randint(classes, (references, size[0] // 8 + 1, size[1] // 8 + 1), generator=generator)
    ids = ids.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, : size[0], : size[1]].flatten(1)
    labels = nn.functional.one_hot(ids, classes).float().transpose(1, 2).contiguous()
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
        rounded=(0, 1),
    )


def of_embed(device: str) -> list[Example]:
    """Untrained networks whose batch norms have seen one image of noise, so that features are of ordinary size."""
    return [
        Example(
            name=f"{architecture}, {size[0]}x{size[1]}",
            args=(_noise(1, 3, *size).to(device), _settle(architecture, device)),
        )
        for architecture, size in IMAGES
    ]


@functools.lru_cache(maxsize=4)
def _settle(architecture: Architecture, device: str) -> nn.Module:
    network = build_network(architecture).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches, of which there is one
    with torch.no_grad():
        network(_noise(2, 3, 64, 64))
    return for_inference(network, device, keep_plain=True)


def of_upsample(device: str) -> list[Example]:
    """Scores that differ from pixel to pixel, for a few objects and for many."""
    return [
        Example(
            name=f"{classes} classes, {grid[0]}x{grid[1]} to {size[0]}x{size[1]}",
            args=(
                _noise(classes, *grid).softmax(0).to(device),
                torch.arange(classes, dtype=torch.uint8, device=device) * 3,
                size,
            ),
            rounded=(),  # scores are sums in fp32, whatever the features are
        )
        for classes, grid, size in MASKS
    ]


def _noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class Convolution:
    """What one convolution takes on one image."""

    multiply_adds: int
    numbers: int
    """Read and written: input, weights, output."""


def convolutions(network: nn.Module, shape: Sequence[int]) -> list[Convolution]:
    """Every convolution that ``network`` runs on images of this shape, counted on a copy without memory."""
    found: list[Convolution] = []

    def note(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        weight = module.get_parameter("weight")
        found.append(Convolution(made.numel() * weight[0].numel(), given[0].numel() + weight.numel() + made.numel()))

    bare = copy.deepcopy(network).to("meta")
    for module in bare.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    bare(torch.empty(*shape, device="meta"))
    return found
