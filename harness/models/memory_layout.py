"""How the numbers of images and weights lie in memory: what convolutions are fastest with."""

from __future__ import annotations

import torch


def fastest_layout(device: str | torch.device, dtype: torch.dtype, *, tf32: bool) -> torch.memory_format:
    """Channels last, except for fp32 on CUDA that is not rounded to TF32.

    There cuDNN's channels-last convolutions are slow and take gigabytes: on an H200 a ResNet-18 at 480 x 854 took
    12.5 ms channels last and 3.5 ms channels first, in TF32 .63 and .87 ms, in bf16 .51 and .71 ms (2026-11-28).
    """
    is_slow = torch.device(device).type == "cuda" and dtype == torch.float32 and not tf32
    return torch.contiguous_format if is_slow else torch.channels_last
