"""Flow of whole videos, computed once: int8 on a grid, one file a video, memory-mapped, whole or not there.

A file is a .npy of (T - 1, 2, 2, h, w) int8: pairs of neighbouring frames, forward and backward, dx and dy; then the
SHA-256 of all of it. A step is clamp / 127. Its name is made of everything it depends on.
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import math
import mmap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float16, Int8
from torch import Tensor

from harness.api.dataclass import dataclass
from harness.api.video import Sample
from harness.files import digest_of, write_atomically
from harness.models.flow import Flow, FlowProvider
from harness.models.frame_files import Place

FORMAT = "flow/1"
"""Change what a file holds for the same video, change this."""
STEPS = 127
SEAL_BYTES = hashlib.sha256().digest_size

OnFrames = Callable[[int, int], None]


@dataclass(frozen=True)
class FlowCache:
    """The flow of some videos: the file of each, how many pairs of neighbouring frames it has, and the clamp.

    Processes that read the same files share their pages.
    """

    files: tuple[Path, ...]
    pairs: tuple[int, ...]
    clamp: float

    def pair(self, video: int, t: int) -> tuple[Float16[Tensor, "2 h w"], Float16[Tensor, "2 h w"]]:
        """The flow t -> t + 1 and the flow t + 1 -> t, in pixels of the video, at the centres of the grid's cells."""
        if not 0 <= t < self.pairs[video]:
            raise IndexError(f"video {video} has pairs 0..{self.pairs[video] - 1}, not {t}")
        steps = torch.from_numpy(map_file(self.files[video])[t].astype(np.float32))
        forward, backward = (steps * (self.clamp / STEPS)).half()
        return forward, backward


@functools.lru_cache(maxsize=256)
def map_file(path: Path) -> Int8[np.ndarray, "P 2 2 h w"]:
    """The content of a file, memory-mapped. Each holds one of the thousand descriptors of a process: not all stay."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def keep_flow(
    samples: Sequence[Sample],
    provider: FlowProvider,
    folder: Path,
    *,
    grid: tuple[int, int],
    clamp: float = 20.0,
    progress: OnFrames = lambda done, total: None,
) -> FlowCache:
    """The flow of every pair of neighbouring frames of ``samples``, from ``folder`` or made now.

    Each cell of the ``grid`` (rows, columns) has the flow of the pixel at its centre, clamped to ``clamp`` pixels: the
    mean over a cell would mix both sides of an edge (RCF resizes by nearest, then clamps). Killed, the same call goes
    on with the videos that are missing; a file cut or changed is made anew. Several processes may make the same files.
    ``progress`` is told (frames done, frames of all).
    """
    if not (math.isfinite(clamp) and clamp > 0) or min(grid) < 1:
        raise ValueError(f"a grid of {grid} and a clamp of {clamp}; expected one cell or more, and pixels")
    total, done = sum(sample.length for sample in samples), 0
    files = tuple(folder / file_name(sample, provider, grid, clamp) for sample in samples)
    pairs = tuple(max(sample.length - 1, 0) for sample in samples)
    for sample, path, count in zip(samples, files, pairs, strict=True):
        shape = (count, 2, 2, *grid)
        if not is_whole(path, shape):
            made = np.empty(shape, np.int8)
            for t, pair in enumerate(pairs_of(sample, provider)):
                made[t] = [quantise(part, grid, clamp) for part in pair]
                progress(done + t + 1, total)
            write_atomically(path, seal(made))
            map_file.cache_clear()
        done += sample.length
        progress(done, total)
    return FlowCache(files, pairs, clamp)


def file_name(sample: Sample, provider: FlowProvider, grid: tuple[int, int], clamp: float) -> str:
    """Of 16 digits over all that the flow depends on, the provider and the grid."""
    parts = [FORMAT, sample.digest(), sample.length, provider.fingerprint(sample.name), list(grid), clamp]
    word = provider.name.replace(":", "-")
    return f"{digest_of(parts)[:16]}.{word}.{grid[0]}x{grid[1]}.npy"


def pairs_of(sample: Sample, provider: FlowProvider) -> Iterator[tuple[Flow, Flow]]:
    """The flow there and back of every pair of neighbouring frames; each frame is read once."""
    frames = (torch.from_numpy(np.ascontiguousarray(sample.read_frame(t))) for t in range(sample.length))
    placed = zip(frames, (Place(sample.name, name) for name in sample.frame_names), strict=True)
    for (first, here), (second, there) in itertools.pairwise(placed):
        yield provider.between(first, second, (here, there)), provider.between(second, first, (there, here))


def quantise(flow: Flow, grid: tuple[int, int], clamp: float) -> Int8[np.ndarray, "2 h w"]:
    """The flow at the centres of the cells, in steps of clamp / 127."""
    rows, columns = (
        ((np.arange(cells) + 0.5) * (size / cells)).astype(np.int64)
        for cells, size in zip(grid, flow.shape[1:], strict=True)
    )
    at_centres = flow.cpu().numpy()[:, rows][:, :, columns]
    return np.rint(at_centres.clip(-clamp, clamp) * (STEPS / clamp)).astype(np.int8)


def seal(flow: Int8[np.ndarray, "P 2 2 h w"]) -> bytes:
    """The bytes of a file: what ``np.load`` reads, then their digest."""
    content = io.BytesIO()
    np.save(content, flow)
    return content.getvalue() + hashlib.sha256(content.getvalue()).digest()


def is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether a file is there, of ``shape``, and its seal that of its content."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            body = memoryview(content)[:-SEAL_BYTES]
            is_sealed = hashlib.sha256(body).digest() == content[-SEAL_BYTES:]
            body.release()
        flow = np.load(path, mmap_mode="r" if math.prod(shape) else None, allow_pickle=False) if is_sealed else None
    except (OSError, ValueError):
        return False
    return flow is not None and flow.shape == shape and flow.dtype == np.int8
