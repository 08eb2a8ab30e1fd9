"""Checks of what a method gives: it builds, offers what its card says, and works through every probe."""

from __future__ import annotations

import inspect

from harness.api.errors import CausalityError, HarnessError
from harness.conformance.plays import Play
from harness.conformance.probes import PROBES, Probe
from harness.conformance.subject import Subject, brief
from harness.conformance.verdicts import MASK_TASKS, Broken, Check, NotApplicable, check


@check("builds", "build() makes an object with the entry of the task, with the weights that were asked for.")
def builds(subject: Subject) -> None:
    """Build it; what is wrong says the runner."""
    _ = subject.built


@check("protocol", "The task's entry takes the task's arguments.", needs=("builds",))
def protocol(subject: Subject) -> None:
    """Bind the entry's arguments without calling it."""
    task = subject.task
    wanted = f"{task.entry}(video, prompts)" if task.prompted else f"{task.entry}(video)"
    entry = getattr(subject.built, task.entry)
    try:
        inspect.signature(entry).bind(*(("video", "prompts") if task.prompted else ("video",)))
    except TypeError as error:
        raise Broken(
            f"{task.entry}{inspect.signature(entry)}", expected=wanted, mend=f"take these arguments: {error}"
        ) from error


@check(
    "horizon",
    "No frame and no prompt is read beyond the declared lookahead.",
    tasks=MASK_TASKS,
    needs=("protocol",),
)
def horizon(subject: Subject) -> None:
    """Play every probe as the runner does, which refuses such reads."""
    method = subject.method
    if method.causality == "offline":
        raise NotApplicable("the card says offline: every frame may be read at any time")
    for name, play in subject.plays():
        if isinstance(play.error, CausalityError):
            raise Broken(
                f"in probe {name}: {play.error.message}",
                expected=f"what the card says: causality={method.causality!r}, lookahead={method.lookahead}",
                mend=play.error.hint or "read no further",
            )


def _probe_check(probe: Probe) -> Check:
    def run(subject: Subject) -> None:
        judge_play(subject, subject.play(probe.name))

    needs = ("protocol", "horizon") if probe is PROBES[0] else (PROBES[0].name,)
    return Check(probe.name, probe.promise, run, tasks=probe.tasks, needs=needs)


def judge_play(subject: Subject, play: Play) -> None:
    """Raise what a probe came to, where that is no mask a frame."""
    error = play.error
    if error is None:
        return
    if isinstance(error, HarnessError):
        raise error
    raise Broken(
        f"{brief(error)} at mask {len(play.masks)}",
        expected=f"{subject.task.entry} to work through the video",
        mend=f"look at the traceback\n{play.trace}",
    )


CHECKS = (builds, protocol, horizon, *(_probe_check(probe) for probe in PROBES))
