"""The cards of MuG: one model from unlabelled videos, for objects, instances and prompts (Lu et al., CVPR 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import BuildContext, Citation, Kernel, Method, Stage, Training, Weights, hookimpl
from harness_mug.config import (
    INSTANCE_PRESETS,
    OBJECT_PRESETS,
    PRESETS,
    Config,
    InstanceConfig,
    ObjectConfig,
)
from harness_mug.training.config import PRESETS as TRAINING_PRESETS
from harness_mug.training.config import TrainingConfig
from harness_mug.training.memory import memory_mib

PAPER = Citation(
    title="Learning Video Object Segmentation from Unlabeled Videos",
    authors="Xiankai Lu, Wenguan Wang, Jianbing Shen, Yu-Wing Tai, David Crandall, Steven C. H. Hoi",
    year=2020,
    url="https://arxiv.org/abs/2003.05020",
)
SUPERVISION = (
    "no mask; the trunk of mug-davis-small, and the untrained one, ImageNet's labels; mug-davis-small-scratch none; "
    "a provider of initial maps what it was made with"
)
SHIPPED = "mug-davis-small"
TWIN = "mug-davis-small-scratch"
WEIGHTS = (
    Weights(
        name=SHIPPED,
        licence="CC-BY-NC-4.0 (that of the training data)",
        path=Path(__file__).parent / "weights" / f"{SHIPPED}.safetensors",
        sha256="592e512a3f985e343a3bcf891daed44037f47a562411e39ef57f45db5dd3d443",
        trained_on="27 of the 30 videos of DAVIS 2016 train at 427x240, frames only; two rounds",
        preset="small",
        note="learnt from what moves in these frames (DIS flow); trunk from ImageNet labels, and no mask",
    ),
    Weights(
        name=TWIN,
        licence="CC-BY-NC-4.0 (that of the training data)",
        path=Path(__file__).parent / "weights" / f"{TWIN}.safetensors",
        sha256="862a61697f7292945b3b7507e2f69bbe5362bee736df4640e659f240757e0954",
        trained_on="27 of the 30 videos of DAVIS 2016 train at 427x240, frames only; single frames, then two rounds",
        preset="small-scratch",
        note="learnt from what moves in these frames (DIS flow), from nothing: no label and no mask",
    ),
)


def build_objects(context: BuildContext) -> Any:
    """Build object-level zero-shot; torch is imported here and not before, as below."""
    from harness_mug.method import build

    return build(context)


def build_instances(context: BuildContext) -> Any:
    """Build instance zero-shot."""
    from harness_mug.instances.method import build

    return build(context)


def build_one_shot(context: BuildContext) -> Any:
    """Build one-shot propagation."""
    from harness_mug.one_shot.method import build

    return build(context)


def plan_stages(config: TrainingConfig) -> Sequence[Stage]:
    """The stages of ``harness train``; torch is imported here and not before."""
    from harness_mug.training.stages import plan_stages

    return plan_stages(config)


def hot_functions() -> Sequence[Kernel]:
    """The kernels of zero-shot and of training, for listings; not called ``kernels``, which is the module."""
    from harness_mug.kernels import aggregate, aggregate_twice, correlate

    return (aggregate, aggregate_twice, correlate)


def hot_functions_of_one_shot() -> Sequence[Kernel]:
    """The kernel of propagation."""
    from harness_mug.kernels import spread

    return (spread,)


@hookimpl
def harness_methods() -> list[Method]:
    training = Training(
        stages=plan_stages,
        config=TrainingConfig,
        presets=TRAINING_PRESETS,
        needs="frames",
        choose="last",
        metric="J",
        inference_preset="small",
        providers={"saliency": "saliency"},
        cpu_preset="small-scratch",
        memory_mib=memory_mib,
    )
    return [
        Method(
            name="mug",
            tasks=("one-shot",),
            build=build_one_shot,
            summary="Hands labels on from the prompted and the last frame by features learnt from unlabelled videos.",
            causality="online",
            config=Config,
            presets=PRESETS,
            kernels=hot_functions_of_one_shot,
            supervision=SUPERVISION,
            weights=WEIGHTS,
            default_weights=SHIPPED,
            paper=PAPER,
        ),
        Method(
            name="mug-zvos",
            tasks=("object-zvos",),
            build=build_objects,
            summary="Reads the object out of each frame against eight of its video; learnt from unlabelled videos.",
            causality="offline",
            config=ObjectConfig,
            presets=OBJECT_PRESETS,
            kernels=hot_functions,
            training=training,
            providers={"saliency": "saliency"},
            supervision=SUPERVISION,
            weights=WEIGHTS,
            default_weights=SHIPPED,
            paper=PAPER,
        ),
        Method(
            name="mug-instances",
            tasks=("instance-zvos",),
            build=build_instances,
            summary="Proposals within the foreground of mug-zvos, linked by overlap along the flow; at most 20 tracks.",
            causality="offline",
            config=InstanceConfig,
            presets=INSTANCE_PRESETS,
            providers={"saliency": "saliency", "proposals": "proposals", "flow": "flow"},
            supervision=SUPERVISION,
            weights=WEIGHTS,
            default_weights=SHIPPED,
            paper=PAPER,
        ),
    ]
