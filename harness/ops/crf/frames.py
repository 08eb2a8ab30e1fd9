"""The backends that take a frame at a time, on the CPU: our compiled one, and pydensecrf, the authors' own program."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from harness.ops.crf.settings import DenseCRF

Frame = UInt8[np.ndarray, "H W 3"]
Unary = Float32[np.ndarray, "L H W"]
RefineFrame = Callable[[np.ndarray, np.ndarray, DenseCRF], np.ndarray]


def refine_each(
    frames: UInt8[Tensor, "B H W 3"],
    unary: Float[Tensor, "B L H W"],
    crf: DenseCRF,
    name: Literal["compiled", "pydensecrf"],
) -> Float[Tensor, "B L H W"]:
    """Refine frame by frame in single precision, as many at once as PyTorch has threads."""
    work: RefineFrame
    if name == "compiled":
        from harness.ops.crf.compiled import refine_frame as work
    else:
        work = refine_by_pydensecrf

    def one(place: int) -> Tensor:
        return torch.from_numpy(work(_array(frames[place]), _array(unary[place].float()), crf))

    threads = min(torch.get_num_threads(), len(frames))
    if threads == 1:
        return torch.stack([one(place) for place in range(len(frames))])
    with ThreadPoolExecutor(threads) as pool:
        return torch.stack(list(pool.map(one, range(len(frames)))))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def require_pydensecrf() -> None:
    """ImportError that says what to install."""
    if importlib.util.find_spec("pydensecrf") is None:
        raise ImportError("backend 'pydensecrf' needs the package pydensecrf2: pip install 'vos-harness[crf]'")


def refine_by_pydensecrf(frame: Frame, unary: Unary, crf: DenseCRF) -> Unary:
    """The same by Krähenbühl's program, as its Python wrapper calls it."""
    from pydensecrf.densecrf import DenseCRF2D

    labels, height, width = unary.shape
    field = DenseCRF2D(width, height, labels)
    field.setUnaryEnergy(np.ascontiguousarray(unary.reshape(labels, -1)))
    if crf.smooth is not None:
        field.addPairwiseGaussian(sxy=crf.smooth.sxy, compat=crf.smooth.compat)
    if crf.bilateral is not None:
        kernel = crf.bilateral
        field.addPairwiseBilateral(sxy=kernel.sxy, srgb=kernel.srgb, rgbim=frame, compat=kernel.compat)
    found, spare, further = field.startInference()
    for _ in range(crf.iterations):
        before = np.array(found)
        field.stepInference(found, spare, further)
        if crf.stop_at is not None and np.abs(np.array(found) - before).max() <= crf.stop_at:
            break
    return np.array(found, np.float32).reshape(unary.shape)
