"""``harness data``: is a benchmark's data whole, what is its fingerprint, and where does it come from?"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from harness.api.contracts import Benchmark
from harness.api.errors import DataError, UsageError
from harness.api.oddities import describe_oddities
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.cli import completion, options
from harness.cli.terminal import count, say
from harness.data.inspection import Findings, is_whole, read_everything
from harness.planning.places import find_data_root


@click.group("data")
def command() -> None:
    """Check, fetch and fingerprint benchmark data."""


_bench = click.argument("bench", shell_complete=completion.benchmarks)


@command.command("check")
@_bench
@options.data_root
@options.allow_partial
@options.as_json
def check(bench: str, data_root: Path | None, allow_partial: bool, as_json: bool) -> int:
    """Read every frame and mask of BENCH and list every problem; exit code 3 if there is any.

    Notes are what is odd without being wrong: they change no exit code.
    """
    catalog = Catalog.load()
    benchmark = catalog.benchmarks.get(bench)
    data_root = find_data_root(benchmark, data_root, catalog)
    found = read_everything(benchmark, data_root, partial=allow_partial, on_video=_tell_video)
    if as_json:
        say(json.dumps(_as_json(benchmark, data_root, found), indent=2))
    else:
        _show(benchmark, found)
    return DataError.exit_code if found.problems else 0


def _tell_video(sample: Sample) -> None:
    say(f"{sample.name}: {sample.length} frames", err=True)


def _show(benchmark: Benchmark, found: Findings) -> None:
    of = f" of {benchmark.videos_expected}" if benchmark.videos_expected else ""
    counts = f"{found.videos}{of} videos, {found.frames} frames, {found.truths} truths, {found.prompts} prompts"
    if found.tracks:
        counts += f", {found.tracks} tracks"
    state = count(len(found.problems), "problem") if found.problems else "no problems"
    say(f"{benchmark.name}: {counts}; {state}")
    for problem in found.problems:
        say(f"- {problem.message}")
    for note in describe_oddities(found.oddities):
        say(f"- {note}")
    for hint in dict.fromkeys(problem.hint for problem in found.problems if problem.hint):
        say(f"  next: {hint}")


def _as_json(benchmark: Benchmark, root: Path | None, found: Findings) -> dict[str, Any]:
    return {
        "benchmark": benchmark.name,
        "data_root": None if root is None else str(root),
        "videos": found.videos,
        "videos_expected": benchmark.videos_expected or None,
        "frames": found.frames,
        "truths": found.truths,
        "prompts": found.prompts,
        "tracks": found.tracks,
        "problems": [{"message": problem.message, "hint": problem.hint} for problem in found.problems],
        "notes": describe_oddities(found.oddities),
    }


@command.command("fingerprint")
@_bench
@options.data_root
@options.allow_partial
@options.as_json
def fingerprint(bench: str, data_root: Path | None, allow_partial: bool, as_json: bool) -> None:
    """Print one SHA-256 over every byte of BENCH that may change a result, as records of full runs carry it."""
    from harness.files import digest_of
    from harness.guarded import open_guarded

    catalog = Catalog.load()
    benchmark = catalog.benchmarks.get(bench)
    samples = open_guarded(benchmark, find_data_root(benchmark, data_root, catalog), partial=allow_partial)
    digests = [(sample.name, sample.digest()) for sample in samples]
    value = digest_of(digests)
    if as_json:
        say(json.dumps({"benchmark": bench, "fingerprint": value, "videos": dict(digests)}, indent=2))
        return
    say(value)
    if len(samples) < benchmark.videos_expected:
        say(f"partial: {len(samples)} of {benchmark.videos_expected} videos", err=True)


@command.command("fetch")
@_bench
@options.data_root
@click.option("--accept-licence", is_flag=True, help="You have read the licence shown and accept it.")
@click.option("--keep-archives", is_flag=True, help="Keep the archives after unpacking.")
@options.as_json
def fetch(bench: str, data_root: Path | None, accept_licence: bool, keep_archives: bool, as_json: bool) -> None:
    """Download and unpack the data of BENCH, or say how to get them by hand."""
    from harness.data.fetching import fetch as fetch_benchmark

    catalog = Catalog.load()
    benchmark = catalog.benchmarks.get(bench)
    if not benchmark.needs_root:
        _tell_fetched(bench, None, "embedded", 0, as_json=as_json)
        return
    data_root = find_data_root(benchmark, data_root, catalog, to_fill=True)
    if data_root is None:
        raise UsageError(f"{bench}: no --data-root was given, expected the folder to unpack into")
    if is_whole(benchmark, data_root):
        _tell_fetched(bench, data_root, "whole", 0, as_json=as_json)
        return
    say(f"{benchmark.title}\n  licence:  {benchmark.licence}\n  homepage: {benchmark.homepage}", err=True)
    if benchmark.archives and not accept_licence:
        raise UsageError(
            f"{bench}: the licence above was not accepted", hint="read it and add --accept-licence to the same command"
        )
    with _download_progress() as on_bytes:
        written = fetch_benchmark(benchmark, data_root, on_bytes, keep=keep_archives)
    _tell_fetched(bench, data_root, "fetched", written, as_json=as_json)


def _tell_fetched(bench: str, root: Path | None, state: str, written: int, *, as_json: bool) -> None:
    """What became of it: ``embedded``, ``whole`` before anything was fetched, or ``fetched``."""
    if as_json:
        told = {
            "benchmark": bench,
            "data_root": None if root is None else str(root),
            "state": state,
            "written": written,
        }
        say(json.dumps(told, indent=2))
    elif state == "embedded":
        say(f"{bench} is embedded: there is nothing to fetch")
    elif state == "whole":
        say(f"{bench} is whole below {root}: there is nothing to fetch")
    else:
        say(f"{written} files written below {root}; next: harness data check {bench} --data-root {root}")


@contextmanager
def _download_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, one line every 64 MiB elsewhere; on standard error."""
    if not sys.stderr.isatty():
        yield _line_a_step()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name)
            bars.update(tasks[name], completed=done, total=total or None)

        yield show


def _line_a_step() -> Callable[[str, int, int], None]:
    shown: dict[str, int] = {}

    def show(name: str, done: int, total: int) -> None:
        step = done >> 26
        if step != shown.get(name) or done == total:
            shown[name] = step
            say(f"{name}: {done >> 20} of {f'{total >> 20}' if total else '?'} MiB", err=True)

    return show
