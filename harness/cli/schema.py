"""``harness schema``: the JSON schema of what the harness writes."""

from __future__ import annotations

import json

import click

from harness.api.records import RunRecord, VideoResult
from harness.api.schemas import Record
from harness.cli.terminal import say

SCHEMAS: dict[str, type[Record]] = {"run": RunRecord, "video": VideoResult}


@click.command("schema")
@click.argument("name", type=click.Choice(list(SCHEMAS)), default="run")
def command(name: str) -> None:
    """Print the JSON schema of record.json (run) or of videos/*.json (video)."""
    say(json.dumps(SCHEMAS[name].model_json_schema(by_alias=True), indent=2))
