"""Optical flow by torchvision's RAFT (Teed and Deng 2020) with weights from a file; torchvision is optional."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from harness.api.errors import DataError
from harness.files import digest_of_bytes
from harness.models.checkpoints import read_state
from harness.models.frame_files import Frame, Place

FIRST_CONVOLUTION = "feature_encoder.convnormrelu.0.weight"
WIDTHS = {64: "raft_large", 32: "raft_small"}
"""How many filters the first convolution has, by which a file tells which network it is of."""
SIDE = 128
"""RAFT's correlations need an eighth of this at least, and sides that 8 divides."""


class RAFT:
    """``raft:FILE``: a state dict of ``torchvision.models.optical_flow.raft_large`` or ``raft_small``."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.name = "raft"
        self.network = load_raft(path, read_state(path)).to(device)
        self.device = torch.device(device)
        self.digest = digest_of_bytes(path)

    @torch.no_grad()
    def between(self, first: Frame, second: Frame, places: tuple[Place, Place] | None = None) -> Float[Tensor, "2 H W"]:
        height, width = first.shape[:2]
        pads = [max(-side % 8, SIDE - side) for side in (width, height)]
        pair = [
            functional.pad(
                frame.to(self.device).permute(2, 0, 1)[None].float() / 127.5 - 1, (0, pads[0], 0, pads[1]), "replicate"
            )
            for frame in (first, second)
        ]
        flow = cast(Tensor, self.network(*pair)[-1])[0, :, :height, :width]  # (2, H, W)
        return flow.contiguous().to(first.device)

    def fingerprint(self, video: str) -> str:
        return f"{self.name}-{self.digest[:16]}"


def load_raft(path: Path, state: Mapping[str, Tensor]) -> Any:
    """The network that ``state`` is of, in evaluation mode; DataError where it is of none."""
    from torchvision.models import optical_flow

    first = state.get(FIRST_CONVOLUTION)
    name = WIDTHS.get(0 if first is None else first.shape[0])
    if name is None:
        raise DataError.at(
            path, found=f"no RAFT ({len(state)} other tensors)", expected=f"{FIRST_CONVOLUTION} of 64 or 32"
        )
    network = getattr(optical_flow, name)(weights=None)
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        raise DataError.at(path, found=f"other tensors ({error!s:.200})", expected=f"those of {name}") from None
    return network.eval()
