"""Saliency maps made elsewhere: grey PNG or .npy, one a frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.api.errors import DataError
from harness.api.mask_files import read_mask, read_mask_header
from harness.models.frame_files import Around, Frame, FrameFiles, Place, read_npy


class SaliencyFiles:
    """``DIR/VIDEO/FRAME.png`` (8-bit grey, 255 = 1; or 1-bit) or ``.npy`` ((H, W) floats in 0..1), as the frame."""

    looks_around = False

    def __init__(self, folder: Path) -> None:
        self.name = "files"
        self.files = FrameFiles(folder, (".png", ".npy"))

    def rate(self, frame: Frame, place: Place | None = None, around: Around = ()) -> Float[Tensor, "H W"]:
        path = self.files.find((frame,), None if place is None else (place,))
        size = (frame.shape[0], frame.shape[1])
        rated = read_grey(path, size) if path.suffix == ".png" else read_npy(path, [size])
        if rated.min() < 0 or rated.max() > 1:
            raise DataError.at(path, found=f"values in {rated.min():g}..{rated.max():g}", expected="saliency in 0..1")
        return torch.from_numpy(rated).to(frame.device)

    def fingerprint(self, video: str) -> str:
        return f"{self.name}-{self.files.fingerprint(video)}"


def read_grey(path: Path, size: tuple[int, int]) -> Float[np.ndarray, "H W"]:
    """A grey PNG of ``size`` (rows, columns) as 0..1; nothing is inflated of one of another size."""
    header = read_mask_header(path)
    if (header.height, header.width) != size or "grey" not in header.kind:
        found = f"{header.height} x {header.width} pixels, {header.kind}"
        raise DataError.at(path, found=found, expected=f"{size[0]} x {size[1]} (rows x columns) in grey, as the frame")
    return read_mask(path).astype(np.float32) / (255 if header.bits == 8 else 1)
