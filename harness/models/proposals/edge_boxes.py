"""Proposals without learning: EdgeBoxes (Zitnick and Dollar 2014) on gradient edges, each cut out by GrabCut.

OpenCV's structured edges need a model file that was learnt from human contours; gradients of the smoothed Lab image,
thinned to their crest, need none and no label.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from scipy import ndimage
from torch import Tensor

from harness.api.errors import EnvironmentProblem
from harness.models.frame_files import Frame, Place
from harness.models.proposals.proposal import MOST, Proposal, choose, is_object

LONGEST = 427
"""Pixels of the longer side that is worked on: DAVIS at half size."""
SMOOTH = 2.0
"""Standard deviation in pixels, at that size: finer edges are texture, and cost EdgeBoxes seconds."""
STRONG = 0.99
"""The share of pixels whose gradient is below 1; EdgeBoxes looks at those from .1 on."""
BOXES = 100
STEP, OVERLAP = 0.65, 0.6
"""EdgeBoxes' own settings (alpha and beta): overlap of the windows tried, and of the boxes kept."""
FOREGROUND = 0.4
"""The share of a box that has to be foreground, where one is given."""
APART = 0.5
"""The overlap from which on the box of lower score is left out."""
CUT = 10
"""Boxes that are cut out: GrabCut takes most of the time."""
MARGIN = 0.5
"""Sides of the box by which what is around it is looked at as its background."""
ROUNDS = 5
Box = tuple[int, int, int, int]  # left, top, width, height, as OpenCV has it


class EdgeBoxes:
    """``edgebox+grabcut``; with a foreground only boxes that lie on it, those first that hold whole parts of it."""

    name = "edgebox+grabcut"

    def __init__(self) -> None:
        if not hasattr(cv2, "ximgproc"):
            raise EnvironmentProblem(
                f"proposals by {self.name!r} need cv2.ximgproc, which this OpenCV {cv2.__version__} lacks",
                hint="pip install opencv-contrib-python-headless, and no other opencv-python beside it",
            )

    def propose(
        self,
        frame: Frame,
        foreground: Shaped[Tensor, "H W"] | None = None,
        place: Place | None = None,
        *,
        most: int = MOST,
    ) -> list[Proposal]:
        height, width = frame.shape[:2]
        scale = min(1.0, LONGEST / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(np.ascontiguousarray(frame.cpu().numpy()), size, interpolation=cv2.INTER_AREA)
        allowed = np.ones(small.shape[:2], bool)
        if foreground is not None:
            whole = is_object(foreground).cpu().numpy().astype(np.uint8)
            allowed = cv2.resize(whole, size, interpolation=cv2.INTER_NEAREST) > 0
        candidates = []
        for box, score in find_boxes(small, allowed)[: min(CUT, most)]:
            mask = cut_out(small, box, allowed).astype(np.float32)
            large = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5
            candidates.append((torch.from_numpy(large).to(frame.device), score))
        return choose(candidates, most)

    def fingerprint(self, video: str) -> str:
        return f"{self.name}-1-opencv-{cv2.__version__}"


def gradient_edges(
    image: UInt8[np.ndarray, "h w 3"],
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """How strong the edge through each pixel is, 0 off its crest, and the direction across it, 0 to pi."""
    lab = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32), (0, 0), SMOOTH)
    along, down = cv2.Sobel(lab, cv2.CV_32F, 1, 0), cv2.Sobel(lab, cv2.CV_32F, 0, 1)
    strength = np.hypot(along, down)  # (h, w, 3)
    channel = strength.argmax(-1, keepdims=True)
    along, down, strength = (np.take_along_axis(each, channel, -1)[..., 0] for each in (along, down, strength))
    across = np.arctan2(down, along)
    strength = (strength / max(float(np.quantile(strength, STRONG)), 1e-6)).clip(0, 1)
    rows, columns = np.indices(strength.shape, np.float32)
    is_crest = np.ones(strength.shape, bool)
    for way in (-2, -1, 1, 2):
        x, y = columns + way * np.cos(across), rows + way * np.sin(across)
        beside = cv2.remap(strength, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        is_crest &= strength >= beside
    return strength * is_crest, np.mod(across, np.float32(np.pi))


def find_boxes(image: UInt8[np.ndarray, "h w 3"], allowed: Bool[np.ndarray, "h w"]) -> list[tuple[Box, float]]:
    """Boxes that lie on what is ``allowed`` and apart from each other, with scores in 0..1, the best first."""
    engine = cv2.ximgproc.createEdgeBoxes(alpha=STEP, beta=OVERLAP, maxBoxes=BOXES)
    boxes, scores = engine.getBoundingBoxes(*gradient_edges(image))
    if len(boxes) == 0:
        return []
    found = [(x, y, w, h) for x, y, w, h in np.asarray(boxes).tolist()]
    parts, _ = ndimage.label(allowed)
    areas = np.bincount(parts.ravel())
    rated = np.asarray(scores).ravel() / np.max(scores)
    rated *= [share_of_parts(box, parts, areas) for box in found]
    there = [k for k, (x, y, w, h) in enumerate(found) if allowed[y : y + h, x : x + w].mean() >= FOREGROUND]
    chosen = cv2.dnn.NMSBoxes([found[k] for k in there], [float(rated[k]) for k in there], 0.0, APART)
    return [(found[there[k]], float(rated[there[k]])) for k in np.asarray(chosen).ravel()]


def share_of_parts(box: Box, parts: Int[np.ndarray, "h w"], areas: Int[np.ndarray, " N"]) -> float:
    """How much a box holds of the connected parts it touches: little, where it lies inside a larger one."""
    left, top, width, height = box
    held = np.bincount(parts[top : top + height, left : left + width].ravel(), minlength=len(areas))
    touched = np.flatnonzero(held[1:]) + 1
    return float(held[touched].sum() / areas[touched].sum()) if len(touched) else 0.0


def cut_out(image: UInt8[np.ndarray, "h w 3"], box: Box, allowed: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The object in a box by GrabCut (Rother et al. 2004); what is not ``allowed`` is background, probably."""
    left, top, width, height = box
    inside = np.zeros(allowed.shape, bool)
    inside[top : top + height, left : left + width] = True
    y, x = (max(0, int(at - MARGIN * side)) for at, side in ((top, height), (left, width)))
    around = (slice(y, int(top + (1 + MARGIN) * height) + 1), slice(x, int(left + (1 + MARGIN) * width) + 1))
    labels = np.where(inside, np.where(allowed, cv2.GC_PR_FGD, cv2.GC_PR_BGD), cv2.GC_BGD).astype(np.uint8)[around]
    cut = np.zeros(allowed.shape, bool)
    if (labels == cv2.GC_PR_FGD).all() or not (labels == cv2.GC_PR_FGD).any():
        return cut  # nothing to tell it from
    cv2.setRNGSeed(0)  # its clusters begin at random
    models = np.zeros((1, 65)), np.zeros((1, 65))
    pixels = np.ascontiguousarray(image[around])
    cv2.grabCut(pixels, labels, (0, 0, 0, 0), *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    cut[around] = (labels == cv2.GC_PR_FGD) | (labels == cv2.GC_FGD)
    return cut
