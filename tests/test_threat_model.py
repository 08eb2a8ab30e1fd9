"""docs/threat-model.md and docs/reliability.md: every promise names a test, and the tests they name are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
RELIABLE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT + RELIABLE)))


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda part: part)
def test_a_test_that_holds_a_promise_is_there(file, test):
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_of_promises_names_its_test():
    table = TEXT.partition("| promise | held by |")[2].partition("\n\n")[0]
    rows = table.strip().splitlines()[1:]
    assert len(rows) > 10
    assert [row for row in rows if "::test_" not in row] == []


def test_every_point_of_what_use_found_names_its_test():
    rows = re.findall(r"^\| \d+ \|.*$", RELIABLE, re.M)
    assert len(rows) >= 9
    assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize("part", ["Checkpoints", "Names and texts", "Plugins, and what isolation is", "The network"])
def test_every_part_that_promises_names_tests(part):
    assert "::test_" in TEXT.partition(f"## {part}")[2].partition("\n## ")[0]
