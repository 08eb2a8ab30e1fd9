"""Training clips from a DAVIS tree: crops around objects, pasted objects of other videos, and flow correspondences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from harness import DataError
from harness_tvos.network import STRIDE
from harness_tvos.training import ClipBatch, TrainingConfig

Image = NDArray[np.uint8]
Matrix = NDArray[np.float64]  # (3, 3), source pixels (x, y, 1) to crop pixels

PASTED = 2  # the id of the pasted object; the video's own is 1


@dataclass(frozen=True)
class Augmentation:
    """How far a crop strays from the frame; lengths are fractions of the crop's side."""

    scale: tuple[float, float] = (0.8, 2.3)
    """Of the whole clip, relative to the 240-line frames (at test time frames have 480 lines)."""
    flip: float = 0.5
    on_object: float = 0.85
    """How often a crop is centred near an object's pixel."""
    paste: float = 0.6
    frame_shift: float = 0.12
    frame_scale: float = 0.08
    frame_degrees: float = 6.0
    clip_colour: float = 0.25
    frame_colour: float = 0.1
    near_gap: int = 4
    far_gap: int = 20
    """The largest distance, in frames, of the second and of the third frame of a clip from its first."""


class ClipSource:
    """The videos of a folder ``root/{JPEGImages,Annotations}/<size>/<video>``, read as they are asked for."""

    def __init__(self, root: Path, videos: list[str], augmentation: Augmentation | None = None) -> None:
        self.augmentation = augmentation or Augmentation()
        self.frames = {video: sorted(root.glob(f"JPEGImages/*/{video}/*.jpg")) for video in videos}
        self.masks = {video: sorted(root.glob(f"Annotations/*/{video}/*.png")) for video in videos}
        for video in videos:
            if not self.frames[video] or len(self.frames[video]) != len(self.masks[video]):
                raise DataError(
                    f"{root}: video {video!r} has {len(self.frames[video])} frames under JPEGImages and "
                    f"{len(self.masks[video])} masks under Annotations; expected as many of both",
                    hint="give --data the folder that holds JPEGImages and Annotations",
                )
        self.videos = videos
        self.flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def batch(self, config: TrainingConfig, iteration: int) -> ClipBatch:
        """The clips of one iteration: a function of the seed and the iteration alone."""
        rng = np.random.default_rng((config.seed, iteration))
        clips = [self._clip(rng, config.crop_at(iteration), config.frames) for _ in range(config.clips)]
        frames, ids, matches, is_matched = (np.stack(parts) for parts in zip(*clips, strict=True))
        return ClipBatch(*(torch.from_numpy(part) for part in (frames, ids, matches, is_matched)))

    def _clip(self, rng: np.random.Generator, side: int, count: int) -> tuple[NDArray, ...]:
        video = self.videos[rng.integers(len(self.videos))]
        chosen = self._moments(rng, len(self.frames[video]), count)
        sources = [self._read(video, t) for t in chosen]
        matrices = self._crops(rng, sources[0][1], side, count)
        crops = [_warp(image, mask, matrix, side) for (image, mask), matrix in zip(sources, matrices, strict=True)]
        if rng.random() < self.augmentation.paste:
            crops = self._pasted(rng, video, crops, matrices, side)
        pair = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image, _ in sources[:2]]
        empty = np.zeros((*pair[0].shape, 2), np.float32)
        flows = (self.flow.calc(pair[0], pair[1], empty.copy()), self.flow.calc(pair[1], pair[0], empty.copy()))
        ids = np.stack([mask for _, mask in crops])
        matches, is_matched = zip(*(_matches(flows, matrices, ids, a, side) for a in (0, 1)), strict=True)
        return self._coloured(rng, [image for image, _ in crops]), ids, np.stack(matches), np.stack(is_matched)

    def _moments(self, rng: np.random.Generator, length: int, count: int) -> list[int]:
        near = int(rng.integers(1, self.augmentation.near_gap + 1))
        far = [int(rng.integers(near + 1, self.augmentation.far_gap + 1)) for _ in range(count - 2)]
        offsets = np.minimum([0, near, *far], length - 1)
        start = int(rng.integers(0, length - offsets.max()))
        chosen = start + offsets
        return [int(t) for t in (chosen if rng.random() < 0.5 else 2 * start + offsets.max() - chosen)]

    def _read(self, video: str, t: int) -> tuple[Image, Image]:
        image, mask = (
            cv2.imread(str(self.frames[video][t])),
            cv2.imread(str(self.masks[video][t]), cv2.IMREAD_GRAYSCALE),
        )
        if image is None or mask is None or image.shape[:2] != mask.shape:
            raise DataError(f"cannot read {self.frames[video][t]} and its mask as images of one size")
        return np.ascontiguousarray(image[..., ::-1], np.uint8), (mask > 127).astype(np.uint8)

    def _crops(self, rng: np.random.Generator, mask: Image, side: int, count: int) -> list[Matrix]:
        """One placement for the clip, and a little of its own for each frame (so position says nothing)."""
        a = self.augmentation
        scale = np.exp(rng.uniform(*np.log(a.scale)))
        scale = max(scale, side / min(mask.shape))
        centre = _object_point(rng, mask) if rng.random() < a.on_object else rng.random(2) * mask.shape[::-1]
        centre = centre + rng.normal(size=2) * side / scale / 6
        half = side / scale / 2
        centre = np.clip(centre, half, np.maximum(np.array(mask.shape[::-1]) - half, half))
        mirror = -1.0 if rng.random() < a.flip else 1.0
        matrices = []
        for _ in range(count):
            shift = side / 2 + side * a.frame_shift * rng.uniform(-1, 1, 2)
            turn = np.deg2rad(a.frame_degrees * rng.uniform(-1, 1))
            own = scale * np.exp(a.frame_scale * rng.uniform(-1, 1))
            matrices.append(_similarity(own, turn, mirror, centre, shift))
        return matrices

    def _pasted(
        self, rng: np.random.Generator, host: str, crops: list[tuple[Image, Image]], matrices: list[Matrix], side: int
    ) -> list[tuple[Image, Image]]:
        """Lay the object of another video, moving as it does there, over the crops."""
        donor = self.videos[rng.integers(len(self.videos))]
        chosen = self._moments(rng, len(self.frames[donor]), len(crops))
        sources = [self._read(donor, t) for t in chosen]
        if donor == host or sources[0][1].sum() < 64:
            return crops
        inverse = np.linalg.inv(matrices[0])
        aim = (inverse @ [*(rng.uniform(0.1, 0.9, 2) * side), 1.0])[:2]
        extent = np.sqrt(sources[0][1].sum())
        zoom = side * rng.uniform(0.2, 0.55) / extent * np.sqrt(abs(np.linalg.det(inverse[:2, :2])))
        placed = _similarity(zoom, 0.0, -1.0 if rng.random() < 0.5 else 1.0, _object_point(rng, sources[0][1]), aim)
        pasted = []
        for (image, mask), matrix, (other, shape) in zip(crops, matrices, sources, strict=True):
            colour, _ = _warp(other, shape, matrix @ placed, side)
            soft = cv2.warpAffine(
                shape.astype(np.float32), (matrix @ placed)[:2], (side, side), flags=cv2.INTER_LINEAR
            )[..., None]
            blended = colour * soft + image * (1 - soft)
            pasted.append((blended.astype(np.uint8), np.where(soft[..., 0] > 0.5, PASTED, mask).astype(np.uint8)))
        return pasted

    def _coloured(self, rng: np.random.Generator, images: list[Image]) -> Image:
        """Brightness, contrast and saturation: mostly shared by the clip, a little by frame."""
        common = rng.uniform(-1, 1, 3) * self.augmentation.clip_colour
        out = []
        for image in images:
            brightness, contrast, saturation = np.exp(common + rng.uniform(-1, 1, 3) * self.augmentation.frame_colour)
            x = image.astype(np.float32) * brightness
            mean = x.mean()
            x = (x - mean) * contrast + mean
            grey = x @ np.array([0.299, 0.587, 0.114], np.float32)
            x = grey[..., None] + (x - grey[..., None]) * saturation
            out.append(np.clip(x, 0, 255).astype(np.uint8))
        return np.stack(out)


