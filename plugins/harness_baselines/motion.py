"""Cards ``flow-threshold`` and ``flow-threshold-online``: the object is what moves against the camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from harness import BuildContext, Video, stage
from harness.api.errors import UsageError
from harness.api.providers import TRUTH_FLOW
from harness.models.flow import FlowProvider, flow_provider
from harness.models.flow.camera import moving, residual_flow
from harness_baselines.config import FlowConfig, Less, OnlineFlowConfig


def build(context: BuildContext) -> FlowThreshold:
    """The split with the provider that the config names."""
    config: OnlineFlowConfig = context.config
    ways = config.ways if isinstance(config, FlowConfig) else "backward"
    return FlowThreshold(FlowWatch(load_flow(context), config.less, ways))


def load_flow(context: BuildContext) -> FlowProvider:
    """The provider of the constant ``flow``; UsageError for the dataset's own flow, and for none."""
    spec = context.providers.get("flow")
    if spec is None:
        raise UsageError("found no flow provider; expected the name of one", hint="leave --set flow out, or give dis")
    if spec.name == TRUTH_FLOW:
        raise UsageError(
            f"found flow={TRUTH_FLOW}; a method is shown frames alone, never the dataset's own flow",
            hint="use dis, raft:FILE or files:DIR",
        )
    return flow_provider(spec, context.device)


@dataclass(frozen=True)
class View:
    """One frame, and what moves in it."""

    frame: Tensor
    motion: Tensor
    """How far each pixel moves against what was taken away, in pixels (H, W); 0 where no neighbour is known."""
    forward: Tensor | None
    """The flow to the next frame (2, H, W), where it was computed."""


class FlowWatch:
    """Goes through a video and says of every frame what moves; each frame is read once.

    ``ways`` as `FlowConfig` has it; ``backward`` looks at the frame before alone, and reads nothing of the future.
    """

    def __init__(self, provider: FlowProvider, less: Less, ways: str) -> None:
        self.provider, self.less, self.ways = provider, less, ways

    def views(self, video: Video) -> Iterator[View]:
        """A view of each frame, in order."""
        before = after = None
        for t in range(len(video)):
            frame = video[t] if after is None else after
            after = video[t + 1] if self.ways != "backward" and t + 1 < len(video) else None
            yield self.look(before, frame, after)
            before = frame

    def look(self, before: Tensor | None, frame: Tensor, after: Tensor | None) -> View:
        """What moves in a frame with these neighbours."""
        if self.ways == "forward" and after is not None:
            before = None
        with stage("flow"):
            forward = None if after is None else self.provider.between(frame, after)
            backward = None if before is None else self.provider.between(frame, before)
        with stage("camera"):
            lengths = [remove(flow, self.less).norm(dim=0) for flow in (forward, backward) if flow is not None]
            still = torch.zeros(frame.shape[:2], device=frame.device)
            return View(frame, torch.stack(lengths).amin(0) if lengths else still, forward)


def remove(flow: Tensor, less: Less) -> Tensor:
    """A flow (2, H, W) without that of the camera, as the model of ``less`` has it."""
    match less:
        case "camera":
            return residual_flow(flow)
        case "median":
            return flow - flow.flatten(1).median(dim=1).values[:, None, None]
        case _:
            return flow


class FlowThreshold:
    """What moves, split from what does not by Otsu's threshold, and by a quarter of a pixel at least."""

    def __init__(self, watch: FlowWatch) -> None:
        self.watch = watch

    @torch.inference_mode()
    def segment_object(self, video: Video) -> Iterator[Tensor]:
        """Yield a mask a frame: 1 what moves, 0 the rest."""
        for view in self.watch.views(video):
            with stage("threshold"):
                mask = moving(view.motion).byte()
            yield mask
