"""What a step of training takes of memory, from peaks measured at small sizes. Imports no torch."""

from __future__ import annotations

from harness_mug.training.config import TrainingConfig

FIXED_MIB = 150.0
KIB_A_PIXEL = {"small": 1.0, "code": 2.0, "paper": 3.0}
FROZEN = 0.3
"""Of that, where the first stages of the trunk do not learn."""


def memory_mib(config: TrainingConfig) -> float:
    """MiB of one step with the whole batch, in fp32 on a CPU."""
    each = KIB_A_PIXEL[config.architecture] * (FROZEN if config.frozen_stages >= 3 else 1.0)
    pixels = config.videos * config.frames * config.size[0] * config.size[1]
    return FIXED_MIB + pixels * each / 1024
