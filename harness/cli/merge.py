"""``harness merge``: the shares of a run, worked through on several machines, become one run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from harness.cli import options
from harness.cli.run import finish
from harness.cli.terminal import say
from harness.evaluation import Silence, merge


@click.command("merge")
@click.argument("shards", type=options.PATH, nargs=-1, required=True)
@click.option("--out", type=options.PATH, required=True, metavar="DIR", help="The folder of the whole run.")
@options.data_root
@click.option(
    "--python",
    type=options.PATH,
    metavar="PATH",
    help="The interpreter of the environment where the method lives, if the shards were run with one.",
)
@click.option(
    "--weights",
    type=options.PATH,
    metavar="FILE",
    help="Where the file of weights that the shards were run with lies now; default: where it lay then.",
)
@options.attributes
@options.as_json
def command(
    shards: tuple[Path, ...],
    out: Path,
    data_root: Path | None,
    python: Path | None,
    weights: Path | None,
    attributes: bool,
    as_json: bool,
) -> int:
    """Put the folders of all shards of a run (harness run --shard I/N) together into one folder, with one record.

    Nothing is run: masks are copied, and the record is that of one run. Refused are shards of different runs, one that
    is missing or given twice, and results that were damaged or made of other data.
    """
    outcome = merge(shards, out, data_root=data_root, python=python, weights=weights, watch=_watch)
    return finish(outcome, as_json=as_json, attributes=attributes)


class _Notes(Silence):
    """Says what takes long."""

    def note(self, words: str) -> None:
        """On standard error."""
        say(words, err=True)


@contextmanager
def _watch(plan: Any, folder: Path | None) -> Iterator[Any]:
    say(f"{plan.method.name} on {plan.benchmark.name}: {len(plan.samples)} videos into {folder}", err=True)
    yield _Notes()
