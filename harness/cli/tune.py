"""``harness tune``: which of a method's competing masks is the object, and which weights are better, without truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.catalog import Catalog
from harness.cli import options
from harness.cli.terminal import one_line, say, table


@click.command("tune")
@options.plugin
@options.bench
@options.names("--weights", "The candidates: weights by name, or files.", required=True)
@click.option(
    "--threshold",
    type=options.Finite(-1, 1),
    default=0.2,
    show_default=True,
    metavar="COSINE",
    help="From which cosine on a pixel looks like the mask; that of the features, not of the method.",
)
@click.option("--against-truth", is_flag=True, help="Show what truth says too; it chooses nothing.")
@options.preset
@options.overrides
@options.videos
@options.limit
@options.data_root
@options.allow_partial
@options.device
@options.precision
@options.threads
@options.as_json
def command(
    plugin: str,
    bench: str,
    weights: tuple[str, ...],
    threshold: float,
    against_truth: bool,
    preset: str,
    overrides: tuple[str, ...],
    videos: tuple[str, ...],
    limit: int | None,
    data_root: Path | None,
    allow_partial: bool,
    device: str,
    precision: Any,
    threads: int | None,
    as_json: bool,
) -> int:
    """Rank candidates by motion-semantic alignment on the first frames of videos; the best channel is the object."""
    catalog = Catalog.load()
    catalog.methods.get(plugin)  # wrong names are answered before torch is imported
    catalog.benchmarks.get(bench)
    from harness.machine import resolve_device
    from harness.planning.plan import resolve
    from harness.planning.request import Request
    from harness.tuning.measure import rank_correlation, tune

    options.use_threads(threads)
    asked = Request(
        plugin=plugin,
        bench=bench,
        preset=preset,
        overrides=overrides,
        device=resolve_device(device),
        precision=precision,
        videos=videos,
        limit=limit,
        data_root=data_root,
        allow_partial=allow_partial,
        threads=threads,
    )
    plans = [resolve(replace(asked, weights=candidate), catalog) for candidate in weights]
    found = tune(plans, threshold=threshold, against_truth=against_truth, on_done=_tell_done)
    rho = rank_correlation(found) if against_truth else None
    say(json.dumps(_to_json(found, rho), indent=2) if as_json else _describe(found, rho))
    return 0


def _tell_done(candidate: Any) -> None:
    say(f"{one_line(candidate.weights)}: done", err=True)


def _to_json(found: Sequence[Any], rho: float | None) -> dict[str, Any]:
    rows = [
        {"weights": each.weights, "channel": each.alignment.channel, "alignment": each.alignment.scores}
        | ({"J": each.truth, "best_by_video": each.best_by_video} if each.truth else {})
        for each in found
    ]
    return {"candidates": rows, "spearman": rho}


def _describe(found: Sequence[Any], rho: float | None) -> str:
    """A row a channel, the best candidate first, and what is picked."""
    has_truth = any(each.truth for each in found)
    rows = [
        [one_line(each.weights), channel, f"{score:.4f}", *([f"{each.truth[channel]:.4f}"] if has_truth else [])]
        for each in found
        for channel, score in enumerate(each.alignment.scores)
    ]
    best = found[0]
    picked = f"{one_line(best.weights)}, channel {best.alignment.channel}: alignment {best.alignment.score:.4f}"
    lines = [table(rows, ["weights", "channel", "alignment", *(["J"] if has_truth else [])]), f"picked {picked}"]
    equal = sum(score == best.alignment.score for each in found for score in each.alignment.scores)
    if equal > 1:
        lines.append(f"nothing tells it from {equal - 1} others, whose alignment is the same: it is the first of them")
    lines += [
        f"{one_line(each.weights)}: J {max(each.truth):.4f} with one channel for all videos, "
        f"{each.best_by_video:.4f} with the best of each"
        for each in found
        if each.truth
    ]
    if rho is not None:
        lines.append(f"Spearman's rho of alignment and J over {len(rows)} channels: {rho:.3f}")
    return "\n".join(lines)
