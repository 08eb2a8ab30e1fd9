"""``harness score``: masks made elsewhere, scored by a benchmark's own rule."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.api.errors import UsageError
from harness.api.records import VideoFailure, VideoResult
from harness.cli import options
from harness.cli.loading import keep_for_good
from harness.cli.terminal import say
from harness.evaluation import Silence, score
from harness.files import refuse_unwritable
from harness.planning.rules import choose_task
from harness.predictions.official_csv import write_official_csv

if TYPE_CHECKING:
    from harness.planning.plan import Trial

TRUTH_FOLDER = "truth-folder"
"""The benchmark that ``--truth`` stands for."""


@click.command("score")
@click.argument("pred_dir", type=click.Path(path_type=Path))
@options.bench_if_any
@click.option(
    "--truth",
    type=options.PATH,
    metavar="DIR",
    help="In place of a benchmark: a folder of true masks, of every frame or of some, scored by the --rule named.",
)
@click.option("--task", metavar="TASK", help="Where the benchmark scores several; default: its first.")
@options.videos
@options.data_root
@options.allow_partial
@click.option(
    "--out",
    type=options.PATH,
    metavar="DIR",
    help="Keep record and per-frame results there: a new or empty folder, or that of earlier scores, which are thrown "
    "away first; default: nothing is kept.",
)
@click.option(
    "--csv",
    "csv_folder",
    type=options.PATH,
    metavar="DIR",
    help="Write the two CSV files of davis2017-evaluation there.",
)
@options.rule
@options.attributes
@options.as_json
def command(
    pred_dir: Path,
    bench: str | None,
    truth: Path | None,
    task: str | None,
    videos: tuple[str, ...],
    data_root: Path | None,
    allow_partial: bool,
    out: Path | None,
    csv_folder: Path | None,
    rule: str | None,
    attributes: bool,
    as_json: bool,
) -> int:
    """Score the masks in PRED_DIR: one folder a video, one PNG a frame, or a zip of that; for tracks a results.json.

    A folder an object, as SAM 2 writes them for SA-V, is read too. Nothing is scored when a scored frame is missing or
    malformed; the message names it.
    """
    with keep_for_good():
        import harness.predictions.scoring  # noqa: F401  what score() would import
        from harness.cli.run import finish

    if (bench is None) == (truth is None):
        found = "neither" if bench is None else "both"
        raise UsageError(f"--bench or --truth: found {found}, expected one", hint="harness ls benches")
    if csv_folder is not None:
        refuse_unwritable(csv_folder, "--csv")
    if truth is not None:
        data_root, task = truth, task or choose_task(rule)

    outcome = score(
        pred_dir,
        bench or TRUTH_FOLDER,
        task=task,
        rule=rule,
        videos=videos,
        data_root=data_root,
        allow_partial=allow_partial,
        out=out,
        watch=_watch,
    )
    if csv_folder is not None:
        for path in write_official_csv(outcome.record, csv_folder):
            say(f"wrote {path}", err=True)
    return finish(outcome, as_json=as_json, attributes=attributes)


@contextmanager
def _watch(trial: Trial, folder: Path | None) -> Iterator[_Lines]:
    yield _Lines(len(trial.samples))


class _Lines(Silence):
    """One line a video on standard error."""

    def __init__(self, videos: int) -> None:
        self._videos = videos
        self._done = 0

    def video(self, outcome: VideoResult | VideoFailure, reused: bool) -> None:
        """Count the video."""
        self._done += 1
        length = f": {outcome.length} frames" if isinstance(outcome, VideoResult) else ""
        say(f"[{self._done}/{self._videos}] {outcome.video}{length}", err=True)

    def note(self, words: str) -> None:
        """Say it."""
        say(words, err=True)
