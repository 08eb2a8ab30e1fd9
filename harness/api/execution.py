"""What an executor is, and what a run gives it: sessions here or apart, and the recipe of one elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from harness.api.records import VideoFailure, VideoResult

MaskFiles = Sequence[tuple[str, bytes]]
"""Names and contents of the files of one video's masks, or of its tracks."""


class Session(Protocol):
    """A built method that works through videos, one at a time."""

    def work_through(self, video: str) -> VideoResult | VideoFailure:
        """Run the video of that name; whatever goes wrong in it becomes a VideoFailure."""
        ...

    def close(self) -> None:
        """Let go of the method."""
        ...


class Recipe(Protocol):
    """How a session is opened on another machine, and what becomes of what it sends back: text and bytes alone."""

    @property
    def text(self) -> str:
        """JSON; its ``opener`` names a function, ``module:name``, which takes it and gives a SessionElsewhere."""
        ...

    @property
    def method(self) -> str:
        """The method's name."""
        ...

    @property
    def address(self) -> str | None:
        """Where the user says that the cluster is; None: nowhere."""
        ...

    @property
    def threads(self) -> int:
        """CPU threads of each worker: as many as this process computes with, since their number moves last bits."""
        ...

    @property
    def needs_gpu(self) -> bool:
        """Whether each worker needs a whole GPU of its own."""
        ...

    @property
    def build_seconds(self) -> float:
        """How long building the method may take."""
        ...

    def seconds_for(self, video: str) -> float:
        """How long a video may take before it is given up."""
        ...

    def receive(self, video: str, answer: str, files: MaskFiles) -> VideoResult | VideoFailure:
        """Take what a session elsewhere made of a video: its masks are written into the run's folder, whole.

        VerificationFailed where it is not of this run.
        """
        ...

    def tell(self, words: str) -> None:
        """Say what is worth a line and stops nothing."""
        ...

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder of a short path for a while; what killed runs left of theirs goes first."""
        ...


class SessionElsewhere(Protocol):
    """A session that writes nothing: what it makes is sent."""

    def work_through(self, video: str) -> tuple[str, MaskFiles]:
        """Run the video of that name; the answer is for ``Recipe.receive``."""
        ...


class Sessions(Protocol):
    """The sessions of a run: what an executor opens and ends them with."""

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices of the run, one for each session that may work at the same time."""
        ...

    def open(self, *, device: str | None = None, apart: bool = False) -> Session:
        """Build the method, on the run's one device unless another is named; ``apart``: in a process of its own."""
        ...

    def recipe(self) -> Recipe:
        """How to open sessions on other machines; UsageError for a method that cannot be run there."""
        ...

    def close(self) -> None:
        """End every session apart, also one that is just being opened: the video it is at fails."""
        ...


@runtime_checkable
class Executor(Protocol):
    """Where and how the videos of a run are worked through."""

    name: str

    def execute(self, sessions: Sessions, videos: Sequence[str]) -> Iterator[VideoResult | VideoFailure]:
        """Open a session (that builds the method), have it work through each video, yield what it gives, close it."""
        ...


@runtime_checkable
class ClusterExecutor(Executor, Protocol):
    """An executor whose workers are given machines by a cluster, and a GPU to each where the run is on GPUs."""

    one_gpu_each: Literal[True]
    """A worker sees its GPU as cuda:0; ``--workers`` says how many there are."""
