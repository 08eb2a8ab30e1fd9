"""The leaderboard's records: read and verified all together, taken in under a name, and never lost unawares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from harness.api.errors import HarnessError, UsageError, VerificationFailed
from harness.api.published import PublishedPaper
from harness.api.records import RunRecord
from harness.catalog import Catalog
from harness.files import sweep_abandoned, take_turn, write_atomically
from harness.leaderboard.verification import (
    is_suffix,
    parse_record,
    read_published,
    read_record,
    verify_place,
    verify_record,
)
from harness.ranking.figures import accuracy
from harness.ranking.standings import entry_of, parse_created

T = TypeVar("T")


def add_record(
    record: RunRecord,
    records: Path,
    suffix: str,
    catalog: Catalog,
    *,
    replace: bool,
    tell: Callable[[str], None] = lambda words: None,
) -> tuple[Path, bool]:
    """Put a verified record below ``records``; returns where, and whether one was there before.

    ``suffix`` ends its file name instead of the preset. UsageError where something that is not simply older would be
    lost, unless ``replace``; a replay needs a name, and loses where its masks lay. One process adds at a time: ``tell``
    is given a line where this one has to wait.
    """
    if record.plugin.replays:
        record = name_replay(record, suffix)
    target = records / record.benchmark.name / record.benchmark.task / file_name_of(record, suffix)
    content = record.to_json().encode()
    verify_place(record, target, records)
    verify_record(parse_record(content, target), target, catalog)  # as build will read it
    with take_turn(records, work="leaderboard add", tell=tell):
        sweep_abandoned(records)
        _refuse_known_id(record, target, records)
        had = target.exists()
        if had and not replace:
            refuse_loss(target, record)
        write_atomically(target, content)
    return target, had


def _refuse_known_id(record: RunRecord, target: Path, records: Path) -> None:
    """Raise where another file holds a record of this id: build would refuse both."""
    for path in records.rglob("*.json"):
        if path != target and path.is_file() and record.id.encode() in path.read_bytes()[:400]:
            raise UsageError(f"{path} holds the same record already", hint="remove it first to store it elsewhere")


def read_records(folder: Path, catalog: Catalog) -> list[RunRecord]:
    """Read and verify every record below ``folder``; VerificationFailed lists all that is wrong."""

    def read(path: Path) -> RunRecord:
        record = read_record(path)
        verify_place(record, path, folder)
        verify_record(record, path, catalog)
        return record

    found = read_each(folder, read)
    places: dict[str, Path] = {}
    for path, record in found.items():
        if record.id in places:
            raise VerificationFailed(f"{path}: id: found the id of {places[record.id]}, expected one of its own")
        places[record.id] = path
    return list(found.values())


def read_papers(folder: Path) -> list[PublishedPaper]:
    """Read and check every file of printed figures in ``folder``."""
    return list(read_each(folder, read_published).values())


def read_each(folder: Path, read: Callable[[Path], T]) -> dict[Path, T]:
    """Read every file below ``folder`` in order of names, links included; hidden files are left alone."""
    found: dict[Path, T] = {}
    problems: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".") or (path.is_dir() and not path.is_symlink()):
            continue
        if not str(path).isprintable():  # a line end in a name could forge a line of a CI log
            problems.append(f"{str(path)!r}: found a name with control characters, expected a plain one")
            continue
        try:
            found[path] = read(path)
        except HarnessError as error:
            problems.append(error.message)
    if problems:
        raise VerificationFailed(
            f"{len(problems)} of {len(found) + len(problems)} files below {folder} are refused:\n  "
            + "\n  ".join(problems),
            hint="mend or remove them; a record is added by harness leaderboard add RUN",
        )
    return found


def name_replay(record: RunRecord, name: str) -> RunRecord:
    """A replay under the name of what made its masks; where they lay on this machine is nobody's business."""
    if not name:
        raise UsageError("a replay was given without a name, expected what made the masks", hint="add --name METHOD")
    config = {
        key: Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
        for key, value in record.config.items()
    }
    return record.model_copy(update={"preset": name, "config": config})


def file_name_of(record: RunRecord, suffix: str) -> str:
    ending = suffix or record.preset
    if ending and not is_suffix(ending):
        raise UsageError(
            f"found {ending!r} as the ending of a file name, expected letters, digits and . + _ - only",
            hint="choose another --name",
        )
    return f"{record.plugin.name}-{ending}.json" if ending else f"{record.plugin.name}.json"


def refuse_loss(target: Path, record: RunRecord) -> None:
    """Raise when writing ``record`` over ``target`` would lose something that is not simply older."""
    try:
        there = read_record(target)
    except HarnessError as error:
        raise UsageError(f"{target} is there and cannot be read: {error.message}", hint="--replace") from error
    here, same_entry = (accuracy(there), accuracy(record)), entry_of(there) == entry_of(record)
    if there.partial != record.partial:
        loss = "" if there.partial else "a record of all videos"
    elif not same_entry:
        loss = "another preset, constants, weights, precision, rule or data"
    elif there.conditions.group != record.conditions.group:
        loss = "speeds under other conditions"
    elif parse_created(there) > parse_created(record):
        loss = f"a newer record, of {there.created}"
    elif here[0] is not None and (here[1] is None or here[0] > here[1]):
        loss = f"a better record, {here[0]:.4f} against {here[1]}"
    else:
        loss = ""
    if loss:
        raise UsageError(f"{target} holds {loss}", hint="keep both with --name SUFFIX, or --replace it")
