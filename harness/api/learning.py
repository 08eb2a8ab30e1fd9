"""How a method is trained: what its card declares, and what its learner gives the loop of ``harness train``.

The harness owns the loop: devices, precision, several GPUs, checkpoints, resume, logs and validation. The method owns
what is learnt: networks, batches, losses, the schedule. Light: importing this imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness.api.records import Precision
from harness.api.video import Sample

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TrainingContext:
    """What ``Training.build`` is given.

    ``samples`` are the videos to learn from, with their truth where the data has one (``Sample.read_truth``).
    ``weights`` is a file to begin from (``--init``), or None. ``rank`` of ``world`` processes take part: the batch of
    an iteration is one and the same for any ``world``, and each rank makes its share of it.
    """

    samples: Sequence[Sample]
    config: Any
    device: str
    precision: Precision
    weights: Path | None
    seed: int
    rank: int = 0
    world: int = 1


@runtime_checkable
class Learner(Protocol):
    """A network being trained, as the loop sees it.

    Everything random is a function of the seed and the iteration: ``batch`` draws from a generator of its own made of
    both, and before each ``loss`` the loop seeds torch with both. So a run that was killed and resumed ends like one
    that was not.
    """

    iterations: int
    """How many steps the whole training has."""

    def networks(self) -> Mapping[str, torch.nn.Module]:
        """Every module whose state belongs into a checkpoint, already on its device, by a name."""
        ...

    def optimizer(self) -> torch.optim.Optimizer:
        """The optimiser over the parameters that learn: one object, the same at each call.

        The loop averages the gradients of its parameters over the processes, unscales and steps it.
        """
        ...

    def learning_rate(self, iteration: int) -> float:
        """The learning rate of one iteration; set on every parameter group, times its ``lr_scale`` if it has one."""
        ...

    def batch(self, iteration: int) -> Any:
        """This rank's share of the samples of one iteration: CPU tensors in a (named) tuple or dict.

        Called in worker processes, ahead of time: it reads only what was there when the learner was built.
        """
        ...

    def loss(self, batch: Any, iteration: int) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The scalar to go down on, and detached scalar tensors to log; runs under autocast where precision asks.

        ``batch`` comes as ``batch`` made it (in pinned memory for CUDA); moving it is up to here, without waiting.
        """
        ...

    def after_step(self, iteration: int) -> None:
        """Called after the optimiser's step of an iteration: momentum copies and the like."""
        ...

    def weights(self) -> Mapping[str, torch.Tensor]:
        """What the method loads at test time (``--weights``), on the CPU, in the types it is to be stored in."""
        ...


@dataclass(frozen=True)
class Training:
    """The part of a card that says a method can be trained.

    ``build(context)`` returns a Learner. ``config`` is a frozen dataclass whose defaults are the default preset;
    ``presets`` maps a name to a whole config. ``validation`` is the benchmark scored now and then while training, and
    ``metric`` the column of it that says which weights are best.
    """

    build: Callable[[TrainingContext], Learner]
    config: type
    presets: Mapping[str, Any] = field(default_factory=dict)
    needs_truth: bool = True
    """False: the method learns from frames alone, and is given samples whose truth is taken away."""
    validation: str = "mini-small"
    metric: str = "J&F"
    inference_preset: str = ""
    """The preset of the method that its new weights are validated with; empty: the default."""


@dataclass(frozen=True)
class Snapshot:
    """What a method that learns at test time would answer after so many of its own iterations."""

    iteration: int
    masks: Sequence[Any]
    """A (H, W) uint8 id mask a frame."""


@runtime_checkable
class LearnsAtTestTime(Protocol):
    """A one-shot method that learns on the video it is asked about, and can show itself learning."""

    def snapshots(self, video: Any, prompts: Any, every: int) -> Any:
        """Yield a Snapshot every so many iterations; that of iteration 0 is what it learns from (its pseudo truth)."""
        ...
