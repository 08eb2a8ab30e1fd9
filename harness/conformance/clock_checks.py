"""Checks of what is timed: stages add up, nothing waits for the device, kernels equal their plain references."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from harness.api.timing import Example, Kernel
from harness.conformance.plays import Play, Player
from harness.conformance.probe_checks import judge_play
from harness.conformance.probes import ORDINARY, TWENTY_FRAMES, as_frozen
from harness.conformance.subject import Subject, brief
from harness.conformance.verdicts import MASK_TASKS, Broken, NotApplicable, check
from harness.machine import work_on

GAP_SECONDS = 0.02
"""Waited between two masks: a stage that is open across a yield holds it, and is longer than its lap."""
STEADY = 2
"""The first mask in which nothing may wait for the device."""
SHUFFLES = 3
"""How often the smallest example is tried again with the values of its floating tensors in random order."""
CLOCK_SECONDS = 1e-4
"""What marks themselves may take (CUDA events are good to about half a microsecond, and there are a few)."""


@check("stages", "The stages of a lap lie inside it and add up to no more than the lap.", needs=("ordinary",))
def stages(subject: Subject) -> None:
    """Time every frame of the ordinary probe by itself, with a pause between two frames."""
    player = Player(subject.plan, subject.built, pause=lambda: time.sleep(GAP_SECONDS))
    play: Play = player.play(as_frozen(ORDINARY.sample()))
    judge_play(subject, play)
    for frame, reading in enumerate(play.laps):
        for kind, sections in (("stages", reading.stages), ("kernels", reading.kernels)):
            total = sum(seconds for _, seconds in sections.values())
            if total > sum(reading.laps) + CLOCK_SECONDS:
                raise Broken(
                    f"{kind} {', '.join(sections)} of frame {frame} that sum to {total * 1e3:.2f} ms in a lap of "
                    f"{sum(reading.laps) * 1e3:.2f} ms",
                    expected="each inside its lap, and none inside another",
                    mend="leave every stage before a yield, and do not nest them",
                )


@check(
    "no-hidden-sync",
    "On CUDA, nothing waits for the device while steady frames are worked on.",
    tasks=MASK_TASKS,
    needs=("ordinary",),
)
def no_hidden_sync(subject: Subject) -> None:
    """Let torch refuse every synchronisation once the first frames are done."""
    if not subject.request.device.startswith("cuda"):
        raise NotApplicable("needs --device cuda:N")
    player = Player(subject.plan, subject.built, around=_without_sync)
    play = player.play(as_frozen(TWENTY_FRAMES.sample()))
    if isinstance(play.error, RuntimeError):
        raise Broken(
            f"{brief(play.error)} at mask {len(play.masks)}",
            expected=f"no synchronisation from mask {STEADY} on: it would stand in the time of every frame",
            mend="no .item(), .cpu(), .tolist(), bool(tensor), nonzero() or torch.tensor(list, device=...) in a frame"
            f"\n{play.trace}",
        )
    judge_play(subject, play)


@contextmanager
def _without_sync(frame: int) -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():  # torch warns that it may overlook some
        warnings.simplefilter("ignore", UserWarning)
        torch.cuda.set_sync_debug_mode("error" if frame >= STEADY else before)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@check(
    "kernels",
    "Every kernel equals its plain reference on its examples, also shuffled, on every device; none is changed.",
    scope="card",
)
def kernels(subject: Subject) -> None:
    """Call kernel and reference with the same arguments on the CPU and on every CUDA device."""
    found: Sequence[Kernel[Any, Any]] = subject.method.kernels()
    if not found:
        raise NotApplicable("the card lists no kernels")
    for kernel in found:
        for device in _devices():
            examples = kernel.example(device)
            if not examples:
                raise Broken(
                    f"kernel {kernel.name} without examples on {device}",
                    expected="at least one",
                    mend="return small ones first, then one of the size of a real video",
                )
            shuffled = (_shuffle(examples[0], seed) for seed in range(SHUFFLES))
            for example in (*(examples[:1] if subject.quick else examples), *shuffled):
                with work_on(device):
                    _compare(kernel, example, device)


def _shuffle(example: Example, seed: int) -> Example:
    """The same arguments with the values of every floating tensor in random order: random inputs of the right range."""
    generator = torch.Generator().manual_seed(seed)

    def shuffle(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            order = torch.randperm(value.numel(), generator=generator).to(value.device)
            return value.flatten()[order].view(value.shape)
        if isinstance(value, dict):
            return {key: shuffle(item) for key, item in value.items()}
        return type(value)(map(shuffle, value)) if type(value) in (tuple, list) else value

    return Example(
        f"{example.name}, shuffled ({seed})", shuffle(example.args), shuffle(dict(example.kwargs)), example.rounded
    )


def _devices() -> Iterator[str]:
    yield "cpu"
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        yield f"cuda:{index}"


def _compare(kernel: Kernel[Any, Any], example: Example, device: str) -> None:
    where = f"kernel {kernel.name}, example {example.name!r} on {device}"
    kept = [tensor.clone() for tensor in _tensors((example.args, dict(example.kwargs)))]
    with torch.inference_mode():
        found = list(_tensors(kernel.function(*example.args, **example.kwargs)))
        after = list(_tensors((example.args, dict(example.kwargs))))
        changed = [i for i, (one, other) in enumerate(zip(kept, after, strict=True)) if not _equal(one, other)]
        if changed:
            raise Broken(
                f"{where}: changed tensor {', '.join(map(str, changed))} of its arguments",
                expected="arguments as they were",
                mend="write into a tensor of its own",
            )
        expected = list(_tensors(kernel.reference(*example.args, **example.kwargs)))
    shapes = [tuple(tensor.shape) for tensor in found], [tuple(tensor.shape) for tensor in expected]
    if shapes[0] != shapes[1] or not found:
        raise Broken(f"{where}: gives {shapes[0]}", expected=f"{shapes[1]}", mend="give what the reference gives")
    apart = max(_apart(one, other) for one, other in zip(found, expected, strict=True))
    if not apart <= kernel.tolerance:
        raise Broken(
            f"{where}: differs from its reference by {apart:.3g}",
            expected=f"at most {kernel.tolerance:.3g}",
            mend="correct the kernel, or say its tolerance",
        )
    for work in ("flops", "bytes"):
        count = getattr(kernel, work)
        if count is not None and not count(*example.args, **example.kwargs) > 0:
            raise Broken(f"{where}: {work} that are not above 0", expected="a count", mend=f"correct {work}=")


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest absolute difference; what is not a number in both is no difference, in one alone it is infinite."""
    first, second = one.double(), other.double()
    if not torch.equal(first.isnan(), second.isnan()):
        return float("inf")
    both = (first == second) | first.isnan()  # equal infinities too
    return float((first - second).abs().masked_fill(both, 0).max()) if first.numel() else 0.0


CHECKS = (kernels, stages, no_hidden_sync)
