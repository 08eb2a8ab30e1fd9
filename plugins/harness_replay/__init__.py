"""replay: masks and tracks made elsewhere, scored exactly as a method's own; behind ``harness score``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from harness import BuildContext, Method, hookimpl


@dataclass(frozen=True)
class ReplayConfig:
    """Where the masks lie and how they are read."""

    directory: str = ""
    """Folder with one folder a video, one PNG a frame named as the benchmark names it; for vis with one <video>.json a
    video, as a run writes into its folder ``tracks``."""
    binary: bool = False
    """Every value that is not 0 is object 1 (0/255 grey masks of single-object benchmarks)."""
    frames: Literal["inner", "all"] = "all"
    """inner: the first and last frame's masks are not opened, as the official one-shot toolkits do."""


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
