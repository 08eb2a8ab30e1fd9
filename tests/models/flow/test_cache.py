"""The cache keeps every pair to half a step, goes on after a kill, and makes anew what is not whole."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from harness.models.flow import flow_provider
from harness.models.flow.cache import keep_flow

STEP = 20 / 127


class Ramp:
    """The flow of (x, y) is (x - 4, 10 * y), there; back it is the opposite. Counts how often it is asked."""

    def __init__(self, name="ramp", word="1"):
        self.name, self.word, self.asked = name, word, 0

    def between(self, first, second, places=None):
        self.asked += 1
        assert [place.video for place in places] == ["first"] * 2
        there = int(places[1].frame) - int(places[0].frame)
        rows, columns = torch.meshgrid(
            *(torch.arange(side, dtype=torch.float32) for side in first.shape[:2]), indexing="ij"
        )
        return there * torch.stack([columns - 4, 10 * rows])

    def fingerprint(self, video):
        return self.word


@pytest.fixture
def sample(tests_tools):
    return tests_tools.tiny_sample("first")


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_pair_is_kept_at_the_centres_of_the_cells_to_half_a_step(tmp_path, sample):
    cache = keep_flow([sample], Ramp(), tmp_path, grid=(2, 3))
    rows, columns = ((np.arange(n) + 0.5) * side // n for n, side in ((2, sample.height), (3, sample.width)))
    forward, backward = cache.pair(0, 1)
    expected = torch.tensor(np.stack(np.meshgrid(columns - 4, 10 * rows))).clamp(-20, 20)
    assert forward.dtype == torch.float16
    assert (forward - expected).abs().max() <= STEP / 2 + 0.01
    assert torch.equal(backward, -forward)
    assert cache.pairs[0] == sample.length - 1
    with pytest.raises(IndexError, match="has pairs 0"):
        cache.pair(0, sample.length - 1)


def test_what_is_there_is_not_made_again_and_progress_reaches_all(tmp_path, sample):
    provider, told = Ramp(), []
    keep_flow([sample], provider, tmp_path, grid=(2, 3), progress=lambda done, total: told.append((done, total)))
    assert provider.asked == 2 * (sample.length - 1)
    assert told == [*((t, sample.length) for t in range(1, sample.length)), (sample.length, sample.length)]
    again = Ramp()
    assert keep_flow([sample], again, tmp_path, grid=(2, 3)).pairs[0] == sample.length - 1
    assert again.asked == 0


def test_another_grid_clamp_or_provider_is_another_file(tmp_path, sample):
    for provider, grid, clamp in [
        (Ramp(), (2, 3), 20.0), (Ramp(), (3, 2), 20.0), (Ramp(), (2, 3), 10.0), (Ramp(word="2"), (2, 3), 20.0),
    ]:  # fmt: skip
        keep_flow([sample], provider, tmp_path, grid=grid, clamp=clamp)
    assert len(files(tmp_path)) == 4
    assert all(name.endswith((".ramp.2x3.npy", ".ramp.3x2.npy")) for name in files(tmp_path))


def damage(content: bytes, how: str) -> bytes:
    match how:
        case "cut":
            return content[:-40]
        case "empty":
            return b""
        case "a bit":
            return content[:130] + bytes([content[130] ^ 1]) + content[131:]
        case "the seal":
            return content[:-1] + bytes([content[-1] ^ 1])
        case _:
            return b"x" * len(content)


@pytest.mark.parametrize("how", ["cut", "empty", "a bit", "the seal", "other bytes"])
def test_a_file_that_is_not_whole_is_made_anew(tmp_path, sample, how):
    before = keep_flow([sample], Ramp(), tmp_path, grid=(2, 3)).pair(0, 0)
    (name,) = files(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(damage(content, how))
    provider = Ramp()
    after = keep_flow([sample], provider, tmp_path, grid=(2, 3)).pair(0, 0)
    assert provider.asked > 0
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert (tmp_path / name).read_bytes() == content


def test_a_file_is_an_npy_that_anybody_reads(tmp_path, sample):
    keep_flow([sample], Ramp(), tmp_path, grid=(2, 3))
    stored = np.load(tmp_path / files(tmp_path)[0])
    assert (stored.shape, stored.dtype) == ((sample.length - 1, 2, 2, 2, 3), np.int8)


def test_a_video_of_one_frame_has_no_pair(tmp_path, tests_tools):
    provider = Ramp()
    one = tests_tools.tiny_sample("first", length=1, frame_names=("00000",))
    for _ in range(2):
        assert keep_flow([one], provider, tmp_path, grid=(2, 3)).pairs[0] == 0
    assert provider.asked == 0


def test_a_provider_that_fails_leaves_what_was_whole(tmp_path, sample):
    class Fails(Ramp):
        def between(self, first, second, places=None):
            if self.asked == 3:
                raise RuntimeError("out of luck")
            return super().between(first, second, places)

    with pytest.raises(RuntimeError, match="out of luck"):
        keep_flow([sample], Fails(), tmp_path, grid=(2, 3))
    assert files(tmp_path) == []


@pytest.mark.slow
def test_more_videos_than_a_process_may_open_files_are_kept(tmp_path):
    """In a process of its own, which may have 64 files open: every mapped file holds one."""
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from harness.models.flow import cache

cache.map_file = cache.functools.lru_cache(maxsize=16)(cache.map_file.__wrapped__)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
files = tuple(Path(sys.argv[1]) / f"{k}.npy" for k in range(100))
for path in files:
    path.write_bytes(cache.seal(np.ones((1, 2, 2, 1, 1), np.int8)))
assert all(cache.is_whole(path, (1, 2, 2, 1, 1)) for path in files)
kept = cache.FlowCache(files, (1,) * 100, 127.0)
assert all(kept.pair(video, 0)[0].tolist() == [[[1.0]], [[1.0]]] for video in range(100))
"""
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_a_grid_without_cells_is_a_mistake(tmp_path, sample):
    for grid, clamp in (((0, 3), 20.0), ((2, 3), 0.0), ((2, 3), float("nan"))):
        with pytest.raises(ValueError, match="expected one cell or more"):
            keep_flow([sample], Ramp(), tmp_path, grid=grid, clamp=clamp)


KILLED = """
import sys
from pathlib import Path
from harness.catalog import Catalog
from harness.models.flow import flow_provider
from harness.models.flow.cache import keep_flow

samples = Catalog.load().benchmarks.get("mini-small").open(None, False)[:2]
samples = [s for s in samples]
print("ready", flush=True)
keep_flow(samples, flow_provider("dis"), Path(sys.argv[1]), grid=(12, 20), progress=lambda d, t: print(d, flush=True))
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(tmp_path):
    def start(folder):
        return subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True)

    start(tmp_path / "whole").communicate()
    assert files(tmp_path / "whole")
    for after in range(0, 50, 10):
        process = start(tmp_path / "killed")
        for line in process.stdout:
            if line.strip() != "ready" and int(line) >= after:
                break
        time.sleep(0.001 * (after % 7))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    start(tmp_path / "killed").communicate()
    for name in files(tmp_path / "whole"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_real_provider_and_a_real_pair(tmp_path, sample):
    cache = keep_flow([sample], flow_provider("dis"), tmp_path, grid=(4, 5))
    assert all(flow.shape == (2, 4, 5) and flow.isfinite().all() for flow in cache.pair(0, 0))
