"""The dtypes of the precisions a run can ask for."""

from __future__ import annotations

import torch

from harness.api.records import Precision

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
