"""Speed of T and of track AP: ours against the plain form of the same measure, as a ratio of CPU seconds.

``pytest benchmarks/test_metrics_t_ap.py`` prints a ratio a case (one process, warm). The plain form of T is the
fallback without Numba (Python loops and NumPy); that of track AP is the way of ytvoseval: pycocotools merges the masks
of every pair frame by frame, and its ``COCOeval`` matches and accumulates.
"""

import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from pycocotools import mask as coco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from harness.api.contracts import YOUTUBE_VIS
from harness.api.mask_files import RunLength
from harness.api.video import Sample, Track, Tracks
from harness.metrics.precision.track_ap import RANGES, TrackAP
from harness.metrics.stability import contour_contexts, pair_instability

PLAIN_T = """
import json, sys, time
import numpy as np
from harness.metrics.stability import contour_contexts, pair_instability
from harness.metrics.stability.curves import trace
assert not trace.is_compiled
masks = np.load(sys.argv[1])
start = time.process_time()
contexts = [contour_contexts(mask) for mask in masks]
values = [pair_instability(a, b) for a, b in zip(contexts, contexts[1:])]
print(json.dumps([time.process_time() - start, values]))
"""


def report(benchmark, name: str, ours: float, plain: float, **facts: object) -> None:
    benchmark.extra_info.update(ratio=round(plain / ours, 1), **facts)
    print(f"\n{name}: {1e3 * ours:.2f} ms, plain {1e3 * plain:.1f} ms, {plain / ours:.1f} times; {facts}")


def cpu_seconds(work, rounds: int = 3) -> float:
    """The quickest of a few rounds, in CPU time."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def wobbling_blobs(frames: int, size: float) -> np.ndarray:
    """(T, 480, 854) masks of a lobed blob with a rough edge."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:480, :854].astype(np.float32)
    masks = np.zeros((frames, 480, 854), np.uint8)
    for t in range(frames):
        angle = np.arctan2(y - 240, x - 420 - 2 * t)
        rough = sum(rng.normal(0, 0.03) * np.sin(k * angle + rng.uniform(0, 6)) for k in range(3, 40))
        masks[t][np.hypot(y - 240, x - 420 - 2 * t) < size * (1 + rough)] = 1
    return masks


@pytest.mark.parametrize("size", [35, 65])
def test_t_of_a_pair_of_frames(benchmark, tmp_path, size) -> None:
    masks = wobbling_blobs(4, size)
    np.save(tmp_path / "masks.npy", masks)

    def ours() -> list[float | None]:
        contexts = [contour_contexts(mask) for mask in masks]
        return [pair_instability(a, b) for a, b in itertools.pairwise(contexts)]

    values = ours()
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-c", PLAIN_T, str(tmp_path / "masks.npy")]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    plain, expected = json.loads(printed)
    assert values == expected
    benchmark.pedantic(ours, rounds=5)
    pairs = len(values)
    points = len(contour_contexts(masks[0]))
    report(benchmark, "T, one pair", cpu_seconds(ours) / pairs, plain / pairs, points=points)


