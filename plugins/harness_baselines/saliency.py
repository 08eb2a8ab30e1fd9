"""Card ``boundary-saliency``: the object is what stands out in each frame on its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from skimage.filters import threshold_otsu
from torch import Tensor

from harness import BuildContext, Video, stage
from harness.api.errors import UsageError
from harness.models.saliency import SaliencyProvider, saliency_provider


def build(context: BuildContext) -> SaliencySplit:
    """The split with the provider that the config names."""
    spec = context.providers.get("saliency")
    if spec is None:
        raise UsageError(
            "found no saliency provider; expected the name of one", hint="leave --set saliency out, or give boundary"
        )
    provider = saliency_provider(spec, context.device)
    if provider.looks_around:
        raise UsageError(
            f"found saliency={spec}, which looks at the frames around; expected one that sees a frame on its own",
            hint="flow-threshold splits what moves",
        )
    return SaliencySplit(provider)


class SaliencySplit:
    """Salient and not, by Otsu's threshold (1979) of each frame."""

    def __init__(self, provider: SaliencyProvider) -> None:
        self.provider = provider

    @torch.inference_mode()
    def segment_object(self, video: Video) -> Iterator[Tensor]:
        """Yield a mask a frame: 1 what stands out, 0 the rest."""
        for t in range(len(video)):
            with stage("saliency"):
                rated = self.provider.rate(video[t])  # (H, W)
            with stage("threshold"):
                mask = split(rated).byte()
            yield mask


def split(rated: Tensor) -> Tensor:
    """Which pixels (H, W) are above the threshold; none where all are rated the same."""
    values = rated.cpu().numpy()
    if np.ptp(values) == 0:
        return torch.zeros_like(rated, dtype=torch.bool)
    return rated > float(threshold_otsu(values))
