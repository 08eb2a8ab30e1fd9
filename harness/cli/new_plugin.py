"""``harness new-plugin``: a distribution of your own, with a method that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import click

from harness.api.tasks import TASKS, TaskName
from harness.cli import options
from harness.cli.terminal import say


@click.command("new-plugin")
@click.argument("name")
@click.option("--task", required=True, type=click.Choice(list(TASKS)), help="What the method is for.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="The plugin's folder; default: vos-NAME, here."
)
@click.option("--force", is_flag=True, help="Write into a folder that exists; files of the same names are replaced.")
@options.as_json
def command(name: str, task: str, out: Path | None, force: bool, as_json: bool) -> None:
    """Write a plugin: a whole distribution for one task, with a method that runs, tests and CI.

    NAME is how the method is called; the distribution is vos-NAME.
    """
    from harness.catalog import Catalog
    from harness.new_plugin.write import names_of, refuse_taken, write_plugin

    names = names_of(name)
    refuse_taken(names, Catalog.load(), force=force)
    folder = out or Path(names.distribution)
    written = [str(path) for path in write_plugin(names, cast(TaskName, task), folder, force=force)]
    if as_json:
        told = {"method": names.name, "distribution": names.distribution, "folder": str(folder), "written": written}
        say(json.dumps(told, indent=2))
    else:
        say("\n".join(written))
    say(f"next: cd {folder} && pip install -e '.[test]' && pytest && harness check {names.name}", err=True)
