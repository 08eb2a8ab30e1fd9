"""What a step of training takes of memory, from peaks measured at small sizes. Imports no torch."""

from __future__ import annotations

from harness_imas.training.config import TrainingConfig

FIXED_MIB = 150.0
LITE0_KIB_A_PIXEL = 1.9
RESNET_KIB_A_PIXEL = 9.2
"""Of both frames of all pairs. Measured on a CPU as growth of resident memory in stage "motion": lite0 410 MiB with 2
pairs of 192, 1190 with 8; imas 2807 with one pair of 384; rcf was not measured. A frozen backbone takes less."""


def memory_mib(config: TrainingConfig) -> float:
    """MiB of one step with the whole batch, in fp32 on a CPU."""
    each = LITE0_KIB_A_PIXEL if config.architecture == "lite0" else RESNET_KIB_A_PIXEL
    return FIXED_MIB + config.batch * 2 * config.crop**2 * each / 1024
