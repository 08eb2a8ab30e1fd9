"""Frames decoded ahead by threads and moved to the run's device, outside the model clock."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from harness.machine import list_cores

if TYPE_CHECKING:
    from harness.api.video import Sample

AHEAD = 4
KEPT_BYTES = 512 * 2**20
"""How much of a video stays on the device for methods that look back: about 430 frames of 854x480."""
MOST_KEPT = 512
"""Frames that stay for a method that goes forward: of small ones ``KEPT_BYTES`` would be a whole long video."""
MOST_HANDS = 8
"""Threads that decode one video at most; one decodes about 300 JPEG frames of 854x480 a second."""


def hands_for(device: str, *, at_once: int = 1) -> int:
    """How many threads may decode a video for a method on ``device``, while ``at_once`` videos are worked on.

    One on a CPU, where the method computes on the cores that more of them would take, inside its clock. For a GPU all
    cores but one, which is left to the thread that launches its kernels.
    """
    if not device.startswith("cuda"):
        return 1
    cores = len(list_cores()) or os.cpu_count() or 1
    return max(1, min(MOST_HANDS, cores // at_once - 1))


class FrameRing:
    """The latest frames of a video in memory: what ``kept_bytes`` hold, ``least`` to ``most`` of them. Thread-safe."""

    def __init__(self, *, least: int = AHEAD + 2, kept_bytes: int = KEPT_BYTES, most: int | None = None) -> None:
        self._least = least
        self._kept_bytes = kept_bytes
        self._most = most
        self._frames: OrderedDict[int, torch.Tensor] = OrderedDict()
        self._changes = threading.Lock()

    def get(self, frame: int) -> torch.Tensor | None:
        """Frame ``frame``, or None where it was dropped or never came."""
        with self._changes:
            return self._frames.get(frame)

    def bytes_kept(self) -> int:
        """How much memory they take."""
        with self._changes:
            return sum(frame.numel() for frame in self._frames.values())

    def keep(self, frame: int, tensor: torch.Tensor) -> None:
        """Keep a frame, and drop those that came first where there are too many."""
        with self._changes:
            self._frames[frame] = tensor
            limit = self._kept_bytes // max(1, tensor.numel())
            limit = max(self._least, limit if self._most is None else min(limit, self._most))
            while len(self._frames) > limit:
                self._frames.popitem(last=False)


class FrameSource:
    """Reads one video's frames for a method; use as a context manager.

    ``wait_for(t)`` blocks until frames 0..t lie on the device and raises what reading the first broken one of them
    raised. ``read(t)`` gives a (H, W, 3) uint8 tensor; a frame that has been dropped from memory is decoded again on
    the spot. ``seconds[t]`` is what decoding and moving frame t took, measured where it happened.

    One thread decodes ahead; whenever frames have to be waited for, more join it, up to ``hands``.
    """

    def __init__(
        self,
        sample: Sample,
        device: str,
        *,
        hands: int = 1,
        ahead: int = AHEAD,
        kept_bytes: int = KEPT_BYTES,
        most: int | None = None,
    ) -> None:
        self._sample = sample
        self._device = torch.device(device)
        self._most_hands = hands
        self._ahead = ahead if hands == 1 else max(ahead, 2 * hands)
        self._ring = FrameRing(least=self._ahead + hands + 1, kept_bytes=kept_bytes, most=most)
        self._hands: list[threading.Thread] = []
        self._wanted = -1
        self._next = 0
        self._decoded = -1
        """Every frame up to here is decoded."""
        self._early: set[int] = set()
        """Decoded frames beyond the first that is not."""
        self._errors: dict[int, BaseException] = {}
        self._closed = False
        self._changed = threading.Condition()
        self._decoding: set[int] = set()
        """The threads that decode now; one leaves, under the lock, before it ends."""
        self._spent = 0.0
        self._stream = self._new_stream()
        self.seconds: dict[int, float] = {}

    def __enter__(self) -> FrameSource:
        self._add_hand()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for hand in self._hands:
            hand.join()

    def wait_for(self, frame: int, *, rest: bool = False) -> None:
        """Block until frames up to ``frame`` are decoded and on the device.

        With ``rest`` also until the reader has read as far ahead as it may: nothing is decoded until the next call.
        """
        frame = min(frame, self._sample.length - 1)
        last = min(frame + self._ahead, self._sample.length - 1) if rest else frame
        with self._changed:
            self._wanted = max(self._wanted, frame)
            self._changed.notify_all()
            for _ in range(self._count_lacking_hands(frame)):
                self._add_hand()
            self._changed.wait_for(lambda: self._decoded >= last or self._decoded + 1 in self._errors)
            if self._decoded < frame:
                raise self._errors[self._decoded + 1]

    def bytes_kept(self) -> int:
        """How much of the video lies on the device now."""
        return self._ring.bytes_kept()

    def cpu_seconds(self) -> float:
        """CPU time of the threads that decode; 0 where the system has no clock of another thread."""
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        if clock_of is None:
            return 0.0
        with self._changed:
            return self._spent + sum(time.clock_gettime(clock_of(thread)) for thread in self._decoding)

    def read(self, frame: int) -> torch.Tensor:
        """Frame ``frame`` as a (H, W, 3) uint8 tensor on the device."""
        kept = self._ring.get(frame)
        if kept is None:
            kept = self._decode(frame, self._stream)
            self._ring.keep(frame, kept)
        if self._stream is not None:
            kept.record_stream(torch.cuda.current_stream(self._device))
        return kept

    def _count_lacking_hands(self, frame: int) -> int:
        """How many threads should join while ``frame`` is waited for: one a missing frame, one where it is late."""
        missing = frame - self._decoded
        if missing < 1:
            return 0
        is_late = missing == 1 and self._decoded >= 0  # the first frame is always waited for
        wanted = len(self._hands) + 1 if is_late else missing
        return min(wanted, self._most_hands) - len(self._hands)

    def _add_hand(self) -> None:
        hand = threading.Thread(target=self._decode_ahead, name=f"harness-frames-{len(self._hands)}", daemon=True)
        try:
            hand.start()
        except RuntimeError:  # the system allows no more threads
            if not self._hands:
                raise
            self._most_hands = len(self._hands)
            return
        self._hands.append(hand)

    def _decode_ahead(self) -> None:
        """Decode one frame after another until none is left, one is broken or the source is closed."""
        stream = self._new_stream()
        with self._count_this_thread():
            while (frame := self._take()) is not None:
                try:
                    self._ring.keep(frame, self._decode(frame, stream))
                except BaseException as error:  # handed to the thread that waits
                    self._note(frame, error)
                    return
                self._note(frame)

    @contextmanager
    def _count_this_thread(self) -> Iterator[None]:
        """Have ``cpu_seconds`` count the thread that this is done in."""
        thread = threading.get_ident()
        with self._changed:
            self._decoding.add(thread)
        try:
            yield
        finally:
            with self._changed:
                self._decoding.remove(thread)
                self._spent += time.thread_time()

    def _take(self) -> int | None:
        """The next frame to decode, once it is near enough to what is wanted; None where there is none."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over() or self._next <= self._wanted + self._ahead)
            if self._is_over():
                return None
            self._next += 1
            return self._next - 1

    def _is_over(self) -> bool:
        return self._closed or bool(self._errors) or self._next >= self._sample.length

    def _note(self, frame: int, error: BaseException | None = None) -> None:
        """Tell those who wait what became of ``frame``."""
        with self._changed:
            if error is None:
                self._early.add(frame)
            else:
                self._errors[frame] = error
            while self._decoded + 1 in self._early:
                self._decoded += 1
                self._early.remove(self._decoded)
            self._changed.notify_all()

    def _decode(self, frame: int, stream: torch.cuda.Stream | None) -> torch.Tensor:
        start = time.perf_counter()
        tensor = torch.from_numpy(np.ascontiguousarray(self._sample.read_frame(frame)))
        if stream is not None:
            with torch.cuda.stream(stream):
                tensor = tensor.pin_memory().to(self._device, non_blocking=True)
            stream.synchronize()
        self.seconds.setdefault(frame, time.perf_counter() - start)
        return tensor

    def _new_stream(self) -> torch.cuda.Stream | None:
        """A stream for one thread's copies."""
        return torch.cuda.Stream(self._device) if self._device.type == "cuda" else None