def _object_point(rng: np.random.Generator, mask: Image) -> NDArray[np.float64]:
    points = np.flatnonzero(mask)
    index = points[rng.integers(len(points))] if len(points) else rng.integers(mask.size)
    return np.array([index % mask.shape[1], index // mask.shape[1]], np.float64)


def _similarity(scale: float, turn: float, mirror: float, centre: NDArray, onto: NDArray) -> Matrix:
    """Mirror, turn and scale about ``centre``, which lands ``onto`` a point."""
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.array([[cosine * mirror, -sine], [sine * mirror, cosine]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, onto - linear @ centre
    return matrix


def _warp(image: Image, mask: Image, matrix: Matrix, side: int) -> tuple[Image, Image]:
    size, edge = (side, side), cv2.BORDER_REFLECT_101
    warped = cv2.warpAffine(image, matrix[:2], size, flags=cv2.INTER_LINEAR, borderMode=edge)
    return warped.astype(np.uint8), cv2.warpAffine(
        mask, matrix[:2], size, flags=cv2.INTER_NEAREST, borderMode=edge
    ).astype(np.uint8)


def _matches(
    flows: tuple[NDArray, NDArray], matrices: list[Matrix], ids: Image, a: int, side: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where the cells of crop ``a`` lie in the other crop of the pair, and where flow there and back and ids agree."""
    b = 1 - a
    centres = np.arange(side // STRIDE) * STRIDE + (STRIDE - 1) / 2
    x, y = np.meshgrid(centres, centres)
    crop = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])  # (3, N)
    source = np.linalg.inv(matrices[a]) @ crop
    there = _sample(flows[a], source)
    back = _sample(flows[b], source[:2] + there)
    landed = matrices[b] @ np.vstack([source[:2] + there, crop[2:]])
    drift = np.linalg.norm(there + back, axis=0)
    height, width = flows[a].shape[:2]
    is_inside = ((source[:2] >= 0) & (source[:2] <= [[width - 1], [height - 1]])).all(0)
    is_inside &= ((landed[:2] >= 0) & (landed[:2] <= side - 1)).all(0)
    column, row = np.clip(np.rint(landed[:2]), 0, side - 1).astype(int)
    agrees = ids[a][y.ravel().astype(int), x.ravel().astype(int)] == ids[b][row, column]
    agrees &= ids[b][row, column] != PASTED
    is_matched = is_inside & agrees & (drift < 1.0 + 0.05 * np.linalg.norm(there, axis=0))
    cells = (landed[:2] - (STRIDE - 1) / 2) / STRIDE
    shape = x.shape
    return cells.T.reshape(*shape, 2).astype(np.float32), is_matched.reshape(shape)


def _sample(flow: NDArray, points: NDArray) -> NDArray[np.float64]:
    """The flow (H, W, 2) at points (2+, N), bilinear, as (2, N)."""
    x, y = points[0].astype(np.float32)[None], points[1].astype(np.float32)[None]
    return cv2.remap(flow, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0].T.astype(np.float64)
