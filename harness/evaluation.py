"""Run a method on a benchmark, or score masks made elsewhere: what ``harness run`` and ``harness score`` do.

``harness.run`` and ``harness.score`` are these functions. Nothing is printed and nothing exits: what the commands
refuse is raised, with the exit code on the error. torch is imported when a run begins, not before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness.api.dataclass import dataclass
from harness.api.errors import ContractError, DataError, HarnessError, IncompletePredictions, MethodFailed, UsageError
from harness.api.foreign import hear_interrupts
from harness.api.records import Precision, RunRecord, VideoFailure, VideoResult
from harness.catalog import Catalog
from harness.planning.places import runs_folder
from harness.planning.request import Request
from harness.planning.rules import find_rule

if TYPE_CHECKING:
    from harness.planning.plan import Plan, Trial
    from harness.running.folder import RunFolder

ERRORS: Mapping[int, type[HarnessError]] = {
    kind.exit_code: kind for kind in (DataError, ContractError, MethodFailed, IncompletePredictions)
}
"""What the failure of a video is, by its exit code."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to: its record, and the folder where masks and results lie (None: nothing was kept)."""

    record: RunRecord
    folder: Path | None

    @property
    def scores(self) -> dict[str, float | None]:
        """The overall figures by name: ``outcome.scores["J&F"]``; ``record.scores`` has them with their intervals."""
        return {name: figure.value for columns in self.record.scores.values() for name, figure in columns.items()}

    @property
    def masks(self) -> Path | None:
        """The folder of the masks, as ``score`` takes it; None where none were kept (scores, tracks)."""
        place = None if self.folder is None else self.folder / "masks"
        return place if place is not None and place.is_dir() else None

    @property
    def exit_code(self) -> int:
        """What the command would have returned: 0, or that of the worst failure among the videos."""
        return max((failure.exit_code for failure in self.record.failures), default=0)

    def raise_failures(self) -> None:
        """Raise the worst failure of a video, if there is one; what was finished is kept all the same."""
        if self.record.failures:
            worst = max(self.record.failures, key=lambda failure: failure.exit_code)
            raise ERRORS[worst.exit_code](f"{worst.video}: {worst.kind}: {worst.message}")


class Watcher(Protocol):
    """Is told how far a run is."""

    def frame(self, video: str, done: int, length: int) -> None:
        """One more frame of ``video`` is done; scoring tells whole videos only."""
        ...

    def video(self, outcome: VideoResult | VideoFailure, reused: bool) -> None:
        """One video ended."""
        ...

    def note(self, words: str) -> None:
        """Something beside the method is worth a line."""
        ...


class Silence:
    """A watcher that keeps what it is told to itself."""

    def frame(self, video: str, done: int, length: int) -> None:
        """Say nothing."""

    def video(self, outcome: VideoResult | VideoFailure, reused: bool) -> None:
        """Say nothing."""

    def note(self, words: str) -> None:
        """Say nothing."""


Watch = Callable[["Trial", Path | None], AbstractContextManager[Watcher]]
"""Is shown what will be done and where it will be kept, before anything is; its watcher is told the rest."""


def watch_nothing(trial: Trial, folder: Path | None) -> AbstractContextManager[Watcher]:
    """Watch in silence."""
    return nullcontext(Silence())


def run(
    plugin: str,
    bench: str,
    *,
    task: str | None = None,
    rule: str | None = None,
    preset: str = "",
    constants: Mapping[str, Any] | Sequence[str] = (),
    weights: str | Path | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
    videos: Sequence[str] = (),
    limit: int | None = None,
    shard: tuple[int, int] | None = None,
    data_root: str | Path | None = None,
    allow_partial: bool = False,
    executor: str = "inline",
    workers: int = 1,
    address: str | None = None,
    python: str | Path | None = None,
    threads: int | None = None,
    first_frame_seconds: float = 600.0,
    frame_seconds: float = 120.0,
    seed: int = 0,
    out: str | Path | None = None,
    resume: Literal["auto", "never", "elsewhere"] = "auto",
    overlay: bool = False,
    watch: Watch = watch_nothing,
) -> Outcome:
    """Run method ``plugin`` on benchmark ``bench``, scored and timed, as ``harness run`` with the same options does.

    ``constants`` changes constants of the config: ``{"tau": 0.5}``, or the texts of ``--set``. Finished videos of an
    interrupted run into the same folder are reused, unless ``resume`` is ``"never"``; ``"elsewhere"`` also takes those
    made on another machine, with other threads, workers or another torch, without their clocks. A video that fails
    costs itself only: the outcome says so (``Outcome.raise_failures``). ``overlay`` draws the masks over the frames,
    into ``overlays`` in the folder. ``shard`` (i, n) is the i-th of n shares of the videos: see ``merge``. Raises the
    HarnessError that the command would print.

    ``executor="ray"`` works on the cluster at ``address``, or on one of this machine alone (docs/ray.md).

    A video of your own is the benchmark ``"own-video"``, or ``"own-video:first.png"``, with the video as ``data_root``.
    """
    request = Request(
        plugin=plugin,
        bench=bench,
        task=task,
        rule=find_rule(rule),
        preset=preset,
        overrides=_as_overrides(constants),
        weights=None if weights is None else str(weights),
        device=device,
        precision=precision,
        videos=tuple(videos),
        limit=limit,
        shard=shard,
        data_root=_as_path(data_root),
        allow_partial=allow_partial,
        executor=executor,
        seed=seed,
        python=_as_path(python),
        workers=workers,
        address=address,
        threads=threads,
        first_frame_seconds=first_frame_seconds,
        frame_seconds=frame_seconds,
    )
    if resume == "elsewhere" and out is None:
        raise UsageError("--resume elsewhere names no run to go on with", hint="add --out DIR, the folder of that run")
    catalog = Catalog.load()
    _refuse_unknown(request, catalog)  # wrong names are answered before torch is imported
    from harness.hosting.apart import plan_request
    from harness.running import runner

    with hear_interrupts(), _threads_used(threads):
        plan = plan_request(request, catalog)
        folder = _as_path(out) or default_folder(plan)
        with watch(plan, folder) as watcher:
            record = runner.run(
                plan,
                folder,
                catalog,
                fresh=resume == "never",
                elsewhere=resume == "elsewhere",
                progress=watcher.frame,
                on_video=watcher.video,
                on_note=watcher.note,
            )
            if overlay:
                _draw_overlays(plan, folder, record, watcher)
    return Outcome(record, folder)


