"""A method that shows masks made elsewhere: told their real names, judged by the benchmark's rule alone.

What is special about such a card in a run stands here (docs/decisions/0006): no frame is decoded, stray ids are the
rule's affair, and nothing is stored a second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from harness.api.errors import UsageError
from harness.api.records import VideoTiming
from harness.api.video import Sample
from harness.hosting.answers import check_form
from harness.hosting.conversation import CheckedConversation, FramesWhenRead, open_view
from harness.planning.plan import Plan
from harness.running.measure import Evaluation
from harness.running.session import Session


def refuse_apart(plan: Plan) -> None:
    """Raise UsageError: real names do not leave this process."""
    raise UsageError(
        f"{plan.method.name} shows masks by their real names, which a worker is not told", hint="--executor inline"
    )


class ReplaySession(Session):
    """The session of such a method."""

    @contextmanager
    def converse(self, sample: Sample) -> Iterator[CheckedConversation]:
        """Begin a video under its real name."""
        frames = FramesWhenRead(sample, self.host.device)
        name, frame_names = sample.name, sample.frame_names
        view = open_view(self.plan, sample, frames.read, self.host.device, name=name, frame_names=frame_names)
        shape = sample.height, sample.width, len(view.prompts.ids)
        with (
            self.host.clocks(*shape) as clocks,
            _Unchecked(self.method, self.plan, sample, view, clocks, frames) as talk,
        ):
            yield talk

    def _make_masks(self, sample: Sample) -> tuple[Evaluation, VideoTiming, str]:
        with self.converse(sample) as talk:
            return self._measure(sample, self._pass_on(sample, talk.ask_masks())), talk.timing(), ""

    def _pass_on(self, sample: Sample, masks: Iterator[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        for frame, mask in enumerate(masks):
            yield frame, mask
            self._tell(sample, frame)


class _Unchecked(CheckedConversation):
    """Only the form of a mask is checked."""

    def check(self, mask: Any, frame: int) -> np.ndarray:
        """The mask as a (H, W) uint8 array, whatever ids it holds."""
        return check_form(mask, frame, self._sample, self._plan)
