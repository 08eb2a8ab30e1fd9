"""``harness leaderboard``: take in records after checking them, write the tables, check that both are sound."""

from __future__ import annotations

import difflib
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from harness.api.errors import DataError, HarnessError, UsageError, VerificationFailed
from harness.api.published import PublishedPaper
from harness.api.records import RunRecord
from harness.catalog import Catalog
from harness.cli import options
from harness.cli.terminal import say
from harness.files import write_atomically
from harness.leaderboard.verification import is_suffix, read_published, read_record, verify_place, verify_record
from harness.ranking.standings import accuracy, created, entry_of

GENERATED = ("README.md", "json/**/*.json")
RECORDS, PUBLISHED = Path("leaderboard/records"), Path("leaderboard/published")
T = TypeVar("T")

_records = click.option(
    "--records",
    type=options.PATH,
    metavar="DIR",
    default=RECORDS,
    show_default=True,
    help="Folder of <benchmark>/<task>/<method>[-<suffix>].json.",
)
_published = click.option(
    "--published",
    type=options.PATH,
    metavar="DIR",
    default=PUBLISHED,
    show_default=True,
    help="Folder of the figures printed in papers.",
)
_out = click.option(
    "--out",
    type=options.PATH,
    metavar="DIR",
    default=Path("leaderboard"),
    show_default=True,
    help="Folder of the generated files.",
)
_reporters = click.option(
    "--reporter",
    "reporters",
    multiple=True,
    default=("markdown", "json"),
    show_default=True,
    metavar="NAME",
    help="What to write with.",
)


@click.group("leaderboard")
def command() -> None:
    """Add records, build and check the leaderboard."""


@command.command("add")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=options.PATH,
    metavar="DIR",
    default=Path("leaderboard"),
    show_default=True,
    help="The leaderboard's folder.",
)
@click.option("--name", "suffix", default="", metavar="SUFFIX", help="Ending of the file name, instead of the preset.")
@click.option("--partial", is_flag=True, help="Take a record of some videos only; it is listed apart, never ranked.")
@click.option("--replace", is_flag=True, help="Take the place of a newer, better or different record.")
@options.as_json
def add(source: Path, to: Path, suffix: str, partial: bool, replace: bool, as_json: bool) -> None:
    """Check the record of SOURCE (a run folder or a record.json) and put it into the leaderboard."""
    source = source / "record.json" if source.is_dir() else source
    record = read_record(source)
    verify_record(record, source, Catalog.load())
    if record.partial and not partial:
        raise UsageError(
            f"{source} holds {record.benchmark.videos_done} of {record.benchmark.videos_expected} videos of "
            f"{record.benchmark.name} ({record.partial_reason or 'no reason given'}), expected all of them",
            hint="run the rest, or add --partial to list it apart, unranked",
        )
    if record.plugin.replays:
        record = _named_replay(record, suffix)
    records = to / "records"
    target = records / record.benchmark.name / record.benchmark.task / _file_name(record, suffix)
    verify_place(record, target, records)
    had = target.exists()
    if had and not replace:
        _refuse_loss(target, record)
    write_atomically(target, record.to_json().encode())
    where = "" if to == Path("leaderboard") else f" --records {records} --out {to}"
    say(f"{'replaced' if had else 'added'} {target}\n  next: harness leaderboard build{where}", err=True)
    if as_json:
        say(json.dumps({"record": str(target), "replaced": had, "partial": record.partial}))


@command.command("build")
@_records
@_published
@_out
@_reporters
@options.as_json
def build(records: Path, published: Path, out: Path, reporters: Sequence[str], as_json: bool) -> None:
    """Check every record, then write the tables; nothing is written when one record is wrong."""
    _refuse_missing(records, published)
    catalog = Catalog.load()
    written = _report(catalog, read_records(records, catalog), read_papers(published), out, reporters)
    for path in written:
        say(f"wrote {path}", err=True)
    if as_json:
        say(json.dumps({"written": [str(path) for path in written]}))


@command.command("check")
@_records
@_published
@_out
@_reporters
@options.as_json
def check(records: Path, published: Path, out: Path, reporters: Sequence[str], as_json: bool) -> None:
    """Check every record and that the generated files are what they should be; exit code 8 otherwise."""
    _refuse_missing(records, published)
    catalog = Catalog.load()
    found, papers = read_records(records, catalog), read_papers(published)
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        _report(catalog, found, papers, fresh, reporters)
        stale = _differences(out, fresh)
    if stale:
        raise VerificationFailed(
            f"{len(stale)} generated files are not what the records say:\n  " + "\n  ".join(stale),
            hint="harness leaderboard build, and look at git diff",
        )
    say(f"{len(found)} records and {len(papers)} papers are sound, the generated files up to date", err=True)
    if as_json:
        say(json.dumps({"records": len(found), "papers": len(papers)}))


