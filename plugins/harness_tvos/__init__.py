"""The card of TVOS: label propagation by dense, long-range affinities (Zhang et al., CVPR 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import BuildContext, Citation, Kernel, Method, Training, TrainingContext, Weights, hookimpl
from harness_tvos.config import PRESETS, Config
from harness_tvos.training import config as training_config
from harness_tvos.training.memory import memory_mib

SHIPPED = "tvos-lite0-davis240p"
# The README of the official code (00826da) links these; the repository's code is MIT, the files state no licence.
PUBLISHED = "https://drive.google.com/open?id="
NOT_STATED = "not stated (code: MIT; training data: non-commercial research)"


def build(context: BuildContext) -> Any:
    """Build the method; torch is imported here and not before."""
    from harness_tvos.method import build

    return build(context)


def build_learner(context: TrainingContext) -> Any:
    """Build what ``harness train`` trains."""
    from harness_tvos.training.learner import TVOSLearner

    return TVOSLearner(context)


def hot_functions() -> Sequence[Kernel]:
    """The kernels, for listings and benches; not called ``kernels``, which is the module."""
    from harness_tvos.kernels import embed, propagate, upsample

    return (embed, propagate, upsample)


def offer(name: str, drive_id: str, trained_on: str) -> Weights:
    """A ResNet-50 checkpoint of the authors, to be fetched by hand and given with ``--weights FILE``."""
    return Weights(
        name=name,
        licence=NOT_STATED,
        url=PUBLISHED + drive_id,
        trained_on=trained_on,
        preset="official",
        note="ResNet-50 in the official .pth.tar format; its sha256 is published nowhere",
    )


@hookimpl
def harness_methods() -> list[Method]:
    return [
        Method(
            name="tvos",
            tasks=("one-shot",),
            build=build,
            summary="Propagates labels from nine earlier frames along affinities of pixels; all objects at once.",
            causality="online",
            config=Config,
            presets=PRESETS,
            kernels=hot_functions,
            weights=(
                Weights(
                    name=SHIPPED,
                    licence="CC-BY-NC-4.0 (that of the training data); ImageNet weights: Apache-2.0",
                    path=Path(__file__).parent / "weights" / f"{SHIPPED}.safetensors",
                    sha256="677cb520617b1bd64d2402d9904c16a606b4d6eb44511657fe97678d6684914e",
                    trained_on="ImageNet labels, then DAVIS 2016 train masks (427x240; 20 of 30 videos, 1 frame in 2)",
                    preset="official",
                    note="EfficientNet-Lite0 to stage 4, made by this project; recipe/ says how",
                ),
                offer("resnet50-davis17-train", "1N5lanFvdRf4CgjjZX4uQU1MMiRinANz9", "DAVIS 2017 train"),
                offer("resnet50-davis17-trainval", "1Zw7FOMXVcoOTczvLiyQ49ABEZRpIlfkR", "DAVIS 2017 train and val"),
                offer("resnet50-youtube-vos-train", "1U6sX9EUpOvDRFyaqDVpsi3plTnI2Witp", "YouTube-VOS 2018 train"),
            ),
            default_weights=SHIPPED,
            training=Training(
                build=build_learner,
                config=training_config.TrainingConfig,
                presets=training_config.PRESETS,
                cpu_preset="small",
                memory_mib=memory_mib,
            ),
            supervision="ImageNet classes and masks of video frames (DAVIS train, or as the weights say)",
            paper=Citation(
                title="A Transductive Approach for Video Object Segmentation",
                authors="Yizhuo Zhang, Zhirong Wu, Houwen Peng, Stephen Lin",
                year=2020,
                url="https://arxiv.org/abs/2004.07193",
            ),
        )
    ]
