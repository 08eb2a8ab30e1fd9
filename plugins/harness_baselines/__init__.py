"""The cards of the baselines: what every method of a task has to beat, found without learning a network."""

from __future__ import annotations

from typing import Any

from harness import BuildContext, Method, hookimpl
from harness_baselines.config import (
    COMPONENT_PRESETS,
    FLOW_PRESETS,
    ONLINE_FLOW_PRESETS,
    SALIENCY_PRESETS,
    CentreConfig,
    ComponentConfig,
    FlowConfig,
    OnlineFlowConfig,
    SaliencyConfig,
)


def build_centre(context: BuildContext) -> Any:
    """Build the ellipse; torch is imported here and not before, as below."""
    from harness_baselines.centre import build

    return build(context)


def build_motion(context: BuildContext) -> Any:
    """Build the split of what moves, with both neighbours or with the frame before alone, as the config has it."""
    from harness_baselines.motion import build

    return build(context)


def build_saliency(context: BuildContext) -> Any:
    """Build the split of what stands out."""
    from harness_baselines.saliency import build

    return build(context)


def build_components(context: BuildContext) -> Any:
    """Build the tracks of connected parts of what moves."""
    from harness_baselines.components import build

    return build(context)


@hookimpl
def harness_methods() -> list[Method]:
    """Offer five baselines; the one of one-shot is copyfirst."""
    return [
        Method(
            name="centre-prior",
            tasks=("object-zvos",),
            build=build_centre,
            summary="An ellipse in the middle of every frame; looks at none.",
            config=CentreConfig,
            supervision="two numbers chosen on the masks of the 30 DAVIS 2016 train sequences",
        ),
        Method(
            name="flow-threshold",
            tasks=("object-zvos",),
            build=build_motion,
            summary="What moves against the camera, by optical flow to the next frame and the one before.",
            causality="window",
            lookahead=1,
            config=FlowConfig,
            presets=FLOW_PRESETS,
            supervision="none but the choice of the rule, on the masks of the 30 DAVIS 2016 train sequences",
            providers={"flow": "flow"},
        ),
        Method(
            name="flow-threshold-online",
            tasks=("object-zvos",),
            build=build_motion,
            summary="What moves against the camera, by flow to the frame before alone; the first mask is empty.",
            config=OnlineFlowConfig,
            presets=ONLINE_FLOW_PRESETS,
            supervision="none but the choice of the rule, on the masks of the 30 DAVIS 2016 train sequences",
            providers={"flow": "flow"},
        ),
        Method(
            name="boundary-saliency",
            tasks=("object-zvos",),
            build=build_saliency,
            summary="What stands out in a single frame, split by Otsu's threshold.",
            config=SaliencyConfig,
            presets=SALIENCY_PRESETS,
            supervision="none",
            providers={"saliency": "saliency"},
        ),
        Method(
            name="moving-components",
            tasks=("instance-zvos", "vis"),
            build=build_components,
            summary="Connected parts of what moves against the camera, linked by overlap along the flow; one category.",
            causality="window",
            lookahead=1,
            config=ComponentConfig,
            presets=COMPONENT_PRESETS,
            supervision="two numbers chosen on masks of mini-train, a rule on those of the 30 DAVIS 2016 train videos",
            providers={"flow": "flow"},
        ),
    ]
