"""A run turned into the zip a server takes: checked by its rules, re-read, and re-scored where there is truth."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.api.contracts import Benchmark
from harness.api.dataclass import dataclass
from harness.api.errors import DataError, IncompletePredictions, UsageError, VerificationFailed
from harness.api.mask_files import encode_mask, ids_in
from harness.api.records import RunRecord
from harness.api.tasks import TASKS
from harness.api.track_json import track_to_json
from harness.api.video import Tracks
from harness.catalog import Catalog
from harness.files import digest_of_bytes, scratch_folder
from harness.leaderboard.verification import read_record
from harness.planning.plan import Trial
from harness.predictions.found import RESULTS, SHOWN, find_predictions, read_all_tracks
from harness.predictions.rescoring import expect_equal, rule_of
from harness.predictions.scoring import look_over, plan_scoring, score
from harness.predictions.servers import Server
from harness.predictions.video_masks import VideoMasks

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold; equal predictions make equal bytes."""


@dataclass(frozen=True)
class Packed:
    """A zip that was written, re-read and, where there is truth, re-scored."""

    path: Path
    bench: str
    files: int
    videos: int
    sha256: str
    rescored: RunRecord | None
    """What the zip scores; None where the truth is not public."""
    is_compared: bool
    """Whether ``rescored`` was held against the figures of the run's own record."""


def pack(
    run: Path,
    server: Server,
    catalog: Catalog,
    *,
    out: Path | None = None,
    bench: str = "",
    data_root: Path | None = None,
    force: bool = False,
    on_note: Callable[[str], None] = lambda note: None,
) -> Packed:
    """Make the zip that ``server`` takes of a run's folder, or of predictions made elsewhere.

    IncompletePredictions names what is missing, DataError what breaks the server's rules. The zip is in its place only
    after everything in it was read again and found equal; VerificationFailed where its figures are not the record's.
    ``force`` takes predictions of a benchmark that the server does not score.
    """
    run = Path(os.path.realpath(run))  # unlike Path.resolve it lets a link to itself be, to be named later
    record = _record_of(run)
    benchmark = _benchmark_of(run, server, record, catalog, bench, force=force)
    rule = None if record is None or not benchmark.scored else rule_of(record, benchmark.rules[server.task])
    trial = plan_scoring(run, benchmark, catalog, server.task, data_root=data_root, rule=rule)
    place = _place_for(out, run, server)
    with (
        find_predictions(run, trial.samples, server.task) as found,
        scratch_folder(".packing", place.parent) as beside,
    ):
        if found.note:
            on_note(found.note)
        build = _tracks_members if TASKS[server.task].returns == "tracks" else _masks_members
        members = build(found.place, server, trial, record, on_note)
        _refuse_partial(run, record, trial)
        built = beside / place.name
        contents = _write_zip(built, members)
        rescored = _read_again(built, contents, server, trial, catalog)
        if rescored is not None and record is not None:
            expect_equal(record, rescored, "the zip scores")
        built.replace(place)
    return Packed(
        path=place,
        bench=benchmark.name,
        files=len(contents),
        videos=len(trial.samples),
        sha256=digest_of_bytes(place),
        rescored=rescored,
        is_compared=rescored is not None and record is not None,
    )


def _record_of(run: Path) -> RunRecord | None:
    """The record of a run's folder; None for predictions that came without one."""
    if (run / "record.json").is_file():
        return read_record(run / "record.json")
    if (run / "plan.json").is_file():
        raise IncompletePredictions(
            f"the run in {run} is not finished: found no record.json",
            hint="the same harness run command goes on where it was",
        )
    return None


def _benchmark_of(
    run: Path, server: Server, record: RunRecord | None, catalog: Catalog, bench: str, *, force: bool
) -> Benchmark:
    if record is not None and bench.partition(":")[0] not in ("", record.benchmark.name):
        raise UsageError(f"{run} is a run on {record.benchmark.name}, not on --bench {bench}", hint="leave out --bench")
    told = server.benchmarks[0] if record is None else record.benchmark.full_name
    benchmark = catalog.benchmarks.get(bench or told)
    name = benchmark.name
    task = record.benchmark.task if record is not None else server.task
    if task != server.task or server.task not in benchmark.tasks:
        tasks = task if record is not None else ", ".join(benchmark.tasks)
        raise UsageError(f"server {server.name} takes predictions of {server.task}; found {tasks} on {name}")
    if name not in server.benchmarks and not force:
        raise UsageError(
            f"server {server.name} scores {' or '.join(server.benchmarks)}; found predictions of {name}",
            hint="--force makes the zip all the same, to try the form",
        )
    return benchmark


def _place_for(out: Path | None, run: Path, server: Server) -> Path:
    name = run.stem if run.is_file() else run.name
    place = (out or run.with_name(f"{name}-{server.name}.zip")).resolve()
    if place.suffix != ".zip" or place == run or (place.exists() and not zipfile.is_zipfile(place)):
        raise UsageError(f"--out {place}: expected a new file that ends in .zip, or a zip to replace")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {place}: its folder cannot be made ({error})") from error
    return place


@dataclass(frozen=True)
class _Contents:
    """What went into the zip: SHA-256 of each file's id map by name, or the tracks of each video."""

    masks: Mapping[str, str]
    tracks: Mapping[str, Tracks]

    def __len__(self) -> int:
        return len(self.masks) or 1

    @property
    def names(self) -> list[str]:
        """The files of the zip, in order."""
        return list(self.masks) or [RESULTS]


