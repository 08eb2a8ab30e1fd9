"""The cards of the two adapted forms of selfsup, made from the card of the propagation they learn from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness import BuildContext, Method
from harness_selfsup.adaptation.config import ADAPTED_PRESETS, CAUSAL_PRESETS, AdaptedConfig, CausalConfig


def build(context: BuildContext) -> Any:
    """Build the per-video form; torch is imported here and not before."""
    from harness_selfsup.adaptation.method import build

    return build(context)


def build_causal(context: BuildContext) -> Any:
    """Build the causal form; torch is imported here and not before."""
    from harness_selfsup.adaptation.method import build_causal

    return build_causal(context)


def make_adapted_forms(propagation: Method) -> list[Method]:
    """Two cards that differ in what they have seen when they answer.

    The encoder is trained, and the kernels are benched, under the card of the propagation.
    """
    adapted = replace(
        propagation,
        name="selfsup-adapted",
        build=build,
        summary="selfsup, whose masks a U-Net learns from scratch in each video; the U-Net's masks are the answer.",
        causality="offline",
        config=AdaptedConfig,
        presets=ADAPTED_PRESETS,
        kernels=tuple,
        training=None,
    )
    causal = replace(
        adapted,
        name="selfsup-causal",
        build=build_causal,
        summary="selfsup-adapted that never looks ahead: the U-Net learns on while the video goes on.",
        causality="online",
        config=CausalConfig,
        presets=CAUSAL_PRESETS,
    )
    return [adapted, causal]
