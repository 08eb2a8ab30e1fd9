"""What a training takes of memory, said before it begins and held against what is free: known on the card, or not."""

from __future__ import annotations

from harness.api.dataclass import dataclass
from harness.api.errors import MethodFailed
from harness.api.foreign import blame
from harness.api.learning import Training
from harness.training.plan import KEPT_FRAMES_MIB, TrainingPlan

PROCESS_MIB = 400.0
"""Python, PyTorch and what they import: 310 MiB resident on Linux, before a network is built."""


@dataclass(frozen=True)
class MemoryNeeds:
    """MiB a training takes in one process; ``step`` is the card's estimate, None where it has none."""

    step: float | None
    frames: float
    """What decoded frames are kept in, at most."""
    process: float = PROCESS_MIB

    @property
    def total(self) -> float | None:
        """All of it; None where the card does not say."""
        return None if self.step is None else self.step + self.frames + self.process


def choose_preset(training: Training | None, preset: str, device: str) -> str:
    """The preset that was named; where none was, what the card has for a CPU, or none."""
    return preset or (training.cpu_preset if training is not None and device == "cpu" else "")


def estimate_memory(plan: TrainingPlan) -> MemoryNeeds:
    """What the plan takes in each of its processes."""
    step = None
    if plan.training.memory_mib is not None:
        with blame(f"the training of {plan.method.name}: memory_mib", MethodFailed):
            step = float(plan.training.memory_mib(plan.config)) / plan.world
    pixels = sum(sample.length * sample.height * sample.width for sample in plan.samples)
    return MemoryNeeds(step, min(3 * pixels / 2**20, float(KEPT_FRAMES_MIB)))


def describe_memory(plan: TrainingPlan, needs: MemoryNeeds, free: float | None) -> list[str]:
    """In words: what it takes, by whose word, what is free, and what to do where that is less."""
    told = "how much is free is not known" if free is None else f"{_gib(free)} are free"
    if needs.total is None or needs.step is None:
        return [f"memory: the card of {plan.method.name} does not say what a step takes; {told}, the log has the peak"]
    parts = f"{_gib(needs.step)} for a step"
    if plan.request.device == "cpu":
        parts += f", {_gib(needs.frames)} for frames, {_gib(needs.process)} for PyTorch"
    needed = needs.total if plan.request.device == "cpu" else needs.step
    lines = [f"memory: about {_gib(needed)} ({parts}; estimated by the card in fp32); {told}"]
    if free is not None and needed > free:
        lines.append(f"note: the training takes more than is free and may be killed; {_advise(plan)}")
    return lines


def _advise(plan: TrainingPlan) -> str:
    small = plan.training.cpu_preset
    if small and plan.request.preset != small and plan.training.memory_mib is not None:
        takes = plan.training.memory_mib(plan.training.presets[small])
        return f"--preset {small} takes {_gib(takes)} a step, and --set batch=N less of any"
    return "take a smaller batch or crop with --set, or another preset"


def _gib(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB"
