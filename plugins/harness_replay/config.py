"""Where saved masks lie, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
