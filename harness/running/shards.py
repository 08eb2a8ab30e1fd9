"""A run dealt out to several machines: each share says what it is of, and all together become one run's folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.api.dataclass import dataclass
from harness.api.errors import DataError, UsageError
from harness.api.plain_files import LARGEST_TEXT, read_plain
from harness.api.records import RunRecord, VideoFailure, VideoResult
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.files import digest_of_bytes, name_refusals, read_json, write_atomically
from harness.hosting.apart import plan_request
from harness.leaderboard.verification import read_record
from harness.planning.plan import Plan, resolve, take_shard
from harness.planning.request import Request, request_as_json
from harness.running.digests import OnNote, ignore_note, tell_if_slow
from harness.running.folder import MACHINE_PARTS, SHARD, MaskFolder, RunFolder, find_differences
from harness.running.record import record_of


def note_shard(folder: Path, request: Request) -> None:
    """Say in a run's folder what was asked for, so that ``merge`` need not be told again.

    But for the interpreter of another environment, which whoever merges names, and the cluster's address. A file of
    weights is named in full: whoever merges may do so from another folder.
    """
    place = None if request.weights is None else Path(request.weights).expanduser()
    weights = str(place.absolute()) if place is not None and place.is_file() else request.weights
    content = request_as_json().dump_json(replace(request, python=None, address=None, weights=weights), indent=2)
    write_atomically(folder / SHARD, content + b"\n")


@dataclass(frozen=True)
class Shard:
    """One finished share, as it lies in its folder."""

    path: Path
    request: Request
    part: int
    parts: int
    key_parts: dict[str, Any]
    record: RunRecord


def read_shard(path: Path) -> Shard:
    """The share in a folder; UsageError where there is none, DataError where it is not finished or not readable."""
    if not (path / SHARD).exists():
        raise UsageError(
            f"{path}: found no {SHARD}, expected the folder of a run with --shard", hint="harness run --shard 1/4 ..."
        )
    if not (path / "record.json").exists():
        raise DataError(f"{path} is not finished: found no record.json", hint="the same harness run goes on from there")
    try:
        request = request_as_json().validate_json(read_plain(path / SHARD, largest=LARGEST_TEXT, links=False))
    except (ValidationError, OSError) as error:
        raise DataError.at(path / SHARD, found=f"{error}"[:300], expected="what harness run --shard wrote") from error
    if request.shard is None:
        raise DataError.at(path / SHARD, found="no shard", expected="what harness run --shard wrote")
    key_parts = read_json(path / "plan.json", largest=LARGEST_TEXT)
    if not isinstance(key_parts, dict):
        raise DataError.at(path / "plan.json", found=f"a JSON {type(key_parts).__name__}", expected="an object")
    return Shard(path, request, *request.shard, key_parts, read_record(path / "record.json"))


def merge(
    folders: Sequence[Path],
    out: Path,
    catalog: Catalog,
    *,
    data_root: Path | None = None,
    python: Path | None = None,
    weights: Path | None = None,
    on_plan: Callable[[Plan], None] = lambda plan: None,
    on_note: OnNote = ignore_note,
) -> RunRecord:
    """Put the shares of one run together in the folder ``out``, and write the record that one run would have written.

    Nothing is run: masks are copied, figures are put together anew. UsageError where shares are missing, double or of
    different runs, DataError where one is unfinished or damaged. ``data_root`` is where the data lie here, ``weights``
    where the file of weights does; a method of another environment needs ``python``.
    """
    shards = [read_shard(folder) for folder in folders]
    _refuse_unequal(shards)
    if any(out.exists() and out.samefile(shard.path) for shard in shards):
        raise UsageError(f"{out} is the folder of a shard, which would be one no more", hint="choose another --out")
    plan = _plan_whole(shards[0], catalog, data_root, python, weights)
    on_plan(plan)
    dealt = {sample.name: shard for shard in shards for sample in take_shard(plan.samples, shard.part, shard.parts)}
    with RunFolder(out.absolute()) as folder:
        folder.claim(plan.key_parts, fresh=False)
        outcomes: list[VideoResult | VideoFailure] = []
        with tell_if_slow(lambda: f"copying and hashing: {len(outcomes)} of {len(dealt)} videos done", on_note):
            outcomes.extend(_take(plan, sample, dealt[sample.name], folder) for sample in plan.samples)
        machines = [shard.record.conditions for shard in shards]
        loads = [machine.load_average for machine in machines if machine.load_average is not None]
        reused = [video for shard in shards for video in shard.record.reused]
        record = record_of(plan, catalog, outcomes, reused, machine=machines[0], load=max(loads, default=None))
        folder.write_record(record)
    return record


def _refuse_unequal(shards: Sequence[Shard]) -> None:
    """UsageError unless these are all the shares of one run, each once."""
    first = shards[0]
    for shard in shards[1:]:
        _refuse_other_run(first, shard)
    parts = [shard.part for shard in shards]
    twice = [f"{part}/{first.parts} twice" for part in sorted(set(parts)) if parts.count(part) > 1]
    missing = [f"{part}/{first.parts} not" for part in range(1, first.parts + 1) if part not in parts]
    if twice or missing:
        raise UsageError(f"shards were given: {', '.join([*twice, *missing])}", hint="name the folder of each once")


def _refuse_other_run(one: Shard, other: Shard) -> None:
    if differs := find_differences(one.key_parts, other.key_parts):
        key = differs[0]
        raise UsageError(
            f"{other.path} is of another run than {one.path}: {', '.join(differs)} differ "
            f"({key}: {one.key_parts.get(key)!r} and {other.key_parts.get(key)!r})",
            hint="run every shard with the same code, weights, constants and kind of machine",
        )
    # a file of weights may lie elsewhere on each machine: its digest is a key part
    asked = [replace(each.request, shard=None, data_root=None, threads=None, weights=None) for each in (one, other)]
    if one.parts != other.parts or asked[0] != asked[1]:
        raise UsageError(f"{other.path} and {one.path} were dealt from other videos, or into another number of shards")


def _plan_whole(
    shard: Shard, catalog: Catalog, data_root: Path | None, python: Path | None, weights: Path | None
) -> Plan:
    """The plan of the whole run, made on the machine of the shares; UsageError where the code here is another."""
    request = replace(
        shard.request,
        shard=None,
        python=python,
        data_root=data_root or shard.request.data_root,
        weights=_find_weights(shard, weights),
    )
    if python is None and "harness_elsewhere" in shard.key_parts:
        raise UsageError(
            f"{shard.path}: the method lived in another environment", hint="--python, as its harness run had it"
        )
    plan = resolve(request, catalog) if python is None else plan_request(request, catalog)
    if weights is not None:  # by whatever name they were run, and with what the card says of them
        plan = replace(plan, weights=shard.record.weights)
    plan = replace(plan, made_on={key: shard.key_parts[key] for key in MACHINE_PARTS if key in shard.key_parts})
    if differs := find_differences(plan.key_parts, shard.key_parts):
        raise UsageError(
            f"{shard.path} was made by other code, weights or data than lie here: {', '.join(differs)} differ",
            hint="merge with the installation that ran the shards",
        )
    return plan


def _find_weights(shard: Shard, given: Path | None) -> str | None:
    """The file that was given, if it is the one the shares were made with, or the weights of their request."""
    asked = shard.request.weights
    if given is None:
        if asked is not None and Path(asked).is_absolute() and not Path(asked).is_file():
            raise DataError(
                f"{shard.path}: its weights {asked} are not there",
                hint="--weights FILE, wherever the same file lies now",
            )
        return asked
    path = given.expanduser()
    if not path.is_file():
        raise DataError(f"no weights file {path}")
    made_with = shard.key_parts.get("weights")
    if (found := digest_of_bytes(path)) != made_with:
        raise UsageError(f"{path} has SHA-256 {found}, the weights of {shard.path} have {made_with}")
    return str(path.absolute())


def _take(plan: Plan, sample: Sample, shard: Shard, folder: RunFolder) -> VideoResult | VideoFailure:
    """Bring one video's result and masks into the folder, unless they are there; or its failure."""
    video = sample.name
    for failure in shard.record.failures:
        if failure.video == video:
            return failure
    result = RunFolder(shard.path).read_result(video)
    if result is None:
        raise DataError(f"{shard.path}: the result of {video} is missing or damaged", hint="run that shard again")
    if result.key != plan.video_key(sample, result.digest) or sample.digest() != result.digest:
        raise DataError(f"{shard.path}: {video} was made of other data than lie here", hint="--data-root DIR")
    if folder.read_result(video) != result:
        _copy(shard.path, folder.path, video, result)
        folder.append(result)
    return result


def _copy(source: Path, target: Path, video: str, result: VideoResult) -> None:
    """Copy the masks or tracks of a video, whole or not at all."""
    place = source / result.masks
    if not result.masks:
        return
    if place.is_dir():
        with MaskFolder(target, video) as masks, name_refusals(masks.building):
            for file in sorted(place.iterdir()):
                shutil.copyfile(file, masks.building / file.name, follow_symlinks=False)
            masks.publish()
    else:
        write_atomically(target / result.masks, read_plain(place, largest=1 << 30, links=False))
