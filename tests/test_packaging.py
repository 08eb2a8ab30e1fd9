"""What is installed: entry points that load, dependencies that are pinned, wheels that hold what they should."""

import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import harness.version
from harness.api.hookspecs import GROUP
from harness.catalog import Catalog
from harness.cli.doctor import OPTIONAL

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
PINS = dict(
    re.findall(r"^([a-z0-9-]+)==([0-9][0-9a-z.+]*)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
)
README_COMMANDS = re.findall(r"^\$ (make \w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def test_torch_is_a_range_for_users_and_one_version_for_our_checks():
    assert "torch>=2.6" in PROJECT["project"]["dependencies"]
    assert PINS["torch"] == "2.13.0"


@pytest.mark.parametrize("requirement", [*PROJECT["project"]["dependencies"], *EXTRAS["test"]])
def test_what_is_installed_by_default_is_pinned_in_constraints(requirement):
    assert name_of(requirement) in PINS


def test_nothing_by_default_needs_a_compiler_or_brings_cuda():
    default = {name_of(requirement) for requirement in PROJECT["project"]["dependencies"]}
    assert default.isdisjoint({"pydensecrf2", "pydensecrf", "torchvision", "timm", "segmentation-models-pytorch"})


SOURCES = {
    path.relative_to(ROOT): path.read_text(encoding="utf-8")
    for top in ("harness", "plugins")
    for path in (ROOT / top).rglob("*.py")
}
USERS = {extra: name_of(package) for extra, (package, *_) in EXTRAS.items() if extra not in ("test", "docs", "dev")}
MODULES = {"pydensecrf2": "pydensecrf"}


def module_of(distribution: str) -> str:
    return MODULES.get(distribution, distribution.replace("-", "_"))


def test_an_extra_is_advertised_by_the_readme_and_by_doctor_and_nothing_else_is():
    told = (ROOT / "README.md").read_text(encoding="utf-8") + "\n".join(SOURCES.values())
    assert set(re.findall(r"vos-harness\[([a-z-]+)\]", told)) == set(USERS)
    by_doctor = {optional.extra: optional.package for optional in OPTIONAL if optional.extra}
    assert by_doctor == {extra: module_of(distribution) for extra, distribution in USERS.items()}


def test_what_the_readme_says_is_not_there_yet_is_not_there():
    """Who adds one of them takes it out of the list; the tables of docs say the rest."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What is not there yet")[2]
    told = dict(re.findall(r"^- \*\*(\w+)\*\*, an? (method|executor|reporter):", section, re.M))
    catalog = Catalog.load()
    shelves = {"method": catalog.methods, "executor": catalog.executors, "reporter": catalog.reporters}
    planned = {"ray": "executor", "site": "reporter"}
    assert told == {name: kind for name, kind in planned.items() if name not in shelves[kind].names()}


def test_weights_that_come_with_a_method_are_used_where_none_are_named():
    shipped = {card.name: [entry.name for entry in card.weights if entry.path] for card in Catalog.load().methods}
    used = {card.name: card.default_weights for card in Catalog.load().methods}
    assert {name: names for name, names in shipped.items() if names and used[name] not in names} == {}


@pytest.mark.parametrize("package", [optional.package for optional in OPTIONAL])
def test_what_doctor_looks_for_is_used_by_something_of_ours(package):
    others = "\n".join(text for path, text in SOURCES.items() if path != Path("harness/cli/doctor.py"))
    assert re.search(rf'(^| )(import|from) {package}\b|"{package}"', others, re.M)


@pytest.mark.parametrize("module", PROJECT["project"]["entry-points"][GROUP].values())
def test_every_entry_point_leads_to_a_module_with_a_hook(module):
    hooks = [name for name in vars(importlib.import_module(module)) if name.startswith("harness_")]
    assert any(callable(getattr(importlib.import_module(module), name)) for name in hooks)


def test_the_version_is_written_in_one_place():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", harness.version.__version__)
    assert f"## {harness.version.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readmes_two_commands_are_targets_of_the_makefile():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert README_COMMANDS[:2] == ["make demo", "make test"]
    assert {command.split()[1] for command in README_COMMANDS} <= set(targets)


def test_ci_runs_the_readmes_commands():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in README_COMMANDS[:2]:
        assert re.search(rf"\b{command}$", script, re.M), command


def test_too_old_a_python_is_refused_in_words(tmp_path):
    old = tmp_path / "python-of-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.18" && exit 0\nexit 1\n')
    old.chmod(0o755)
    command = ["make", "-f", str(ROOT / "Makefile"), "setup", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode != 0
    assert "Python 3.8.18; Python 3.11 or later is needed" in made.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.slow
def test_the_wheel_holds_the_code_the_plugins_and_their_data_and_nothing_else(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("vos_harness-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    packages = {path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists()}
    assert tops == {"harness"} | packages
    assert "harness/py.typed" in names
    assert "harness/experiment_files/tvos-table2.toml" in names
    pages = {f"harness/{path.relative_to(ROOT / 'harness')}" for path in (ROOT / "harness/pages").rglob("*.*")}
    assert {name for name in pages if "__pycache__" not in name and "/vendor/" in name} <= set(names)
    assert {"harness/pages/templates/page.html", "harness/pages/static/site.css"} <= pages & set(names)
    tracked = subprocess.run(
        ["git", "ls-files", "harness", "plugins"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {name.removeprefix("plugins/") for name in tracked} <= set(names)
    assert wheel.stat().st_size < 26 * 2**20
