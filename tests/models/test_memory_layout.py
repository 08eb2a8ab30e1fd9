"""Where channels lie last, and where not."""

import pytest
import torch

from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES

LAST, FIRST = torch.channels_last, torch.contiguous_format


@pytest.mark.parametrize(
    ("device", "dtype", "tf32", "expected"),
    [
        ("cpu", torch.float32, False, LAST),
        ("cuda:0", torch.float32, False, FIRST),
        ("cuda:0", torch.float32, True, LAST),
        ("cuda:1", torch.bfloat16, False, LAST),
        (torch.device("cuda"), torch.float16, False, LAST),
    ],
)
def test_channels_lie_first_only_where_fp32_is_not_rounded_on_a_gpu(device, dtype, tf32, expected):
    assert fastest_layout(device, dtype, tf32=tf32) is expected


def test_a_training_computes_in_fp32_only_where_that_was_asked_for():
    assert DTYPES["fp32"] == torch.float32
    assert {fastest_layout("cuda", DTYPES[kind], tf32=False) for kind in ("bf16", "fp16")} == {LAST}
    assert fastest_layout("cuda", DTYPES["fp32"], tf32=False) is FIRST
