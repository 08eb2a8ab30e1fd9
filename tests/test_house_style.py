"""Words of the house style that a test can hold: a participle is no function name, and a rule is called a rule."""

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("harness", "plugins", "benchmarks", ".ci", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

# Past participles that do not end in "ed". Those that are verbs as well (read, run, set, put, cut, hit) are not here.
PARTICIPLES = """
begun bent bitten bound broken brought built burnt caught chosen dealt done drawn driven eaten fallen fed
flown forgotten found frozen given gone grown heard held hidden kept known laid learnt led left lent lit lost
made meant met mistaken overlaid paid proven rebuilt redrawn rewritten said seen sent shot shown sold sought
spelt spent spoken stolen stood struck stuck sunk swept sworn swung taken taught thought thrown told torn
understood undone withheld won worn wound woven written
"""
IRREGULAR = frozenset(PARTICIPLES.split())
NO_PARTICIPLES = {
    "bed",
    "biped",
    "bleed",
    "breed",
    "embed",
    "exceed",
    "feed",
    "need",
    "proceed",
    "quadruped",
    "seed",
    "speed",
}
ALLOWED = {
    "clustered_interval": "statistics call it so",
    "paired_difference": "statistics call it so",
    "untimed": "reads as the state that holds inside: `with untimed():`",
}
ARE_READ_AS_FIELDS = ("property", "cached_property", "fixture")


HOLD_STATEMENTS = ("body", "orelse", "finalbody", "handlers", "cases")


class Definition(NamedTuple):
    """A function or class; no trees are kept, which the garbage collector would walk again and again."""

    name: str
    line: int
    is_function: bool
    is_read_as_a_field: bool


@functools.cache
def definitions_in(path: Path) -> tuple[Definition, ...]:
    return tuple(list_definitions(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))))


def list_definitions(tree: ast.AST) -> Iterator[Definition]:
    """Statements alone hold any, so expressions are not walked through."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Definition(node.name, node.lineno, True, is_read_as_a_field(node))
        elif isinstance(node, ast.ClassDef):
            yield Definition(node.name, node.lineno, False, False)
        for held in (getattr(node, field, ()) for field in HOLD_STATEMENTS):
            todo += held


def is_participle(word: str) -> bool:
    return word in IRREGULAR or (word.endswith("ed") and word not in NO_PARTICIPLES)


def is_read_as_a_field(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Properties and fixtures are fields to whoever uses them: adjectives and nouns, as fields have."""
    names = [node for decorator in function.decorator_list for node in ast.walk(decorator)]
    found = [node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in names]
    return any(name in ARE_READ_AS_FIELDS for name in found)


def list_participles(definitions: Iterable[Definition]) -> Iterator[str]:
    """Functions whose first word is a past participle, each with its line."""
    for node in definitions:
        if node.is_function and node.name not in ALLOWED:
            word = next(iter(node.name.strip("_").split("_")))
            if is_participle(word) and not node.is_read_as_a_field:
                yield f"line {node.line}: {node.name}"


def test_functions_are_verbs_and_not_participles():
    found = {path: list(list_participles(definitions_in(path))) for path in FILES}
    assert {str(path.relative_to(ROOT)): names for path, names in found.items() if names} == {}


def test_what_is_allowed_is_there():
    names = {node.name for path in FILES for node in definitions_in(path) if node.is_function}
    assert set(ALLOWED) - names == set()


def test_a_rule_is_called_nothing_else():
    found = {
        str(path.relative_to(ROOT)): node.name
        for path in FILES
        for node in definitions_in(path)
        if not node.is_function and node.name.strip("_").startswith("Scoring")
    }
    assert found == {}


def test_what_was_probably_meant_is_guessed_in_one_place():
    ours = [path for path in FILES if path.relative_to(ROOT).parts[0] in ("harness", "plugins")]
    found = [path for path in ours if "get_close_matches" in path.read_text(encoding="utf-8")]
    assert [str(path.relative_to(ROOT)) for path in found] == ["harness/api/errors.py"]


@pytest.mark.parametrize(
    "source",
    [
        "def measured(): ...",
        "def _told(x): ...",
        "def kept_or_compiled(): ...",
        "async def sent(): ...",
        "class A:\n    def placed(self): ...",
        "def f():\n    def drawn_by(): ...",
        "@contextmanager\ndef timed(): ...",
    ],
)
def test_a_participle_is_refused(source):
    assert len(list(list_participles(list_definitions(ast.parse(source))))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "def measure_masks_found(): ...",
        "def read(): ...",
        "def seed(): ...",
        "def is_told(): ...",
        "class A:\n    @property\n    def measured(self): ...",
        "@pytest.fixture(scope='module')\ndef broken(): ...",
    ],
)
def test_verbs_claims_fields_and_fixtures_pass(source):
    assert list(list_participles(list_definitions(ast.parse(source)))) == []
