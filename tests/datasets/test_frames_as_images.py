"""Frames scored as images, and the training half of the unsupervised edition of DAVIS."""

import numpy as np

from harness.api.mask_files import RunLength
from harness.api.video import Sample, Track, Tracks
from harness.catalog import Catalog
from harness.datasets.davis import harness_benchmarks
from harness.metrics.precision.image_ap import ImageAP

DAVIS = {benchmark.name: benchmark for benchmark in harness_benchmarks()}


def test_the_unsupervised_training_split_has_the_60_videos_of_the_semi_supervised_one():
    unsupervised, semi = DAVIS["davis17-unsup-train"], DAVIS["davis17-train"]
    assert (len(unsupervised.expected), unsupervised.expected) == (60, semi.expected)
    assert unsupervised.archives == DAVIS["davis17-unsup-val"].archives
    assert "Annotations_unsupervised/480p" in unsupervised.layout


def test_frames_of_davis_are_scored_whatever_the_category():
    frames = DAVIS["davis17-frames-val"]
    assert {task: rule.version for task, rule in frames.rules.items()} == {"vis": "coco-class-agnostic/1"}
    assert frames.expected == DAVIS["davis17-unsup-val"].expected
    assert frames.layout == DAVIS["davis17-unsup-val"].layout


def test_the_true_masks_as_tracks_of_one_frame_have_ap_one():
    benchmark = Catalog.load().benchmarks.get("mini-frames")
    sample = benchmark.open(None, False)[0]
    tracks = [
        Track(category=1, score=0.9, masks=[mask if t == frame else None for t in range(sample.length)])
        for track in sample.extra["tracks"]
        for frame, mask in enumerate(track["segmentations"])
        if mask is not None
    ]
    rule = benchmark.rules["vis"]
    figures = ImageAP().summarise([ImageAP().measure(sample, Tracks(tuple(tracks)), rule)], rule)
    assert figures["AP"] == 1
    assert figures["AR1"] < 1  # there are frames with more than one object


def test_frames_without_any_object_have_no_ap():
    nothing = np.zeros((8, 8), np.uint8)
    sample = Sample(
        name="empty",
        length=2,
        height=8,
        width=8,
        frame_names=("00000", "00001"),
        read_frame=lambda t: np.zeros((8, 8, 3), np.uint8),
        read_truth=lambda t: nothing,
        digest=lambda: "0" * 64,
    )
    whole = RunLength.encode(np.ones((8, 8), bool))
    rule = DAVIS["davis17-frames-val"].rules["vis"]
    tracks = Tracks((Track(category=1, score=0.5, masks=[whole, None]),))
    assert ImageAP().summarise([ImageAP().measure(sample, tracks, rule)], rule)["AP"] is None
