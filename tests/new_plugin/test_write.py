"""harness new-plugin: what it writes is whole, well formed, and runs; what it refuses, it refuses without a trace."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from harness.api.errors import UsageError
from harness.catalog import Broken, Catalog, Source
from harness.cli import main
from harness.new_plugin.write import LONGEST_NAME, TEMPLATES, names_of, read_starts, refuse_taken, render, write_plugin

ROOT = Path(__file__).resolve().parents[2]
STARTS = read_starts()
TASKS = tuple(STARTS)
LONG = "a" * LONGEST_NAME


def name_for(task: str) -> str:
    """A name of its own for each task, so that the modules of one test do not stand in for another's."""
    return f"made-{task}"


def harness(*arguments: str, cwd: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from harness.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder on which all four plugins are installed beside the harness, without touching the environment."""
    site = tmp_path_factory.mktemp("site")
    for task in TASKS:
        names = names_of(name_for(task))
        out = site / "sources" / names.distribution
        write_plugin(names, task, out, force=False)
        (site / names.package).symlink_to(out / names.package)
        info = site / f"{names.package}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {names.distribution}\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(f"[harness]\n{names.name} = {names.package}\n")
    return site


@pytest.mark.parametrize("task", TASKS)
def test_a_plugin_is_a_whole_distribution(site, task):
    names = names_of(name_for(task))
    out = site / "sources" / names.distribution
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {
        *("pyproject.toml", "README.md", "LICENSE", ".gitignore", ".github/workflows/check.yml"),
        *(f"{names.package}/{file}.py" for file in ("__init__", "method", "kernels")),
        *(f"tests/test_{what}.py" for what in ("method", "kernels", "promises")),
    } <= there
    project = tomllib.loads((out / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["harness"] == {names.name: names.package}
    workflow = (out / ".github/workflows/check.yml").read_text()
    assert f"harness check {names.name}\n" in workflow
    assert f"harness run --plugin {names.name} --bench mini-small --task {task}" in workflow
    readme = (out / "README.md").read_text()
    assert all(f"| {row} |" in readme for row in ("paper", "licence", "weights", "expected score", "departures"))
    assert all(f"`{file}`" in readme for file in there if file.startswith(names.package))


@pytest.mark.parametrize("task", TASKS)
def test_nothing_of_the_template_is_left_over(task):
    for path, text in render(names_of("plain"), task).items():
        assert "PACKAGE" not in path + text
        assert not any(mark in path + text for mark in ("{{", "}}", "{%", "%}", ".jinja"))
        assert text.endswith("\n")
        assert not text.endswith("\n\n")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["x", LONG])
def test_what_is_written_is_formatted_and_linted(task, name, tmp_path):
    pytest.importorskip("ruff", reason="ruff comes with the extra dev")
    names = names_of(name)
    write_plugin(names, task, tmp_path / "out", force=False)
    for arguments in (["format", "--check"], ["check"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."]
        ran = subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_what_is_written_is_typed(site, task):
    pytest.importorskip("mypy", reason="mypy comes with the extra dev")
    out = site / "sources" / names_of(name_for(task)).distribution
    ran = subprocess.run([sys.executable, "-m", "mypy"], cwd=out, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_all_four_are_listed_with_their_tasks(site, tmp_path):
    listed = harness("ls", "plugins", "--json", cwd=tmp_path, path=str(site))
    rows = {row["method"]: row for row in json.loads(listed.stdout)}
    assert listed.stderr == ""
    for task in TASKS:
        assert rows[name_for(task)]["tasks"] == task
        assert rows[name_for(task)]["from"] == f"vos-{name_for(task)} 0.1.0"


@pytest.mark.parametrize("task", [TASKS[0], *(pytest.param(task, marks=pytest.mark.slow) for task in TASKS[1:])])
def test_its_own_tests_pass_on_a_tiny_video(site, task, tmp_path):
    names = names_of(name_for(task))
    tests = site / "sources" / names.distribution
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--deselect",
        "tests/test_promises.py",
    ]
    ran = subprocess.run(command, cwd=tests, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(site)})
    assert ran.returncode == 0, ran.stdout
    assert "passed" in ran.stdout


FLOORS = {
    "one-shot": ("j_and_f", "J&F", 0.5),  # copyfirst: 0.06
    "object-zvos": ("j_and_f", "J&F", 0.7),  # all background: 0.00
    "instance-zvos": ("j_and_f", "J&F", 0.4),  # all background: 0.03
    "vis": ("track_ap", "AP50", 0.02),
}
"""What each plugin must reach on mini-small, a little below what docs/write-a-plugin.md says."""


@pytest.fixture(scope="module")
def wheels(site, tmp_path_factory) -> Path:
    """A wheel of each plugin."""
    folder = tmp_path_factory.mktemp("wheels")
    sources = [str(site / "sources" / names_of(name_for(task)).distribution) for task in TASKS]
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), *sources]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_its_wheel_in_an_empty_venv_passes_its_tests_and_the_check_and_reaches_its_score(site, wheels, task, tmp_path):
    names = names_of(name_for(task))
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    found = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True
    )
    inner = Path(found.stdout.strip())
    (inner / "ours.pth").write_text(
        f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    )  # no torch again
    (wheel,) = wheels.glob(f"{names.package}-*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    shutil.copytree(site / "sources" / names.distribution / "tests", tmp_path / "work" / "tests")

    def ran(*arguments: str) -> str:
        done = subprocess.run([python, *arguments], cwd=tmp_path / "work", capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = Path(ran("-c", f"import {names.package}; print({names.package}.__file__)").strip())
    assert where.is_relative_to(home)
    assert "passed" in ran("-m", "pytest", "-q", "tests")
    command = ("-c", "from harness.cli import main; main()")
    ran(*command, "check", names.name)
    asked = ("--plugin", names.name, "--bench", "mini-small", "--task", task, "--out", "run", "--json")
    record = json.loads(ran(*command, "run", *asked))
    metric, column, least = FLOORS[task]
    assert not record["partial"]
    assert record["plugin"]["distribution"] == names.distribution
    assert record["timing"]["kernels"]
    assert record["timing"]["stages"]
    assert record["scores"][metric][column]["value"] > least


def test_the_figures_in_the_documents_and_in_the_readmes_are_the_same():
    told = (ROOT / "docs" / "write-a-plugin.md").read_text(encoding="utf-8")
    for task in TASKS:
        (row,) = (
            line
            for line in told.splitlines()
            if line.startswith(f"| `{task}` |") and "mini" not in line and " 0." in line
        )
        figure = re.search(r"(J&F|AP) 0[.][0-9]+", row)[0]
        assert f"| {figure}" in render(names_of("plain"), task)["README.md"]


# --- names


@pytest.mark.parametrize(
    ("asked", "distribution", "package", "class_name"),
    [
        ("flow-cut", "vos-flow-cut", "vos_flow_cut", "FlowCutMethod"),
        ("flow_cut2", "vos-flow-cut2", "vos_flow_cut2", "FlowCut2Method"),
        ("vos-flow", "vos-flow", "vos_flow", "FlowMethod"),
        ("class", "vos-class", "vos_class", "ClassMethod"),
        (LONG, f"vos-{LONG}", f"vos_{LONG}", f"{LONG.capitalize()}Method"),
    ],
)
def test_one_name_gives_all_others(asked, distribution, package, class_name):
    names = names_of(asked)
    assert (names.distribution, names.package, names.class_name) == (distribution, package, class_name)
    assert package.isidentifier()


@pytest.mark.parametrize(
    "asked",
    [
        *(
            "",
            "-",
            "1st",
            "Flow",
            "flow cut",
            "flow--cut",
            "-flow",
            "flow-",
            "fl\u00f6w",
            "a.b",
            LONG + "a",
            "vos-",
            "a\n",
        ),
        *("../out", "/etc/x", "..", "a/b", "a\\b", "a;b", "{{ 1 }}", '"', "a-_b"),
    ],
)
def test_what_is_no_name_is_refused_in_words(asked):
    with pytest.raises(UsageError, match="is no name for a plugin; expected a small letter") as refused:
        names_of(asked)
    assert refused.value.exit_code == 2
    suggested = refused.value.hint.split()[2]
    assert names_of(suggested).name == suggested


def test_a_wrong_name_comes_back_as_one_that_can_be_used():
    with pytest.raises(UsageError) as refused:
        names_of("My Flow (v2)")
    assert refused.value.hint == "harness new-plugin my-flow-v2 --task TASK"


@pytest.mark.parametrize("name", ["tvos", "copyfirst", "mini", "inline", "vos-harness"])
def test_the_name_of_something_installed_is_refused(name, tmp_path):
    ran = harness("new-plugin", name, "--task", "vis", "--force", cwd=tmp_path)
    assert ran.returncode == 2
    assert "is taken by vos-harness, which is installed here" in ran.stderr
    assert "harness ls plugins" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def catalog_with(distribution: str, name: str) -> Catalog:
    catalog = Catalog()
    source = Source(name, "some_module", distribution, "1")
    catalog.sources.append(source)
    catalog.broken.append(Broken(source, "ImportError: broken", ""))
    return catalog


def test_a_broken_plugin_keeps_its_name():
    with pytest.raises(UsageError, match="taken by other-flow"):
        refuse_taken(names_of("flow"), catalog_with("other-flow", "flow"), force=True)


def test_a_plugin_may_be_written_anew_over_itself_only_when_forced():
    installed = catalog_with("vos-flow", "flow")
    refuse_taken(names_of("flow"), installed, force=True)
    with pytest.raises(UsageError, match="taken by vos-flow") as refused:
        refuse_taken(names_of("flow"), installed, force=False)
    assert "--force" in refused.value.hint


def test_a_free_name_is_not_refused():
    refuse_taken(names_of("flow-cut-of-nobody"), Catalog.load(), force=False)


# --- folders


def test_the_command_writes_into_a_folder_of_its_own_and_says_what_is_next(tmp_path):
    ran = harness("new-plugin", "flow-cut", "--task", "object-zvos", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["vos-flow-cut"]
    assert "vos-flow-cut/pyproject.toml" in ran.stdout.splitlines()
    assert "next: cd vos-flow-cut && pip install -e '.[test]'" in ran.stderr
    again = harness("new-plugin", "flow-cut", "--task", "object-zvos", cwd=tmp_path)
    assert again.returncode == 2
    assert "vos-flow-cut is a folder that exists; nothing was written" in again.stderr


def test_as_json_the_command_says_what_it_wrote(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["new-plugin", "flow-cut", "--task", "object-zvos", "--json"])
    assert stop.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["method"], told["distribution"], told["folder"]) == ("flow-cut", "vos-flow-cut", "vos-flow-cut")
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert set(told["written"]) == files


def test_a_task_that_is_none_is_refused(tmp_path):
    ran = harness("new-plugin", "flow", "--task", "depth", cwd=tmp_path)
    assert ran.returncode == 2
    assert "one-shot" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_force_replaces_its_own_files_and_leaves_others(tmp_path):
    out = tmp_path / "out"
    write_plugin(names_of("flow"), "vis", out, force=False)
    (out / "LICENSE").write_text("mine")
    (out / "notes.txt").write_text("mine")
    written = write_plugin(names_of("flow"), "vis", out, force=True)
    assert (out / "LICENSE").read_text() == render(names_of("flow"), "vis")["LICENSE"]
    assert (out / "notes.txt").read_text() == "mine"
    assert len(written) == len(render(names_of("flow"), "vis"))


def test_an_empty_folder_is_used_and_a_full_one_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    assert write_plugin(names_of("flow"), "vis", tmp_path / "empty", force=False)
    with pytest.raises(UsageError, match="is a folder that exists"):
        write_plugin(names_of("flow"), "vis", tmp_path / "empty", force=False)


@pytest.mark.parametrize("force", [False, True])
def test_a_file_in_the_way_is_refused(tmp_path, force):
    out = tmp_path / "out"
    out.write_text("a file")
    with pytest.raises(UsageError, match="is a file that exists"):
        write_plugin(names_of("flow"), "vis", out, force=force)
    assert out.read_text() == "a file"


@pytest.mark.parametrize("link", ["tests", "LICENSE"])
def test_force_does_not_follow_a_link_out_of_the_folder(tmp_path, link):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir() if link == "tests" else elsewhere.write_text("theirs")
    (out / link).symlink_to(elsewhere)
    with pytest.raises(UsageError, match="leads out of"):
        write_plugin(names_of("flow"), "vis", out, force=True)
    assert [path.name for path in out.iterdir()] == [link]
    assert elsewhere.is_dir() == (link == "tests")
    assert list(elsewhere.iterdir()) == [] if elsewhere.is_dir() else elsewhere.read_text() == "theirs"


def test_every_template_belongs_to_a_layer():
    layers = {layer for start in STARTS.values() for layer in start.layers}
    assert {path.name for path in TEMPLATES.iterdir() if path.is_dir()} == layers
