"""Videos of a few small frames, flow that is what a test says it is, and what a method is built with."""

import pytest
import torch

from harness import BuildContext, Video
from harness.api.providers import parse_spec


class KnownFlow:
    """A provider that asks ``flow_of(first, second)``; a frame is known by the number it is filled with."""

    name = "known"

    def __init__(self, flow_of):
        self.flow_of, self.asked = flow_of, []

    def between(self, first, second, places=None):
        pair = int(first[0, 0, 0]), int(second[0, 0, 0])
        self.asked.append(pair)
        return self.flow_of(*pair)


@pytest.fixture
def known_flow():
    return KnownFlow


@pytest.fixture
def numbered_video():
    """A video whose frame t is filled with t; ``reads`` lists the frames that were read."""

    def make(length, size=(8, 8)):
        def read(t):
            video.reads.append(t)
            return torch.full((*size, 3), t, dtype=torch.uint8)

        video = Video(name="v", length=length, height=size[0], width=size[1], read=read)
        video.reads = []
        return video

    return make


@pytest.fixture
def shown():
    """A video of given (H, W, 3) frames."""

    def make(frames):
        return Video(
            name="v", length=len(frames), height=frames[0].shape[0], width=frames[0].shape[1], read=frames.__getitem__
        )

    return make


@pytest.fixture
def context():
    def make(config, **providers):
        specs = {kind: parse_spec(kind, text) for kind, text in providers.items()}
        return BuildContext("object-zvos", config, "cpu", "fp32", weights=None, seed=0, providers=specs)

    return make
