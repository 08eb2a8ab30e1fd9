"""What the tests of training build on: a method of one linear layer that learns to tell the square from the rest."""

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from harness.api.contracts import Method
from harness.api.learning import Training
from harness.training import loop
from harness.training.log import read_lines
from harness.training.plan import TrainingRequest, resolve_training
from harness.training.processes import Processes


@dataclass(frozen=True)
class Constants:
    iterations: int = 12
    frames: int = 4
    lr: float = 3.0
    noise: float = 0.1
    break_at: int = -1
    """The iteration whose loss is not a number."""


class PixelLearner:
    """Colours to object, each pixel for itself; noise makes every iteration depend on torch's generator."""

    def __init__(self, context):
        self.context = context
        self.iterations = context.config.iterations
        self.layer = torch.nn.Linear(3, 1)
        self.average = torch.nn.Linear(3, 1).requires_grad_(False)
        if context.weights is not None:
            state = load_file(context.weights)
            self.layer.load_state_dict({"weight": state["weight"], "bias": state["bias"]})
        self.layer.to(context.device)
        self.average.to(context.device)
        self._optimizer = torch.optim.SGD(
            [{"params": [self.layer.weight]}, {"params": [self.layer.bias], "lr_scale": 2.0}], lr=1.0, momentum=0.9
        )

    def networks(self):
        return {"layer": self.layer, "average": self.average}

    def optimizer(self):
        return self._optimizer

    def learning_rate(self, iteration):
        return self.context.config.lr * (1 - iteration / self.iterations)

    def batch(self, iteration):
        draw = np.random.default_rng([self.context.seed, iteration])
        drawn = [
            (int(draw.integers(len(self.context.samples))), int(draw.integers(5)))
            for _ in range(self.context.config.frames)
        ]
        mine = drawn[self.context.rank :: self.context.world]
        frames = [self.context.samples[n].read_frame(t) for n, t in mine]
        truths = [self.context.samples[n].read_truth(t) for n, t in mine]
        return torch.from_numpy(np.stack(frames)).float() / 255, torch.from_numpy(np.stack(truths)).float()

    def loss(self, batch, iteration):
        frames, truth = (tensor.to(self.context.device, non_blocking=True) for tensor in batch)
        noise = self.context.config.noise
        frames = frames + noise * torch.randn_like(frames) if noise else frames
        loss = F.binary_cross_entropy_with_logits(self.layer(frames)[..., 0].float(), truth)
        if iteration == self.context.config.break_at:
            loss = loss * torch.nan
        return loss, {"share": truth.mean()}

    def after_step(self, iteration):
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.layer.parameters(), strict=True):
                slow.lerp_(fast, 0.1)

    def weights(self):
        return {name: value.detach().cpu().clone() for name, value in self.layer.state_dict().items()}


class PixelMethod:
    """The layer at test time; without weights everything is background."""

    def __init__(self, context):
        self.layer = torch.nn.Linear(3, 1)
        torch.nn.init.constant_(self.layer.weight, -1.0)
        if context.weights is not None:
            self.layer.load_state_dict(load_file(context.weights))
        self.layer.to(context.device)

    @torch.inference_mode()
    def propagate(self, video, prompts):
        yield prompts[0]
        for t in range(1, len(video)):
            yield (self.layer(video[t].float() / 255)[..., 0] > 0).to(torch.uint8)


def card(build=PixelLearner, **changes):
    given = {"build": build, "config": Constants, "validation": "tiny", "metric": "share"}
    return Method(name="pixels", tasks=("one-shot",), build=PixelMethod, training=Training(**{**given, **changes}))


@pytest.fixture
def tiny(tests_tools, tmp_path, monkeypatch):
    """``tiny.train(iterations=...)`` trains the layer on the tiny benchmark into tmp_path/training; draws nothing."""
    monkeypatch.setattr(loop, "draw_curve", lambda path, lines, title: path.touch())

    def plan(method=None, *, benchmark=None, config=(), **asked):
        catalog = tests_tools.catalog_of(method or card(), benchmark=benchmark)
        overrides = tuple(f"{key}={value}" for key, value in dict(config).items())
        request = TrainingRequest(plugin="pixels", data=("tiny",), overrides=overrides, **asked)
        return resolve_training(request, catalog), catalog

    def train_tiny(method=None, *, out="training", fresh=False, watch=None, **asked):
        resolved, catalog = plan(method, **{"validate_every": 12, **asked})
        processes = Processes(resolved.request.device)
        return loop.train(resolved, tmp_path / out, catalog, processes, fresh=fresh, watch=watch)

    def weights(out="training", name="last"):
        return load_file(tmp_path / out / f"{name}.safetensors")

    return SimpleNamespace(
        card=card, plan=plan, train=train_tiny, weights=weights, folder=tmp_path / "training", Learner=PixelLearner
    )


EXAMPLE = Path(__file__).parent / "two_rounds.py"
FAST = {"log_every": 2, "checkpoint_every": 3, "iterations": 6}
WEIGHTS = ("stage-motion.safetensors", "stage-again.safetensors", "last.safetensors")
LABELS = tuple(f"artefacts/{stage}/{video}.npy" for stage in ("motion", "again") for video in ("first", "second"))


def load_example():
    spec = importlib.util.spec_from_file_location("two_rounds", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rounds(tiny):
    """``rounds.train()`` trains the example of the document; ``rounds.train(stages)`` with others."""
    example = load_example()
    (method,) = example.harness_methods()
    method = replace(method, name="pixels")

    def card(stages=None, **changes):
        given = {"stages": stages or method.training.stages} | changes
        return replace(method, training=replace(method.training, **given))

    def train(stages=None, **asked):
        return tiny.train(card(stages), **{**FAST, **asked})

    return SimpleNamespace(card=card, train=train, folder=tiny.folder, example=example, content_of=content_of)


def without_time(line):
    return {key: value for key, value in line.items() if "second" not in key and key != "peak_memory_mib"}


def content_of(folder):
    """Everything that two equal trainings have alike: bytes of weights and artefacts, lines of the log, tensors."""
    files = {name: (folder / name).read_bytes() for name in (*WEIGHTS, *LABELS)}
    done = {name: (folder / f"artefacts/{name}.done").read_text() for name in ("motion", "again")}
    kept = torch.load(folder / "checkpoint.pt", weights_only=True)
    tensors = [tensor.tolist() for tensor in kept["networks"]["network"].values()]
    lines = [without_time(line) for line in read_lines(folder / "log.jsonl")]
    return files, done, lines, tensors, (kept["stage"], kept["before"], kept["iteration"])
