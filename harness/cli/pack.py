"""``harness pack``: a run, or predictions made elsewhere, as the zip a server takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.api.tasks import TASKS
from harness.catalog import Catalog
from harness.cli import options
from harness.cli.terminal import say

if TYPE_CHECKING:
    from harness.predictions.packing import Packed
    from harness.predictions.servers import Server


@click.command("pack")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--server", "server_name", required=True, metavar="NAME", help="davis17, davis17-unsup, youtube-vos or youtube-vis."
)
@click.option(
    "--bench",
    default="",
    metavar="NAME",
    help="The benchmark of predictions that have no record; default: the first that the server scores.",
)
@options.data_root
@click.option(
    "--out",
    type=options.PATH,
    metavar="FILE",
    help="The zip; default: RUN-SERVER.zip beside RUN; a zip that is there is replaced.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Pack predictions of a benchmark that the server does not score, to try the form.",
)
@options.as_json
def command(
    run: Path,
    server_name: str,
    bench: str,
    data_root: Path | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> int:
    """Make the zip that a server takes of RUN: a run's folder, or a folder or zip of masks, or a results.json.

    Everything is checked by the server's rules, written, read again and, where there is truth, scored again.
    """
    from harness.predictions.servers import find_server

    server = find_server(server_name)
    from harness.predictions.packing import pack

    packed = pack(
        run,
        server,
        Catalog.load(),
        out=out,
        bench=bench,
        data_root=data_root,
        force=force,
        on_note=lambda note: say(note, err=True),
    )
    say(json.dumps(_as_json(packed, server), indent=2) if as_json else "\n".join(_lines(packed, server)))
    return 0


def _as_json(packed: Packed, server: Server) -> dict[str, Any]:
    """What was written, and what it scores where there is truth."""
    scores = packed.rescored.scores if packed.rescored is not None else {}
    return {
        "zip": str(packed.path),
        "sha256": packed.sha256,
        "bytes": packed.path.stat().st_size,
        "files": packed.files,
        "videos": packed.videos,
        "benchmark": packed.bench,
        "server": server.name,
        "url": server.url,
        "is_scored_by_server": packed.bench in server.benchmarks,
        "scores": {name: figure.value for columns in scores.values() for name, figure in columns.items()},
        "equals_record": packed.is_compared,
    }


def _lines(packed: Packed, server: Server) -> list[str]:
    """What was written, and what is known about it."""
    mebibytes = packed.path.stat().st_size / 2**20
    files = "masks" if TASKS[server.task].returns == "masks" else "file of tracks"
    again = "read again: equal to what was packed"
    if packed.rescored is None:
        scored = "not scored again: the truth is on the server"
    else:
        main = TASKS[server.task].main_metric
        figures = (columns[main].value for columns in packed.rescored.scores.values() if main in columns)
        value = next((f"{figure:.4f}" for figure in figures if figure is not None), "-")
        compared = "every figure equals the run's record" if packed.is_compared else "no record to compare it with"
        scored = f"scored again: {main} {value}; {compared}"
    return [
        f"{packed.path}: {packed.files} {files} of {packed.videos} videos, {mebibytes:.1f} MiB",
        f"sha256 {packed.sha256}",
        again,
        scored,
        f"for {server.title}: {server.url}"
        if packed.bench in server.benchmarks
        else f"in the form of server {server.name}, which does not score {packed.bench}",
    ]
