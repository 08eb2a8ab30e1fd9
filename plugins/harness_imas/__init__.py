"""The card of IMAS: one object a video, found by motion while learning and by appearance alone afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import BuildContext, Citation, Kernel, Method, Stage, Training, Weights, hookimpl
from harness_imas.config import PRESETS, Config
from harness_imas.training.config import PRESETS as TRAINING_PRESETS
from harness_imas.training.config import TrainingConfig
from harness_imas.training.memory import memory_mib

PAPER = Citation(
    title="Improving Unsupervised Video Object Segmentation with Motion-Appearance Synergy",
    authors="Long Lian, Zhirong Wu, Stella X. Yu",
    year=2022,
    url="https://arxiv.org/abs/2212.08816",
)

SHIPPED = "imas-davis-small"
WEIGHTS = (
    Weights(
        name=SHIPPED,
        licence="CC-BY-NC-4.0 (that of the training data)",
        path=Path(__file__).parent / "weights" / f"{SHIPPED}.safetensors",
        sha256="b2ccef7eeb48eec3473c8cf3eaf3c1f5881ac9d9e3388306d312362cf9c0e1fe",
        trained_on="DAVIS 2016 train at 427x240 and ten videos of val, frames only: transductive, as in the paper",
        preset="small",
        note="EfficientNet-Lite0 from ImageNet labels, flow by DIS, made by this project; the README says how",
    ),
)


def build(context: BuildContext) -> Any:
    """Build the method; torch is imported here and not before."""
    from harness_imas.method import build

    return build(context)


def plan_stages(config: TrainingConfig) -> Sequence[Stage]:
    """The stages of ``harness train``; torch is imported here and not before."""
    from harness_imas.training.stages import plan_stages

    return plan_stages(config)


def hot_functions() -> Sequence[Kernel]:
    """The kernels, for listings and benches; not called ``kernels``, which is the module."""
    from harness_imas.kernels import share

    return (share,)


@hookimpl
def harness_methods() -> list[Method]:
    return [
        Method(
            name="imas",
            tasks=("object-zvos",),
            build=build,
            summary="One of a few competing masks of each frame, learnt from optical flow and refined by appearance.",
            causality="online",
            config=Config,
            presets=PRESETS,
            kernels=hot_functions,
            supervision="none but what a backbone's file and a flow provider were made with",
            weights=WEIGHTS,
            default_weights=SHIPPED,
            paper=PAPER,
            training=Training(
                stages=plan_stages,
                config=TrainingConfig,
                presets=TRAINING_PRESETS,
                needs="frames",
                choose="last",
                metric="J",
                inference_preset="small",
                providers={"flow": "flow"},
                cpu_preset="small-scratch",
                memory_mib=memory_mib,
            ),
        )
    ]
