"""Where frames and prompts arrive in the worker: on the method's device, as far as the run has let them through."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import torch

from harness.api.video import Horizon, Prompts, Video
from harness.hosting.worker.messages import Message
from harness.hosting.worker.shared import SharedSlots

KEPT_BYTES = 512 * 2**20
"""How much of a video stays on the device, as in a run without a worker (``harness.hosting.frames``)."""


class ArrivingPrompts(Prompts):
    """Prompts that become known as the run reaches their frames."""

    def arrive(self, frame: int, mask: torch.Tensor) -> None:
        """Add the prompt of ``frame``."""
        self._masks[frame] = mask


class Arrivals:
    """One video's frames and prompts; ``fetch(t)`` asks the run for a frame that is no longer kept.

    ``seconds[t]`` is what moving frame t from shared memory to the device took.
    """

    def __init__(self, start: Message, slots: SharedSlots, device: str, fetch: Callable[[int], None]) -> None:
        self.horizon = Horizon(last=-1)
        self.prompts = ArrivingPrompts({}, horizon=self.horizon)
        self.seconds: dict[int, float] = {}
        self._slots = slots
        self._device = device
        self._fetch = fetch
        self._frames: OrderedDict[int, torch.Tensor] = OrderedDict()
        self._changes = threading.Lock()
        self.video = Video(
            name=start["name"],
            length=start["length"],
            height=start["height"],
            width=start["width"],
            read=self._read,
            horizon=self.horizon,
        )
        slots.fit(start["height"], start["width"])

    def take_frame(self, frame: int) -> torch.Tensor:
        """Move what lies in the frame slot to the device and keep it as ``frame``."""
        start = time.perf_counter()
        tensor = torch.from_numpy(self._slots.frame).clone().to(self._device)
        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)
        self.seconds.setdefault(frame, time.perf_counter() - start)
        with self._changes:
            self._frames[frame] = tensor
            while len(self._frames) > max(6, KEPT_BYTES // max(1, tensor.numel())):
                self._frames.popitem(last=False)
        return tensor

    def bytes_kept(self) -> int:
        """How much of the video lies on the device now."""
        with self._changes:
            return sum(frame.numel() for frame in self._frames.values())

    def take_prompt(self, frame: int) -> None:
        """Move what lies in the prompt slot to the device, as the prompt of ``frame``."""
        self.prompts.arrive(frame, torch.from_numpy(self._slots.prompt).clone().to(self._device))

    def _read(self, frame: int) -> torch.Tensor:
        with self._changes:
            kept = self._frames.get(frame)
        if kept is None:
            self._fetch(frame)
            kept = self.take_frame(frame)
        return kept
