"""replay: masks and tracks made elsewhere, scored exactly as a method's own; behind ``harness score``."""

from __future__ import annotations

from typing import Any

from harness import BuildContext, Method, hookimpl
from harness_replay.config import ReplayConfig


def build(context: BuildContext) -> Any:
    """Build the method; the folder is looked at when a video is asked for."""
    from harness_replay.method import Replay

    return Replay(context.config)


@hookimpl
def harness_methods() -> list[Method]:
    """Offer replay."""
    return [
        Method(
            name="replay",
            tasks=("one-shot", "object-zvos", "instance-zvos", "vis"),
            build=build,
            summary="Shows saved masks or tracks: --set directory=DIR.",
            config=ReplayConfig,
            supervision="unknown (masks made elsewhere)",
            causality="offline",
            replays=True,
        )
    ]
