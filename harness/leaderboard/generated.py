"""The leaderboard's generated files: written by reporters, and compared with those there are."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness.api.errors import MethodFailed
from harness.api.foreign import blame
from harness.api.published import PublishedPaper
from harness.api.records import RunRecord
from harness.catalog import Catalog

GENERATED = ("README.md", "json/**/*.json")


def write_reports(
    catalog: Catalog, records: list[RunRecord], papers: list[PublishedPaper], out: Path, names: Sequence[str]
) -> list[Path]:
    written: list[Path] = []
    for name in names:
        reporter = catalog.reporters.get(name)
        with blame(f"reporter {name}", MethodFailed):
            written += reporter.report(records, out, papers)
    return written


def find_stale(
    catalog: Catalog, records: list[RunRecord], papers: list[PublishedPaper], out: Path, names: Sequence[str]
) -> list[str]:
    """What differs between the generated files in ``out`` and those the records make, a line a file."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        write_reports(catalog, records, papers, fresh, names)
        return differences_between(out, fresh)


def differences_between(out: Path, fresh: Path) -> list[str]:
    """What differs between the generated files there are and those there should be, a line a file."""
    expected = {path.relative_to(fresh): path for path in sorted(fresh.rglob("*")) if path.is_file()}
    there = {path.relative_to(out): path for pattern in GENERATED for path in out.glob(pattern) if path.is_file()}
    there |= {name: out / name for name in expected if (out / name).is_file()}  # of reporters from elsewhere
    lines = [f"{out / name}: found nothing, expected it" for name in sorted(set(expected) - set(there))]
    lines += [f"{there[name]}: found it, expected nothing" for name in sorted(set(there) - set(expected))]
    for name in sorted(set(expected) & set(there)):
        difference = describe_difference(there[name], expected[name])
        if difference:
            lines.append(f"{out / name}: {difference}")
    return lines


def describe_difference(found: Path, expected: Path) -> str:
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
