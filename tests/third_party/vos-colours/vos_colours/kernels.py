"""The hot function: the likelihood of every pixel's colour under each object's histogram."""

from collections.abc import Sequence

import torch

from harness import Example, kernel


def bin_of(frame: torch.Tensor, bins: int) -> torch.Tensor:
    """(H, W, 3) uint8 -> (H, W) int64, the colour cell of every pixel."""
    r, g, b = (frame.long() * bins // 256).unbind(-1)
    return (r * bins + g) * bins + b


def likelihood_plainly(cells: torch.Tensor, histograms: torch.Tensor) -> torch.Tensor:
    """The reference: one object and one row at a time."""
    shares = [histogram / histogram.sum() for histogram in histograms]
    return torch.stack([torch.stack([share[row] for row in cells]) for share in shares])


def example(device: str) -> Sequence[Example]:
    """A small and a 480p case."""
    generator = torch.Generator().manual_seed(0)
    cases = []
    for name, (h, w) in {"8x8": (8, 8), "480p": (480, 854)}.items():
        cells = torch.randint(0, 4096, (h, w), generator=generator)
        histograms = torch.randint(1, 100, (3, 4096), generator=generator).float()
        cases.append(Example(name, (cells.to(device), histograms.to(device))))
    return cases


@kernel(
    example=example,
    reference=likelihood_plainly,
    flops=lambda cells, histograms: 2 * histograms.numel(),
    bytes=lambda cells, histograms: cells.numel() * (8 + 4 * len(histograms)) + 8 * histograms.numel(),
)
def likelihood(cells: torch.Tensor, histograms: torch.Tensor) -> torch.Tensor:
    """(H, W) colour cells, (N, B) counts -> (N, H, W) probabilities of the cell in each histogram."""
    return (histograms / histograms.sum(dim=1, keepdim=True))[:, cells]
