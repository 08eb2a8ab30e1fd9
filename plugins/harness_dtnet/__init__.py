"""The cards of D-Net / T-Net: objects discovered in each frame and associated over time (Zhou et al., CVPR 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import BuildContext, Citation, Kernel, Method, Stage, Training, Weights, hookimpl
from harness.api.tasks import TaskName
from harness_dtnet.config import DISCOVERY_PRESETS, PRESETS, Config, DiscoveryConfig
from harness_dtnet.training.config import PRESETS as TRAINING_PRESETS
from harness_dtnet.training.config import TrainingConfig
from harness_dtnet.training.memory import memory_mib

PAPER = Citation(
    title="Target-Aware Object Discovery and Association for Unsupervised Video Multi-Object Segmentation",
    authors="Tianfei Zhou, Jianwu Li, Xueyi Li, Ling Shao",
    year=2021,
    url="https://arxiv.org/abs/2104.04782",
)
SUPERVISION = "ImageNet classes (trunks) and instance masks of video frames"
SHIPPED = "dtnet-davis-mini-small"
TRAINED_ON = "25 of the 30 videos of DAVIS 2016 train at 427x240 with masks, 24 generated videos of mini-train"
LITE = "EfficientNet-Lite0 from ImageNet labels, made by this project; the README says how"


def describe_weights(name: str, sha256: str, note: str, default_for: tuple[TaskName, ...] = ()) -> Weights:
    """An entry of weights of this project: all learnt from the same data, for preset ``small``."""
    return Weights(
        name=name,
        licence="CC-BY-NC-4.0 (that of the training data)",
        path=Path(__file__).parent / "weights" / f"{name}.safetensors",
        sha256=sha256,
        trained_on=TRAINED_ON,
        preset="small",
        note=note,
        default_for=default_for,
    )


WEIGHTS = (
    describe_weights(
        SHIPPED, "b7b4caec9cbd91c4c2e0555e8da903a5617d7e510554acc6e33d9e7266494371", f"no categories; {LITE}"
    ),
    describe_weights(
        f"{SHIPPED}-categories",
        "ccdf01eb7e6ccb0ce67309c3f46ec805619a472fd9d3ea6e9d3a411e94248031",
        f"the six categories of mini; {LITE}",
        default_for=("vis",),
    ),
)


def build(context: BuildContext) -> Any:
    """Build the whole method; torch is imported here and not before."""
    from harness_dtnet.method import build

    return build(context)


def build_discovery(context: BuildContext) -> Any:
    """Build D-Net alone; torch is imported here and not before."""
    from harness_dtnet.discovery.method import build

    return build(context)


def plan_stages(config: TrainingConfig) -> Sequence[Stage]:
    """The stages of ``harness train``; torch is imported here and not before."""
    from harness_dtnet.training.stages import plan_stages

    return plan_stages(config)


def hot_functions() -> Sequence[Kernel]:
    """The kernels, for listings and benches; not called ``kernels``, which is the module."""
    from harness_dtnet.kernels import fit_targets, gate, group_pixels

    return (fit_targets, group_pixels, gate)


@hookimpl
def harness_methods() -> list[Method]:
    training = Training(
        stages=plan_stages,
        config=TrainingConfig,
        presets=TRAINING_PRESETS,
        needs="tracks",
        inference_preset="small",
        cpu_preset="small-scratch",
        memory_mib=memory_mib,
    )
    return [
        Method(
            name="dtnet",
            tasks=("instance-zvos", "vis"),
            build=build,
            summary="Discovers objects in each frame and follows each by a model of its own, verified by appearance.",
            causality="online",
            config=Config,
            presets=PRESETS,
            kernels=hot_functions,
            training=training,
            supervision=SUPERVISION,
            weights=WEIGHTS,
            default_weights=SHIPPED,
            paper=PAPER,
        ),
        Method(
            name="dnet",
            tasks=("object-zvos", "vis"),
            build=build_discovery,
            summary="Proposals and foreground of each frame on its own, helped by the foreground of the frame before.",
            causality="online",
            config=DiscoveryConfig,
            presets=DISCOVERY_PRESETS,
            supervision=SUPERVISION,
            weights=WEIGHTS,
            default_weights=SHIPPED,
            paper=PAPER,
        ),
    ]
