"""The method, in the order of its idea: histograms of the prompt, then a likelihood for every pixel near the object."""

from collections.abc import Iterator

import torch
from torch.nn.functional import max_pool2d

from harness import Prompts, Video, stage
from vos_colours import Config
from vos_colours.kernels import bin_of, likelihood


class Colours:
    """One-shot VOS: object ids are those of the prompts."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @torch.inference_mode()
    def propagate(self, video: Video, prompts: Prompts) -> Iterator[torch.Tensor]:
        """Yield one (H, W) uint8 mask a frame."""
        seen: dict[int, torch.Tensor] = {}
        mask = ids = torch.zeros_like(prompts[0])
        histograms = torch.empty(0)
        for t, frame in enumerate(video):
            cells = bin_of(frame, self.config.bins)  # (H, W)
            if t in prompts:
                prompt = prompts[t].masked_fill(prompts[t] == 255, 0)  # 255: nobody knows
                mask = torch.where(prompt > 0, prompt, mask)
                seen |= self.histograms(cells, prompt)
                ids = torch.tensor(sorted(seen), dtype=torch.uint8, device=mask.device)  # (N,)
                histograms = torch.stack([seen[i] for i in sorted(seen)])  # (N, B)
            else:
                mask = self.follow(cells, mask, ids, histograms)
            yield mask

    def histograms(self, cells: torch.Tensor, prompt: torch.Tensor) -> dict[int, torch.Tensor]:
        """How often each colour cell occurs in the background (0) and in each prompted object."""
        size = self.config.bins**3
        return {int(i): torch.bincount(cells[prompt == i], minlength=size).float() for i in prompt.unique()}

    def follow(
        self, cells: torch.Tensor, mask: torch.Tensor, ids: torch.Tensor, histograms: torch.Tensor
    ) -> torch.Tensor:
        """Give every pixel to the likeliest object that was within reach; nothing here waits for a GPU."""
        with stage("likelihood"):
            scores = likelihood(cells, histograms)  # (N, H, W)
        with stage("reach"):
            was_here = (mask == ids[:, None, None]).float()
            near = self.widen(was_here[None])[0]  # (N, H, W)
        return ids[(scores * near).argmax(dim=0)]

    def widen(self, masks: torch.Tensor) -> torch.Tensor:
        """(1, N, H, W), each mask grown by the reach in all directions: rows first, then columns."""
        reach = self.config.reach
        rows = max_pool2d(masks, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
        return max_pool2d(rows, (1, 2 * reach + 1), stride=1, padding=(0, reach))
