"""Every constant of the baselines, with its source; what was chosen was chosen on videos to train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Less = Literal["camera", "median", "none"]
"""What is taken from a flow before its length counts: the camera's affine motion, the median flow, nothing."""


@dataclass(frozen=True)
class CentreConfig:
    """The ellipse of card ``centre-prior``."""

    half_height: float = 0.22
    """Of the frame's height. Best mean J over the 30 DAVIS 2016 train sequences (.223), of steps of .02."""
    half_width: float = 0.20
    """Of the frame's width. Chosen together with it; without any one sequence neither moves by more than a step."""

    def __post_init__(self) -> None:
        if self.half_height <= 0 or self.half_width <= 0:
            raise ValueError(
                f"found half_height={self.half_height}, half_width={self.half_width}; expected shares above 0"
            )


@dataclass(frozen=True)
class OnlineFlowConfig:
    """Card ``flow-threshold-online``: flow to the frame before."""

    flow: str = "dis"
    """The provider, as docs/providers.md names them."""
    less: Less = "camera"


@dataclass(frozen=True)
class FlowConfig(OnlineFlowConfig):
    """Card ``flow-threshold``: the rows of the table "What moves by itself" of docs/providers.md."""

    ways: Literal["both", "forward"] = "both"
    """both: of the flows to the next frame and to the one before, the shorter counts. forward: that to the next, and in
    the last frame, which has none, that to the one before."""


@dataclass(frozen=True)
class SaliencyConfig:
    """Card ``boundary-saliency``."""

    saliency: str = "boundary"
    """The provider, as docs/providers.md names them."""


@dataclass(frozen=True)
class ComponentConfig:
    """Card ``moving-components``; what moves is found as by the default of ``flow-threshold``."""

    flow: str = "dis"
    """The provider, as docs/providers.md names them."""
    least_overlap: float = 0.1
    """The IoU from which a part goes on with a track. Chosen by J on six videos of mini-train: .230, at .3 .219, at .5
    .159 (with a patience of 8)."""
    patience: int = 15
    """Frames a track may be out of sight before it ends. Chosen there too: .231, at 8 .230, at 3 .223, at 0 .202."""

    def __post_init__(self) -> None:
        if not 0 < self.least_overlap <= 1 or self.patience < 0:
            raise ValueError(
                f"found least_overlap={self.least_overlap}, patience={self.patience}; expected an IoU above 0, at most "
                "1, and 0 frames or more"
            )


FLOW_PRESETS = {
    "both": FlowConfig(),
    "forward": FlowConfig(ways="forward"),
    "median": FlowConfig(less="median", ways="forward"),
    "none": FlowConfig(less="none", ways="forward"),
    "fast": FlowConfig(flow="dis:fast"),
}
ONLINE_FLOW_PRESETS = {
    "median": OnlineFlowConfig(less="median"),
    "none": OnlineFlowConfig(less="none"),
    "fast": OnlineFlowConfig(flow="dis:fast"),
}
SALIENCY_PRESETS = {name: SaliencyConfig(saliency=name) for name in ("spectral", "finegrained")}
COMPONENT_PRESETS = {"fast": ComponentConfig(flow="dis:fast")}
