"""Frames decoded ahead by a thread and moved to the run's device, outside the model clock."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from harness.api.video import Sample

AHEAD = 4
KEPT_BYTES = 512 * 2**20
"""How much of a video stays on the device for methods that look back: about 430 frames of 854x480."""


class FrameSource:
    """Reads one video's frames for a method; use as a context manager.

    ``wait_for(t)`` blocks until frames 0..t lie on the device and raises what the reader raised. ``read(t)`` gives a
    (H, W, 3) uint8 tensor; a frame that has been dropped from memory is decoded again on the spot.
    ``seconds[t]`` is what decoding and moving frame t took, measured where it happened.
    """

    def __init__(self, sample: Sample, device: str, *, ahead: int = AHEAD, kept_bytes: int = KEPT_BYTES) -> None:
        self._sample = sample
        self._device = torch.device(device)
        self._ahead = ahead
        self._kept_bytes = kept_bytes
        self._frames: OrderedDict[int, torch.Tensor] = OrderedDict()
        self._wanted = -1
        self._decoded = -1
        self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._stream = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None
        self._thread = threading.Thread(target=self._decode_ahead, name="harness-frames", daemon=True)
        self.seconds: dict[int, float] = {}

    def __enter__(self) -> FrameSource:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def wait_for(self, frame: int, *, rest: bool = False) -> None:
        """Block until frames up to ``frame`` are decoded and on the device.

        With ``rest`` also until the reader has read as far ahead as it may: nothing is decoded until the next call.
        """
        frame = min(frame, self._sample.length - 1)
        last = min(frame + self._ahead, self._sample.length - 1) if rest else frame
        with self._changed:
            self._wanted = max(self._wanted, frame)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._decoded >= last or self._error is not None)
            if self._error is not None:
                raise self._error

    def bytes_kept(self) -> int:
        """How much of the video lies on the device now."""
        with self._changed:
            return sum(frame.numel() for frame in self._frames.values())

    def read(self, frame: int) -> torch.Tensor:
        """Frame ``frame`` as a (H, W, 3) uint8 tensor on the device."""
        with self._changed:
            kept = self._frames.get(frame)
        if kept is None:
            kept = self._decode(frame)
            self._keep(frame, kept)
        if self._stream is not None:
            kept.record_stream(torch.cuda.current_stream(self._device))
        return kept

    def _decode_ahead(self) -> None:
        try:
            for frame in range(self._sample.length):
                if not self._may_decode(frame):
                    return
                self._keep(frame, self._decode(frame))
                with self._changed:
                    self._decoded = frame
                    self._changed.notify_all()
        except BaseException as error:  # handed to the thread that waits
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _may_decode(self, frame: int) -> bool:
        """Block until ``frame`` is near enough to what is wanted; False once the source is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or frame <= self._wanted + self._ahead)
            return not self._closed

    def _decode(self, frame: int) -> torch.Tensor:
        start = time.perf_counter()
        tensor = torch.from_numpy(np.ascontiguousarray(self._sample.read_frame(frame)))
        if self._stream is not None:
            with torch.cuda.stream(self._stream):
                tensor = tensor.pin_memory().to(self._device, non_blocking=True)
            self._stream.synchronize()
        self.seconds.setdefault(frame, time.perf_counter() - start)
        return tensor

    def _keep(self, frame: int, tensor: torch.Tensor) -> None:
        with self._changed:
            self._frames[frame] = tensor
            limit = max(self._ahead + 2, self._kept_bytes // max(1, tensor.numel()))
            while len(self._frames) > limit:
                self._frames.popitem(last=False)
