"""What follows from the answer of each kernel: a class, an id, a mask; and how far the best was ahead of the next."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from harness.api.timing import Kernel
from harness.catalog import Catalog
from harness.ops.kernels import OWNER, list_shared_kernels

THRESHOLDS = (0.35, 0.5)
"""Those of IMAS: the paper's preset and its own."""

Arguments = Sequence[Any]
Scores = Float[Tensor, "D A"]
"""D decisions between A answers, in float64: the largest is taken."""


@dataclass(frozen=True)
class Rule:
    """How the decisions of one kernel are found, and what makes its input flat or sharp."""

    what: str
    """What is decided, in words."""
    score: Callable[[Any, Arguments], Scores]
    """From an answer and the arguments it was given for."""
    scaled: int
    """The place of the argument that is multiplied."""
    sizes: tuple[int, ...] = (-1,)
    """Which examples are of a real working size."""
    sharpen: Callable[[Tensor, float], Tensor] = torch.mul
    most: float = math.inf
    """Numbers in the first argument up to which the plain form is run beside the fast one."""


def list_kernels() -> Iterator[tuple[str, Kernel[..., Any]]]:
    """Each kernel of the catalog once, with the first card that names it; then those of no card."""
    seen = set[int]()
    cards = [(method.name, method.kernels()) for method in Catalog.load().methods]
    for name, kernels in [*cards, (OWNER, list_shared_kernels())]:
        for kernel in kernels:
            if id(kernel) not in seen:
                seen.add(id(kernel))
                yield name, kernel


def decide(scores: Scores) -> tuple[Int[Tensor, " D"], Float[Tensor, " D"]]:
    """What is taken, the first of equals, and by how much the next best is behind it, as a share of the best."""
    best, chosen = scores.max(1)
    second = scores.scatter(1, chosen[:, None], -torch.inf).amax(1)
    return chosen, (best - second) / best.abs().clamp(min=1e-300)


def _first_axis(answer: Tensor, _: Arguments) -> Scores:
    return answer.double().flatten(1).t()


def _second_axis(answer: Tensor, _: Arguments) -> Scores:
    return answer.double().flatten(2).transpose(1, 2).flatten(0, 1)


def _last_axis(answer: Tensor, _: Arguments) -> Scores:
    return answer.double()


def _ids_or_planes(answer: Tensor, arguments: Arguments) -> Scores:
    """1 for the class of the id that was given; or the scores that ids are taken from."""
    if answer.is_floating_point():
        return _first_axis(answer, arguments)
    return (answer.flatten()[:, None] == arguments[1]).double()


def _ids(answer: Tensor, _: Arguments) -> Scores:
    """1 for the id that was given."""
    return functional.one_hot(answer.long().flatten()).double()


def _largest_read_out(answer: Tensor, _: Arguments) -> Scores:
    """Eight linear read-outs of the channels, as a head has them; channels are the second axis."""
    lines = torch.randn(answer.shape[1], 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return answer.double().movedim(1, -1).flatten(0, -2) @ lines.to(answer.device)


def _beside(values: Tensor, threshold: float) -> Scores:
    """Whether values are above ``threshold``."""
    values = values.double().flatten()
    return torch.stack([torch.full_like(values, threshold), values], 1)


def _shares(answer: Tensor, _: Arguments) -> Scores:
    return torch.cat([_beside(answer, threshold) for threshold in THRESHOLDS])


def _fits(answer: Tensor, _: Arguments) -> Scores:
    """A sigmoid above a half; both sides lifted by the largest response, of which leads are a share then."""
    responses = answer.double().flatten()
    largest = responses.abs().max()
    return torch.stack([torch.full_like(responses, float(largest)), responses + largest], 1)


def _whole_pixels(answer: Tensor, _: Arguments) -> Scores:
    """The whole pixel that an offset is nearest to, each axis by itself; leads are hundredths of a pixel."""
    steps = torch.arange(-60, 61, dtype=torch.float64, device=answer.device)
    return 100 - (answer.double().flatten()[:, None] - steps).abs()


def _masks(answer: tuple[Tensor, Tensor], arguments: Arguments) -> Scores:
    """The masks that fitted filters give of the last sample, at the size of its labels."""
    from harness_dtnet.target.bilinear import gather

    features, labels = arguments[0].double(), arguments[1]
    first, second = (part.double() for part in answer)
    scores = gather((second.mT @ (first @ features[:, :, -1].flatten(2))).unflatten(2, features.shape[-2:]))
    return _beside(functional.interpolate(scores[None], labels.shape[-2:], mode="bilinear"), 0.5)


def _nearest_cells(answer: Tensor, _: Arguments) -> Scores:
    """Which other cell each cell of the frame is most alike."""
    features = answer.double()
    return (features @ features.t()).fill_diagonal_(-torch.inf)


def _to_a_power(probabilities: Tensor, scale: float) -> Tensor:
    """What multiplied logits would have given."""
    return probabilities if scale == 1 else (scale * probabilities.clamp(min=1e-30).log()).softmax(0)


RULES = {
    "propagate": Rule("class of a cell", _first_axis, scaled=0),
    "embed": Rule("cell most alike", _nearest_cells, scaled=0),
    "upsample": Rule("id of a pixel", _ids_or_planes, scaled=0, sizes=(1, 2), sharpen=_to_a_power),
    "attend": Rule("class of a pixel", _first_axis, scaled=0, sizes=(1, 2), most=1e6),
    "coarse_offsets": Rule("whole pixel, each axis", _whole_pixels, scaled=0),
    "spread": Rule("object of a cell", _last_axis, scaled=0, sizes=(3, 4, 5)),
    "aggregate": Rule("largest of 8 read-outs", _largest_read_out, scaled=0, sizes=(2, 3)),
    "aggregate_twice": Rule("largest of 8 read-outs", _largest_read_out, scaled=0),
    "correlate": Rule("patch fits a cell", _fits, scaled=0),
    "fit_targets": Rule("object at a pixel", _masks, scaled=0),
    "group_pixels": Rule("centre of a pixel", _ids, scaled=1),
    "gate": Rule("largest of 8 read-outs", _largest_read_out, scaled=2),
    "share": Rule("object at a pixel, above .35 and .5", _shares, scaled=0, sizes=(1, 2)),
    "refine": Rule("label of a pixel", _second_axis, scaled=1, sizes=(1,)),
}
"""Of every kernel of the catalog, by name; tests/test_decisions.py asks for each."""
