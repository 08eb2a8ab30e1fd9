"""The external memory of a video: features and labels of the frames that some later target asks for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from harness.api.free_memory import refuse_more_than_free
from harness_selfsup.config import Config
from harness_selfsup.frames.grids import Size, labels_of_cells
from harness_selfsup.frames.references import Places


class Memory:
    """Two rings, allocated once: constant in the length of the video, except where every frame is a reference.

    ``size`` is that of the images the encoder sees, ``frames`` how many there will be, ``like`` features (h, w, C).
    """

    def __init__(self, config: Config, frames: int, size: Size, like: Tensor) -> None:
        self.size = size
        self.is_mean = config.labels == "mean"
        self.places = Places(config, frames)
        count, (height, width, _) = self.places.count, like.shape
        if like.device.type == "cpu":
            _refuse_what_does_not_fit(count, like)
        exact = torch.promote_types(like.dtype, torch.float32)
        self.features = like.new_empty(count, *like.shape)  # (S, h, w, C)
        self.labels = torch.zeros(count, 1, height, width, dtype=exact, device=like.device)  # (S, K, h, w)
        self.ids = torch.zeros(1, dtype=torch.uint8, device=like.device)  # (K,) object id of each class

    def place(self, frame: int) -> int:
        """Where a reference lies in the rings."""
        place = self.places.of(frame)
        assert place is not None, f"frame {frame} is a reference but was not kept"
        return place

    def add_objects(self, prompt: Tensor) -> None:
        """Give each id of ``prompt`` that is new a class; earlier frames hold nothing of it."""
        known = set(self.ids.tolist())
        new = [value for value in prompt.unique().tolist() if value not in known]
        if new:
            self.ids = torch.cat([self.ids, self.ids.new_tensor(new)])
            self.labels = functional.pad(self.labels, (0, 0, 0, 0, 0, len(new)))

    def write(self, frame: int, features: Tensor, mask: Tensor) -> None:
        """Keep a frame's features (h, w, C) and full-size mask (H, W), where a later target asks for them."""
        place = self.places.of(frame)
        if place is not None:
            self.features[place] = features
            self.labels[place] = labels_of_cells(mask, self.ids, self.size, mean=self.is_mean)


def _refuse_what_does_not_fit(count: int, like: Tensor) -> None:
    """MemoryError where the rings would not fit once they are full."""
    height, width, channels = like.shape
    mib = count * height * width * (channels * like.element_size() + 2 * 4) / 2**20
    what = f"selfsup keeps features and labels of {count} frames of {width} x {height} positions"
    refuse_more_than_free(mib, what, "work on fewer pixels: --set short_side=480")
