"""AP of the masks of single frames: equal to COCOeval on its golden case and on random images."""

import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from harness.api.contracts import YOUTUBE_VIS, TrackMetric
from harness.api.errors import DataError
from harness.api.mask_files import RunLength
from harness.api.records import VideoScores
from harness.api.video import Sample, Track, Tracks
from harness.metrics.precision.image_ap import ImageAP, Segment, harness_metrics, image_average_precision, image_groups


def segment_of(item: dict) -> Segment:
    code = item["segmentation"]
    return Segment(
        RunLength(tuple(code["size"]), code["counts"].encode()),
        score=item.get("score", 0.0),
        category=item["category_id"],
        area=item.get("area"),
        is_crowd=bool(item.get("iscrowd", 0)),
    )


def images_of(table: dict, results: list[dict]) -> list[tuple[list[Segment], list[Segment]]]:
    return [
        tuple(
            [segment_of(item) for item in items if item["image_id"] == image["id"]]
            for items in (table["annotations"], results)
        )
        for image in table["images"]
    ]


def official(table: dict, results: list[dict], use_categories: bool) -> list[float]:
    """The 12 figures of pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        truths = COCO()
        truths.dataset = table
        truths.createIndex()
        evaluation = COCOeval(truths, truths.loadRes([dict(item) for item in results]), "segm")
        evaluation.params.useCats = int(use_categories)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats.tolist()


def random_set(seed: int) -> tuple[dict, list[dict]]:
    """Six images of boxes with crowds, equal scores and equal overlaps among them."""
    rng = np.random.default_rng(seed)

    def item(image: int, number: int) -> dict:
        mask = np.zeros((150, 150), np.uint8, order="F")
        top, left = rng.integers(0, 100, 2)
        mask[top : top + rng.choice([8, 40, 110]), left : left + rng.choice([8, 40, 110])] = 1
        code = RunLength.encode(mask)
        return {
            "id": number,
            "image_id": image,
            "category_id": int(rng.integers(1, 4)),
            "segmentation": {"size": [150, 150], "counts": code.counts.decode()},
            "area": float(code.area),
            "bbox": [0, 0, 1, 1],
            "iscrowd": int(rng.random() < 0.2),
        }

    annotations = [item(1 + n % 6, n + 1) for n in range(30)]
    results = []
    for number in range(80):
        copied = annotations[rng.integers(30)] if rng.random() < 0.6 else item(1 + number % 6, 0)
        kept = {name: copied[name] for name in ("image_id", "category_id", "segmentation")}
        results.append({**kept, "score": round(float(rng.random()), 1)})
    table = {
        "images": [{"id": n, "width": 150, "height": 150} for n in range(1, 7)],
        "categories": [{"id": n, "name": str(n)} for n in (1, 2, 3)],
        "annotations": annotations,
        "info": {},
    }
    return table, results


@pytest.mark.data
@pytest.mark.parametrize("use_categories", [True, False])
def test_the_official_figures_come_out(use_categories, shared) -> None:
    table, results = (json.loads((shared / "golden" / "inputs" / f"coco_{n}.json").read_text()) for n in ("gt", "dt"))
    expected = json.loads((shared / "golden" / "expected.json").read_text())["_coco_segm"]
    found = image_average_precision(images_of(table, results), use_categories=use_categories)
    assert list(found.values()) == expected[f"useCats{int(use_categories)}"]["stats"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("use_categories", [True, False])
def test_random_images_score_as_cocoeval_scores_them(seed, use_categories) -> None:
    table, results = random_set(seed)
    found = image_average_precision(images_of(table, results), use_categories=use_categories)
    assert [-1.0 if value is None else value for value in found.values()] == official(table, results, use_categories)


def square(top: int, left: int, side: int, size: int = 16) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def test_the_metric_is_offered() -> None:
    (metric,) = harness_metrics()
    assert isinstance(metric, TrackMetric)
    assert metric.name == "image_ap"


def test_a_crowd_is_overlapped_by_the_part_of_the_detection_inside() -> None:
    crowd, half = RunLength.encode(square(0, 0, 8)), RunLength.encode(square(0, 4, 8))
    (group,) = image_groups([Segment(crowd, is_crowd=True), Segment(crowd)], [Segment(half, 0.5)])
    assert group.overlaps.tolist() == [[32 / 64, 32 / (64 + 64 - 32)]]


def test_other_limits_are_the_callers() -> None:
    code = RunLength.encode(square(0, 0, 8))
    wrong = [Segment(RunLength.encode(square(8, 8, 4)), 0.9)] * 100
    images = [([Segment(code)], [*wrong, Segment(code, 0.5)])]
    assert image_average_precision(images)["AP"] == 0.0
    assert image_average_precision(images, limits=(1, 10, 200))["AP"] == pytest.approx(1 / 101)


def sample_of(length=3, **changes) -> Sample:
    fields = {
        "name": "toy",
        "length": length,
        "height": 16,
        "width": 16,
        "frame_names": tuple(f"{t:05}" for t in range(length)),
        "read_frame": lambda t: np.zeros((16, 16, 3), np.uint8),
        "digest": lambda: "0" * 64,
    }
    return Sample(**{**fields, **changes})


def test_tracks_are_scored_frame_by_frame_against_id_maps() -> None:
    """Frame 1 is not annotated, void is no object, and the ids do not matter."""
    first = square(0, 0, 6) * 3
    first[10:, :] = 255
    truths = [first, None, square(4, 4, 6)]
    track = Track(7, 0.9, [RunLength.encode(square(0, 0, 6)), RunLength.encode(square(9, 9, 4)), None])
    metric = ImageAP()
    measured = metric.measure(sample_of(read_truth=truths.__getitem__), Tracks([track]), YOUTUBE_VIS)
    kept = VideoScores.model_validate_json(measured.model_dump_json())
    assert len(kept.evidence["groups"]) == 2
    found = metric.summarise([kept], YOUTUBE_VIS)
    assert found["AP"] == pytest.approx(51 / 101)
    assert found["AR1"] == 1 / 2
    assert found["AP_L"] is None


def test_true_tracks_are_taken_where_there_are_some() -> None:
    code = RunLength.encode(square(0, 0, 6))
    truth = {"id": 1, "category_id": 2, "iscrowd": 0, "areas": [36, None, None], "segmentations": [code, None, None]}
    metric = ImageAP()
    sample = sample_of(extra={"tracks": [truth]})
    measured = metric.measure(sample, Tracks([Track(1, 0.5, [code, None, None])]), YOUTUBE_VIS)
    assert metric.summarise([measured], YOUTUBE_VIS)["AP"] == pytest.approx(1)
    with pytest.raises(DataError, match="no truth"):
        metric.measure(dataclasses.replace(sample, extra={}), Tracks(), YOUTUBE_VIS)
