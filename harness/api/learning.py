"""How a method is trained: what its card declares, and what its learner gives the loop of ``harness train``.

The harness owns the loop: devices, precision, several GPUs, checkpoints, resume, logs and validation. The method owns
what is learnt: networks, batches, losses, the schedule. Light: importing this imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

from harness.api.dataclass import dataclass
from harness.api.providers import ProviderKind, ProviderSpec
from harness.api.records import Precision
from harness.api.video import Sample

if TYPE_CHECKING:
    import torch

Needs = Literal["frames", "masks", "tracks"]
"""What a training has to be shown beside frames: nothing, id masks, or tracks (``harness.read_tracks``)."""
Choice = Literal["best", "last"]
"""Which weights of a training count: those of the best validation, or the last, of which no truth says anything."""
Progress = Callable[[int, int], None]
"""Told (done, of all) while something long goes on; of what does not matter."""


@dataclass(frozen=True)
class NoConfig:
    """The config of a method, or of its training, that has no constants."""


@dataclass(frozen=True)
class TrainingContext:
    """What ``Training.build``, or a stage's ``build`` and ``prepare``, is given.

    ``samples`` are the videos to learn from, with their truth where the training ``needs`` one.
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
    stage: str = ""
    """The stage this is for; empty in a training that has none."""
    earlier: Path | None = None
    """What ``Learner.weights()`` gave at the end of the stage before; None in the first stage."""
    artefacts: Path | None = None
    """The folder of what this stage prepares, the same in every sitting; None in a training without stages."""
    providers: Mapping[str, ProviderSpec] = field(default_factory=dict)
    """The constants that ``Training.providers`` names, resolved and looked for; one that is empty is not in it."""

    def artefacts_of(self, stage: str) -> Path:
        """The folder of what an earlier stage prepared, or this one."""
        if self.artefacts is None:
            raise ValueError("a training without stages prepares nothing")
        return self.artefacts.parent / stage


@runtime_checkable
class Learner(Protocol):
    """A network being trained, as the loop sees it.

    Everything random is a function of the seed and the iteration: ``batch`` draws from a generator of its own made of
    both, and before each ``loss`` the loop seeds torch with both. So a run that was killed and resumed ends like one
    that was not.
    """

    iterations: int
    """How many steps the training has, or this stage of it."""

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


@runtime_checkable
class StatesFacts(Protocol):
    """A learner whose weights need a word beside them: which channel is the object, what a category is called."""

    def facts(self) -> Mapping[str, str]:
        """What ``BuildContext.facts`` says when these weights are loaded; ``harness.read_facts`` says how much."""
        ...


@dataclass(frozen=True)
class Stage:
    """One part of a training: what is computed once before it, then a learner with iterations of its own.

    ``name`` is lower case, digits and hyphens: files are called by it. ``build(context)`` returns the stage's Learner;
    ``context.earlier`` holds the weights that the stage before ended with.

    ``prepare(context, progress)`` runs in the first process alone, to its end, before any learner of the stage is
    built, and writes into ``context.artefacts`` and nowhere else. Killed, it is called again and finds there what it
    wrote: files are written whole (``harness.whole_file``), and what is there is not made again.
    """

    name: str
    build: Callable[[TrainingContext], Learner]
    prepare: Callable[[TrainingContext, Progress], None] | None = None
    is_method: bool = True
    """False: its weights are a part that the method cannot be run with, so nothing is validated in this stage."""


@dataclass(frozen=True)
class Training:
    """The part of a card that says a method can be trained.

    ``build(context)`` returns a Learner; or ``stages(config)`` returns the stages of a training that has several, in
    their order. ``config`` is a frozen dataclass whose defaults are the default preset; ``presets`` maps a name to a
    whole config. ``validation`` is the benchmark scored now and then while training, and ``metric`` the column of it
    that says which weights are best.
    """

    build: Callable[[TrainingContext], Learner] | None = None
    config: type = NoConfig
    presets: Mapping[str, Any] = field(default_factory=dict)
    stages: Callable[[Any], Sequence[Stage]] | None = None
    needs: Needs = "masks"
    validation: str = "mini-small"
    metric: str = "J&F"
    choose: Choice = "best"
    """last: no truth chooses weights, as befits a method that claims no label; validation is off unless asked for."""
    inference_preset: str = ""
    """The preset of the method that its new weights are validated with; empty: the default."""
    providers: Mapping[str, ProviderKind] = field(default_factory=dict)
    """Which constants of ``config`` name a provider (``dis``, ``files:DIR``), and of what; an empty one names none."""
    cpu_preset: str = ""
    """The preset that ``harness train`` takes on a CPU where none is named; empty: the default, as on a GPU."""
    memory_mib: Callable[[Any], float] | None = None
    """MiB that a step with this config takes at its peak, networks and optimiser included, for the whole batch, in fp32
    on a CPU: an estimate, held against what is free before a training begins. None: nothing is known before."""

    def __post_init__(self) -> None:
        if (self.build is None) == (self.stages is None):
            raise ValueError("a training has either build or stages")
        if self.needs not in get_args(Needs) or self.choose not in get_args(Choice):
            raise ValueError(
                f"a training has needs {self.needs!r} and choose {self.choose!r}; "
                f"expected one of {get_args(Needs)} and one of {get_args(Choice)}"
            )
        if self.cpu_preset and self.cpu_preset not in self.presets:
            raise ValueError(f"a training has cpu_preset {self.cpu_preset!r}; its presets: {', '.join(self.presets)}")
        check_provider_fields("a training", self.config, self.providers)


def check_provider_fields(owner: str, config: type, providers: Mapping[str, ProviderKind]) -> None:
    """Raise ValueError where ``providers`` names no constant of ``config``, or no kind there is."""
    known = [constant.name for constant in fields(config)]
    for name, kind in providers.items():
        if name not in known or kind not in get_args(ProviderKind):
            raise ValueError(
                f"{owner} says that its constant {name!r} names a provider of {kind!r}; "
                f"constants: {', '.join(known) or 'none'}; kinds: {', '.join(get_args(ProviderKind))}"
            )


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
