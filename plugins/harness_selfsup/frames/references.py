"""Which earlier frames a target looks at, how far each is searched for, and which frames a memory has to hold."""

from __future__ import annotations

from harness_selfsup.config import Config


def reference_frames(target: int, config: Config) -> tuple[int, ...]:
    """The frames masks come from, ascending; ``target`` is counted from the first prompted frame.

    >>> reference_frames(23, Config())
    (0, 5, 18, 20, 22)
    """
    if config.every_frame:
        return tuple(range(target))
    fixed = {frame for frame in config.first if frame < target}
    return tuple(sorted(fixed | {target - gap for gap in config.recent if gap <= target}))


def dilation_of(target: int, reference: int, config: Config) -> int:
    """How far apart the coarse search of a long-term reference looks; 0 for one that is near: no coarse search.

    >>> [dilation_of(23, reference, Config()) for reference in (0, 5, 18)]
    [2, 2, 0]
    """
    gap = target - reference
    if not config.roi or gap <= config.long_term:
        return 0
    return min(config.max_dilation, gap // config.long_term + 1)


class Places:
    """Where in a ring the frames lie that some later target asks for: fixed ones first, then the last few in turn."""

    def __init__(self, config: Config, frames: int) -> None:
        """``frames`` are all there will be."""
        self.fixed = () if config.every_frame else tuple(sorted(frame for frame in set(config.first) if frame < frames))
        turning = frames if config.every_frame else min(frames, max(config.recent, default=0))
        self.turning = turning
        self.count = len(self.fixed) + turning

    def of(self, frame: int) -> int | None:
        """The place of ``frame``; None for one that nobody asks for."""
        if frame in self.fixed:
            return self.fixed.index(frame)
        return len(self.fixed) + frame % self.turning if self.turning else None
