"""``harness leaderboard``: take in records after checking them, write the tables, check that both are sound."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from harness.api.errors import DataError, HarnessError, UsageError, VerificationFailed
from harness.api.records import RunRecord
from harness.catalog import Catalog
from harness.cli import options
from harness.cli.terminal import say
from harness.files import sweep_abandoned
from harness.leaderboard.generated import find_stale, write_reports
from harness.leaderboard.records import add_record, read_papers, read_records
from harness.leaderboard.verification import read_record, verify_record
from harness.running.finished import read_results_under

RECORDS, PUBLISHED = Path("leaderboard/records"), Path("leaderboard/published")

SITE = "site"
"""The reporter of pages, and its folder."""

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
    catalog = Catalog.load()
    verify_record(record, source, catalog)
    if record.partial and not partial:
        raise UsageError(
            f"{source} holds {record.benchmark.videos_done} of {record.benchmark.videos_expected} videos of "
            f"{record.benchmark.name} ({record.partial_reason or 'no reason given'}), expected all of them",
            hint="run the rest, or add --partial to list it apart, unranked",
        )
    records = to / "records"
    target, had = add_record(record, records, suffix, catalog, replace=replace, tell=lambda words: say(words, err=True))
    where = "" if to == Path("leaderboard") else f" --records {records} --out {to}"
    say(f"{'replaced' if had else 'added'} {target}\n  next: harness leaderboard build{where}", err=True)
    if record.benchmark.tree:
        words = f"{record.benchmark.name} is any tree: ranked only beside records of the same videos, never with others"
        say(f"note: {words} (data {record.benchmark.fingerprint[:12]})", err=True)
    if as_json:
        say(json.dumps({"record": str(target), "replaced": had, "partial": record.partial}))


@command.command("build")
@_records
@_published
@_out
@_reporters
@click.option("--site", is_flag=True, help="Also write the pages to look at, into the folder site in --out.")
@click.option(
    "--runs",
    type=options.PATH,
    multiple=True,
    metavar="DIR",
    help="With --site: draw J(t) and F(t) of those runs under DIR whose records are here. May be repeated.",
)
@options.as_json
def build(
    records: Path,
    published: Path,
    out: Path,
    reporters: Sequence[str],
    site: bool,
    runs: Sequence[Path],
    as_json: bool,
) -> None:
    """Check every record, then write the tables; nothing is written when one record is wrong."""
    _refuse_missing(records, published)
    sweep_abandoned(records)
    catalog = Catalog.load()
    if runs and not site:
        raise UsageError("--runs is for the pages", hint="add --site")
    names = [*reporters, SITE] if site and not runs and SITE not in reporters else reporters
    found, papers = read_records(records, catalog), read_papers(published)
    curves = read_results_under(runs, {record.id for record in found})
    written = list(write_reports(catalog, found, papers, out, names))
    if runs:
        from harness.pages.leaderboard import write_leaderboard

        say(f"J(t) and F(t) of {len(curves)} of {len(found)} records are drawn", err=True)
        written += write_leaderboard(found, papers, out / SITE, curves)
    pages = [path for path in written if path.is_relative_to(out / SITE)]
    for path in written:
        if path not in pages:
            say(f"wrote {path}", err=True)
    if pages:
        say(f"wrote {len(pages)} pages, begin at {out / SITE / 'index.html'}", err=True)
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
    stale = find_stale(catalog, found, papers, out, reporters)
    if stale:
        raise VerificationFailed(
            f"{len(stale)} generated files are not what the records say:\n  " + "\n  ".join(stale),
            hint="harness leaderboard build, and look at git diff",
        )
    say(f"{len(found)} records and {len(papers)} papers are sound, the generated files up to date", err=True)
    if as_json:
        say(json.dumps({"records": len(found), "papers": len(papers)}))


@command.command("robustness")
@click.argument("places", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)
@click.option(
    "--out",
    type=options.FILE,
    required=True,
    metavar="FILE",
    help="What to write: .png or .svg, one picture a benchmark and task, or .csv.",
)
@options.as_json
def robustness(places: Sequence[Path], out: Path, as_json: bool) -> None:
    """Draw the figure of each method over severity, from the records below PLACES: folders of runs, or of records."""
    from harness.pages.robustness import draw_curves, write_csv
    from harness.ranking.robustness import robustness_of

    if out.suffix.lower() not in (".png", ".svg", ".csv"):
        raise UsageError(f"--out {out}: found the ending {out.suffix!r}, expected .png, .svg or .csv")
    records = {record.id: record for place in places for record in _read_sound_records(place)}
    found = robustness_of(records.values())
    if not any(one.curves for one in found):
        where = ", ".join(map(str, places))
        raise DataError(
            f"found {len(records)} records below {where}, expected whole ones of a corrupted benchmark",
            hint="harness run --plugin NAME --bench NAME --corrupt clean,blur",
        )
    drawn = [one for one in found if one.curves]
    out.parent.mkdir(parents=True, exist_ok=True)
    written = [out]
    if out.suffix.lower() == ".csv":
        write_csv(drawn, out)
    else:
        several = len(drawn) > 1
        named = [(one, out.with_stem(f"{out.stem}-{one.benchmark}-{one.task}") if several else out) for one in drawn]
        for one, path in named:
            draw_curves(one, path)
        written = [path for _, path in named]
    for path in written:
        say(f"wrote {path}", err=True)
    if as_json:
        say(json.dumps({"written": [str(path) for path in written], "records": len(records)}))


def _read_sound_records(place: Path) -> list[RunRecord]:
    """The records below a folder that can be read; of others it is said that they are left out."""
    found = []
    for path in sorted(place.rglob("*.json")):
        of_a_run = any((folder / "plan.json").exists() for folder in (path.parent, path.parent.parent))
        if of_a_run and path.name != "record.json":
            continue
        try:
            found.append(read_record(path))
        except HarnessError as error:
            say(f"left out {path}: {error.message[:200]}", err=True)
    return found


@command.command("rescore")
@click.argument("record", type=click.Path(path_type=Path))
@click.argument("masks", type=click.Path(path_type=Path))
@options.data_root
@click.option("--markdown", is_flag=True, help="Print a line of Markdown on standard output, for a step summary.")
@options.as_json
def rescore(record: Path, masks: Path, data_root: Path | None, markdown: bool, as_json: bool) -> None:
    """Score MASKS (a folder or a zip; tracks too) and hold the figures against RECORD; exit code 8 otherwise."""
    from harness.predictions.rescoring import rescore as score_again

    catalog = Catalog.load()
    claimed = read_record(record)
    verify_record(claimed, record, catalog)
    again = score_again(claimed, masks, catalog, data_root)
    figures = {name: figure.value for columns in again.scores.values() for name, figure in columns.items()}
    words = f"{claimed.plugin.name} on {claimed.benchmark.full_name}: the masks of {len(again.videos)} videos"
    say(f"- {words} score what the record says" if markdown else f"{words} score what {record} says", err=not markdown)
    if as_json:
        say(json.dumps({"record": str(record), "videos": len(again.videos), "figures": figures}))


def _refuse_missing(records: Path, published: Path) -> None:
    """Raise for a folder that was asked for and is not there: an empty page would take the place of a full one."""
    missing = [str(path) for path in (records, published) if not path.is_dir()]
    asked = [name for name in missing if Path(name) not in (RECORDS, PUBLISHED)]
    if asked or len(missing) == 2:
        raise DataError(
            f"{(asked or missing)[0]}: found no such folder, expected the leaderboard's files",
            hint="change to the folder that holds leaderboard/, or harness leaderboard add RUN",
        )
