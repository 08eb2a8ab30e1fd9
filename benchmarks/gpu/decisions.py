"""Step ``decisions``: every kernel against its plain form in float64, on what is decided, at full size.

The rules are those of ``python -m benchmarks.decisions``, which does this on a CPU. Inputs as they come, flat (a tenth
of the logits), sharp and very sharp (3 and 30 times); features in fp32, bf16 and fp16; and the error. TVOS also where a
match lies far away: there the prior is small and the softmax is not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.decisions.judging import PRECISIONS, scale_example, widen
from benchmarks.decisions.rules import RULES, decide, list_kernels
from benchmarks.gpu.rows import Task, task_of
from harness.api.timing import Example, Kernel
from harness.benching.kernels import round_arguments
from harness.machine import work_on

SCALES = (1.0, 0.1, 3.0, 30.0)


def main(task: Task) -> None:
    """A row for each distance of a match, then for each kernel, example, precision and scale, large examples last."""
    until = time.monotonic() + task.seconds
    for shift in (40, 60, 74):
        task.rows.add("far matches", cells_apart=shift, **far_match(task.device, shift))
    for method, kernel in list_kernels():
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


def variants(kernel: Kernel[..., Any], example: Example) -> Iterator[tuple[str, Example]]:
    """The example as it is, flatter and sharper; and where features follow the precision, in the others."""
    for name, dtype in PRECISIONS.items() if example.rounded != () else [("fp32", torch.float32)]:
        for scale in SCALES if name == "fp32" else SCALES[:1]:
            args, kwargs = round_arguments(scale_example(kernel, example, scale), dtype)
            yield name if scale == 1 else f"{name}, x {scale:g}", Example(example.name, args, kwargs)


@torch.inference_mode()
def judge(kernel: Kernel[..., Any], example: Example) -> dict[str, Any]:
    """How far the fast form is from float64, and the plain form too, in what they are given."""
    try:
        fast = kernel.function(*example.args, **example.kwargs)
    except Exception as error:
        return {"problem": f"fast form: {type(error).__name__}: {error}"[:300]}
    plain = _attempt(lambda: kernel.reference(*example.args, **example.kwargs))
    exact = _attempt(lambda: kernel.reference(*widen(example.args), **widen(dict(example.kwargs))))
    if isinstance(exact, str):
        return {"problem": f"float64 form: {exact}"}
    expected, _ = decide(RULES[kernel.name].score(exact, example.args))
    found = {}
    for prefix, answer in (("", fast), ("plain_", plain)):
        figures = {"problem": answer} if isinstance(answer, str) else _compare(answer, exact)
        if not isinstance(answer, str):
            chosen, _ = decide(RULES[kernel.name].score(answer, example.args))
            figures |= {"decided_otherwise": int((chosen != expected).sum()), "of": len(expected)}
        found |= {f"{prefix}{name}": value for name, value in figures.items()}
    return found


def _attempt(work: Any) -> Any:
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]


def _compare(answer: Any, exact: Any) -> dict[str, Any]:
    """The error; of an answer of several tensors the largest of each figure, of ids none."""
    if not isinstance(exact, Tensor):
        parts = [_compare(mine, theirs) for mine, theirs in zip(answer, exact, strict=True)]
        return {name: max(part[name] for part in parts) for name in parts[0]}
    if not exact.is_floating_point():
        return {}
    error = float((answer.double() - exact).abs().max())
    return {"error": error, "relative": error / max(float(exact.abs().max()), 1e-300)}


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
