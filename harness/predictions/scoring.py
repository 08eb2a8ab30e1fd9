"""Predictions made elsewhere, scored without running anything: looked over first, then measured video by video.

No torch, no frames, no method: what ``harness score`` does for PNGs and results.json.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from harness.api.contracts import Benchmark, Rule
from harness.api.dataclass import dataclass
from harness.api.errors import DataError, HarnessError, IncompletePredictions, UsageError
from harness.api.file_names import find_alike
from harness.api.mask_files import PngHeader, read_mask_header, read_small_mask
from harness.api.oddities import some
from harness.api.records import PluginInfo, RunRecord, VideoResult, WeightsInfo
from harness.api.tasks import TASKS, Task
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.planning.plan import Trial, open_videos
from harness.planning.provenance import NO_WEIGHTS, code_digest
from harness.planning.request import Request
from harness.planning.rules import choose_rule
from harness.predictions.found import find_predictions, read_all_tracks
from harness.predictions.objects_apart import measure_apart, objects_of
from harness.predictions.oddities import find_oddities, find_shift
from harness.predictions.video_masks import VideoMasks
from harness.running.digests import OnNote, hash_video, ignore_note
from harness.running.measure import Evaluation, make_result, measure_tracks, measure_video, metrics_of, take_runs
from harness.running.oddities import Oddities
from harness.running.record import record_of
from harness.version import __version__

SUBSET_HINT = "add what is missing, or score a subset with --videos NAME,NAME (a partial record)"
WORTH_THREADS = 1 << 19
"""Pixels of a frame from which a second thread shortens a score: below, Python between the loops takes as long as
they do, and threads wait for each other (docs/metrics.md)."""
MOST_KEPT = 1 << 25
"""Bytes of masks that are kept from the look at their headers until they are scored."""
MADE_ELSEWHERE = "replay"
"""What a record calls the method whose masks came as files; ``harness leaderboard add --name`` says what made them."""


@dataclass(frozen=True)
class PredictionsConfig:
    """What a record says of predictions made elsewhere: where they lay, and how they were read."""

    directory: str
    binary: bool
    """Every value that is not 0 is object 1 (0/255 grey masks of single-object benchmarks)."""
    frames: Literal["inner", "all"]
    """inner: the first and last frame's masks are not opened, as the official one-shot toolkits do."""


def plan_scoring(
    predictions: Path,
    benchmark: Benchmark,
    catalog: Catalog,
    task: str | None = None,
    *,
    videos: tuple[str, ...] = (),
    data_root: Path | None = None,
    allow_partial: bool = False,
    rule: Rule | None = None,
) -> Trial:
    """What scoring the predictions on a benchmark takes; by ``rule``, or by the benchmark's own for the task."""
    request = Request(
        plugin=MADE_ELSEWHERE,
        bench=benchmark.full_name,
        task=task or benchmark.tasks[0],
        videos=videos,
        data_root=data_root,
        allow_partial=allow_partial,
        rule=rule,
    )
    chosen = _choose_task(request.task, benchmark)
    rule = choose_rule(rule, benchmark, chosen, catalog)
    found = open_videos(benchmark, request, catalog)
    return Trial(
        request=request,
        plugin=PluginInfo(
            name=MADE_ELSEWHERE,
            distribution="vos-harness",
            version=__version__,
            code_sha256=code_digest("harness"),
            causality="offline",
            supervision="unknown (masks made elsewhere)",
            replays=True,
        ),
        benchmark=found.benchmark,
        task=chosen,
        rule=rule,
        config=PredictionsConfig(
            directory=os.path.realpath(predictions),
            binary=rule.objects == "single",
            frames="inner" if rule.frames == "inner" else "all",
        ),
        weights=WeightsInfo(name=NO_WEIGHTS),
        samples=found.samples,
        videos_expected=found.expected,
        partial_reason=found.partial_reason,
        tree=found.tree,
    )


def _choose_task(name: str | None, benchmark: Benchmark) -> Task:
    if name not in TASKS:
        raise UsageError.unknown("task", str(name), TASKS)
    if name not in benchmark.tasks:
        raise UsageError(
            f"{benchmark.name} scores {', '.join(benchmark.tasks)}; --task {name} is not among them",
            hint="harness ls benches",
        )
    return TASKS[name]


def score(
    trial: Trial,
    predictions: Path,
    catalog: Catalog,
    *,
    workers: int | None = None,
    on_video: Callable[[VideoResult], None] = lambda result: None,
    on_note: OnNote = ignore_note,
) -> tuple[RunRecord, list[VideoResult]]:
    """Score the masks or tracks in ``predictions`` (see ``harness.predictions.found``) by the trial's rule.

    Returns the record and what it was made of. Videos are worked through by ``workers`` threads (default: one, and
    for masks of at least ``WORTH_THREADS`` pixels one a core). The first prediction that is missing, malformed or of a
    wrong id raises, and nothing is scored: there is no score of a part that was not asked for. ``on_note`` is told
    where predictions were found, and what they lack.
    """
    if not trial.benchmark.scored:
        raise _no_truth(trial.benchmark)
    results = []
    oddities = Oddities()
    for sample in trial.samples:
        oddities.add(sample.name, sample.oddities)
    with find_predictions(predictions, trial.samples, trial.task.name) as found:
        if found.note:
            on_note(found.note)
        choose = _track_evaluator if trial.task.returns == "tracks" else _mask_evaluator
        evaluate = choose(trial, found.place, catalog, on_note, oddities)
        for result in _evaluate_all(evaluate, trial.samples, workers or _count_workers(trial)):
            on_video(result)
            results.append(result)
    for note in oddities.describe():
        on_note(note)
    return record_of(trial, catalog, results, []), results


