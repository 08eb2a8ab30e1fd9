"""Optical flow by name: where each pixel of one frame lies in another.

Flow is (2, H, W) float32, (dx, dy) in pixels of the frames: what is seen at (x, y) of the first frame is seen at
(x + dx, y + dy) of the second; x counts columns to the right, y rows down.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from harness.api.providers import ProviderSpec, parse_spec
from harness.api.video import Sample
from harness.models.frame_files import Frame, Place

Flow = Float[Tensor, "2 H W"]


@runtime_checkable
class FlowProvider(Protocol):
    """Something that knows the flow between two frames; equal frames give equal flow."""

    name: str

    def between(self, first: Frame, second: Frame, places: tuple[Place, Place] | None = None) -> Flow:
        """The flow from ``first`` to ``second``, on the device of ``first``.

        ``places`` name the frames for a provider that looks them up; one that computes does not look at them.
        """
        ...

    def fingerprint(self, video: str) -> str:
        """What its flow of ``video`` depends on beside the frames, in one word: versions, settings, files."""
        ...


def flow_provider(
    spec: str | ProviderSpec = "dis", device: str = "cpu", samples: Sequence[Sample] = ()
) -> FlowProvider:
    """The provider that ``spec`` names: ``dis``, ``dis:fast``, ``raft:FILE``, ``files:DIR`` or ``truth-flow``.

    Only ``raft`` computes on ``device``; only ``truth-flow`` looks at ``samples``. UsageError for an unknown name,
    DataError for a missing or unfit file, EnvironmentProblem for a missing package.
    """
    spec = parse_spec("flow", spec) if isinstance(spec, str) else spec
    spec.check()
    match spec.name:
        case "raft":
            from harness.models.flow.raft import RAFT

            return RAFT(cast(Path, spec.path), device)
        case "files":
            from harness.models.flow.files import FlowFiles

            return FlowFiles(cast(Path, spec.path))
        case "truth-flow":
            from harness.models.flow.truth import TruthFlow

            return TruthFlow(samples)
        case _:
            from harness.models.flow.dis import DIS

            return DIS(spec.name)
