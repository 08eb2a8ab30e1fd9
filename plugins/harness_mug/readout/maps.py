"""Initial maps: what stands out or moves; training begins with them, and they are a method of their own."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from harness import Video, stage
from harness.models.saliency import SaliencyProvider, frames_around


class Maps:
    """A source of ``Foreground``. Saliency 0..1 counts as the probability of the object, as it is.

    ours: the paper makes its maps binary by the CRF, and does not say what the CRF's unary is.
    """

    def __init__(self, provider: SaliencyProvider) -> None:
        self.provider = provider

    def begin(self, video: Video) -> Video:
        """Nothing is known of a video but its frames."""
        return video

    def rate(self, frame: Tensor, place: int, video: Video) -> Float[Tensor, "H W"]:
        """Probabilities of one frame."""
        around = frames_around(self.provider, video.__getitem__, place, len(video))
        with stage("saliency"):
            return self.provider.rate(frame, around=around)