def _no_truth(benchmark: Benchmark) -> DataError:
    if benchmark.choose is not None:
        return DataError(f"{benchmark.full_name} has no truth: found first masks at most", hint="add masks to score by")
    hint = "harness pack makes the zip its server takes"
    return DataError(f"{benchmark.name} has no public truth: predictions are scored by a server", hint=hint)


Evaluate = Callable[[Sample], VideoResult]


def _count_workers(trial: Trial) -> int:
    """How many threads are worth their while."""
    largest = max((sample.height * sample.width for sample in trial.samples), default=0)
    is_worth = trial.task.returns == "masks" and largest >= WORTH_THREADS
    return (os.cpu_count() or 1) if is_worth else 1


def _evaluate_all(evaluate: Evaluate, samples: Sequence[Sample], workers: int) -> Iterator[VideoResult]:
    if workers == 1:
        yield from map(evaluate, samples)
        return
    from concurrent.futures import ThreadPoolExecutor  # a hundredth of a short score is its import

    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from pool.map(evaluate, samples)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _mask_evaluator(trial: Trial, folder: Path, catalog: Catalog, on_note: OnNote, oddities: Oddities) -> Evaluate:
    rule = trial.rule
    metrics = metrics_of(rule, catalog, "masks")
    frames_of = functools.partial(_list_frames, rule=rule)
    found_of = look_over(folder, trial.samples, frames_of, rule=rule, most_kept=MOST_KEPT if take_runs(metrics) else 0)
    for video, oddity in find_oddities(folder, trial):
        oddities.add(video, [oddity])

    def evaluate(sample: Sample) -> VideoResult:
        masks = found_of[sample.name]
        if sample.read_truth is None:
            if trial.benchmark.choose is None:
                raise DataError(f"video {sample.name} of {trial.benchmark.name} has no truth")
            found = Evaluation({}, [])
        elif apart := objects_of(sample, rule):
            frames = {number: list_scored_frames(one, rule) for number, one in apart.items()}
            found = measure_apart(sample, masks, frames, metrics, rule)
        else:
            found = _measure_maps(masks, metrics, rule)
        oddities.add(sample.name, found.oddities)
        return make_result(trial, sample, found, hash_video(sample, on_note))

    return evaluate


def _measure_maps(masks: VideoMasks, metrics: Mapping[str, Any], rule: Rule) -> Evaluation:
    """Measure the id maps of a video, read one at a time."""
    binary = rule.objects == "single"
    read = masks.read_runs if take_runs(metrics) else masks.read
    pairs = ((frame, read(frame, binary=binary)) for frame in _list_frames(masks, rule))
    return measure_video(masks.sample, pairs, metrics, rule, where=masks.where)


def _list_frames(masks: VideoMasks, rule: Rule) -> list[int]:
    """The frames whose predictions are opened: those with a truth, and of the others those that are there."""
    frames = () if masks.sample.read_truth is None else list_scored_frames(masks.sample, rule)
    known = frozenset(masks.sample.truth_frames or ())
    return [frame for frame in frames if frame in known or masks.is_there(frame) or _has_truth(masks.sample, frame)]


def _has_truth(sample: Sample, frame: int) -> bool:
    if sample.truth_frames is not None:
        return frame in sample.truth_frames
    return sample.read_truth is not None and sample.read_truth(frame) is not None


def _track_evaluator(trial: Trial, place: Path, catalog: Catalog, on_note: OnNote, oddities: Oddities) -> Evaluate:
    """Tracks are read whole before the first is measured: one file holds those of all videos."""
    is_subset = bool(trial.partial_reason)
    tracks, note = read_all_tracks(place, trial.samples, is_subset=is_subset, deep=False)
    if note:
        on_note(note)
    metrics = metrics_of(trial.rule, catalog, "tracks")

    def evaluate(sample: Sample) -> VideoResult:
        try:
            found = measure_tracks(sample, tracks[sample.name], metrics, trial.rule)
        except DataError:
            read_all_tracks(place, trial.samples, is_subset=is_subset)  # raises naming the entry with the broken code
            raise
        oddities.add(sample.name, found.oddities)
        return make_result(trial, sample, found, hash_video(sample, on_note))

    return evaluate


