"""Print how many decisions of each kernel differ from float64, at full size, flat to very sharp, as a Markdown table.

``python -m benchmarks.decisions [KERNEL ...]``, on the CPU; docs/bench.md holds the table. The same on a GPU is a step
of ``make gpu``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click
import torch

from benchmarks.decisions.judging import SCALES, Count, judge, precisions_of, scale_example
from benchmarks.decisions.rules import RULES, list_kernels
from harness.api.timing import Example, Kernel
from harness.machine import work_on

HEADERS = ("kernel", "of", "size", "precision", "decided", "of all", *(f"x {scale:g}" for scale in SCALES), "lead lost")


@click.command()
@click.argument("names", nargs=-1)
@click.option("--small", is_flag=True, help="The first example of each kernel: not a size that anybody works at.")
def main(names: tuple[str, ...], small: bool) -> None:
    """Go through all kernels, or those that are named; a row is printed when it is known."""
    if unknown := sorted(set(names) - set(RULES)):
        raise click.UsageError(f"no kernel {', '.join(unknown)}; known: {', '.join(RULES)}")
    _print(HEADERS)
    _print(["---"] * len(HEADERS))
    with work_on("cpu"):
        for method, kernel in list_kernels():
            if not names or kernel.name in names:
                for row in rows_of(method, kernel, small=small):
                    _print(row)


def _print(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def rows_of(method: str, kernel: Kernel[..., Any], *, small: bool) -> Iterator[list[str]]:
    """A row for each size and precision: decisions changed by the fast form / by the plain one, for each scale."""
    examples = kernel.example("cpu")
    for place in (0,) if small else RULES[kernel.name].sizes:
        example = examples[place]
        for precision in precisions_of(example):
            yield row_of(method, kernel, example, precision)


def row_of(method: str, kernel: Kernel[..., Any], example: Example, precision: str) -> list[str]:
    """One size in one precision."""
    verdicts = [judge(kernel, scale_example(kernel, example, scale), precision) for scale in SCALES]
    fast = [verdict.fast for verdict in verdicts if isinstance(verdict.fast, Count)]
    decided = f"{fast[0].of:,}" if fast else ""
    lead = max((count.lead for count in fast), default=0.0)
    cells = [f"{_words(verdict.fast)} / {_words(verdict.plain)}" for verdict in verdicts]
    row = [f"`{kernel.name}`", method, example.name, precision, RULES[kernel.name].what, decided]
    return [*row, *cells, f"{lead:.0e}" if lead else ""]


def _words(count: Count | str) -> str:
    return count if isinstance(count, str) else f"{count.changed:,}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
