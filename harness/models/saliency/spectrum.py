"""Saliency of OpenCV: spectral residual (Hou and Zhang 2007), fine-grained (Montabone and Soto 2010)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.api.errors import EnvironmentProblem
from harness.models.frame_files import Around, Frame, Place
from harness.models.saliency.scale import to_unit

ENGINES = {"spectral": "StaticSaliencySpectralResidual", "finegrained": "StaticSaliencyFineGrained"}


class OpenCVSaliency:
    """``spectral`` or ``finegrained``."""

    looks_around = False

    def __init__(self, name: str) -> None:
        self.name = name
        if not hasattr(cv2, "saliency"):
            raise EnvironmentProblem(
                f"saliency {name!r} needs cv2.saliency, which this OpenCV {cv2.__version__} lacks",
                hint="pip install opencv-contrib-python-headless, and no other opencv-python beside it",
            )

    def rate(self, frame: Frame, place: Place | None = None, around: Around = ()) -> Float[Tensor, "H W"]:
        pixels = np.ascontiguousarray(frame.cpu().numpy()[..., ::-1])
        if (pixels == pixels[0, 0]).all():  # the spectrum of one colour is rounding alone
            return torch.zeros(frame.shape[:2], device=frame.device)
        engine = getattr(cv2.saliency, ENGINES[self.name]).create()
        is_rated, found = engine.computeSaliency(pixels)
        if not is_rated:
            raise ValueError(f"OpenCV rates no frame of {tuple(frame.shape)}")
        rated = torch.from_numpy(np.asarray(found, np.float32))
        return to_unit(rated.nan_to_num()).to(frame.device)

    def fingerprint(self, video: str) -> str:
        return f"{self.name}-opencv-{cv2.__version__}"