def read_records(folder: Path, catalog: Catalog) -> list[RunRecord]:
    """Read and verify every record below ``folder``; VerificationFailed lists all that is wrong."""

    def read(path: Path) -> RunRecord:
        record = read_record(path)
        verify_place(record, path, folder)
        verify_record(record, path, catalog)
        return record

    found = _each(folder, read)
    places: dict[str, Path] = {}
    for path, record in found.items():
        if record.id in places:
            raise VerificationFailed(f"{path}: id: found the id of {places[record.id]}, expected one of its own")
        places[record.id] = path
    return list(found.values())


def read_papers(folder: Path) -> list[PublishedPaper]:
    """Read and check every file of printed figures in ``folder``."""
    return list(_each(folder, read_published).values())


def _each(folder: Path, read: Callable[[Path], T]) -> dict[Path, T]:
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


def _refuse_missing(records: Path, published: Path) -> None:
    """Raise for a folder that was asked for and is not there: an empty page would take the place of a full one."""
    missing = [str(path) for path in (records, published) if not path.is_dir()]
    asked = [name for name in missing if Path(name) not in (RECORDS, PUBLISHED)]
    if asked or len(missing) == 2:
        raise DataError(
            f"{(asked or missing)[0]}: found no such folder, expected the leaderboard's files",
            hint="change to the folder that holds leaderboard/, or harness leaderboard add RUN",
        )


def _report(
    catalog: Catalog, records: list[RunRecord], papers: list[PublishedPaper], out: Path, names: Sequence[str]
) -> list[Path]:
    return [path for name in names for path in catalog.reporters.get(name).report(records, out, papers)]


def _named_replay(record: RunRecord, name: str) -> RunRecord:
    """A replay under the name of what made its masks; where they lay on this machine is nobody's business."""
    if not name:
        raise UsageError("a replay was given without a name, expected what made the masks", hint="add --name METHOD")
    config = {
        key: Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
        for key, value in record.config.items()
    }
    return record.model_copy(update={"preset": name, "config": config})


def _file_name(record: RunRecord, suffix: str) -> str:
    ending = suffix or record.preset
    if ending and not is_suffix(ending):
        raise UsageError(
            f"found {ending!r} as the ending of a file name, expected letters, digits and . + _ - only",
            hint="choose another --name",
        )
    return f"{record.plugin.name}-{ending}.json" if ending else f"{record.plugin.name}.json"


def _refuse_loss(target: Path, record: RunRecord) -> None:
    """Raise when writing ``record`` over ``target`` would lose something that is not simply older."""
    try:
        there = read_record(target)
    except HarnessError as error:
        raise UsageError(f"{target} is there and cannot be read: {error.message}", hint="--replace") from error
    here, same_entry = (accuracy(there), accuracy(record)), entry_of(there) == entry_of(record)
    if there.partial != record.partial:
        loss = "" if there.partial else "a record of all videos"
    elif not same_entry:
        loss = "another preset, constants, weights, precision, scoring or data"
    elif there.conditions.group != record.conditions.group:
        loss = "speeds under other conditions"
    elif created(there) > created(record):
        loss = f"a newer record, of {there.created}"
    elif here[0] is not None and (here[1] is None or here[0] > here[1]):
        loss = f"a better record, {here[0]:.4f} against {here[1]}"
    else:
        loss = ""
    if loss:
        raise UsageError(f"{target} holds {loss}", hint="keep both with --name SUFFIX, or --replace it")


def _differences(out: Path, fresh: Path) -> list[str]:
    """What differs between the generated files there are and those there should be, a line a file."""
    expected = {path.relative_to(fresh): path for path in sorted(fresh.rglob("*")) if path.is_file()}
    there = {path.relative_to(out): path for pattern in GENERATED for path in out.glob(pattern) if path.is_file()}
    there |= {name: out / name for name in expected if (out / name).is_file()}  # of reporters from elsewhere
    lines = [f"{out / name}: found nothing, expected it" for name in sorted(set(expected) - set(there))]
    lines += [f"{there[name]}: found it, expected nothing" for name in sorted(set(there) - set(expected))]
    for name in sorted(set(expected) & set(there)):
        difference = _first_difference(there[name], expected[name])
        if difference:
            lines.append(f"{out / name}: {difference}")
    return lines


def _first_difference(found: Path, expected: Path) -> str:
    if found.read_bytes() == expected.read_bytes():
        return ""
    before, after = (path.read_text(encoding="utf-8", errors="replace").splitlines() for path in (found, expected))
    difference = list(difflib.unified_diff(before, after, lineterm="", n=0))[2:]
    changed = [line for line in difference if not line.startswith("@@")]
    if not changed:
        return "found other line ends, expected those of build"
    old = next((line[1:121] for line in changed if line[0] == "-"), "(no line)")
    new = next((line[1:121] for line in changed if line[0] == "+"), "(no line)")
    return f"{len(changed)} lines differ, the first: found {old!r}, expected {new!r}"
