"""Step ``decisions``: every kernel against its plain form in float64, on what is decided, at full size.

Inputs as they come, flat (a tenth of the logits) and sharp (three times); features in fp32, bf16 and fp16. What ends in
class scores is compared by its argmax, ids as they are, everything else by its relative error. TVOS also where a match
lies far away: there the prior is small and the softmax is not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.rows import Task, task_of
from harness.api.timing import Example, Kernel
from harness.benching.kernels import round_arguments
from harness.catalog import Catalog
from harness.machine import work_on

SCORED = {"propagate": 0, "attend": 0, "spread": 1}
"""Kernels whose answer is a score a class, along which axis; their first argument scales the logits."""
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)
SCALES = (1.0, 0.1, 3.0)


def main(task: Task) -> None:
    """A row for each kernel, example, precision and scale; the largest example last."""
    until = time.monotonic() + task.seconds
    for method, kernel in kernels():
        examples = kernel.example(task.device)
        for example in examples[:1] if task.tiny else examples:
            for label, given in variants(kernel, example):
                if time.monotonic() > until:
                    task.rows.add("skipped", what=f"{method} {kernel.name}: {example.name}, {label}", why="out of time")
                    continue
                task.rows.add(
                    "decisions",
                    method=method,
                    kernel=kernel.name,
                    example=example.name,
                    input=label,
                    **judge(kernel, given),
                )
    for shift in (40, 60, 74):
        task.rows.add("far matches", cells_apart=shift, **far_match(task.device, shift))


def kernels() -> Iterator[tuple[str, Kernel[..., Any]]]:
    """Each kernel of the catalog once, with the first card that names it."""
    seen = set[int]()
    for method in Catalog.load().methods:
        for kernel in method.kernels():
            if id(kernel) not in seen:
                seen.add(id(kernel))
                yield method.name, kernel


def variants(kernel: Kernel[..., Any], example: Example) -> Iterator[tuple[str, Example]]:
    """The example as it is, and where features are known in other precisions and sharpnesses."""
    for dtype in PRECISIONS if example.rounded != () else PRECISIONS[:1]:
        args, kwargs = round_arguments(example, dtype)
        for scale in SCALES if kernel.name in SCORED and dtype == torch.float32 else SCALES[:1]:
            label = f"{str(dtype).removeprefix('torch.')}{'' if scale == 1 else f', logits x {scale:g}'}"
            yield label, Example(example.name, (args[0] if scale == 1 else args[0] * scale, *args[1:]), kwargs)


@torch.inference_mode()
def judge(kernel: Kernel[..., Any], example: Example) -> dict[str, Any]:
    """How far the fast form is from float64, and the plain form too, in what they are given."""
    try:
        fast = kernel.function(*example.args, **example.kwargs)
    except Exception as error:
        return {"problem": f"fast form: {type(error).__name__}: {error}"[:300]}
    plain = _attempt(lambda: kernel.reference(*example.args, **example.kwargs))
    exact = _attempt(lambda: kernel.reference(*_wide(example.args), **_wide(dict(example.kwargs))))
    if isinstance(exact, str):
        return {"problem": f"float64 form: {exact}"}
    found = _compare(kernel.name, fast, exact)
    return found | {f"plain_{name}": value for name, value in _compare(kernel.name, plain, exact).items()}


def _attempt(work: Any) -> Any:
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]


def _compare(kernel: str, answer: Any, exact: Any) -> dict[str, Any]:
    """One row; of an answer of several tensors the largest of each figure."""
    if isinstance(answer, str):
        return {"problem": answer}
    if not isinstance(exact, Tensor):
        parts = [_compare(kernel, mine, theirs) for mine, theirs in zip(answer, exact, strict=True)]
        return {name: max(part.get(name, 0) for part in parts) for name in dict.fromkeys(n for p in parts for n in p)}
    if not exact.is_floating_point():
        wrong = int((answer != exact).sum())
        return {"decided_otherwise": wrong, "of": exact.numel()}
    error = float((answer.double() - exact).abs().max())
    found: dict[str, Any] = {"error": error, "relative": error / max(float(exact.abs().max()), 1e-300)}
    if kernel in SCORED:
        classes = SCORED[kernel]
        wrong = int((answer.double().max(classes).indices != exact.max(classes).indices).sum())
        found |= {"decided_otherwise": wrong, "of": exact.select(classes, 0).numel()}
    return found


def _wide(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {name: _wide(part) for name, part in value.items()}
    return type(value)(map(_wide, value)) if type(value) in (tuple, list) else value


@torch.inference_mode()
def far_match(device: str, shift: int, *, pixels: int = 110) -> dict[str, Any]:
    """One row of pixels that each look like one pixel ``shift`` cells away, under a prior of 8 cells."""
    from harness_tvos.kernels import propagate

    generator = torch.Generator().manual_seed(0)
    query = torch.eye(pixels) * 9.5
    keys = query.roll(shift, 0)[None]
    labels = torch.nn.functional.one_hot(torch.randint(3, (1, pixels), generator=generator), 3).transpose(1, 2)
    given = [part.contiguous().to(device) for part in (query, keys, labels.float())]
    plain: Any = propagate.reference
    exact = plain(*(part.double() for part in given), (0,), (8.0,), size=(1, pixels)).max(0).indices
    found = {}
    for name, form in (("fast", propagate.function), ("plain", propagate.reference)):
        answer = _attempt(lambda form=form: form(*given, (0,), (8.0,), size=(1, pixels)))
        found[name] = answer if isinstance(answer, str) else int((answer.max(0).indices != exact).sum())
    return {"fast_decided_otherwise": found["fast"], "plain_decided_otherwise": found["plain"], "of": pixels}


if __name__ == "__main__":
    task = task_of()
    with work_on(task.device):  # as the harness has it: fp32 is not rounded to TF32
        main(task)
