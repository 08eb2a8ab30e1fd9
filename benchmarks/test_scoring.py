"""Scoring speed from palette PNGs to J and F: ours against the whole-video form the official toolkits are written in.

``pytest benchmarks/test_scoring.py`` prints a ratio a case (CPU seconds of the reference over ours, one process, warm).
"""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.optimize import linear_sum_assignment
from skimage.morphology import disk

from harness.api.contracts import DAVIS_2017, DAVIS_2017_UNSUPERVISED, Rule
from harness.api.mask_files import read_mask, write_mask
from harness.api.video import Sample
from harness.metrics.j_and_f import JAndF
from harness.metrics.j_and_f.pair_counts import PlainCounter

HEIGHT, WIDTH = 480, 854


def blobs(rng: np.random.Generator, count: int, frames: int, jitter: float) -> np.ndarray:
    """(T, H, W) id maps of ``count`` lobed blobs that drift; later ones cover earlier ones."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    masks = np.zeros((frames, HEIGHT, WIDTH), np.uint8)
    for id_ in range(1, count + 1):
        size = rng.uniform(40, 130 if count < 10 else 60, 2)
        start, speed = rng.uniform((60, 80), (HEIGHT - 60, WIDTH - 80)), rng.normal(0, 2, 2)
        lobes, phase = int(rng.integers(3, 8)), float(rng.uniform(0, 6))
        for t in range(frames):
            cy, cx = start + speed * t + rng.normal(0, jitter, 2)
            angle, radius = np.arctan2(y - cy, x - cx), np.hypot((y - cy) / size[0], (x - cx) / size[1])
            masks[t][radius < 1 + 0.25 * np.sin(lobes * angle + phase) + 0.03 * np.sin(29 * angle)] = id_
    return masks


def write_video(folder: Path, masks: np.ndarray) -> list[Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"{t:05}.png" for t in range(len(masks))]
    for path, mask in zip(paths, masks, strict=True):
        write_mask(path, mask)
    return paths


def score(predictions: list[Path], truths: list[Path], rule: Rule) -> float:
    """J&F as the harness measures it: read, measure, forget."""
    sample = Sample(
        name="video",
        length=len(truths),
        height=HEIGHT,
        width=WIDTH,
        frame_names=tuple(path.stem for path in truths),
        read_frame=lambda t: np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        read_truth=lambda t: read_mask(truths[t]),
        digest=lambda: "0" * 64,
    )
    metric = JAndF()
    measurement = metric.start(sample, rule)
    for t in range(len(truths)):
        measurement.add(t, read_mask(predictions[t]), sample.read_truth(t))
    return metric.summarise([measurement.finish()], rule)["J&F"]


def one_hot(masks: np.ndarray, count: int) -> np.ndarray:
    """(N, T, H, W) boolean masks by way of float64, as davis2017-evaluation makes them."""
    ids = np.ones((count, *masks.shape)) * np.arange(1, count + 1)[:, None, None, None]
    return ids == masks


def reference_boundary(mask: np.ndarray) -> np.ndarray:
    """Differences to three neighbours, on whole arrays."""
    right, below, corner = np.zeros_like(mask), np.zeros_like(mask), np.zeros_like(mask)
    right[:, :-1], below[:-1], corner[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
    boundary = mask ^ right | mask ^ below | mask ^ corner
    boundary[-1] = mask[-1] ^ right[-1]
    boundary[:, -1] = mask[:, -1] ^ below[:, -1]
    boundary[-1, -1] = False
    return boundary


def reference_F(prediction: np.ndarray, truth: np.ndarray) -> float:
    """F of two binary masks with two whole-image dilations."""
    kernel = disk(int(np.ceil(0.008 * np.linalg.norm(truth.shape))))
    predicted, true = reference_boundary(prediction), reference_boundary(truth)
    if not predicted.any() or not true.any():
        return float(predicted.any() == true.any())
    precision = np.sum(predicted * cv2.dilate(true.astype(np.uint8), kernel)) / np.sum(predicted)
    recall = np.sum(true * cv2.dilate(predicted.astype(np.uint8), kernel)) / np.sum(true)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def reference_series(predictions: np.ndarray, truths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """J and F of one object, (T, H, W) boolean masks."""
    union = np.sum(predictions | truths, axis=(1, 2))
    J = np.where(union == 0, 1, np.sum(predictions & truths, axis=(1, 2)) / np.maximum(union, 1))
    return J, np.array([reference_F(*pair) for pair in zip(predictions, truths, strict=True)])


def score_plainly(predictions: list[Path], truths: list[Path], rule: Rule) -> float:
    """The same J&F over whole videos of one-hot masks in NumPy and OpenCV."""
    used = slice(1, -1) if rule.frames == "inner" else slice(None)
    truth, prediction = (np.stack([np.array(Image.open(path)) for path in paths]) for paths in (truths, predictions))
    true = one_hot(truth, int(truth[0].max()))[:, used]
    proposed = one_hot(prediction[used], int(prediction[used].max()))
    if rule.matching == "ids":
        series = [reference_series(*pair) for pair in zip(proposed, true, strict=True)]
        return float((np.mean([J.mean() for J, _ in series]) + np.mean([F.mean() for _, F in series])) / 2)
    pairs = np.array([[reference_series(proposal, object_) for object_ in true] for proposal in proposed])
    agreement = pairs.mean(axis=3).mean(axis=2)
    return float(agreement[linear_sum_assignment(-agreement)].mean())


def cpu_seconds(function, *args: object) -> float:
    start = time.process_time()
    function(*args)
    return time.process_time() - start


@pytest.mark.parametrize(
    ("objects", "proposals", "frames", "rule"),
    [
        pytest.param(1, 1, 40, DAVIS_2017, id="one-shot, 1 object"),
        pytest.param(4, 4, 40, DAVIS_2017, id="one-shot, 4 objects"),
        pytest.param(2, 20, 6, DAVIS_2017_UNSUPERVISED, id="unsupervised, 20 proposals x 2 objects"),
    ],
)
@pytest.mark.parametrize("form", ["compiled", "plain"])
def test_scoring(benchmark, tmp_path, monkeypatch, form, objects, proposals, frames, rule):
    if form == "plain":
        monkeypatch.setattr("harness.metrics.j_and_f.measurement.new_counter", PlainCounter)
    truth = blobs(np.random.default_rng(0), objects, frames, jitter=0)
    prediction = blobs(np.random.default_rng(0 if objects == proposals else 1), proposals, frames, jitter=3)
    paths = write_video(tmp_path / "prediction", prediction), write_video(tmp_path / "truth", truth)
    assert score(*paths, rule) == pytest.approx(score_plainly(*paths, rule), abs=1e-12)

    reference = min(cpu_seconds(score_plainly, *paths, rule) for _ in range(2))
    ours = min(cpu_seconds(score, *paths, rule) for _ in range(7))
    benchmark.extra_info |= {
        "reference_over_ours": round(reference / ours, 1),
        "ours_ms_per_frame": round(1e3 * ours / frames, 3),
        "reference_ms_per_frame": round(1e3 * reference / frames, 1),
    }
    benchmark(score, *paths, rule)
    print(f"\n{benchmark.name}: {benchmark.extra_info}")
