"""Small videos with a known answer, and networks that need no training to give it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness import BuildContext, TrainingContext
from harness.api.providers import parse_spec
from harness.api.video import Sample, Video


def squares(frames=10, size=(64, 96), step=4, seed=0):
    """Frames (T, H, W, 3) of a bright textured square that moves to the right over a still ground, and its masks."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(40, 70, (*size, 3)).astype(np.uint8)
    paint = rng.integers(180, 240, (24, 24, 3)).astype(np.uint8)
    images, truths = np.repeat(ground[None], frames, 0), np.zeros((frames, *size), np.uint8)
    for t in range(frames):
        left = 8 + step * t
        images[t, 16:40, left : left + 24] = paint[:, : max(0, size[1] - left)]
        truths[t, 16:40, left : left + 24] = 1
    return images, truths


def sample_of(images, name="toy"):
    """A sample without truth."""
    return Sample(
        name=name,
        length=len(images),
        height=images.shape[1],
        width=images.shape[2],
        frame_names=tuple(f"{t:05d}" for t in range(len(images))),
        read_frame=lambda t: images[t],
        digest=lambda: f"{name:0<64}",
    )


def video_of(images):
    """The same as a method sees it."""
    frames = torch.from_numpy(np.ascontiguousarray(images))
    return Video(name="v", length=len(images), height=images.shape[1], width=images.shape[2], read=lambda t: frames[t])


def context(config, task="object-zvos", weights=None, **providers):
    """What a card is built with; providers by the kind they are of."""
    specs = {name: parse_spec(name, text) for name, text in providers.items()}
    return BuildContext(task, config, "cpu", "fp32", weights, 0, specs)


def training_context(config, videos, **changes):
    """What a learner is built with: videos of a square each."""
    given = {
        "samples": [sample_of(squares(8, seed=seed)[0], f"v{seed}") for seed in range(videos)],
        "config": config,
        "device": "cpu",
        "precision": "fp32",
        "weights": None,
        "seed": 0,
        "providers": {"saliency": parse_spec("saliency", "boundary")},
    }
    return TrainingContext(**(given | changes))


class Bright:
    """A source of ``Foreground`` that takes bright pixels for the object."""

    def __init__(self, threshold=120):
        self.threshold = threshold

    def begin(self, video):
        return None

    def rate(self, frame, place, begun):
        return (frame.float().mean(-1) > self.threshold).float()


@pytest.fixture
def toy():
    return SimpleNamespace(
        squares=squares,
        sample_of=sample_of,
        video_of=video_of,
        context=context,
        training_context=training_context,
        Bright=Bright,
    )
