"""Mixed clips, for learning from little data: crops near objects, pasted objects, and the flow between two frames."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from harness import DataError, Sample
from harness_tvos.training.clips import Clip, Image, list_annotated, read_pair
from harness_tvos.training.config import TrainingConfig
from harness_tvos.training.flow import Flow, chain, dense_flow, find_again
from harness_tvos.training.labels import commonest
from harness_tvos.training.warp import Matrix, recolour, similarity, warp

LINES = 240  # scales are relative to frames of so many lines
PASTED = 254  # no video has so many objects
SMALLEST = 64  # pixels of an object that is laid over


class MixedClips:
    """Clips of ``references`` + 1 frames, of which the first two are a pair with known correspondences."""

    def __init__(self, samples: Sequence[Sample], config: TrainingConfig, seed: int) -> None:
        self.frames = [list_annotated(sample) for sample in samples]
        if min((len(there) for there in self.frames), default=0) < 2:
            raise DataError(f"found {len(samples)} videos; expected some, all with 2 annotated frames or more")
        self.config = config
        self.seed = seed
        self.samples = tuple(samples)
        exact = [k for k, sample in enumerate(samples) if sample.read_flow]
        self.kinds = (exact, [k for k in range(len(samples)) if k not in set(exact)])

    def clip(self, iteration: int, place: int, side: int) -> Clip:
        """One clip of crops of ``side`` pixels."""
        rng = np.random.default_rng((self.seed, iteration, place))
        video, count = self.video(rng), self.config.references + 1
        moments = self.moments(rng, video, count)
        sources = [read_pair(self.samples[video], t) for t in moments]
        matrices = self._placements(rng, sources[0][1], side, count)
        crops = [warp(image, ids, matrix, side) for (image, ids), matrix in zip(sources, matrices, strict=True)]
        if rng.random() < self.config.paste:
            crops = self._paste(rng, video, crops, matrices, side)
        flows = self._flows(video, moments[:2], [image for image, _ in sources[:2]])
        ids = np.stack([ids for _, ids in crops])
        pairs = [find_again(flows, matrices, ids, a, is_fixed=ids != PASTED) for a in (0, 1)]
        matches, is_matched = (np.stack(parts) for parts in zip(*pairs, strict=True))
        return Clip(self._colour(rng, [image for image, _ in crops]), commonest(ids), matches, is_matched)

    def video(self, rng: np.random.Generator) -> int:
        """Which video a clip is of: first of which kind, then each of that kind as often."""
        exact, others = self.kinds
        is_exact = rng.random() < self.config.generated
        chosen = (exact if is_exact else others) or exact or others
        return int(chosen[rng.integers(len(chosen))])

    def moments(self, rng: np.random.Generator, video: int, count: int) -> list[int]:
        """Two frames near each other, the rest farther away; forwards or backwards in time."""
        there = self.frames[video]
        near = int(rng.integers(1, self.config.near_gap + 1))
        far = [int(rng.integers(near + 1, self.config.far_gap + 1)) for _ in range(count - 2)]
        offsets = np.minimum([0, near, *far][:count], len(there) - 1)
        start = int(rng.integers(0, len(there) - offsets.max()))
        chosen = start + offsets
        return [there[t] for t in (chosen if rng.random() < 0.5 else 2 * start + offsets.max() - chosen)]

    def _flows(self, video: int, moments: list[int], images: list[Image]) -> tuple[Flow, Flow]:
        """The flow between the frames of the pair, there and back."""
        read_flow = self.samples[video].read_flow
        if read_flow is None:
            return dense_flow(images[0], images[1]), dense_flow(images[1], images[0])
        first, last = min(moments), max(moments)
        there, back = chain([read_flow(a) for a, _ in pairwise(range(first, last + 1))])
        return (there, back) if moments[0] == first else (back, there)

    def _placements(self, rng: np.random.Generator, ids: Image, side: int, count: int) -> list[Matrix]:
        """One placement for the clip, and a little of its own for each frame (so position says nothing)."""
        c = self.config
        scale = float(np.exp(rng.uniform(*np.log(c.scale)))) * LINES / ids.shape[0]
        scale = max(scale, side / min(ids.shape))
        shape = np.array(ids.shape[::-1])
        centre = object_point(rng, ids > 0) if rng.random() < c.on_object else rng.random(2) * shape
        half = side / scale / 2
        centre = np.clip(centre + rng.normal(size=2) * half / 3, half, np.maximum(shape - half, half))
        mirror = -1.0 if rng.random() < c.flip else 1.0
        matrices = []
        for _ in range(count):
            onto = side / 2 + side * c.frame_shift * rng.uniform(-1, 1, 2)
            turn = np.deg2rad(c.frame_degrees * rng.uniform(-1, 1))
            matrices.append(similarity(scale * np.exp(c.frame_scale * rng.uniform(-1, 1)), turn, mirror, centre, onto))
        return matrices

    def _paste(
        self, rng: np.random.Generator, host: int, crops: list[tuple[Image, Image]], matrices: list[Matrix], side: int
    ) -> list[tuple[Image, Image]]:
        """Lay an object of another video, moving as it does there, over the crops."""
        donor = self.video(rng)
        moments = self.moments(rng, donor, len(crops))
        sources = [read_pair(self.samples[donor], t) for t in moments]
        ids = np.unique(sources[0][1][sources[0][1] > 0])
        if donor == host or not len(ids):
            return crops
        chosen = rng.choice(ids)
        shapes = [(ids == chosen).astype(np.float32) for _, ids in sources]
        if shapes[0].sum() < SMALLEST:
            return crops
        inverse = np.linalg.inv(matrices[0])
        aim = (inverse @ [*(rng.uniform(0.1, 0.9, 2) * side), 1.0])[:2]
        zoom = side * rng.uniform(0.2, 0.55) / np.sqrt(shapes[0].sum()) * np.sqrt(abs(np.linalg.det(inverse[:2, :2])))
        mirror = -1.0 if rng.random() < 0.5 else 1.0
        placed = similarity(zoom, 0.0, mirror, object_point(rng, shapes[0] > 0), aim)
        return [
            lay_over(crop, image, shape, matrix @ placed)
            for crop, matrix, (image, _), shape in zip(crops, matrices, sources, shapes, strict=True)
        ]

    def _colour(self, rng: np.random.Generator, images: list[Image]) -> NDArray[np.uint8]:
        """Brightness, contrast and saturation: mostly shared by the clip, a little by frame."""
        common = rng.uniform(-1, 1, 3) * self.config.clip_colour
        own = [common + rng.uniform(-1, 1, 3) * self.config.frame_colour for _ in images]
        return np.stack([recolour(image, *np.exp(factors)) for image, factors in zip(images, own, strict=True)])


def object_point(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A random pixel (x, y) of a mask; of the whole where the mask is empty."""
    points = np.flatnonzero(mask)
    index = points[rng.integers(len(points))] if len(points) else rng.integers(mask.size)
    return np.array([index % mask.shape[1], index // mask.shape[1]], np.float64)


def lay_over(
    crop: tuple[Image, Image], image: Image, shape: NDArray[np.float32], matrix: Matrix
) -> tuple[Image, Image]:
    """A crop and its ids with the part ``shape`` of another image over it, softly at the edge."""
    below, ids = crop
    size = (ids.shape[1], ids.shape[0])
    colour = cv2.warpAffine(image, matrix[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    soft = cv2.warpAffine(shape, matrix[:2], size, flags=cv2.INTER_LINEAR)[..., None]
    blended = (colour * soft + below * (1 - soft)).astype(np.uint8)
    return blended, np.where(soft[..., 0] > 0.5, PASTED, ids).astype(np.uint8)
