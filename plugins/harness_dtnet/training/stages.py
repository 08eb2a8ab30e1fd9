"""The stages of a training of D-Net and T-Net, torch and all."""

from __future__ import annotations

from collections.abc import Sequence

from harness import Stage
from harness_dtnet.training.config import TrainingConfig
from harness_dtnet.training.learner import DiscoveryLearner
from harness_dtnet.training.refinement import RefinerLearner

DISCOVERY, REFINER = "discovery", "refiner"


def plan_stages(config: TrainingConfig) -> Sequence[Stage]:
    """The stages of a config, in their order."""
    first = [Stage(DISCOVERY, build=DiscoveryLearner)] if config.iterations else []
    return [*first, *([Stage(REFINER, build=RefinerLearner)] if config.refiner_iterations else [])]
