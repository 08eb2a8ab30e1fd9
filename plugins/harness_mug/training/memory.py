"""What a step of training takes of memory, from peaks measured at small sizes. Imports no torch."""

from __future__ import annotations

from harness_mug.training.config import TrainingConfig

FIXED_MIB = 150.0
KIB_A_PIXEL = {"small": 1.7, "code": 4.2, "paper": 11.2}
"""Of all frames of a batch. Measured on a CPU as growth of resident memory over two steps: small 2,654 MiB with two
videos, the others with one video of two segments at 128 x 128 (547 and 1,217 MiB)."""
FROZEN = {0: 1.0, 1: 1.0, 2: 0.7, 3: 0.4, 4: 0.2, 5: 0.06}
"""Of that, by how many stages of the trunk do not learn: 1,086 MiB at 3, and 1,363 with four videos whose maps are
kept; 380 at 5 with four; the others lie between."""
KEPT_KIB = 0.6
"""Of a pixel where the trunk's maps are computed again on the way back, a video at a time: x, its projections and r."""


def memory_mib(config: TrainingConfig) -> float:
    """MiB of one step of the larger stage with the whole batch, in fp32 on a CPU."""
    each = KIB_A_PIXEL[config.architecture]
    frame = config.size[0] * config.size[1] / 1024
    video = config.frames * frame
    if config.checkpoint:
        of_rounds = video * (each * FROZEN[config.frozen_stages] + config.videos * KEPT_KIB)
    else:
        of_rounds = config.videos * video * each * FROZEN[config.frozen_stages]
    of_frames = config.frames_batch * frame * each * FROZEN[config.frames_frozen_stages]
    if not config.frames_iterations:
        of_frames = 0.0
    return FIXED_MIB + max(of_rounds, of_frames)