@dataclass(frozen=True)
class _Member:
    """One file of the zip: bytes, and what they hold."""

    name: str
    content: bytes
    ids: str = ""
    tracks: Mapping[str, Tracks] | None = None


def _masks_members(
    folder: Path, server: Server, trial: Trial, record: RunRecord | None, on_note: Callable[[str], None]
) -> Iterator[_Member]:
    """Every mask the server wants, all looked for before the first is read; encoded anew, video by video."""
    found = look_over(folder, trial.samples, lambda masks: server.frames(masks.sample), hint=_hint(record))
    wanted = sum(len(server.frames(sample)) for sample in trial.samples)
    there = sum(len(list((folder / sample.name).glob("*.png"))) for sample in trial.samples)
    if there > wanted:
        on_note(f"{there - wanted} masks of frames that {server.name} does not ask for are left out")
    return _encode_members(found, server)


def _encode_members(found: Mapping[str, VideoMasks], server: Server) -> Iterator[_Member]:
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _, masks in sorted(found.items()):
            yield from pool.map(_encoder(server, masks), server.frames(masks.sample))


def _encoder(server: Server, masks: VideoMasks) -> Callable[[int], _Member]:
    sample = masks.sample
    allowed = server.ids(sample)

    def encode(frame: int) -> _Member:
        path, mask = masks.where(frame), masks.read(frame)
        extra = sorted(ids_in(mask) - allowed - {0})
        if extra:
            expected = f"0 and the ids {sorted(allowed)} that server {server.name} takes"
            raise DataError.at(path, found=f"the ids {extra}", expected=expected)
        name = f"{server.folder}{sample.name}/{sample.frame_names[frame]}.png"
        return _Member(name, encode_mask(mask), ids=hashlib.sha256(mask.tobytes()).hexdigest())

    return encode


def _tracks_members(
    place: Path, server: Server, trial: Trial, record: RunRecord | None, on_note: Callable[[str], None]
) -> Iterator[_Member]:
    """One results.json: videos as the benchmark orders them, tracks as the method did (it decides between ties)."""
    tracks, note = read_all_tracks(place, trial.samples, is_subset=False)
    if note:
        on_note(note)
    entries = [
        {"video_id": sample.extra["video_id"], **track_to_json(track)}
        for sample in trial.samples
        for track in tracks[sample.name]
    ]
    if not entries:
        raise IncompletePredictions(f"{place}: found no track in any video, and the server takes no empty list")
    return iter([_Member(RESULTS, json.dumps(entries, separators=(",", ":")).encode(), tracks=tracks)])


def _hint(record: RunRecord | None) -> str:
    if record is not None and record.plugin.replays:
        return f"the record was made of masks elsewhere: harness pack {record.config.get('directory', '')}"
    return "the server takes no part: add what is missing, or let the harness run go on"


def _refuse_partial(run: Path, record: RunRecord | None, trial: Trial) -> None:
    if record is None or not (record.partial or record.failures):
        return
    done = {row.video for row in record.videos}
    missing = [sample.name for sample in trial.samples if sample.name not in done]
    raise IncompletePredictions(
        f"the record in {run} is of a part only ({record.partial_reason}); "
        f"{len(missing)} of {len(trial.samples)} videos are not in it: {', '.join(missing[:SHOWN]) or 'none by name'}",
        hint="run the whole benchmark into that folder",
    )


def _write_zip(path: Path, members: Iterator[_Member]) -> _Contents:
    """Write one file a member with a fixed time and mode; PNGs are stored, since they are deflated already."""
    masks: dict[str, str] = {}
    tracks: Mapping[str, Tracks] = {}
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for member in members:
                info = zipfile.ZipInfo(member.name, date_time=_LONG_AGO)
                info.create_system = 3  # Unix, wherever it is written
                info.external_attr = 0o100644 << 16
                info.compress_type = zipfile.ZIP_STORED if member.ids else zipfile.ZIP_DEFLATED
                archive.writestr(info, member.content)
                masks |= {member.name: member.ids} if member.ids else {}
                tracks = member.tracks or tracks
        file.flush()
        os.fsync(file.fileno())
    return _Contents(masks, tracks)


def _read_again(path: Path, contents: _Contents, server: Server, trial: Trial, catalog: Catalog) -> RunRecord | None:
    """Read the zip as ``harness score`` does, and score it where that can be; VerificationFailed if it holds others."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if names != contents.names:
        raise VerificationFailed(f"{path}: found {len(names)} files, expected {len(contents.names)}")
    with find_predictions(path, trial.samples, server.task) as found:
        if TASKS[server.task].returns == "tracks":
            tracks, _ = read_all_tracks(found.place, trial.samples, is_subset=False)
            if tracks != contents.tracks:
                raise VerificationFailed(f"{path}: found other tracks than were packed")
        else:
            _read_masks_again(found.place, contents, server, trial)
        return score(trial, found.place, catalog)[0] if trial.benchmark.scored else None


def _read_masks_again(folder: Path, contents: _Contents, server: Server, trial: Trial) -> None:
    for sample in trial.samples:
        masks = VideoMasks.find(folder, sample)
        for frame in server.frames(sample):
            path = masks.where(frame)
            name = f"{server.folder}{sample.name}/{path.name}"
            if hashlib.sha256(masks.read(frame).tobytes()).hexdigest() != contents.masks[name]:
                raise VerificationFailed(f"{path}: found another mask than was packed")
