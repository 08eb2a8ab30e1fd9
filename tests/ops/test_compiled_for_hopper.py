"""Without a GPU: Triton kernels compile for sm_90 and sm_80, fit a block's shared memory, keep to their registers, and
multiply on the tensor cores with fp32 sums.

Needs triton 3.6.0 (extra gpu-dev); the machine code is looked at with the tools it brings.
"""

import os
import pathlib
import re
import subprocess
from typing import NamedTuple

import pytest
import torch

triton = pytest.importorskip("triton", reason="Triton is not installed (extra gpu-dev)")
if os.environ.get("TRITON_INTERPRET"):
    pytest.skip("kernels are interpreted here", allow_module_level=True)

from triton.backends import nvidia  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from harness.ops import local_attention_cuda as local  # noqa: E402
from harness.ops import propagation_cuda as propagation  # noqa: E402
from harness.ops import upsampling_cuda as upsampling  # noqa: E402

SHARED = {90: 232_448, 80: 166_912}
"""Bytes of shared memory a block may ask for: 227 KiB on Hopper, 163 on Ampere (A100)."""
STACK = {"halves": 16, "fp32": 300}
"""Bytes of spilled registers a thread that are let pass. Tiles were chosen by time on Hopper, where fp32, cut in three,
is faster in a large tile that spills some (3.7 ms) than in one that spills nothing (4.4)."""
STACK_AROUND = {90: 0, 80: 256}
"""The same for kernels of local attention."""


class Compiled(NamedTuple):
    """What the compiler made of a kernel."""

    ptx: str
    shared: int
    stack: int


def compile_kernel(
    function, folder: pathlib.Path, types: dict, constants: dict, *, warps=4, stages=3, capability=90
) -> Compiled:
    """As the JIT does it: tensors begin on 16 bytes; ``types`` are those of arguments that are not fp32 tensors."""
    signature, fixed, hints = {}, {}, {}
    for place, name in enumerate(function.arg_names):
        if name in constants:
            signature[name], fixed[place,] = "constexpr", constants[name]
            continue
        signature[name] = types.get(name, "*fp32")
        if signature[name].startswith("*"):
            hints[place,] = [["tt.divisibility", 16]]
    source = ASTSource(function, signature, fixed, hints)
    options = {"num_warps": warps, "num_stages": stages}
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    file = folder / "kernel.cubin"
    file.write_bytes(made.asm["cubin"])
    tool = pathlib.Path(nvidia.__file__).parent / "bin/cuobjdump"
    used = subprocess.run([tool, "--dump-resource-usage", file], capture_output=True, text=True, check=True).stdout
    return Compiled(made.asm["ptx"], made.metadata.shared, int(re.search(r"STACK:(\d+)", used)[1]))


