"""Both forms of a kernel beside double precision, on the same inputs: how many decisions each makes otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.decisions.rules import RULES, decide
from harness.api.timing import Example, Kernel
from harness.benching.kernels import round_arguments

SCALES = (0.1, 1.0, 3.0, 30.0)
"""Flat, as they come, sharp, very sharp: what the argument that makes logits is multiplied by."""
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BLOCK = 20
"""Rows of the grid whose logits are there at once in double precision."""


@dataclass(frozen=True)
class Count:
    """Decisions of one form on one input."""

    changed: int
    of: int
    lead: float
    """The largest lead that was lost: by what share of the best the right answer was ahead of the next one."""


@dataclass(frozen=True)
class Verdict:
    """Of both forms; words where one does not run, a dash where the plain one would take gigabytes and minutes."""

    fast: Count | str
    plain: Count | str


def precisions_of(example: Example) -> list[str]:
    """Those in which a method hands the example's arguments over and a CPU multiplies: fp16 is for GPUs."""
    return ["fp32"] if example.rounded == () else ["fp32", "bf16"]


def scale_example(kernel: Kernel[..., Any], example: Example, scale: float) -> Example:
    """The example, flatter or sharper."""
    rule, args = RULES[kernel.name], list(example.args)
    args[rule.scaled] = rule.sharpen(args[rule.scaled], scale)
    return Example(example.name, tuple(args), example.kwargs, rounded=example.rounded)


@torch.inference_mode()
def judge(kernel: Kernel[..., Any], example: Example, precision: str) -> Verdict:
    """Count what the fast and the plain form decide otherwise than double precision does on what they are given."""
    args, kwargs = round_arguments(example, PRECISIONS[precision])
    expected, lead = decide(RULES[kernel.name].score(answer_exactly(kernel, args, kwargs), args))

    def count(form: Callable[..., Any]) -> Count | str:
        try:
            answer = form(*args, **kwargs)
        except Exception as error:
            return f"{type(error).__name__}: {error}".splitlines()[0][:120]
        found, _ = decide(RULES[kernel.name].score(answer, args))
        wrong = found != expected
        return Count(int(wrong.sum()), len(wrong), float(lead[wrong].max()) if wrong.any() else 0.0)

    is_too_large = args[0].numel() > RULES[kernel.name].most
    return Verdict(count(kernel.function), "-" if is_too_large else count(kernel.reference))


def answer_exactly(kernel: Kernel[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The plain form in float64; where that takes more than 6 GB its sum in blocks, as the tests hold it to."""
    args, kwargs = widen(tuple(args)), widen(dict(kwargs))
    if kernel.name == "propagate":
        return propagate_exactly(*args, **kwargs)
    if kernel.name == "upsample":  # before ids are taken, so that leads are known
        return functional.interpolate(args[0][None], args[2], mode="bilinear", align_corners=False)[0]
    if kernel.name == "attend":
        from harness.ops.local_attention_tiled import attend_tiled

        return attend_tiled(*args, **kwargs)
    return kernel.reference(*args, **kwargs)


def propagate_exactly(
    query: Tensor, keys: Tensor, labels: Tensor, slots: Sequence[int], sigmas: Sequence[float], *, size: tuple[int, int]
) -> Tensor:
    """Scores (K, N) of TVOS's sum as shares of each cell's heaviest weight: what is best can never be too small."""
    width = size[1]
    every = torch.arange(len(query), device=query.device)
    y, x = every // width, every % width
    classes = labels[list(slots)].transpose(1, 2).flatten(0, 1)  # (R*N, K)
    scores = []
    for cells in every.split(BLOCK * width):
        squared = (y[cells, None] - y) ** 2 + (x[cells, None] - x) ** 2  # (cells, N)
        logits = torch.cat(
            [query[cells] @ keys[slot].t() - squared / sigma**2 for slot, sigma in zip(slots, sigmas, strict=False)], 1
        )
        scores.append(logits.sub_(logits.amax(1, keepdim=True)).exp_() @ classes)
    return torch.cat(scores).t()


def widen(value: Any) -> Any:
    """The same with every floating tensor, however deep, in float64."""
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {name: widen(part) for name, part in value.items()}
    return type(value)(map(widen, value)) if type(value) in (tuple, list) else value