def look_over(
    folder: Path,
    samples: Sequence[Sample],
    frames_of: Callable[[VideoMasks], Iterable[int]],
    *,
    rule: Rule | None = None,
    hint: str = SUBSET_HINT,
    most_kept: int = 0,
) -> dict[str, VideoMasks]:
    """The masks of every video, checked by their headers alone: each frame asked for is there and of the right size.

    Raises IncompletePredictions that counts what is missing and names the first few, or DataError for the first file
    that is no id map or has another size. ``rule``: objects that it takes one by one are asked for one by one. Of
    ``most_kept`` bytes at most the whole content is kept, for ``VideoMasks.read_runs``.
    """
    if not folder.is_dir():
        raise DataError.at(
            folder,
            found="no such folder",
            expected="one folder of PNG masks a video",
            hint="give a folder of masks, a zip of it, or the folder of a run",
        )
    found = {sample.name: VideoMasks.find(folder, sample) for sample in samples}
    wanted = [(masks, *one) for masks in found.values() for one in _list_wanted(masks, frames_of, rule)]
    missing, odd = [], None
    for masks, path, is_map in wanted:
        try:
            header, content = read_small_mask(path) if is_map and most_kept else (read_mask_header(path), None)
            _check_size(path, header, masks.sample)
            if content is not None and len(content) <= most_kept:
                masks.contents[path] = content
                most_kept -= len(content)
        except DataError as error:
            if not path.is_file():
                missing.append(path)
            odd = odd or error
    if missing:
        raise _incomplete(folder, samples, missing, hint)
    if odd:
        raise odd
    return found


def _check_size(path: Path, header: PngHeader, sample: Sample) -> None:
    if (header.height, header.width) != (sample.height, sample.width):
        raise DataError.at(
            path,
            found=f"a mask of {header.height} x {header.width} (rows x columns)",
            expected=f"{sample.height} x {sample.width} as the video's frames",
            hint="resize the masks with nearest neighbour",
        )


def _list_wanted(
    masks: VideoMasks, frames_of: Callable[[VideoMasks], Iterable[int]], rule: Rule | None
) -> Iterator[tuple[Path, bool]]:
    """The files that are needed, and whether each is the id map of a frame, read once as a whole."""
    apart = {} if rule is None else objects_of(masks.sample, rule)
    for number, one in apart.items():
        frames = () if rule is None else list_scored_frames(one, rule)
        yield from ((masks.path_of_object(number, one.frame_names[frame]), False) for frame in frames)
    for frame in () if apart else frames_of(masks):
        yield from ((path, not masks.objects) for path in masks.list_paths(frame))


def list_scored_frames(sample: Sample, rule: Rule) -> Sequence[int]:
    """The frames a rule looks at: those with a truth; all but first and last, or after a prompt, where it says so."""
    if rule.frames == "inner":
        return range(1, sample.length - 1)
    frames = range(sample.length) if sample.truth_frames is None else sample.truth_frames
    if rule.frames == "prompted":
        return [frame for frame in frames if frame > min(sample.prompt_frames, default=sample.length)]
    return frames


def _incomplete(folder: Path, samples: Sequence[Sample], missing: Sequence[Path], hint: str) -> HarnessError:
    absent = [sample.name for sample in samples if not find_alike(folder, sample.name).is_dir()]
    what = f"{len(absent)} of {len(samples)} videos have no folder in {folder}: {some(absent)}"
    place, known = folder, {sample.name for sample in samples}
    if not absent:
        masks = "1 mask is" if len(missing) == 1 else f"{len(missing)} masks are"
        what = f"{masks} missing in {folder}: {some(str(path.relative_to(folder)) for path in missing)}"
        place = next(folder for folder in missing[0].parents if folder.is_dir())
        hint = _advise_names(place, samples) or hint
        known = {f"{name}.png" for sample in samples if sample.name == place.name for name in sample.frame_names}
    others = sorted(child.name for child in place.iterdir() if child.name not in known)
    return IncompletePredictions(what + (f"; found in {place}: {some(others)}" if others else ""), hint=hint)


def _advise_names(place: Path, samples: Sequence[Sample]) -> str:
    """What to do where masks lack only because of how they are named."""
    names = next((sample.frame_names for sample in samples if find_alike(place.parent, sample.name) == place), ())
    stems = [path.stem for path in place.glob("*.png")]
    shift = find_shift(stems, names)
    if shift:
        return f"the masks in {place} look numbered {abs(shift)} too {'high' if shift > 0 else 'low'}: rename them"
    by_number = {int(stem): stem for stem in stems if stem.isascii() and stem.isdigit()}
    alike = [(by_number[int(name)], name) for name in names if name.isdigit() and int(name) in by_number]
    unlike = [f"{stem}.png as {name}.png" for stem, name in alike if stem != name]
    if unlike:
        return f"name masks as frames are named, digit by digit: {unlike[0]}, ..."
    others = sorted({path.suffix for path in place.iterdir() if path.stem in names and path.suffix.lower() != ".png"})
    return f"save masks as PNG (found {', '.join(others)}): other formats change ids" if others else ""