def compile_propagation(folder: pathlib.Path, tile, features: str, channels: int, classes: int, products: str, at: int):
    numbers = dict.fromkeys(("pixels", "width", "references", "classes"), "i32")
    types = {"query": f"*{features}", "keys": f"*{features}", "slots": "*i64", "sigmas": "*fp64", "scale": "fp32"}
    types |= {"places_q": "*fp16", "places_k": "*fp16"}
    constants = {
        "SLOTS": 16,
        "CLASSES": max(16, triton.next_power_of_2(classes)),
        "PRECISION": products,
        "QUERIES": tile.queries,
        "KEYS": tile.keys,
        "LIFT": 0 if features == "fp32" else propagation.LIFT_2,
        **propagation.parts_of(channels, tile.chunk // (4 if features == "fp32" else 2)),
    }
    return compile_kernel(
        propagation.fold_references,
        folder,
        numbers | types,
        constants,
        warps=tile.warps,
        stages=tile.stages,
        capability=at,
    )


@pytest.mark.parametrize("capability", [90, 80])
@pytest.mark.parametrize(
    ("features", "products", "channels", "classes"),
    [
        ("bf16", "tf32x3", 256, 2),
        ("bf16", "tf32x3", 256, 21),
        ("fp16", "tf32x3", 256, 2),
        ("bf16", "tf32x3", 80, 2),
        ("bf16", "tf32x3", 1024, 2),
        ("fp32", "tf32x3", 256, 2),
        ("fp32", "tf32x3", 256, 21),
        ("fp32", "tf32", 256, 2),
        ("fp32", "tf32x3", 80, 2),
    ],
)
def test_the_first_tile_of_the_propagation_that_fits(tmp_path, features, products, channels, classes, capability):
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[features]
    for tile in propagation.tiles_for(dtype, channels, capability // 10):
        made = compile_propagation(tmp_path, tile, features, channels, classes, products, capability)
        if made.shared <= SHARED[capability]:
            break
    else:
        pytest.fail("no tile fits")
    print(features, products, channels, classes, capability, tuple(tile), made.shared, made.stack)
    assert made.stack <= STACK["fp32" if features == "fp32" else "halves"]
    multiply = r"wgmma\.mma_async\S*\.f32\." if capability == 90 else r"mma\.sync\S*\.f32\."
    kinds = set(re.findall(multiply + r"(\w+)", made.ptx))
    assert kinds == {{"fp32": "tf32", "bf16": "bf16", "fp16": "f16"}[features], "f16"}  # f16: distances, labels


@pytest.mark.parametrize("capability", [90, 80])
def test_merging_and_upsampling_spill_nothing(tmp_path, capability):
    numbers = dict.fromkeys(("pixels", "classes", "splits", "height", "width", "columns"), "i32")
    merged = compile_kernel(
        propagation.merge_splits,
        tmp_path,
        numbers,
        {"CLASSES": 32, "QUERIES": propagation.MERGED, "LEAST": propagation.LEAST_2},
        capability=capability,
    )
    types = {**numbers, "ids": "*u8", "mask": "*u8", "scale_y": "fp32", "scale_x": "fp32"}
    constants = {"COLUMNS": upsampling.COLUMNS, "VOID": upsampling.VOID}
    masks = compile_kernel(upsampling._upsample_rows, tmp_path, types, constants, capability=capability)
    assert (merged.stack, masks.stack) == (0, 0)


@pytest.mark.parametrize("capability", [90, 80])
@pytest.mark.parametrize(
    ("features", "products", "classes"),
    [("fp32", "tf32x3", 2), ("fp32", "tf32x3", 21), ("fp32", "tf32", 2), ("bf16", "tf32x3", 21), ("fp16", "tf32x3", 2)],
)
def test_local_attention_spills_nothing_and_multiplies_on_the_tensor_cores(
    tmp_path, features, products, classes, capability
):
    types = dict.fromkeys(("height", "width", "references", "classes", "first", "value_first"), "i32")
    types |= {"query": f"*{features}", "keys": f"*{features}", "key": f"*{features}", "slots": "*i64", "scale": "fp32"}
    types |= {"first": "*i32", "value_first": "*i32"}
    channels = {"CHANNELS": 64, "PADDED": 64}
    padded = {"CLASSES": max(16, triton.next_power_of_2(classes))}
    tile = {"RADIUS": 12, "TILE": local.TILE, "KEYS": local.KEYS, "PRECISION": products} | channels
    gathered = {"SPAN": 26, "QUERIES": local.GATHERED}
    kernels = [
        (local.fold_around, tile | padded | {"HALF": features != "fp32"}, types),
        (local.search_around, tile | {"DILATION": 3}, {**types, "query": "*fp32", "key": "*fp32"}),
        (local.multiply_elsewhere, gathered | channels, types),
        (local.fold_elsewhere, gathered | padded | {"LANES": 32}, types),
    ]
    for kernel, constants, its_types in kernels:
        made = compile_kernel(kernel, tmp_path, its_types, constants, stages=local.STAGES, capability=capability)
        print(kernel.__name__, features, products, classes, capability, made.shared, made.stack)
        assert made.shared <= SHARED[capability], kernel.__name__
        assert made.stack <= STACK_AROUND[capability], kernel.__name__
        multiplies = set(re.findall(r"(?:wgmma\.mma_async|mma\.sync)\S*\.f32\.(\w+)", made.ptx))
        expected = {"fp32": {"tf32"}, "bf16": {"bf16", "f16"}, "fp16": {"f16"}}[features]
        uses = {"fold_around": expected, "search_around": {"tf32"}}.get(kernel.__name__, set())
        assert multiplies == uses, kernel.__name__
