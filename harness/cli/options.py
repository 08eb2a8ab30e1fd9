"""The options that several commands have, each written once; docs/commands.md is made of what they say."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from harness.api.contracts import RULES
from harness.cli import completion

Option = Callable[[Callable[..., Any]], Callable[..., Any]]
PRECISIONS = ("fp32", "bf16", "fp16")
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
PATH = click.Path(path_type=Path)
SEED = click.IntRange(-(2**63), 2**64 - 1)
"""What torch takes."""
COUNT = click.IntRange(1, 4096)
"""Threads and processes of one machine."""
HELPERS = click.IntRange(0, 4096)
"""Processes beside the one that is there."""
NUMBER = click.IntRange(1, 10**9)
"""How many of anything else."""
SIDE = click.IntRange(1, 1 << 14)
"""Rows or columns."""


class Finite(click.FloatRange):
    """A number between two ends; NaN, which click lets through, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; a usage error beyond the ends."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


SECONDS = Finite(0, 10**6, min_open=True)
"""Eleven days: what a system's clocks of waiting take."""


_COMMA = re.compile(r"(?<!\\),")
"""One that ends a name."""


class Names(click.ParamType):
    """Names with commas between them, as a tuple; spaces around a name are no part of it, ``\\,`` is a comma in one."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        r"""``"a, b"`` -> ``("a", "b")``; commas alone name nothing, which is not the same as not being given.

        >>> Names().convert(r"left\, then right, b", None, None)
        ('left, then right', 'b')
        """
        if isinstance(value, tuple):
            return value
        parts = (part.replace("\\,", ",").strip() for part in _COMMA.split(value))
        names = tuple(name for name in parts if name)
        if value and not names:
            self.fail(f"{value!r} names nothing; expected names with commas between them", param, ctx)
        return names


class Numbers(click.ParamType):
    """Whole numbers with commas between them, each between the ends of ``each``, as a tuple; each once."""

    name = "numbers"

    def __init__(self, each: click.IntRange) -> None:
        self._each = each

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """``"50,200"`` -> ``(50, 200)``.

        >>> Numbers(SIDE).convert("480, 240,480", None, None)
        (480, 240)
        """
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        return tuple(dict.fromkeys(int(self._each(part.strip(), param, ctx)) for part in parts))


NUMBERS, SIZES = Numbers(NUMBER), Numbers(SIDE)


class Share(click.ParamType):
    """One share of several, ``"2/4"``, as a pair."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """``"2/4"`` -> ``(2, 4)``; which shares there are is for who deals them.

        >>> Share().convert("2/4", None, None)
        (2, 4)
        """
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", value.strip())
        if found is None:
            self.fail(f"{value!r:.80} is no share; expected I/N, as 1/4", param, ctx)
        return int(found[1]), int(found[2])


SHARE = Share()


def use_threads(threads: int | None) -> None:
    """Let torch compute with so many threads; None leaves the choice to it, and does not import it."""
    if threads is not None:
        import torch

        torch.set_num_threads(max(1, threads))


def names(
    option: str,
    help_text: str,
    *,
    into: str | None = None,
    metavar: str = "A,B",
    required: bool = False,
    complete: completion.Complete | None = None,
) -> Option:
    """An option of several names, which may also be given several times, as the parameter ``into``."""
    return click.option(
        *([option, into] if into else [option]),
        type=Names(),
        multiple=True,
        required=required,
        callback=_put_together,
        metavar=metavar,
        help=help_text,
        shell_complete=complete,
    )


def _put_together(ctx: click.Context, param: click.Parameter, value: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """What each use of an option named."""
    return tuple(name for names in value for name in names)


plugin = click.option(
    "--plugin",
    required=True,
    metavar="NAME",
    help="The method; harness ls plugins.",
    shell_complete=completion.methods,
)
bench_if_any = click.option(
    "--bench", metavar="NAME", help="The benchmark; harness ls benches.", shell_complete=completion.benchmarks
)
plugins = names(
    "--plugin",
    "The method, or several: each is run on each benchmark; harness ls plugins.",
    into="plugins",
    required=True,
    complete=completion.methods,
)
benches = names(
    "--bench",
    "The benchmark, or several; harness ls benches.",
    into="benches",
    complete=completion.benchmarks,
)
presets = names(
    "--preset",
    "A named config, or several of one method; default: the plugin's own default.",
    into="presets",
    complete=completion.presets,
)
corruptions = names(
    "--corrupt",
    "The benchmark made worse: NAME:SEVERITY, NAME (all five severities), clean, or all; harness ls corruptions.",
    into="corruptions",
    metavar="NAME:SEVERITY,..",
    complete=completion.corruptions,
)
bench = click.option(
    "--bench",
    required=True,
    metavar="NAME",
    help="The benchmark; harness ls benches.",
    shell_complete=completion.benchmarks,
)
task = click.option(
    "--task",
    metavar="TASK",
    help="Where method and benchmark share several; default: the benchmark's first.",
    shell_complete=completion.tasks,
)
preset = click.option(
    "--preset",
    default="",
    metavar="NAME",
    help="A named config; default: the plugin's own default.",
    shell_complete=completion.presets,
)
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one constant of the config; VALUE as in TOML.",
)
rule = click.option(
    "--rule",
    "--protocol",
    "rule",
    metavar="NAME",
    help=f"Another rule than the benchmark's own, named in the output and ranked apart: {', '.join(RULES)}.",
    shell_complete=completion.rules,
)
weights = click.option(
    "--weights",
    metavar="NAME",
    help="A checkpoint file, or a name that the method's card lists, or none (random).",
    shell_complete=completion.weights,
)
device = click.option("--device", default="cpu", show_default=True, metavar="NAME", help="cpu or cuda:N.")
precision = click.option(
    "--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True, help="What is computed in."
)
videos = names(
    "--videos",
    "Only these videos, by name; what comes out is partial. May be repeated; a comma in a name is written \\,.",
)
limit = click.option("--limit", type=NUMBER, metavar="N", help="Only the first N videos; what comes out is partial.")
shard = click.option(
    "--shard",
    type=SHARE,
    metavar="I/N",
    help="Only the I-th of N shares of the videos, dealt by length; harness merge puts all of them together.",
)
data_root = click.option(
    "--data-root",
    type=PATH,
    envvar="HARNESS_DATA",
    metavar="DIR",
    help="Where the dataset lies; default: what the config file names for the benchmark (harness doctor shows it).",
)
allow_partial = click.option(
    "--allow-partial", is_flag=True, help="Accept a tree that lacks videos; what comes out is partial."
)
threads = click.option(
    "--threads", type=COUNT, metavar="N", help="CPU threads for torch, part of the conditions; default: its own choice."
)
seed = click.option("--seed", type=SEED, default=0, show_default=True, metavar="N", help="Seed of every random number.")
resume = click.option(
    "--resume",
    type=click.Choice(["auto", "never"]),
    default="auto",
    show_default=True,
    help="auto goes on from what was interrupted; never throws it away.",
)
attributes = click.option(
    "--attributes", is_flag=True, help="Also a table by the dataset's attributes (DAVIS 2016: OCC, FM, ...)."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
