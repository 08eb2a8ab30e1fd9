"""Optical flow made elsewhere: .flo and .npy files, one an ordered pair of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.api.errors import DataError
from harness.models.frame_files import Frame, FrameFiles, Place, read_npy, refuse_endless

FLO_MARK = np.float32(202021.25).tobytes()
FLO_UNKNOWN = 1e9
"""Middlebury's files hold larger values where the flow is not known."""


class FlowFiles:
    """``DIR/VIDEO/FIRST_SECOND.flo`` or ``.npy``: the flow from frame FIRST to frame SECOND, of the frames' size."""

    def __init__(self, folder: Path) -> None:
        self.name = "files"
        self.files = FrameFiles(folder, (".flo", ".npy"))

    def between(self, first: Frame, second: Frame, places: tuple[Place, Place] | None = None) -> Float[Tensor, "2 H W"]:
        path = self.files.find((first, second), places)
        read = read_flo if path.suffix == ".flo" else read_flow_npy
        return torch.from_numpy(read(path, (first.shape[0], first.shape[1]))).to(first.device)

    def fingerprint(self, video: str) -> str:
        return f"{self.name}-{self.files.fingerprint(video)}"


def read_flo(path: Path, size: tuple[int, int]) -> Float[np.ndarray, "2 H W"]:
    """Middlebury's form: a mark, width, height, then (dx, dy) of every pixel, little-endian float32.

    DataError unless it claims ``size`` (rows, columns) and has as many bytes as that takes.
    """
    height, width = size
    wanted = 12 + 8 * height * width
    with path.open("rb") as file:
        content = file.read(wanted + 1)
    claimed = np.frombuffer(content[4:12], "<i4") if len(content) >= 12 else None
    if claimed is None or content[:4] != FLO_MARK:
        raise DataError.at(path, found="no .flo file", expected="Middlebury's mark 202021.25, width and height")
    if (claimed[1], claimed[0]) != size or len(content) != wanted:
        found = f"{claimed[0]} x {claimed[1]} in {path.stat().st_size} bytes"
        raise DataError.at(path, found=found, expected=f"{width} x {height}, as the frames, in {wanted} bytes")
    flow = np.frombuffer(content[12:], "<f4").reshape(height, width, 2).transpose(2, 0, 1)
    return _refuse_unknown(path, refuse_endless(path, np.ascontiguousarray(flow, np.float32)))


def read_flow_npy(path: Path, size: tuple[int, int]) -> Float[np.ndarray, "2 H W"]:
    """(2, H, W), or (H, W, 2), of any float type."""
    flow = read_npy(path, [(2, *size), (*size, 2)])
    return _refuse_unknown(path, flow if flow.shape == (2, *size) else np.ascontiguousarray(flow.transpose(2, 0, 1)))


def _refuse_unknown(path: Path, flow: np.ndarray) -> np.ndarray:
    if np.abs(flow).max() > FLO_UNKNOWN:
        raise DataError.at(path, found="pixels whose flow is unknown", expected="flow at every pixel")
    return flow


def write_flo(path: Path, flow: Float[np.ndarray, "2 H W"]) -> None:
    """Write what `read_flo` reads."""
    _, height, width = flow.shape
    body = np.ascontiguousarray(flow.transpose(1, 2, 0), "<f4").tobytes()
    path.write_bytes(FLO_MARK + np.array([width, height], "<i4").tobytes() + body)
