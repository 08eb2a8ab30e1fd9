"""What a method may look at: a lazy video, the prompts of a one-shot task, and the tracks it may return."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from harness.api.dataclass import dataclass
from harness.api.errors import CausalityError
from harness.api.oddities import Oddity

if TYPE_CHECKING:
    import numpy as np
    import torch

    Frames = Sequence[torch.Tensor]
else:
    Frames = Sequence  # a run-time type checker that knew what a frame is would read one, perhaps of the future


@dataclass
class Horizon:
    """The last frame that may be read now; the runner moves it, ``None`` means no limit."""

    last: int | None = None

    def refuse_beyond(self, frame: int, what: str) -> None:
        """Raise CausalityError if ``frame`` lies after the horizon."""
        if self.last is not None and frame > self.last:
            raise CausalityError(
                f"an online method read {what} {frame} while only frames up to {self.last} have been reached",
                hint="declare causality='window' with a lookahead, or causality='offline', on the method's card",
            )


class Video(Frames):
    """One video as a method sees it: lazy, indexable, without truth and without its real name.

    ``video[t]`` is a (H, W, 3) uint8 RGB tensor on the run's device; it belongs to the harness and must not be
    changed in place. Reading beyond the horizon of an online method raises CausalityError. Negative indices and
    slices are refused: what they mean would depend on the future. ``name`` and ``frame_names`` are made up, except
    for a method whose card says ``replays``.
    """

    def __init__(
        self,
        *,
        name: str,
        length: int,
        height: int,
        width: int,
        read: Callable[[int], torch.Tensor],
        horizon: Horizon | None = None,
        frame_names: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.frame_names = frame_names or tuple(f"{frame:05d}" for frame in range(length))
        self.height = height
        self.width = width
        self._length = length
        self._read = read
        self._horizon = horizon or Horizon()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, frame: Any) -> Any:
        if not isinstance(frame, int):
            raise TypeError(f"a video is indexed by one frame number, not by {type(frame).__name__}")
        if not 0 <= frame < self._length:
            raise IndexError(f"video {self.name!r} has frames 0..{self._length - 1}, not {frame}")
        self._horizon.refuse_beyond(frame, "frame")
        return self._read(frame)

    @property
    def reached(self) -> int:
        """The last frame that may be read now."""
        last = self._horizon.last
        return self._length - 1 if last is None else min(last, self._length - 1)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width


class Prompts(Mapping[int, "torch.Tensor"]):
    """Frame index -> (H, W) uint8 id mask on the run's device, the objects a one-shot method is asked to follow.

    DAVIS gives one prompt at frame 0; YouTube-VOS gives more as objects enter. An online method sees a later prompt
    only when its frame has been reached: iteration, ``len`` and ``ids`` cover what has been reached, and asking for
    a later frame raises CausalityError.
    """

    def __init__(
        self,
        masks: Mapping[int, torch.Tensor],
        *,
        horizon: Horizon | None = None,
        ids: Mapping[int, Collection[int]] | None = None,
    ) -> None:
        """``ids`` maps a frame to the values its mask holds, where they are known: to look waits for the device."""
        self._masks = dict(sorted(masks.items()))
        self._horizon = horizon or Horizon()
        self._ids = dict(ids or {})

    def __getitem__(self, frame: int) -> torch.Tensor:
        self._horizon.refuse_beyond(frame, "the prompt of frame")
        return self._masks[frame]

    def __contains__(self, frame: object) -> bool:
        if isinstance(frame, int):
            self._horizon.refuse_beyond(frame, "the prompt of frame")
        return frame in self._masks

    def __iter__(self) -> Iterator[int]:
        last = self._horizon.last
        return (frame for frame in self._masks if last is None or frame <= last)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def ids(self) -> tuple[int, ...]:
        """The object ids prompted so far, ascending, without 0 (background) and 255 (void)."""
        found: set[int] = set()
        for frame in self:
            if frame not in self._ids:
                self._ids[frame] = self._masks[frame].unique().tolist()
            found.update(self._ids[frame])
        return tuple(sorted(found - {0, 255}))


@dataclass(frozen=True)
class Track:
    """One object through a whole video, for video instance segmentation.

    ``category`` is the benchmark's category id, ``score`` any real number (higher is surer), ``masks`` has one entry
    a frame: a (H, W) bool tensor, a run-length code (``harness.api.mask_files.RunLength``), or None where absent.
    """

    category: int
    score: float
    masks: Sequence[Any]


@dataclass(frozen=True)
class Tracks:
    """All tracks a method found in one video; they may overlap."""

    tracks: Sequence[Track] = ()

    def __iter__(self) -> Iterator[Track]:
        return iter(self.tracks)

    def __len__(self) -> int:
        return len(self.tracks)


@dataclass(frozen=True)
class Sample:
    """One video as a dataset knows it: with its real name, its truth and where they lie. Never shown to a method.

    ``read_frame(t)`` gives a (H, W, 3) uint8 RGB array. ``read_truth(t)`` gives a (H, W) uint8 id map (255 void) or
    None where that frame is not annotated; it is None altogether where the split has no public truth.
    ``read_prompt(t)`` is defined for ``prompt_frames``. ``digest()`` is a hex SHA-256 over every byte that may
    change a result. All of them raise DataError with the path when a file is missing or malformed.
    """

    name: str
    length: int
    height: int
    width: int
    frame_names: tuple[str, ...]
    read_frame: Callable[[int], np.ndarray]
    digest: Callable[[], str]
    read_truth: Callable[[int], np.ndarray | None] | None = None
    read_prompt: Callable[[int], np.ndarray] | None = None
    prompt_frames: tuple[int, ...] = ()
    read_flow: Callable[[int], np.ndarray] | None = None
    """Where a dataset has it: optical flow of frame t to t + 1, (H, W, 2) float32 (dx, dy) in pixels."""
    truth_frames: tuple[int, ...] | None = None
    """The frames that have a truth, where not every one has: predictions are needed for these alone."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What only some datasets know: ``attributes``, ``categories`` (object id -> category), ``tracks`` (VIS truth),
    ``is_merged`` (the ids of its truth are one object though there may be several)."""
    oddities: tuple[Oddity, ...] = ()
    """What is odd about its files without being wrong; told by every command that opens the data, once a kind."""


def without_truth(sample: Sample) -> Sample:
    """The video's frames and nothing else: no mask, flow, category or attribute."""
    return Sample(
        name=sample.name,
        length=sample.length,
        height=sample.height,
        width=sample.width,
        frame_names=sample.frame_names,
        read_frame=sample.read_frame,
        digest=sample.digest,
        oddities=sample.oddities,
    )
