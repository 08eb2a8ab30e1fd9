"""Checks that a method treats with care what is not its own: frames, masks it gave away, torch's modes, memory."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch

from harness.api.process_state import list_left
from harness.api.video import Sample
from harness.conformance.plays import Play, modes, restore
from harness.conformance.probes import MEMORY, ORDINARY
from harness.conformance.subject import Subject
from harness.conformance.verdicts import MASK_TASKS, Broken, NotApplicable, check
from harness.hosting.conversation import CheckedConversation, FramesWhenRead, Untimed, open_view
from harness.machine import resident_mib

SETTLED = 100
"""Frames after which a method has what it keeps for good: longer than the memory of any method known to us."""
RESIDENT_SLACK = 32 * 2**20
"""Bytes by which a process may grow by itself (allocator, other threads) between two looks at it."""


@check("frames-unchanged", "The method changes no frame and no prompt in place.", needs=("ordinary",))
def frames_unchanged(subject: Subject) -> None:
    """Compare every frame and prompt after a play with what was handed over."""
    for name, play in subject.plays():
        what = {"frames": play.changed_frames, "prompts": play.changed_prompts}
        changed = [f"{kind} {', '.join(map(str, sorted(found)))}" for kind, found in what.items() if found]
        if changed:
            raise Broken(
                f"{' and '.join(changed)} of probe {name} changed in place",
                expected="frames and prompts as they were: they are handed out again",
                mend="work on a copy: .clone(), .float(), torch.where(...), no x += ..., no x[...] = ...",
            )


@check("masks-unchanged", "A mask is not changed after it was yielded.", tasks=MASK_TASKS, needs=("ordinary",))
def masks_unchanged(subject: Subject) -> None:
    """Compare every mask at the end of a play with what it was when it was yielded."""
    for name, play in subject.plays():
        if play.changed_masks:
            raise Broken(
                f"masks {', '.join(map(str, play.changed_masks))} of probe {name} changed after they were yielded",
                expected="a mask to be the harness's once it is yielded",
                mend="yield a tensor of its own for each frame, or mask.clone()",
            )


@check(
    "modes", "torch's modes are the caller's whenever a mask is handed over, and after build().", needs=("ordinary",)
)
def torch_modes(subject: Subject) -> None:
    """Look at what builds and plays left behind."""
    changed = {"build()": subject.left_by_build} | {f"probe {name}": play.modes for name, play in subject.plays()}
    for where, left in changed.items():
        if left:
            said = ", ".join(f"{mode} = {value}" for mode, value in left.items())
            raise Broken(
                f"{said} after {where}",
                expected="every mode as it was before",
                mend="decorate the generator with @torch.inference_mode() (a with around a yield leaks), "
                "and leave threads and precision to --threads and --precision",
            )


@check(
    "lazy",
    "Calling the entry gives an iterator and does no work: each mask is made when it is asked for.",
    tasks=MASK_TASKS,
    needs=("ordinary",),
)
def lazy(subject: Subject) -> None:
    """Look at what the entry returned, and whether a frame was read before the first mask was asked for."""
    play: Play = subject.play(ORDINARY.name)
    entry = subject.task.entry
    if play.iterator:
        raise Broken(f"{entry} returned a {play.iterator}", expected="an iterator", mend="yield the masks one by one")
    if play.read_early:
        raise Broken(
            f"{entry} read {', '.join(dict.fromkeys(play.read_early))} before the first mask was asked for",
            expected="no work outside the clock, which runs while a mask is asked for",
            mend=f"make {entry} itself the generator (yield in it), or call the inner one's code on the first next()",
        )


@check(
    "memory",
    f"Over 300 frames, memory does not grow with the video's length once {SETTLED} frames are done.",
    tasks=MASK_TASKS,
    needs=("ordinary",),
    slow=True,
)
def memory(subject: Subject) -> None:
    """Weigh what is alive after 100, 200 and 300 frames: tensors, Python and numpy objects, the process.

    The hundred that adds least counts, twice: what fills up once, as a memory of so many frames, is in one of them.
    """
    if subject.method.causality == "offline":
        raise NotApplicable("the card says offline: the whole video may be held")
    sample = MEMORY.sample()
    allowed = (sample.length - SETTLED) * sample.height * sample.width / 4
    weights = _weigh_often(subject, sample)
    for kind in weights[0]:
        slack = RESIDENT_SLACK if kind == "the process" else 0
        steps = [after[kind] - before[kind] for before, after in pairwise(weights)]
        grown = min(steps) * len(steps)
        if grown > allowed + slack:
            raise Broken(
                f"{kind} grew by {grown / 2**20:.2f} MiB from frame {SETTLED} to frame {sample.length} "
                f"of {sample.height} x {sample.width}",
                expected=f"at most {(allowed + slack) / 2**20:.2f} MiB, a quarter of a byte a pixel and frame",
                mend="keep a fixed number of frames, features and masks, not one for each frame",
            )


def _weigh_often(subject: Subject, sample: Sample) -> list[dict[str, float]]:
    """Bytes alive after each ``SETTLED`` frames, by kind."""
    weights: list[dict[str, float]] = []
    traced_before = tracemalloc.is_tracing()
    before = modes()
    tracemalloc.start()
    try:
        for frame, _ in enumerate(_play_unkept(subject, sample), start=1):
            if frame % SETTLED == 0:
                weights.append(_weigh(subject.request.device))
    finally:
        if not traced_before:
            tracemalloc.stop()
        restore(before)
    return weights


def _play_unkept(subject: Subject, sample: Sample) -> Iterator[None]:
    """Play a video of which nothing is kept here: frames are made when read, masks are dropped."""
    plan, device = subject.plan, subject.request.device
    frames = FramesWhenRead(sample, device)
    view = open_view(plan, sample, frames.read, device, name="video-0000")
    torch.manual_seed(subject.request.seed)
    with CheckedConversation(subject.built, plan, sample, view, Untimed(), frames) as talk:
        for _ in talk.ask_masks():
            yield


def _weigh(device: str) -> dict[str, float]:
    gc.collect()
    weights = {
        "CPU tensors": float(sum(_tensor_bytes())),
        "Python and numpy objects": float(tracemalloc.get_traced_memory()[0]),
    }
    resident = resident_mib()
    if resident is not None:
        weights["the process"] = resident * 2**20
    if device.startswith("cuda"):
        weights["memory allocated on the device"] = float(torch.cuda.memory_allocated(device))
    return weights


def _tensor_bytes() -> Iterator[int]:
    """The bytes of every storage on the CPU that a tensor alive in Python holds, each once."""
    seen: set[int] = set()
    for thing in gc.get_objects():
        if issubclass(type(thing), torch.Tensor) and _is_plain_cpu(thing):
            storage = thing.untyped_storage()
            if storage.data_ptr() not in seen:
                seen.add(storage.data_ptr())
                yield storage.nbytes()


def _is_plain_cpu(tensor: Any) -> bool:
    return bool(tensor.device.type == "cpu" and tensor.layout == torch.strided)


@check(
    "process",
    "Folder, environment, handlers and random numbers are as before; no thread or child outlives the method.",
    needs=("ordinary",),
)
def process(subject: Subject) -> None:
    """Look at what builds and plays changed for everybody, then let the method go and look at what still runs."""
    changed = {"build()": list(subject.changed_by_build)}
    changed |= {f"probe {name}": play.process for name, play in subject.plays()}
    for where, found in changed.items():
        if found:
            raise Broken(
                f"{', '.join(found)} after {where}",
                expected="what is everybody's in the process as it was before",
                mend="use paths and generators of your own (numpy.random.default_rng, random.Random), and leave "
                "folder, environment, umask and handlers to whoever started the process",
            )
    subject.let_go()
    left = list_left(subject.running_before or {})
    if left:
        raise Broken(
            f"{', '.join(left)} still running after the method was let go",
            expected="no thread and no child process of it",
            mend="end them when the generator is closed (try: ... finally: ...), or when the method goes "
            "(weakref.finalize)",
        )


CHECKS = (frames_unchanged, masks_unchanged, torch_modes, lazy, memory)
"""``process`` is made after all others: it lets the method go."""
