"""The kernels of selfsup: their fast forms against the plain ones, and which form runs where."""

import os
import subprocess
import sys

import pytest
import torch

from harness.ops.local_attention_tiled import attend_tiled, coarse_offsets_tiled
from harness_selfsup.kernels import attend, coarse_offsets

KERNELS = [attend, coarse_offsets]


def in_double(value):
    """The same arguments, every tensor in double precision."""
    if isinstance(value, torch.Tensor):
        return value.double()
    if isinstance(value, dict):
        return {name: in_double(part) for name, part in value.items()}
    return [in_double(part) for part in value] if isinstance(value, tuple | list) else value


def ids_of(kernel):
    return kernel.name


@pytest.mark.parametrize("kernel", KERNELS, ids=ids_of)
def test_fast_form_equals_plain_in_double(kernel):
    example = kernel.example("cpu")[0]
    args, kwargs = in_double(example.args), in_double(dict(example.kwargs))
    assert (kernel(*args, **kwargs) - kernel.reference(*args, **kwargs)).abs().max() < 1e-10


@pytest.mark.parametrize("kernel", KERNELS, ids=ids_of)
def test_fast_form_equals_plain_in_single(kernel):
    example = kernel.example("cpu")[0]
    plain = kernel.reference(*in_double(example.args), **in_double(dict(example.kwargs)))
    assert (kernel(*example.args, **example.kwargs) - plain).abs().max() < kernel.tolerance


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS, ids=ids_of)
def test_fast_form_equals_plain_at_half_of_480p(kernel):
    example = kernel.example("cpu")[1]
    assert example.name.startswith("60x107")
    plain = kernel.reference(*example.args, **example.kwargs)
    fast = kernel(*example.args, **example.kwargs)
    assert (fast - plain).abs().max() < kernel.tolerance


def test_examples_have_references_around_offsets_and_around_pixels():
    for example in attend.example("cpu")[:2]:
        kinds = [offset is None for offset in example.kwargs["offsets"]]
        assert any(kinds)
        assert not all(kinds)


def test_search_finds_how_the_example_has_moved():
    example = coarse_offsets.example("cpu")[1]
    found = coarse_offsets(*example.args, **example.kwargs)[10:-10, 10:-10]
    assert (found.mean((0, 1)) - torch.tensor((3.0, -5.0))).abs().max() < 1.5  # in steps of 3


def test_work_and_traffic_at_480p():
    query, keys, values = torch.empty(120, 214, 64), torch.empty(5, 120, 214, 64), torch.empty(5, 2, 120, 214)
    pixels = 120 * 214
    assert attend.flops(query, keys, values, range(4)) == 2 * pixels * 4 * 625 * (64 + 2)
    assert attend.bytes(query, keys, values, range(4)) == 4 * pixels * 5 * (64 + 2)
    assert coarse_offsets.flops(query, keys[0], dilation=2) == 2 * pixels * 625 * 64
    assert coarse_offsets.bytes(query, keys[0], dilation=2) == 4 * pixels * 2 * (64 + 1)


@pytest.mark.slow
def test_without_numba_the_tiled_form_runs():
    script = (
        "from harness_selfsup import kernels\n"
        "print(kernels.attend_compiled is kernels.attend_tiled)\n"
        "print(kernels.coarse_offsets_compiled is kernels.coarse_offsets_tiled)\n"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "True"], done.stderr


INTERPRETED = """
import torch
from harness.ops.local_attention_cuda import attend_fused, coarse_offsets_fused
from harness.ops.local_attention_plain import attend_plain, coarse_offsets_plain

generator = torch.Generator().manual_seed(0)
query = torch.randn(5, 9, 6, generator=generator)
keys = torch.randn(3, 5, 9, 6, generator=generator)
values = torch.rand(3, 3, 5, 9, generator=generator)
one, other = (4 * torch.randn(2, 5, 9, 2, generator=generator)).unbind(0)
for kwargs in ({}, {"offsets": (one, None, None)}, {"offsets": (None, one), "value_offsets": (None, other)}):
    for dtype in (torch.float32, torch.float16):
        given = query.to(dtype), keys.to(dtype), values, (2, 0, 1)[: len(kwargs.get("offsets", "abc"))]
        fused = attend_fused(*given, **kwargs, radius=1, temperature=0.5)
        print(float((fused - attend_plain(*given, **kwargs, radius=1, temperature=0.5)).abs().max()))
for dilation in (1, 2, 3):
    fused = coarse_offsets_fused(query, keys[0], dilation=dilation, radius=2)
    print(float((fused - coarse_offsets_plain(query, keys[0], dilation=dilation, radius=2)).abs().max()))
"""


def test_triton_kernels_in_the_interpreter_equal_plain(tmp_path, triton_interpreter):
    script = tmp_path / "interpreted.py"
    script.write_text(INTERPRETED)
    done = subprocess.run([sys.executable, script], env=triton_interpreter, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    errors = [float(line) for line in done.stdout.split()]
    assert len(errors) == 9
    assert max(errors[1:6:2]) < 2**-11  # weights in fp16
    assert max(errors[:6:2] + errors[6:]) < 1e-4


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", KERNELS, ids=ids_of)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_triton_kernels_equal_plain_on_a_gpu(kernel, dtype):
    for example in kernel.example("cuda"):
        features = [part.to(dtype) if isinstance(part, torch.Tensor) else part for part in example.args]
        if kernel is attend:
            features[2] = example.args[2]  # values stay fp32
        exact = [part.float() if isinstance(part, torch.Tensor) else part for part in features]
        plain = kernel.reference(*exact, **example.kwargs)
        assert (kernel(*features, **example.kwargs) - plain).abs().max() < kernel.tolerance


@pytest.mark.gpu
def test_tiled_forms_equal_plain_on_a_gpu():
    for kernel, tiled in ((attend, attend_tiled), (coarse_offsets, coarse_offsets_tiled)):
        for example in kernel.example("cuda"):
            plain = kernel.reference(*example.args, **example.kwargs)
            assert (tiled(*example.args, **example.kwargs) - plain).abs().max() < kernel.tolerance


def test_in_another_precision_features_are_rounded_and_labels_and_positions_are_not():
    assert {example.rounded for example in attend.example("cpu")} == {(0, 1)}
    assert {example.rounded for example in coarse_offsets.example("cpu")} == {()}
