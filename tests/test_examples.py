"""What lies in examples/ runs, and what stands at the top of the repository is sound."""

import re
import runpy
from pathlib import Path

import pytest

import harness.version

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_to_its_end(example, tmp_path, capsys):
    runpy.run_path(str(example), run_name="example")["main"](tmp_path)
    out = capsys.readouterr().out
    assert re.search(r"^copyfirst +J&F 0\.\d{3} \[", out, re.M)
    assert "did you mean 'mini-small'" in out


def test_there_are_examples_and_each_is_shown_in_the_docs():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    assert EXAMPLES
    assert [example.name for example in EXAMPLES if f"<!-- file: examples/{example.name} -->" not in pages] == []


def test_the_citation_has_what_the_format_demands_and_the_version_that_is_here():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    keys = dict(re.findall(r"^([a-z-]+):[ \n]*(.*)$", text, re.M))
    assert {"cff-version", "message", "title", "authors"} <= keys.keys()
    assert keys["version"] == harness.version.__version__
    assert keys["license"] == "Apache-2.0"


@pytest.mark.parametrize("form", [form for form in FORMS if form.name != "config.yml"], ids=lambda path: path.name)
def test_a_form_for_issues_has_what_github_demands(form):
    """Name, description and a body whose parts have a type of GitHub's, a label and an id of their own."""
    text = form.read_text(encoding="utf-8")
    assert re.match(r"name: \S.*\ndescription: \S.*\nlabels: \[\w+\]\nbody:\n", text)
    parts = re.split(r"^  - ", text.partition("body:\n")[2], flags=re.M)[1:]
    assert parts
    assert all(re.match(r"type: (textarea|dropdown|input|checkboxes|markdown)\n", part) for part in parts)
    assert all(re.search(r"^      label: \S", part, re.M) for part in parts)
    ids = re.findall(r"^    id: (\w+)$", text, re.M)
    assert len(ids) == len(set(ids)) == len(parts)
