"""AP of tracks: equal to ytvoseval's figures; overlaps in whole numbers; which truths and detections count."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from harness.api.contracts import YOUTUBE_VIS, TrackMetric
from harness.api.errors import DataError
from harness.api.mask_files import RunLength
from harness.api.records import VideoScores
from harness.api.video import Sample, Track, Tracks
from harness.metrics.precision.average_precision import Group, accumulate
from harness.metrics.precision.track_ap import RANGES, TrackAP, harness_metrics, track_groups
from harness.metrics.precision.track_overlap import Tubes, tube_overlaps
from harness.ranking.precision import pool

AGNOSTIC = dataclasses.replace(YOUTUBE_VIS, options={"use_categories": False})


def box(top, bottom, left, right, height=8, width=8) -> RunLength:
    """A mask with one box, ends not included."""
    mask = np.zeros((height, width), np.uint8)
    mask[top:bottom, left:right] = 1
    return RunLength.encode(mask)


def truth(masks, category=1, crowd=0) -> dict:
    areas = [None if mask is None else mask.area for mask in masks]
    return {"id": 1, "category_id": category, "iscrowd": crowd, "areas": areas, "segmentations": list(masks)}


def sample_of(tracks, length=2, size=(8, 8), video_id=1, **extra) -> Sample:
    return Sample(
        name=f"video {video_id}",
        length=length,
        height=size[0],
        width=size[1],
        frame_names=tuple(f"{t:05}" for t in range(length)),
        read_frame=lambda t: np.zeros((*size, 3), np.uint8),
        digest=lambda: "0" * 64,
        extra={"tracks": list(tracks), "video_id": video_id, **extra},
    )


def figures(truths, detections, rule=YOUTUBE_VIS, **changes) -> dict[str, float | None]:
    """The figures of one video."""
    metric = TrackAP()
    return metric.summarise([metric.measure(sample_of(truths, **changes), Tracks(detections), rule)], rule)


def code_of(content) -> RunLength | None:
    return None if content is None else RunLength(tuple(content["size"]), content["counts"].encode())


def golden_videos(shared) -> list[tuple[Sample, Tracks]]:
    table = json.loads((shared / "golden" / "inputs" / "vis_gt.json").read_text())
    results = json.loads((shared / "golden" / "inputs" / "vis_dt.json").read_text())
    names = {category["id"]: category["name"] for category in table["categories"]}
    videos = []
    for video in table["videos"]:
        truths = [
            {**item, "segmentations": [code_of(value) for value in item["segmentations"]]}
            for item in table["annotations"]
            if item["video_id"] == video["id"]
        ]
        tracks = [
            Track(item["category_id"], item["score"], [code_of(value) for value in item["segmentations"]])
            for item in results
            if item["video_id"] == video["id"]
        ]
        size = (video["height"], video["width"])
        videos.append((sample_of(truths, video["length"], size, video["id"], category_names=names), Tracks(tracks)))
    return videos


@pytest.mark.data
@pytest.mark.parametrize(("rule", "case"), [(YOUTUBE_VIS, "useCats1"), (AGNOSTIC, "useCats0")])
def test_the_official_figures_come_out(rule, case, shared) -> None:
    expected = json.loads((shared / "golden" / "expected.json").read_text())["_ytvis"][case]
    metric = TrackAP()
    measured = [metric.measure(sample, tracks, rule) for sample, tracks in golden_videos(shared)]
    kept = [VideoScores.model_validate_json(video.model_dump_json()) for video in measured]

    found = metric.summarise(kept[::-1], rule)
    assert [-1.0 if value is None else value for value in found.values()] == expected["stats"]
    curves = accumulate((Group.from_json(group) for video in kept for group in video.evidence["groups"]), RANGES)
    assert curves.recall[:, :, :, :].ravel().tolist() == expected["recall"]
    assert curves.precision.sum() == pytest.approx(expected["precision_sum"], rel=0, abs=1e-9)
    once = pool([video.detections for video in kept[::-1]], np.ones((1, len(kept))))  # what a record keeps is enough
    assert [once[name][0] for name in found] == pytest.approx(
        [np.nan if v is None else v for v in found.values()], rel=1e-13, nan_ok=True
    )
    overlaps = {
        f"{video.evidence['video_id']}_{group['category']}": np.array(group["overlaps"]).ravel().tolist()
        for video in kept
        for group in video.evidence["groups"]
    }
    assert {name: [value for row in rows for value in row] for name, rows in expected["ious"].items()}.items() <= (
        overlaps.items()
    )


def test_the_metric_is_offered() -> None:
    (metric,) = harness_metrics()
    assert isinstance(metric, TrackMetric)
    assert [column.name for column in metric.columns] == list(figures([], []))


def test_an_overlap_sums_intersection_and_union_over_the_frames() -> None:
    seen = [box(0, 4, 0, 4), None, box(0, 2, 0, 2)]
    true = [box(0, 4, 2, 6), box(0, 1, 0, 3), None]
    (group,) = track_groups(sample_of([truth(true)], length=3), Tracks([Track(1, 0.5, seen)]))
    assert group.overlaps.tolist() == [[8 / (16 + 4 + 16 + 3 - 8)]]
    assert group.areas.tolist() == [(16 + 4) / 2]
    assert group.truth_areas.tolist() == [(16 + 3) / 2]


def test_tracks_without_any_pixel_overlap_nothing() -> None:
    nothing = [None, box(0, 0, 0, 0)]
    (group,) = track_groups(sample_of([truth(nothing)]), Tracks([Track(1, 0.5, nothing)]))
    assert (group.overlaps.tolist(), group.areas.tolist(), group.truth_areas.tolist()) == ([[0.0]], [0.0], [0.0])


def test_a_perfect_track_scores_one_and_sizes_without_truth_are_undefined() -> None:
    masks = [box(0, 4, 0, 4)] * 2
    found = figures([truth(masks)], [Track(1, 0.9, masks)])
    assert [found[name] for name in ("AP", "AP50", "AP_S", "AR1")] == pytest.approx([1, 1, 1, 1])
    assert found["AP_M"] is found["AR_L"] is None


def test_without_truth_nothing_is_defined() -> None:
    assert set(figures([], [Track(1, 0.9, [box(0, 4, 0, 4)] * 2)]).values()) == {None}
    assert TrackAP().summarise([], YOUTUBE_VIS)["AP"] is None


def test_precision_falls_with_a_surer_false_detection() -> None:
    masks, elsewhere = [box(0, 4, 0, 4)] * 2, [box(5, 8, 5, 8)] * 2
    found = figures([truth(masks)], [Track(1, 0.5, masks), Track(1, 0.9, elsewhere)])
    assert found["AP"] == pytest.approx(1 / 2)
    assert (found["AR1"], found["AR10"]) == (0.0, 1.0)


def test_another_category_is_false_unless_categories_do_not_count() -> None:
    masks = [box(0, 4, 0, 4)] * 2
    assert figures([truth(masks)], [Track(2, 0.9, masks)])["AP"] == 0.0
    assert figures([truth(masks)], [Track(2, 0.9, masks)], AGNOSTIC)["AP"] == pytest.approx(1)
    names = {1: "known"}
    assert figures([truth(masks)], [Track(2, 0.9, masks)], AGNOSTIC, category_names=names)["AP"] == 0.0


def test_a_crowd_is_no_object_and_may_be_found_many_times() -> None:
    crowd, masks = [box(4, 8, 4, 8)] * 2, [box(0, 4, 0, 4)] * 2
    detections = [Track(1, 0.9, crowd), Track(1, 0.8, crowd), Track(1, 0.7, masks)]
    assert figures([truth(crowd, crowd=1), truth(masks)], detections)["AP"] == pytest.approx(1)


def test_both_ends_of_a_range_belong_to_it() -> None:
    masks = [box(0, 128, 0, 128, 130, 130)]
    found = figures([truth(masks)], [Track(1, 0.9, masks)], length=1, size=(130, 130))
    assert found["AP_S"] == found["AP_M"] == pytest.approx(1)
    assert found["AP_L"] is None


def test_only_the_hundred_best_detections_count() -> None:
    masks, elsewhere = [box(0, 4, 0, 4)] * 2, [box(5, 8, 5, 8)] * 2
    many = [Track(1, 0.9, elsewhere)] * 100
    assert figures([truth(masks)], [*many, Track(1, 0.1, masks)])["AR100"] == 0.0
    assert figures([truth(masks)], [*many[1:], Track(1, 0.1, masks)])["AR100"] == 1.0


def test_of_equal_overlaps_the_later_truth_is_taken() -> None:
    truths = [truth([box(0, 4, 0, 4)] * 2), truth([box(0, 4, 4, 8)] * 2)]
    between, left = Track(1, 0.9, [box(0, 4, 0, 8)] * 2), Track(1, 0.8, [box(0, 4, 0, 4)] * 2)
    assert figures(truths, [between, left])["AP50"] == pytest.approx(1)
    assert figures(truths[::-1], [between, left])["AP50"] == pytest.approx(51 / 101)


def test_equal_scores_of_two_videos_come_in_the_order_of_their_ids() -> None:
    metric, masks, elsewhere = TrackAP(), [box(0, 4, 0, 4)] * 2, [box(5, 8, 5, 8)] * 2
    right = metric.measure(sample_of([truth(masks)], video_id=1), Tracks([Track(1, 0.5, masks)]), YOUTUBE_VIS)
    wrong = metric.measure(sample_of([truth(masks)], video_id=2), Tracks([Track(1, 0.5, elsewhere)]), YOUTUBE_VIS)
    expected = pytest.approx(51 / 101)
    assert metric.summarise([right, wrong], YOUTUBE_VIS)["AP"] == expected
    assert metric.summarise([wrong, right], YOUTUBE_VIS)["AP"] == expected


def test_tracks_of_the_wrong_form_are_refused() -> None:
    sample = sample_of([truth([box(0, 4, 0, 4)] * 2)])
    with pytest.raises(DataError, match=r"\[1\] masks a track"):
        track_groups(sample, Tracks([Track(1, 0.5, [box(0, 4, 0, 4)])]))
    with pytest.raises(DataError, match=r"\(9, 8\)"):
        track_groups(sample, Tracks([Track(1, 0.5, [box(0, 4, 0, 4, 9, 8), None])]))
    with pytest.raises(DataError, match="no true tracks"):
        track_groups(dataclasses.replace(sample, extra={}), Tracks())


@pytest.mark.parametrize("counts", [b"", b"0", b"PP1", b"o", b"\x10", b"oooooooooo1", b"1P1", b"041"])
def test_a_malformed_code_is_refused(counts: bytes) -> None:
    with pytest.raises(DataError):
        Tubes.of([[RunLength((8, 8), counts)]], (8, 8), 1)


label_maps = arrays(
    np.uint8, st.tuples(st.just(3), st.just(3), st.integers(1, 7), st.just(5)), elements=st.integers(0, 1)
)


@settings(deadline=None, max_examples=60)
@given(label_maps)
def test_overlaps_are_those_of_the_masks_and_symmetric(masks: np.ndarray) -> None:
    size = masks.shape[2:]
    tracks = [[RunLength.encode(mask) if mask.any() else None for mask in track] for track in masks]
    tubes = Tubes.of(tracks, size, 3)
    numbers = np.arange(3)
    overlaps = tube_overlaps(tubes, numbers, tubes, numbers)
    assert (overlaps == overlaps.T).all()
    for a, b in np.ndindex(3, 3):
        inside, union = int((masks[a] & masks[b]).sum()), int((masks[a] | masks[b]).sum())
        assert overlaps[a, b] == (inside / union if union else 0.0)


@settings(deadline=None, max_examples=25)
@given(label_maps, label_maps, st.permutations(range(3)), st.permutations(range(3)))
def test_the_order_of_tracks_does_not_matter(masks, true_masks, order, true_order) -> None:
    rows = min(masks.shape[2], true_masks.shape[2])
    detections = [
        Track(1 + n % 2, 0.1 * n, [RunLength.encode(mask[:rows]) for mask in track]) for n, track in enumerate(masks)
    ]
    truths = [truth([RunLength.encode(mask[:rows]) for mask in track], 1 + n % 2) for n, track in enumerate(true_masks)]
    changes = {"length": 3, "size": (rows, 5)}
    overlaps = [group.overlaps for group in track_groups(sample_of(truths, **changes), Tracks(detections))]
    rows_that_matter = ([value for value in row if value >= 0.5] for values in overlaps for row in values.tolist())
    assume(all(len(set(row)) == len(row) for row in rows_that_matter))  # equal overlaps are decided by the order
    found = figures(truths, detections, **changes)
    shuffled = figures([truths[n] for n in true_order], [detections[n] for n in order], **changes)
    assert found == shuffled
    assert all(value is None or 0 <= value <= 1 + 1e-12 for value in found.values())


def test_the_reference_of_cocoapi_decodes_the_same_areas() -> None:
    mask = np.random.default_rng(1).random((37, 53)) > 0.5
    code = RunLength.encode(mask)
    assert Tubes.of([[code]], mask.shape, 1).areas.tolist() == [[coco.area({"size": [37, 53], "counts": code.counts})]]
