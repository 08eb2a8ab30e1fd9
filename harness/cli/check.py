"""``harness check``: does a method keep its promises?"""

from __future__ import annotations

from pathlib import Path

import click

from harness.api.tasks import TASKS
from harness.catalog import Catalog
from harness.cli import completion, options
from harness.cli.terminal import say
from harness.files import refuse_unwritable


@click.command("check")
@click.argument("plugin", shell_complete=completion.methods)
@click.option("--task", type=click.Choice(list(TASKS)), help="Only this task; default: every task of the card.")
@options.preset
@options.overrides
@options.weights
@options.device
@click.option("--quick", is_flag=True, help="Leave out the checks that take long, and most examples of kernels.")
@click.option("--junit", type=options.FILE, metavar="FILE", help="Write JUnit XML into this file.")
@options.as_json
def command(
    plugin: str,
    task: str | None,
    preset: str,
    overrides: tuple[str, ...],
    weights: str | None,
    device: str,
    quick: bool,
    junit: Path | None,
    as_json: bool,
) -> int:
    """Check that method PLUGIN keeps its promises; exit 4 if one is broken."""
    catalog = Catalog.load()
    catalog.methods.get(plugin)  # a wrong name is answered before torch is imported
    if junit is not None:
        refuse_unwritable(junit.parent, "--junit")
    from harness.conformance import CHECKS, Outcome, Report, examine
    from harness.conformance.report import line_of
    from harness.conformance.subject import open_subjects

    subjects = open_subjects(
        plugin,
        CHECKS,
        task=task,
        preset=preset,
        overrides=overrides,
        weights=weights,
        device=device,
        quick=quick,
    )
    outcomes: list[Outcome] = []
    for outcome in examine(subjects):
        outcomes.append(outcome)
        if not as_json:
            say(line_of(outcome))
    source = catalog.methods.source(plugin)
    report = Report(f"{plugin} of {source.distribution} {source.version} on {device}", outcomes)
    if junit is not None:
        report.write_junit(junit)
    if as_json:
        say(report.to_json(), nl=False)
    else:
        say(report.summary)
    return 4 if report.failed else 0
