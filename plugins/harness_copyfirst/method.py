"""The first mask, shown for every frame; a later prompt lays its objects over it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from harness import Prompts, Video


class CopyFirst:
    """Yields what has been prompted so far; background before any prompt."""

    @torch.inference_mode()
    def propagate(self, video: Video, prompts: Prompts) -> Iterator[torch.Tensor]:
        """Yield one (H, W) uint8 mask a frame."""
        mask = torch.zeros(video.size, dtype=torch.uint8)
        for frame in range(len(video)):
            if frame in prompts:
                prompt = prompts[frame]
                mask = torch.where((prompt > 0) & (prompt < 255), prompt, mask.to(prompt.device))
            yield mask
