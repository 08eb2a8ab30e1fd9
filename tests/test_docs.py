"""The documents say what is there: hooks, commands and options are in them, examples run, links lead somewhere."""

import doctest
import importlib
import importlib.util
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

import harness.api
from harness.api import hookspecs

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "plugins").glob("*/README.md")])
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
COPY = re.compile(r"<!-- file: (?P<path>\S+) -->\n```\w+\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
DIRECTIVES = re.findall(r"^<!-- ::: (\S+) -->$", (ROOT / "docs/reference.md").read_text(encoding="utf-8"), re.MULTILINE)
HOOKS = [name for name, value in vars(hookspecs).items() if name.startswith("harness_") and callable(value)]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def load_made() -> ModuleType:
    """The script that writes what docs/ has from the program."""
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / ".ci" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_docs = load_made()


def blocks(info: str) -> list:
    """Every fenced block with that info string, one test parameter each."""
    return [
        pytest.param(match["body"], id=f"{document.relative_to(ROOT)}-{number}")
        for document in DOCUMENTS
        for number, match in enumerate(m for m in FENCE.finditer(text_of(document)) if m["info"].strip() == info)
    ]


COMMANDS = make_docs.all_commands()


def section(heading: str) -> str:
    """The part of docs/commands.md under ``## heading``."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text_of(ROOT / "docs/commands.md"), re.M | re.S)
    assert found, f"docs/commands.md has no section '## {heading}'"
    return found[1]


def test_the_made_parts_of_the_documents_are_what_the_program_says():
    stale = [str(page.relative_to(ROOT)) for page, text in make_docs.make_pages().items() if text != text_of(page)]
    assert stale == [], "python .ci/make_docs.py writes them"


def test_marks_that_are_not_there_once_are_an_error():
    assert (
        make_docs.put("a\n<!-- x -->\nold\n<!-- end -->\nb", "x", "new\n") == "a\n<!-- x -->\n\nnew\n\n<!-- end -->\nb"
    )
    for page in ("", "<!-- x -->\n<!-- end -->\n<!-- x -->\n<!-- end -->"):
        with pytest.raises(ValueError, match="expected once"):
            make_docs.put(page, "x", "new\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_of_a_command_is_in_its_section(name):
    arguments = [param for param in COMMANDS[name].params if isinstance(param, click.Argument)]
    assert [found for argument in arguments if (found := argument.human_readable_name) not in section(name)] == []


def test_no_section_is_about_a_command_that_is_gone():
    written = re.findall(r"^## (harness [a-z -]+)$", text_of(ROOT / "docs/commands.md"), re.M)
    assert sorted(written) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_is_listed_is_there(name):
    assert COMMANDS[name] is not make_docs.NOTHING


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_explains_itself(name):
    assert COMMANDS[name].help
    silent = [param.opts[0] for param in COMMANDS[name].params if isinstance(param, click.Option) and not param.help]
    assert [option for option in silent if not explains_itself(COMMANDS[name], option)] == []


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"harness schema"}))
def test_every_command_can_answer_in_json(name):
    """``schema`` prints nothing else."""
    assert any("--json" in param.opts for param in COMMANDS[name].params)


def explains_itself(command: click.Command, option: str) -> bool:
    """A choice or a default that is shown says enough."""
    param = next(param for param in command.params if option in param.opts)
    return isinstance(param, click.Option) and (isinstance(param.type, click.Choice) or bool(param.show_default))


@pytest.mark.parametrize("verb", sorted({name.split()[1] for name in COMMANDS}))
def test_the_readme_names_every_verb(verb):
    assert f"`harness {verb}" in text_of(ROOT / "README.md")


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 6, 7, 8, 130])
def test_the_readme_and_the_command_page_explain_every_exit_code(code):
    for document in ("README.md", "docs/commands.md"):
        assert re.search(rf"^\| {code} \| \S", text_of(ROOT / document), re.M), document


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_and_has_an_example(hook):
    assert f"`{hook}`" in text_of(ROOT / "docs/write-a-plugin.md")
    assert doctest.DocTestFinder().find(getattr(hookspecs, hook))[0].examples


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_shown_in_a_whole_file_of_a_third_party(hook):
    shown = [copy["body"] for _, copy in COPIES if copy["path"].startswith("tests/third_party/")]
    assert any(f"@hookimpl\ndef {hook}(" in body for body in shown)
    assert f"`{hook}`" in text_of(ROOT / "docs/extend.md")


@pytest.mark.parametrize("name", [f"harness.{name}" for name in harness.__all__])
def test_every_name_for_plugin_authors_is_in_the_reference(name):
    assert DIRECTIVES.count(name) == 1


@pytest.mark.parametrize("name", DIRECTIVES)
def test_the_reference_names_nothing_that_is_gone(name):
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


def test_there_are_five_hooks():
    assert len(HOOKS) == 5


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(harness.api.__path__)])
def test_the_examples_in_docstrings_run(name):
    found = doctest.testmod(importlib.import_module(f"harness.api.{name}"))
    assert found.failed == 0
    assert found.attempted > 0 or name not in ("hookspecs", "timing")


@pytest.mark.parametrize("source", blocks("python run"))
def test_python_in_the_documents_runs(source, tmp_path):
    ran = subprocess.run([sys.executable, "-W", "error", "-c", source], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("lines", blocks("console run"))
def test_commands_in_the_documents_run(lines, tmp_path, third_party_path):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": third_party_path}
    for line in [line[2:] for line in lines.splitlines() if line.startswith("$ ")]:
        ran = subprocess.run(shlex.split(line), cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert ran.returncode == 0, f"{line}\n{ran.stdout}\n{ran.stderr}"


COPIES = [(document, match) for document in DOCUMENTS for match in COPY.finditer(text_of(document))]


@pytest.mark.parametrize(("document", "copy"), COPIES, ids=[match["path"] for _, match in COPIES])
def test_a_file_shown_in_a_document_is_that_file(document, copy):
    assert copy["body"] == text_of(ROOT / copy["path"])


def test_the_documents_do_show_files_and_run_code():
    assert len(COPIES) >= 4
    assert blocks("python run")
    assert blocks("console run")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document):
    broken = [link for link in LINK.findall(text_of(document)) if not (document.parent / link).exists()]
    assert broken == []
