"""A toy world with a known answer: a bright square moves over a still ground."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness import TrainingContext
from harness.api.video import Sample
from harness_imas.training.config import TrainingConfig
from harness_imas.training.learner import SynergyLearner

CONFIG = TrainingConfig(
    architecture="lite0",
    channels=2,
    short_side=64,
    scale=(1.0, 1.0),
    crop=64,
    flip=0.0,
    photometric=False,
    batch=2,
    lr=3e-3,
    iterations=40,
    pathway="none",
)


class Exact:
    """Flow as a cache gives it."""

    def __init__(self, flow):
        self.flow = torch.from_numpy(flow).half()

    def pair(self, video, t):
        return self.flow[t, 0], self.flow[t, 1]


def world(frames=4):
    """Frames 64 x 64 with a square that moves by (8, 0), its truth, and the exact flow on cells of 4 pixels."""
    images, truths = np.full((frames, 64, 64, 3), 60, np.uint8), np.zeros((frames, 64, 64), np.uint8)
    flow = np.zeros((frames - 1, 2, 2, 16, 16), np.float32)
    for t in range(frames):
        truths[t, 16:48, 8 + 8 * t : 32 + 8 * t] = 1
        images[t][truths[t] > 0] = (220, 40, 40)
    for t in range(frames - 1):
        flow[t, 0, 0] = 9 * truths[t, ::4, ::4]
        flow[t, 1, 0] = -9.0 * truths[t + 1, ::4, ::4]
    sample = Sample(
        name="toy",
        length=frames,
        height=64,
        width=64,
        frame_names=tuple(f"{t:05d}" for t in range(frames)),
        read_frame=lambda t: images[t],
        digest=lambda: "toy",
    )
    return sample, Exact(flow), truths


def learner_of(config=CONFIG, **more):
    sample, flow, _ = world()
    flow = Exact(more.pop("flow")) if "flow" in more else flow
    context = TrainingContext(samples=[sample], config=config, device="cpu", precision="fp32", weights=None, seed=0)
    return SynergyLearner(context, flow, begin_from=more.pop("begin_from", None), **more)


def steps(learner, count):
    losses = []
    for iteration in range(count):
        for group in learner.optimizer().param_groups:
            group["lr"] = learner.learning_rate(iteration)
        torch.manual_seed(iteration)
        loss, logs = learner.loss(learner.batch(iteration), iteration)
        learner.optimizer().zero_grad()
        loss.backward()
        learner.optimizer().step()
        losses.append({"loss": loss.item(), **{name: value.item() for name, value in logs.items()}})
    return losses


@pytest.fixture
def toy():
    """The world, its config, a learner of it and steps that the learner takes."""
    return SimpleNamespace(CONFIG=CONFIG, world=world, learner_of=learner_of, steps=steps)
