"""Checks by a real run: the runner works through two probes, and what it hands to the method is looked over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch

from harness.api.contracts import BuildContext
from harness.api.mask_files import read_mask
from harness.api.records import RunRecord
from harness.api.video import Sample
from harness.conformance.probes import ORDINARY, RETURNING, Scene
from harness.conformance.subject import Subject
from harness.conformance.verdicts import Broken, check
from harness.files import scratch_folder
from harness.running.runner import run

LAYERS = 6
"""How many steps from video and prompts are followed."""


@check("runs", "harness run gives a complete record with the masks of the probes.", needs=("fresh-start", "names"))
def runs(subject: Subject) -> None:
    """Run two probes into a folder that is thrown away, and compare the mask files with the masks of the plays."""
    scenes = [scene for scene in (ORDINARY, RETURNING) if subject.survives(scene)]
    with scratch_folder("harness-check") as folder:
        record = _run(subject, folder, subject.method.build, scenes)
        if record.failures:
            raise Broken(record.failures[0].message, expected="no failure", mend=record.failures[0].traceback)
        for scene in scenes if subject.task.returns == "masks" else ():
            _compare_masks(subject, scene, folder)
    timing = record.timing
    if timing is None or timing.model.frames + timing.model_first_frame.frames < 1:
        raise Broken("a record without timing", expected="the clocks of every frame", mend="yield one mask a frame")


def _run(subject: Subject, out: Path, build: Callable[[BuildContext], Any], scenes: Sequence[Scene]) -> RunRecord:
    plan = replace(
        subject.plan,
        method=replace(subject.method, build=build),
        samples=[scene.sample() for scene in scenes],
        videos_expected=len(scenes),
    )
    return run(plan, out, subject.catalog)


def _compare_masks(subject: Subject, scene: Scene, folder: Path) -> None:
    sample, play = scene.sample(), subject.play(scene.name)
    for frame, mask in enumerate(play.masks):
        stored = read_mask(folder / "masks" / sample.name / f"{sample.frame_names[frame]}.png")
        if not np.array_equal(stored, mask):
            raise Broken(
                f"{int((stored != mask).sum())} pixels of mask {frame} of probe {scene.name} that the run stored "
                "otherwise than the kit got them",
                expected="the same masks at any pace and after any video",
                mend="look at fresh-start and determinism; let nothing depend on time or on threads",
            )


@check(
    "blind", "Nothing handed to the method leads to the truth, the video's real name or a path.", needs=("ordinary",)
)
def blind(subject: Subject) -> None:
    """Follow public attributes, items and closures of what a real run hands over, from the method's own seat."""
    found: list[str] = []

    def build(context: BuildContext) -> Any:
        return _Witness(subject.method.build(context), subject.task.entry, found)

    with scratch_folder("harness-check") as folder:
        _run(subject, folder, build, (ORDINARY,))
    if found:
        raise Broken(found[0], expected="none of it", mend="this is a fault of the harness: please report it")


class _Witness:
    """The method, with a look at what it is given before it is called."""

    def __init__(self, method: Any, entry: str, found: list[str]) -> None:
        def listen(*given: Any) -> Any:
            found.extend(secrets_in(given, ORDINARY.sample()))
            return getattr(method, entry)(*given)

        setattr(self, entry, listen)


def secrets_in(given: Any, sample: Sample) -> Iterator[str]:
    """Where the sample's real name, a frame's real name or a truth can be reached from ``given`` by public means."""
    truths = [sample.read_truth(frame) for frame in range(sample.length)] if sample.read_truth else []
    hidden = [t for frame, t in enumerate(truths) if t is not None and t.any() and frame not in sample.prompt_frames]
    for path, thing in _reachable(given):
        if isinstance(thing, str) and (sample.name in thing or any(name in thing for name in sample.frame_names)):
            yield f"the real name {thing!r} at {path}"
        elif isinstance(thing, Path):
            yield f"the path {thing} at {path}"
        elif isinstance(thing, np.ndarray | torch.Tensor):
            array = thing.cpu().numpy() if isinstance(thing, torch.Tensor) else thing
            if any(np.array_equal(array, truth) for truth in hidden):
                yield f"a truth at {path}"


def _reachable(given: Any) -> Iterator[tuple[str, Any]]:
    """Everything up to ``LAYERS`` public steps away, each thing once, with the way to it."""
    seen: set[int] = set()
    layer = [(f"argument {i}", thing) for i, thing in enumerate(given)]
    for _ in range(LAYERS):
        following: list[tuple[str, Any]] = []
        for path, thing in layer:
            if id(thing) not in seen:
                seen.add(id(thing))
                yield path, thing
                following.extend((path + step, part) for step, part in _parts(thing))
        layer = following


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, str | bytes | int | float | bool | np.ndarray | torch.Tensor | type | None):
        return
    if isinstance(thing, dict):
        yield from ((f"[{key!r}]", value) for key, value in thing.items())
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from ((f"[{i}]", item) for i, item in enumerate(thing))
    elif isinstance(thing, FunctionType):
        cells = zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True)
        yield from ((f" closing over {name}", cell.cell_contents) for name, cell in cells)
    elif isinstance(thing, MethodType):
        yield ".__self__", thing.__self__
        yield ".__func__", thing.__func__
    else:
        names = [name for name in dir(thing) if not name.startswith("_")]
        yield from ((f".{name}", getattr(thing, name, None)) for name in names)
