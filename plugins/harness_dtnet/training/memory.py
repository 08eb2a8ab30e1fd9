"""What a step of training takes of memory, from peaks measured at small sizes. Imports no torch."""

from __future__ import annotations

from harness_dtnet.training.config import TrainingConfig

SMALL_FIXED_MIB, SMALL_KIB_A_PIXEL = 140.0, 4.0
PAPER_FIXED_MIB, PAPER_KIB_A_PIXEL = 580.0, 10.9
"""Of the crops of a batch. Measured on a CPU as growth of resident memory in stage "discovery": small-scratch 423 MiB
with 2 crops of 192, 1283 with 8; paper 2766 with 2 crops of 320. Stage "refiner" was not measured."""


def memory_mib(config: TrainingConfig) -> float:
    """MiB of one step with the whole batch, in fp32 on a CPU."""
    is_small = config.architecture == "small"
    fixed, each = (SMALL_FIXED_MIB, SMALL_KIB_A_PIXEL) if is_small else (PAPER_FIXED_MIB, PAPER_KIB_A_PIXEL)
    return fixed + config.batch * config.crop**2 * each / 1024
