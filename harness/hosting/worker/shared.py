"""The memory a run and its worker share: one slot for a frame (or prompt) and one for a mask, without a name."""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
import tempfile

import numpy as np


class SharedSlots:
    """Two slots of one video's size in memory that both processes map.

    The memory is a file without a name: nothing is left behind however both sides end, and a small /dev/shm does not
    matter. The worker is handed the descriptor and cannot shrink what the run has mapped.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def create(cls) -> SharedSlots:
        """New memory, empty until ``fit``."""
        if sys.platform != "linux":
            with tempfile.TemporaryFile() as file:
                return cls(os.dup(file.fileno()))
        descriptor = os.memfd_create("harness-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        return cls(descriptor)

    def fit(self, height: int, width: int) -> None:
        """Map slots for a video of this size; the memory grows where it must. Both sides call it, the run first."""
        pixels = height * width
        if os.fstat(self.descriptor).st_size < 4 * pixels:
            os.ftruncate(self.descriptor, 4 * pixels)
        memory = np.frombuffer(mmap.mmap(self.descriptor, 4 * pixels), np.uint8)
        self.frame = memory[: 3 * pixels].reshape(height, width, 3)
        self.prompt = memory[:pixels].reshape(height, width)
        self.mask = memory[3 * pixels :].reshape(height, width)

    def close(self) -> None:
        """Give the descriptor back; what is mapped goes with the arrays."""
        os.close(self.descriptor)
        self.descriptor = -1
