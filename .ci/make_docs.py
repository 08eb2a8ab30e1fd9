"""Writes the parts of docs/ that are made from the program: the floors, the options of every command, the reference.

python .ci/make_docs.py writes them; tests/test_docs.py holds that they are what it would write.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent))
from reference import fill

ROOT = Path(__file__).resolve().parents[1]
NOTHING = click.Command("not-there")
PART = "<!-- {name} -->\n\n{body}\n<!-- end -->"


def make_pages() -> dict[Path, str]:
    """Each page that has made parts, with these parts anew."""
    architecture, commands = ROOT / "docs" / "architecture.md", ROOT / "docs" / "commands.md"
    made = {architecture: put(architecture.read_text(encoding="utf-8"), "floors", floors_table())}
    text = commands.read_text(encoding="utf-8")
    for name, command in all_commands().items():
        text = put(text, f"options: {name}", options_table(command))
    reference = ROOT / "docs" / "reference.md"
    return made | {commands: text, reference: fill(reference.read_text(encoding="utf-8"))}


def put(page: str, name: str, body: str) -> str:
    """The page with what stands between the marks of ``name`` replaced; ValueError where they are not there once."""
    mark = rf"<!-- {re.escape(name)} -->\n.*?<!-- end -->"
    page, times = re.subn(mark, lambda _: PART.format(name=name, body=body), page, flags=re.DOTALL)
    if times != 1:
        raise ValueError(
            f"the marks of {name!r} are there {times} times, expected once: <!-- {name} --> ... <!-- end -->"
        )
    return page


def floors_table() -> str:
    """The floors from the top down."""
    floors = tomllib.loads((ROOT / "tests" / "floors.toml").read_text(encoding="utf-8"))["floor"]
    rows = [
        f"| {floor['name']} | {', '.join(f'`{room}`' for room in floor['rooms'] if room)} | {floor['what']} |"
        for floor in floors
    ]
    return "\n".join(["| floor | rooms | what is in them |", "|---|---|---|", *rows, ""])


def all_commands() -> dict[str, click.Command]:
    """Every command that can be called, by the words typed for it."""
    from harness.cli import root

    return dict(below(root, "harness"))


def below(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below this one; ``NOTHING`` for one that is listed and not there."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for verb in command.list_commands(context):
        try:
            found = command.get_command(context, verb)
        except ModuleNotFoundError:
            found = None
        yield from below(found or NOTHING, f"{name} {verb}")


def options_table(command: click.Command) -> str:
    """One row an option: how it is typed, what it says of itself, its choices and its default."""
    options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    if not options:
        return "No options.\n"
    rows = [f"| `{spell_option(option)}`{also(option)} | {describe_option(option)} |" for option in options]
    return "\n".join(["| option | meaning |", "|---|---|", *rows, ""])


def spell_option(option: click.Option) -> str:
    """``--out DIR``, or ``--force`` alone."""
    if option.is_flag:
        return option.opts[0]
    choices = "|".join(option.type.choices) if isinstance(option.type, click.Choice) else ""
    return f"{option.opts[0]} {option.metavar or choices or option.type.name.upper()}".replace("|", "\\|")


def also(option: click.Option) -> str:
    """Other ways to type it."""
    return f" (or {', '.join(f'`{name}`' for name in option.opts[1:])})" if len(option.opts) > 1 else ""


def describe_option(option: click.Option) -> str:
    """The option's own help, as one cell of a table."""
    text = " ".join((option.help or "").split()).rstrip(".")
    text = text.replace("\\", "\\\\").replace("|", "\\|")
    notes = []
    if option.show_default and not option.is_flag and option.default is not None:
        default = option.default
        listed = default if isinstance(default, tuple | list) else (default,)
        notes.append(f"default: {', '.join(f'`{value}`' for value in listed)}")
    if option.envvar:
        notes.append(f"also `{option.envvar}`")
    if option.multiple and "may be repeated" not in text.lower():
        notes.append("may be repeated")
    if option.required:
        notes.append("required")
    return "; ".join(part for part in (text, *notes) if part)


if __name__ == "__main__":
    for page, text in make_pages().items():
        page.write_text(text, encoding="utf-8")
