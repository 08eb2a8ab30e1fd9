"""Memory on a CPU: what a method adds, whatever the process did before and what the harness keeps meanwhile."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from harness.api.contracts import Method
from harness.api.held_memory import leave_out_compilers, read_compilers_mib, read_held_mib
from harness.hosting.added_memory import AddedMemory, Building
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.runner import run

MIB = 2**20
pytestmark = pytest.mark.skipif(read_held_mib() is None, reason="the C library does not tell what it has handed out")


def block(mib):
    return torch.ones(mib * MIB, dtype=torch.uint8)


def lap(memory, work, *, kept=0, quiet=True):
    memory.begin(kept, quiet=quiet)
    made = work()
    memory.end()
    return made


def test_what_is_held_and_what_is_needed_for_a_moment_add_up():
    with Building() as building:
        weights = block(32)
    memory = AddedMemory(building.mib)
    kept = [weights, *(lap(memory, lambda: block(8)) for _ in range(2))]
    lap(memory, lambda: block(64).numel())
    assert memory.read() == pytest.approx(32 + 8 + 8 + 64, abs=2)
    assert [piece.numel() / MIB for piece in kept] == [32, 8, 8]


def test_pages_that_were_freed_before_and_not_given_back_hide_nothing():
    small = [np.ones(64 * 1024, np.uint8) for _ in range(1024)]  # 64 MiB below what malloc maps one by one
    del small[::2]
    memory = AddedMemory(0.0)
    lap(memory, lambda: len([np.ones(64 * 1024, np.uint8) for _ in range(512)]))
    assert memory.read() == pytest.approx(32, abs=3)
    assert len(small) == 512


HEAP_THAT_CANNOT_SHRINK = """
import ctypes
import numpy as np
from harness.hosting.added_memory import AddedMemory

large = [np.ones(30 << 20, np.uint8)]
large.clear()  # from here on, arrays of this size lie in the heap
last = [np.ones(20 << 20, np.uint8) for _ in range(2)]
ctypes.CDLL(None).sbrk(ctypes.c_long(4096))  # somebody else moves its end
last.clear()
for _ in range(2):
    memory = AddedMemory(0.0)
    memory.begin(0)
    block = np.ones(8 << 20, np.uint8)
    memory.end()
    print(memory.read())
    del block
"""


def test_free_pages_at_the_end_of_a_heap_that_cannot_shrink_hide_nothing():
    small_pages = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}  # pages of 2 MiB would round up
    command = [sys.executable, "-c", HEAP_THAT_CANNOT_SHRINK]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=small_pages)
    assert [float(line) for line in told.stdout.split()] == pytest.approx([8, 8], abs=0.5)


def test_what_happens_between_laps_is_not_the_methods():
    memory = AddedMemory(0.0)
    lap(memory, lambda: None)
    rule = block(128)
    del rule
    lap(memory, lambda: None)
    assert memory.read() == pytest.approx(0, abs=1)


def test_what_scoring_keeps_between_two_quiet_laps_is_not_the_methods():
    memory = AddedMemory(0.0)
    kept = lap(memory, lambda: block(8))
    rule = block(32)
    lap(memory, lambda: None)
    assert memory.read() == pytest.approx(8, abs=1)
    assert (kept.numel(), rule.numel()) == (8 * MIB, 32 * MIB)


def test_frames_that_the_harness_keeps_are_not_the_methods():
    frames = []
    memory = AddedMemory(0.0)
    for _ in range(3):
        lap(memory, lambda: None, kept=sum(frame.numel() for frame in frames))
        frames.append(block(16))
    lap(memory, lambda: None, kept=3 * 16 * MIB)
    assert memory.read() == pytest.approx(0, abs=1)


def test_laps_of_warm_up_count_for_what_they_leave_and_not_for_what_they_needed():
    memory = AddedMemory(0.0, warm_up=1)
    kept = lap(memory, lambda: (block(100), block(8))[1])
    lap(memory, lambda: block(4).numel())
    assert memory.read() == pytest.approx(8 + 4, abs=1)
    assert kept.numel() == 8 * MIB


def test_what_compilers_leave_is_not_the_methods():
    def compile_block():
        with leave_out_compilers(), leave_out_compilers():
            return block(48)

    before = read_compilers_mib()
    with Building() as building:
        first = compile_block()
        weights = block(16)
    memory = AddedMemory(building.mib, warm_up=1)
    kept = [first, weights, lap(memory, compile_block), lap(memory, lambda: block(8))]
    assert memory.read() == pytest.approx(16 + 8, abs=2)
    assert read_compilers_mib() - before == pytest.approx(96, abs=2)
    assert len(kept) == 4


def test_a_lap_beside_a_busy_reader_counts_when_it_needs_much_more():
    memory = AddedMemory(0.0, frame_bytes=MIB)
    lap(memory, lambda: None)
    lap(memory, lambda: block(64).numel(), quiet=False)
    assert 64 - 4 - 1 <= memory.read() <= 64 + 1


class Hoarder:
    """Holds 24 MiB from the start and 2 MiB more a frame, and needs 16 MiB for a moment."""

    def __init__(self, context):
        self.weights = block(24)

    def propagate(self, video, prompts):
        kept = []
        for frame in range(len(video)):
            kept.append(block(2))
            block(16)
            yield prompts[0] * (video[frame].shape[2] == 3)


@pytest.mark.parametrize("causality", ["online", "offline"])
def test_a_run_tells_what_its_method_takes(tmp_path, tests_tools, causality):
    method = Method(name="hoarder", tasks=("one-shot",), build=Hoarder, causality=causality)
    catalog = tests_tools.catalog_of(method)
    plan = resolve(Request(plugin="hoarder", bench="tiny"), catalog)
    record = run(plan, tmp_path / "run", catalog)
    assert record.timing.added_memory_mib == pytest.approx(24 + 5 * 2 + 16, abs=2)
