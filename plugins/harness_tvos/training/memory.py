"""What a step of training takes of memory, from peaks measured at small sizes. Imports no torch."""

from __future__ import annotations

from harness_tvos.training.config import TrainingConfig

FIXED_MIB = 80.0
KIB_A_PIXEL = {"r18": 2.4, "r50": 5.0, "r101": 8.0}
"""Of all frames of a batch. Measured on a CPU as growth of resident memory: r18 661 MiB in preset small; r50 929 with
one clip of ten crops of 128, 1778 with two, 2746 with one of 256 (4.3 to 5.4 a pixel). r101 is r50's by depth."""
LITE0_KIB_A_PIXEL = 2.4
"""As r18's; not measured."""


def memory_mib(config: TrainingConfig) -> float:
    """MiB of one step with the whole batch, in fp32 on a CPU."""
    side = max(config.crop, config.late_crop)
    pixels = config.batch * (config.references + 1) * side**2
    return FIXED_MIB + pixels * KIB_A_PIXEL.get(config.architecture, LITE0_KIB_A_PIXEL) / 1024
