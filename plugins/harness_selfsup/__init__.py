"""The card of selfsup: masks propagated by a self-supervised momentum memory (Zhu et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import BuildContext, Citation, Kernel, Learner, Method, Training, TrainingContext, Weights, hookimpl
from harness_selfsup.adaptation.cards import make_adapted_forms
from harness_selfsup.config import PRESETS, Config
from harness_selfsup.training.config import PRESETS as TRAINING_PRESETS
from harness_selfsup.training.config import TrainingConfig
from harness_selfsup.training.memory import memory_mib

PAPER = Citation(
    title="Self-supervised Video Object Segmentation",
    authors="Fangrui Zhu, Li Zhang, Yanwei Fu, Guodong Guo, Weidi Xie",
    year=2020,
    url="https://github.com/fangruizhu/self_sup_semiVOS",  # as the paper prints it
)
SHIPPED = "selfsup-davis240p"
WEIGHTS = (
    Weights(
        name=SHIPPED,
        licence="CC-BY-NC-4.0 (that of the training data)",
        path=Path(__file__).parent / "weights" / f"{SHIPPED}.safetensors",
        sha256="4138fe1446070dd8dd31eefc04126350df90e3f320ddc80c2be43ef8b21ae9b9",
        trained_on="DAVIS 2016 train at 427x240, frames only, 20 of 30 videos, 1 frame in 2",
        preset="correct",
        note="pairwise reconstruction, made by this project; recipe/ says how",
    ),
    Weights(
        name="mast-youtube-vos",
        licence="not stated (the repository names none; training data: YouTube-VOS)",
        url="https://drive.google.com/file/d/1vjiBdom75QzwCF5jnMRsxz897XyotVO8/view",
        trained_on="YouTube-VOS 2018 train, frames only",
        preset="mast",
        note="of MAST (Lai et al. 2020), linked in zlai0/MAST at a57b043; its sha256 is published nowhere",
    ),
)


def build(context: BuildContext) -> Any:
    """Build the method; torch is imported here and not before."""
    from harness_selfsup.method import build

    return build(context)


def build_learner(context: TrainingContext) -> Learner:
    """Build what ``harness train`` trains; torch is imported here and not before."""
    from harness_selfsup.training.learner import build

    return build(context)


def hot_functions() -> Sequence[Kernel]:
    """The kernels, for listings and benches; not called ``kernels``, which is the module."""
    from harness_selfsup.kernels import attend, coarse_offsets

    return (attend, coarse_offsets)


@hookimpl
def harness_methods() -> list[Method]:
    propagation = Method(
        name="selfsup",
        tasks=("one-shot",),
        build=build,
        summary="Propagates masks from five earlier frames by windows of affinities learnt from raw video.",
        causality="online",
        config=Config,
        presets=PRESETS,
        kernels=hot_functions,
        weights=WEIGHTS,
        default_weights=SHIPPED,
        supervision="none (frames only)",
        paper=PAPER,
        training=Training(
            build_learner,
            TrainingConfig,
            TRAINING_PRESETS,
            needs="frames",
            choose="last",
            cpu_preset="small-pairwise",
            memory_mib=memory_mib,
        ),
    )
    return [propagation, *make_adapted_forms(propagation)]
