"""The method: one linear layer over colours says which pixels are the object."""

from collections.abc import Iterator

import torch
from torch import nn

from harness import BuildContext, DataError, Video
from harness.models.checkpoints import read_state


class Bright(nn.Module):
    """Zero-shot: the object is where the layer's answer is above 0."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    @torch.inference_mode()
    def segment_object(self, video: Video) -> Iterator[torch.Tensor]:
        """Yield one (H, W) uint8 mask a frame."""
        for frame in video:
            yield (self.layer(frame.float() / 255)[..., 0] > 0).to(torch.uint8)  # (H, W, 3) -> (H, W)


def load(context: BuildContext) -> Bright:
    """The method with the weights it is given; random ones, made of the seed, where it is given none."""
    torch.manual_seed(context.seed)
    method = Bright()
    if context.weights is not None:
        state = read_state(context.weights)  # safetensors, or a .pth that runs no code
        try:
            method.load_state_dict(state)
        except RuntimeError as error:
            found = ", ".join(state)
            raise DataError.at(context.weights, found=found, expected="layer.weight (1, 3), layer.bias (1)") from error
    return method.to(context.device).eval()
