"""What a user asks for, as typed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.contracts import Rule
from harness.api.dataclass import dataclass
from harness.api.records import Precision

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True)
class Request:
    """What a user asks for, as typed; ``resolve`` checks it."""

    plugin: str
    bench: str
    task: str | None = None
    preset: str = ""
    overrides: tuple[str, ...] = ()
    weights: str | None = None
    device: str = "cpu"
    precision: Precision = "fp32"
    videos: tuple[str, ...] = ()
    limit: int | None = None
    shard: tuple[int, int] | None = None
    """(i, n): of these videos the i-th of n parts, from 1 on; see ``take_shard``."""
    data_root: Path | None = None
    allow_partial: bool = False
    executor: str = "inline"
    seed: int = 0
    rule: Rule | None = None
    """Another rule than the benchmark's own; named in the record."""
    python: Path | None = None
    """The interpreter of another environment, where the method lives; None: this one."""
    workers: int = 1
    """Videos at the same time on a CPU; on GPUs, one a device."""
    address: str | None = None
    """Where a cluster is; None: the executor makes one of this machine."""
    threads: int | None = None
    """CPU threads of torch in each process; None: torch's choice, shared among the workers."""
    first_frame_seconds: float = 600.0
    """A method in its own process is ended after so long without its first mask (or unbuilt)."""
    frame_seconds: float = 120.0
    """The same for each later mask."""

    @property
    def devices(self) -> tuple[str, ...]:
        """One device for each video that may be worked on at the same time."""
        named = tuple(name.strip() for name in self.device.split(",") if name.strip())
        return named * self.workers if len(named) == 1 else named


@cache
def request_as_json() -> TypeAdapter[Request]:
    """What writes a request as JSON and reads it again, for folders and other processes; made when first needed."""
    from pydantic import TypeAdapter

    return TypeAdapter(Request)
