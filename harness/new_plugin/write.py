"""A new plugin from templates: a whole distribution for one task, with a method that runs, tests and CI."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import cast

from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.api.tasks import TASKS, TaskName
from harness.catalog import Catalog
from harness.files import name_refusals

TEMPLATES = Path(__file__).parent / "templates" / "plugin"
LONGEST_NAME = 30
"""So that the lines of the files written stay below 120 characters."""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Start:
    """What a plugin for a task starts from, as tasks.toml has it; texts for its README and pyproject.toml."""

    layers: tuple[str, ...]
    """The folders of templates whose files make it up."""
    dependencies: tuple[str, ...]
    idea: str
    paper: str
    score: str
    departures: str
    files: Mapping[str, str]
    """What is in each file of the package that not every plugin has."""


def read_starts() -> dict[TaskName, Start]:
    """Every task's start."""
    text = (Path(__file__).parent / "tasks.toml").read_text(encoding="utf-8")
    return {
        cast(TaskName, task): Start(
            **entry | {"layers": tuple(entry["layers"]), "dependencies": tuple(entry["dependencies"])}
        )
        for task, entry in tomllib.loads(text).items()
    }


@dataclass(frozen=True)
class Names:
    """Everything that is called after a plugin: ``flow-cut`` gives ``vos-flow-cut``, ``vos_flow_cut``."""

    name: str

    @property
    def distribution(self) -> str:
        """What pip installs; also the folder."""
        return f"vos-{self.name.replace('_', '-')}"

    @property
    def package(self) -> str:
        """What Python imports; the prefix keeps it apart from keywords and other people's modules."""
        return self.distribution.replace("-", "_")

    @property
    def class_name(self) -> str:
        """The method's class; the ending keeps it apart from what its file imports."""
        return "".join(part.capitalize() for part in re.split("[-_]", self.name)) + "Method"


def names_of(asked: str) -> Names:
    """Check the name a user typed; a leading ``vos-`` is no part of it, and an underscore is taken for a dash.

    >>> names_of("vos-flow-cut").package, names_of("flow_cut").name
    ('vos_flow_cut', 'flow-cut')
    """
    name = asked.replace("_", "-").removeprefix("vos-")
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        guess = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789")[:LONGEST_NAME].rstrip("-")
        raise UsageError(
            f"{asked!r} is no name for a plugin; expected a small letter, then small letters, digits and single "
            f"dashes, at most {LONGEST_NAME} in all: it names a distribution, a package and a method",
            hint=f"harness new-plugin {guess or 'my-method'} --task TASK",
        )
    return Names(name)


def refuse_taken(names: Names, catalog: Catalog, *, force: bool) -> None:
    """UsageError where another installed plugin has the name; with ``force`` this plugin itself is no other."""
    claims = {source.entry_point: source.distribution for source in catalog.sources}
    claims |= {method.name: catalog.methods.source(method.name).distribution for method in catalog.methods}
    claims |= {name: sources[0].distribution for name, sources in catalog.methods.duplicates().items()}
    holder = claims.get(names.name)
    is_itself = holder == names.distribution
    if holder is None and _is_installed(names.distribution):
        holder = names.distribution
    if holder is not None and not (force and is_itself):
        again = ", or --force to write it anew" if is_itself else ""
        raise UsageError(
            f"the name {names.name!r} is taken by {holder}, which is installed here",
            hint=f"choose another name (harness ls plugins lists those in use){again}",
        )


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def render(names: Names, task: TaskName) -> dict[str, str]:
    """Every file of the plugin: its path inside the plugin's folder, and its text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # Python, TOML and Markdown, and the names in them are checked
    )
    start = read_starts()[task]
    facts = {
        "name": names.name,
        "distribution": names.distribution,
        "package": names.package,
        "class_name": names.class_name,
        "task": task,
        "task_title": TASKS[task].title,
        "entry": TASKS[task].entry,
        "start": start,
        "dependencies": ", ".join(f'"{requirement}"' for requirement in start.dependencies),
    }
    return {
        path.replace("PACKAGE", names.package): templates.get_template(source).render(facts)
        for path, source in _files(start.layers)
    }


def _files(layers: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(path in the plugin, name of the template) of every file; ``dot-`` stands for a leading dot."""
    for layer in layers:
        for found in sorted((TEMPLATES / layer).rglob("*.jinja")):
            path = found.relative_to(TEMPLATES / layer).as_posix().removesuffix(".jinja")
            yield re.sub(r"(^|/)dot-", r"\1.", path), found.relative_to(TEMPLATES).as_posix()


def write_plugin(names: Names, task: TaskName, out: Path, *, force: bool) -> list[Path]:
    """Write the plugin into the folder ``out`` and return its files; nothing is written where something is in the way.

    An empty folder is in nobody's way. With ``force`` a folder that is there is used and files of the same names are
    replaced; others are left alone.
    """
    is_free = out.is_dir() and (force or not any(out.iterdir()))
    if (out.exists() or out.is_symlink()) and not is_free:
        what = "a folder" if out.is_dir() else "a file"
        hint = "--out DIR for another place, or --force to replace the files in it" if out.is_dir() else "--out DIR"
        raise UsageError(f"{out} is {what} that exists; nothing was written", hint=hint)
    texts = {out / path: text for path, text in render(names, task).items()}
    root = out.resolve()
    for path in texts:
        if not path.resolve().is_relative_to(root) or path.is_dir():
            raise UsageError(f"{path} leads out of {out} or is a folder; nothing was written", hint="--out DIR")
    for path, text in texts.items():
        with name_refusals(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    return list(texts)
