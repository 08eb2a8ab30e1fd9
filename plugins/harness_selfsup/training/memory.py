"""What a step of training takes of memory, from peaks measured at small sizes. Imports no torch."""

from __future__ import annotations

from harness_selfsup.training.config import TrainingConfig

FIXED_MIB = 150.0
KIB_A_PIXEL = 3.9
"""Of all frames of a batch. Measured on a CPU as growth of resident memory: 423 MiB in preset small-pairwise, 699 with
twice its batch, 727 with 2 pairs of 192, 1281 with one pair of 384. References without gradient take less."""


def memory_mib(config: TrainingConfig) -> float:
    """MiB of one step with the whole batch, in fp32 on a CPU."""
    return FIXED_MIB + config.batch * (config.references + 1) * config.size**2 * KIB_A_PIXEL / 1024