def rough_ellipses(count: int, frames: int, height: int, width: int) -> list[list[RunLength]]:
    """Tracks of drifting ellipses with rough edges."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    tracks = []
    for _ in range(count):
        cy, cx = rng.uniform(0.2, 0.8) * height, rng.uniform(0.2, 0.8) * width
        ry, rx = rng.uniform(0.05, 0.3, 2) * (height, width)
        track = []
        for t in range(frames):
            dy, dx = (y - cy - 2 * t) / ry, (x - cx - 3 * t) / rx
            track.append(RunLength.encode(np.hypot(dy, dx) < 1 + 0.05 * np.sin(17 * np.arctan2(dy, dx) + t)))
        tracks.append(track)
    return tracks


def videos_of(count: int, pool: list[list[RunLength]], height: int, width: int) -> list[tuple[Sample, Tracks]]:
    """5 truths and 20 detections a video, 8 categories."""
    rng = np.random.default_rng(1)
    frames = len(pool[0])
    videos = []
    for number in range(count):
        truths = []
        for place in range(5):
            masks = pool[rng.integers(len(pool))]
            areas = [mask.area for mask in masks]
            category = int(rng.integers(8))
            truths.append(
                {"id": place + 1, "category_id": category, "iscrowd": 0, "areas": areas, "segmentations": masks}
            )
        found = [truths[rng.integers(5)] for _ in range(10)]
        tracks = [Track(truth["category_id"], float(rng.random()), truth["segmentations"]) for truth in found]
        tracks += [Track(int(rng.integers(8)), float(rng.random()), pool[rng.integers(len(pool))]) for _ in range(10)]
        sample = Sample(
            name=f"video-{number}",
            length=frames,
            height=height,
            width=width,
            frame_names=tuple(f"{t:05}" for t in range(frames)),
            read_frame=lambda t: np.zeros((height, width, 3), np.uint8),
            digest=lambda: "0" * 64,
            extra={"tracks": truths, "video_id": number + 1},
        )
        videos.append((sample, Tracks(tracks)))
    return videos


class FrameByFrame(COCOeval):
    """COCOeval over tracks; each overlap is summed over the frames from merged masks."""

    def computeIoU(self, imgId, catId):
        truths, found = self._gts[imgId, catId], self._dts[imgId, catId]
        if not truths and not found:
            return []
        found = [found[n] for n in np.argsort([-item["score"] for item in found], kind="mergesort")][:100]
        overlaps = np.zeros((len(found), len(truths)))
        for d, g in np.ndindex(overlaps.shape):
            inside = union = 0
            for pair in zip(found[d]["codes"], truths[g]["codes"], strict=True):
                inside += int(coco.area(coco.merge(list(pair), intersect=True)))
                union += int(coco.area(coco.merge(list(pair), intersect=False)))
            overlaps[d, g] = inside / union if union else 0.0
        return overlaps


def table_of(videos: list[tuple[Sample, Tracks]], entries: list[tuple[int, int, float, list[RunLength]]]) -> COCO:
    """A COCO table over (video id, category, score, masks)."""
    annotations = []
    for number, (video, category, score, masks) in enumerate(entries):
        codes = [{"size": list(mask.size), "counts": mask.counts} for mask in masks]
        areas = [area for area in coco.area(codes).tolist() if area]
        entry = {"id": number + 1, "image_id": video, "category_id": category, "score": score, "iscrowd": 0}
        annotations.append({**entry, "codes": codes, "area": float(np.mean(areas)) if areas else 0.0})
    table = COCO()
    table.dataset = {
        "images": [{"id": sample.extra["video_id"]} for sample, _ in videos],
        "categories": [{"id": category} for category in range(8)],
        "annotations": annotations,
    }
    table.createIndex()
    return table


def plain_figures(videos: list[tuple[Sample, Tracks]]) -> list[float]:
    truths = [
        (sample.extra["video_id"], truth["category_id"], 0.0, truth["segmentations"])
        for sample, _ in videos
        for truth in sample.extra["tracks"]
    ]
    found = [
        (sample.extra["video_id"], track.category, track.score, track.masks)
        for sample, tracks in videos
        for track in tracks
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = FrameByFrame(table_of(videos, truths), table_of(videos, found), "bbox")
        evaluation.params.areaRng = RANGES.tolist()
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats.tolist()


def test_ap_of_tracks(benchmark) -> None:
    videos = videos_of(60, rough_ellipses(60, 20, 720, 1280), 720, 1280)
    metric = TrackAP()

    def ours() -> dict[str, float | None]:
        measured = [metric.measure(sample, tracks, YOUTUBE_VIS) for sample, tracks in videos]
        return metric.summarise(measured, YOUTUBE_VIS)

    found = [-1.0 if value is None else value for value in ours().values()]
    assert found == plain_figures(videos)
    benchmark.pedantic(ours, rounds=3)
    seconds, plain = cpu_seconds(ours), cpu_seconds(lambda: plain_figures(videos), rounds=1)
    report(benchmark, "track AP, 60 videos x 20 frames, 5 truths, 20 detections", seconds, plain)
