"""Videos to learn from, made in memory: a textured disc that moves one way over a texture that moves the other."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from harness import Sample, TrainingContext
from harness_tvos.training.config import TrainingConfig
from harness_tvos.training.learner import TVOSLearner

MakeVideo = Callable[..., Sample]


@pytest.fixture
def disc_video() -> MakeVideo:
    """Make a video of 64 x 96; the ground moves by -2 and the disc by +2 pixels a frame."""
    return make_disc_video


@pytest.fixture
def learner(disc_video: MakeVideo) -> Callable[..., TVOSLearner]:
    """Build a learner of a config on the CPU; of two disc videos, one with exact flow, unless others are given."""
    two = [disc_video("a", seed=0), disc_video("b", seed=1, has_flow=True)]

    def build(config: TrainingConfig, **changes) -> TVOSLearner:
        fields = {"samples": two, "config": config, "device": "cpu", "precision": "fp32", "weights": None, "seed": 0}
        return TVOSLearner(TrainingContext(**{**fields, **changes}))

    return build


def make_disc_video(
    name: str = "disc", *, seed: int = 0, length: int = 12, has_flow: bool = False, **changes
) -> Sample:
    rng = np.random.default_rng(seed)
    ground = cv2.GaussianBlur(rng.integers(0, 255, (64, 160, 3)).astype(np.uint8), (0, 0), 2)
    skin = cv2.GaussianBlur(rng.integers(0, 255, (64, 96, 3)).astype(np.uint8), (0, 0), 2) // 2 + 120
    rows, columns = np.mgrid[:64, :96]

    def truth(t: int) -> np.ndarray:
        return ((rows - 32) ** 2 + (columns - 30 - 2 * t) ** 2 < 15**2).astype(np.uint8)

    def frame(t: int) -> np.ndarray:
        return np.where(truth(t)[..., None], np.roll(skin, 2 * t, 1), ground[:, 2 * t : 2 * t + 96]).astype(np.uint8)

    def flow(t: int) -> np.ndarray:
        right = np.where(truth(t), 2.0, -2.0)
        return np.stack([right, np.zeros_like(right)], -1).astype(np.float32)

    fields = {
        "name": name,
        "length": length,
        "height": 64,
        "width": 96,
        "frame_names": tuple(f"{t:05d}" for t in range(length)),
        "read_frame": frame,
        "read_truth": truth,
        "digest": lambda: f"disc {name} {seed}",
        "read_flow": flow if has_flow else None,
    }
    return Sample(**{**fields, **changes})
