"""``harness ab``: base and head of a method in turns, in one job; a gate for CI."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.catalog import Catalog
from harness.cli import completion, options
from harness.cli.compare import refuse_by
from harness.cli.terminal import say, table, visible
from harness.planning.places import runs_folder
from harness.ranking.gate import read_gate


def _python(side: str) -> options.Option:
    words = f"The interpreter of {side}'s environment; default: this one."
    return click.option(f"--{side}-python", type=options.PATH, metavar="PATH", help=words)


def _constants(side: str) -> options.Option:
    words = f"Change one constant of {side}'s config, on top of --set; may be repeated."
    return click.option(f"--{side}", f"{side}_set", multiple=True, metavar="KEY=VALUE", help=words)


def _weights(side: str) -> options.Option:
    words = f"{side.capitalize()}'s weights; default: those of --weights."
    return click.option(f"--{side}-weights", metavar="NAME", help=words, shell_complete=completion.weights)


@click.command("ab")
@options.plugin
@options.bench
@_python("base")
@_python("head")
@_constants("base")
@_constants("head")
@_weights("base")
@_weights("head")
@options.task
@options.rule
@options.preset
@options.overrides
@options.weights
@options.device
@options.precision
@options.videos
@options.limit
@options.data_root
@options.allow_partial
@options.threads
@options.seed
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    metavar="N",
    help="Timed turns of each side on each video, after one that is scored and warms up.",
)
@click.option(
    "--memory-rounds",
    type=click.IntRange(0, 100),
    default=3,
    show_default=True,
    metavar="N",
    help="Fresh processes of each side in which the memory it takes is measured.",
)
@click.option(
    "--coin", type=options.SEED, default=0, show_default=True, metavar="N", help="Seed of who begins a round."
)
@click.option(
    "--gate", "gate_file", type=options.PATH, metavar="FILE", help="TOML file of rules; default: docs/ci-gate.md."
)
@click.option(
    "--out",
    type=options.FOLDER,
    metavar="DIR",
    help="Folder of both runs, base and head; default: runs/ab/BENCH/PLUGIN, below HARNESS_RUNS where that is set.",
)
@click.option("--markdown", is_flag=True, help="Print Markdown on standard output, for a step summary.")
@options.as_json
def command(
    plugin: str,
    bench: str,
    base_python: Path | None,
    head_python: Path | None,
    base_set: tuple[str, ...],
    head_set: tuple[str, ...],
    base_weights: str | None,
    head_weights: str | None,
    task: str | None,
    rule: str | None,
    preset: str,
    overrides: tuple[str, ...],
    weights: str | None,
    device: str,
    precision: Any,
    videos: tuple[str, ...],
    limit: int | None,
    data_root: Path | None,
    allow_partial: bool,
    threads: int | None,
    seed: int,
    rounds: int,
    memory_rounds: int,
    coin: int,
    gate_file: Path | None,
    out: Path | None,
    markdown: bool,
    as_json: bool,
) -> None:
    """Compare two environments, configs or weights of one method in turns; exit code 1 if head is worse.

    Both live in workers of one job and play each video in rounds, the other one resting meanwhile. Masks, accuracy,
    speed and memory are compared. A loss of speed or memory is played again with other workers and must show there too.
    """
    gate = None if gate_file is None else read_gate(gate_file)
    from harness.planning.request import Request
    from harness.planning.rules import find_rule

    catalog = Catalog.load()
    catalog.benchmarks.get(bench)  # wrong names are answered before torch is imported
    if base_python is None or head_python is None:
        catalog.methods.get(plugin)
    from harness.ab.match import Match, Terms, play_match
    from harness.ab.report import describe_verdict, write_markdown
    from harness.ab.verdict import judge
    from harness.api.foreign import hear_interrupts
    from harness.hosting.apart import plan_request

    options.use_threads(threads)
    request = Request(
        plugin=plugin,
        bench=bench,
        task=task,
        rule=find_rule(rule),
        preset=preset,
        device=device,
        precision=precision,
        videos=videos,
        limit=limit,
        data_root=data_root,
        allow_partial=allow_partial,
        executor="process",
        seed=seed,
        threads=threads,
    )
    sides = (
        replace(request, python=python, overrides=(*overrides, *constants), weights=own or weights)
        for python, constants, own in (
            (base_python, base_set, base_weights),
            (head_python, head_set, head_weights),
        )
    )
    with hear_interrupts():
        base, head = (plan_request(side, catalog) for side in sides)
        folder = out or runs_folder() / "ab" / base.benchmark.name / base.method.name
        say(f"folder {folder}", err=True)
        terms = Terms(rounds, memory_rounds, coin)

        def play(into: Path, terms: Terms) -> Match:
            return play_match(base, head, catalog, into, terms, lambda words: say(words, err=True))

        verdict = judge(play(folder, terms), catalog, gate)
        if lost := ", ".join(verdict.to_confirm):
            again = folder / "again"
            say(f"head lost by {lost}: played again with other processes, which must find it too; {again}", err=True)
            verdict = judge(verdict.match, catalog, gate, play(again, replace(terms, seed=coin + 1)))
    sections = list(describe_verdict(verdict))
    if as_json:
        say(json.dumps(verdict.to_json(), indent=2))
    else:
        say(write_markdown(sections) if markdown else _as_text(sections))
    refuse_by(gate_file, verdict)


def _as_text(sections: list[Any]) -> str:
    parts = []
    for section in sections:
        lines = [section.title, *section.lines]
        if section.heads:
            lines += ["", table(section.rows, section.heads)]
        parts.append("\n".join(visible(line) for line in lines))
    return "\n\n".join(parts)