def merge(
    shards: Sequence[str | Path],
    out: str | Path,
    *,
    data_root: str | Path | None = None,
    python: str | Path | None = None,
    weights: str | Path | None = None,
    watch: Watch = watch_nothing,
) -> Outcome:
    """Put the shares of a run together, as ``harness merge`` does: nothing runs, and the record is that of one run.

    ``shards`` are the folders of all ``run(..., shard=(i, n))``, in any order; ``weights`` is where their file of
    weights lies now, if it was moved. Raises the HarnessError that the command would print.
    """
    from harness.running.shards import merge as merge_shards

    folder = Path(out)
    with hear_interrupts(), ExitStack() as stack:
        watchers: list[Watcher] = []
        record = merge_shards(
            [Path(shard) for shard in shards],
            folder,
            Catalog.load(),
            data_root=_as_path(data_root),
            python=_as_path(python),
            weights=_as_path(weights),
            on_plan=lambda plan: watchers.append(stack.enter_context(watch(plan, folder))),
            on_note=lambda words: watchers[0].note(words),
        )
    return Outcome(record, folder)


def _draw_overlays(plan: Plan, folder: Path, record: RunRecord, watcher: Watcher) -> None:
    """Draw the videos that are finished; those of an earlier run are drawn already, unless it was killed at that."""
    from harness.overlays.write import is_drawn, write_overlay
    from harness.running.folder import RunFolder

    failed = {failure.video for failure in record.failures}
    with RunFolder(folder):
        for sample in plan.samples:
            if sample.name not in failed and not (sample.name in record.reused and is_drawn(folder, sample)):
                watcher.note(f"overlay {write_overlay(folder, sample)}")


def score(
    predictions: str | Path,
    bench: str,
    *,
    task: str | None = None,
    rule: str | None = None,
    videos: Sequence[str] = (),
    data_root: str | Path | None = None,
    allow_partial: bool = False,
    out: str | Path | None = None,
    watch: Watch = watch_nothing,
) -> Outcome:
    """Score the masks or tracks in ``predictions`` on benchmark ``bench``, as ``harness score`` does.

    With ``out`` record and results are kept there. Nothing is scored when a scored frame is missing or malformed: the
    error names it. Raises the HarnessError that the command would print.
    """
    from harness.predictions.scoring import plan_scoring
    from harness.predictions.scoring import score as score_trial

    catalog = Catalog.load()
    place, folder = Path(predictions), _as_path(out)
    trial = plan_scoring(
        place,
        catalog.benchmarks.get(bench),
        catalog,
        task,
        videos=tuple(videos),
        data_root=_as_path(data_root),
        allow_partial=allow_partial,
        rule=find_rule(rule),
    )
    with hear_interrupts(), watch(trial, folder) as watcher, _scores_folder(folder, place, trial) as kept:

        def tell(result: VideoResult) -> None:
            watcher.video(result, False)

        record, results = score_trial(trial, place, catalog, on_video=tell, on_note=watcher.note)
        if kept is not None:
            for result in results:
                kept.append(result)
            kept.write_record(record)
    return Outcome(record, folder)


def default_folder(plan: Plan) -> Path:
    """Where a run goes unless a folder is named: the same for the same request."""
    share = "shard-{}-of-{}".format(*plan.request.shard) if plan.request.shard else ""
    name = "-".join(part for part in (plan.method.name, plan.request.preset, plan.key[:8], share) if part)
    return runs_folder() / plan.benchmark.name / plan.task.name / name


def _refuse_unknown(request: Request, catalog: Catalog) -> None:
    if request.python is None:
        catalog.methods.get(request.plugin)
    catalog.benchmarks.get(request.bench)
    catalog.executors.get(request.executor)


@contextmanager
def _threads_used(threads: int | None) -> Iterator[None]:
    """Let torch compute with so many threads inside; what is too few is refused where the plan is made."""
    if threads is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, threads))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _scores_folder(out: Path | None, predictions: Path, trial: Trial) -> Iterator[RunFolder | None]:
    """The folder of the scores, emptied of earlier ones before anything is scored; never what holds the predictions."""
    if out is None:
        yield None
        return
    from harness.running.folder import RunFolder

    if Path(os.path.realpath(predictions)).is_relative_to(os.path.realpath(out)):
        raise UsageError(f"--out {out} holds the predictions: found {predictions}", hint="choose another --out")
    with RunFolder(out) as folder:
        folder.refuse_method_run()
        folder.claim(trial.key_parts, fresh=True)
        yield folder


def _as_path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


def _as_overrides(constants: Mapping[str, Any] | Sequence[str]) -> tuple[str, ...]:
    """``{"tau": 0.5}`` as ``--set`` has it; texts are as typed there."""
    if not isinstance(constants, Mapping):
        return tuple(constants)
    plain = {key: value if isinstance(value, str) else json.dumps(value) for key, value in constants.items()}
    return tuple(f"{key}={value}" for key, value in plain.items())
