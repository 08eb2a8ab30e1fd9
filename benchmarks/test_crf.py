"""Dense CRF against pydensecrf, the program of its authors: CPU seconds of one thread, and pixels that differ.

The two take turns in one process and the least of three counts, so that other work on the machine does not.
"""

import importlib.util
import time

import pytest
import torch

from harness.ops.crf import CLASSIC, IMAS, MATNET, lattice_loops, refine, unary_of_labels

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("pydensecrf") is None, reason="pydensecrf is not installed (extra crf)"
    ),
    pytest.mark.skipif(not lattice_loops.place_pixels.is_compiled, reason="no Numba here"),
]
SLOWEST = 1.2
"""Times the CPU seconds of pydensecrf."""


def scene(labels: int):
    """A textured frame of 854 x 480 with patches of colour, and soft masks of patches that lie a little aside."""
    generator = torch.Generator().manual_seed(0)
    size = (480, 854)
    patches = 255 * torch.rand(1, 3, 7, 12, generator=generator)
    frame = torch.nn.functional.interpolate(patches, size=size, mode="bicubic") + 6 * torch.randn(
        1, 3, *size, generator=generator
    )
    soft = torch.nn.functional.interpolate(
        torch.rand(1, labels, 8, 14, generator=generator), size=size, mode="bilinear"
    )
    frames = frame.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return frames, unary_of_labels((8 * soft).softmax(1))


@pytest.mark.parametrize("labels", [2, 3, 5, 11])
@pytest.mark.parametrize("crf", [IMAS, MATNET, CLASSIC], ids=["imas", "matnet", "classic"])
def test_compiled_against_pydensecrf(benchmark, crf, labels):
    frames, unary = scene(labels)
    answers, seconds = {}, {"compiled": [], "pydensecrf": []}
    for _ in range(3):
        for backend, found in seconds.items():
            start = time.process_time()
            answers[backend] = refine(frames, unary, crf, backend)
            found.append(time.process_time() - start)
    benchmark.pedantic(refine, (frames, unary, crf, "compiled"), rounds=1)
    ours, theirs = (min(found) for found in seconds.values())
    changed = int((answers["compiled"].argmax(1) != answers["pydensecrf"].argmax(1)).sum())
    benchmark.extra_info.update(cpu_seconds=ours, cpu_seconds_of_pydensecrf=theirs, changed_pixels=changed)
    print(f"\n{labels} labels: {changed} pixels differ, CPU s {ours:.3f}, pydensecrf {theirs:.3f}, {ours / theirs:.2f}")
    assert changed <= 1e-4 * unary[0, 0].numel()
    assert ours < SLOWEST * theirs
