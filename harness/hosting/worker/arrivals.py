"""Where frames and prompts arrive in the worker: on the method's device, as far as the run has let them through."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

import torch

from harness.api.mask_files import ids_in
from harness.api.video import Horizon, Prompts, Video
from harness.hosting.frames import KEPT_BYTES, FrameRing
from harness.hosting.worker.messages import Message
from harness.hosting.worker.shared import SharedSlots


class ArrivingPrompts(Prompts):
    """Prompts that become known as the run reaches their frames."""

    def arrive(self, frame: int, mask: torch.Tensor, ids: Collection[int]) -> None:
        """Add the prompt of ``frame``, and the values it holds."""
        self._masks[frame] = mask
        self._ids[frame] = ids


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
        self._ring = FrameRing(kept_bytes=KEPT_BYTES)
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
        self._ring.keep(frame, tensor)
        return tensor

    def bytes_kept(self) -> int:
        """How much of the video lies on the device now."""
        return self._ring.bytes_kept()

    def take_prompt(self, frame: int) -> None:
        """Move what lies in the prompt slot to the device, as the prompt of ``frame``."""
        mask = self._slots.prompt
        self.prompts.arrive(frame, torch.from_numpy(mask).clone().to(self._device), ids_in(mask))

    def _read(self, frame: int) -> torch.Tensor:
        kept = self._ring.get(frame)
        if kept is None:
            self._fetch(frame)
            kept = self.take_frame(frame)
        return kept
