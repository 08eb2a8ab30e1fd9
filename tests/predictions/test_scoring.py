"""Which masks made elsewhere must be there: those of frames that are scored, and no others."""

from dataclasses import replace

import numpy as np
import pytest

from harness.api.contracts import DAVIS_2017
from harness.api.errors import IncompletePredictions, UsageError
from harness.api.mask_files import write_mask
from harness.api.video import Sample
from harness.predictions.scoring import list_scored_frames, look_over, plan_scoring, score
from harness.version import __version__

ALL = replace(DAVIS_2017, frames="all")


def video(truth_frames=None):
    return Sample(
        name="shot",
        length=5,
        height=4,
        width=6,
        frame_names=("a", "b", "c", "d", "e"),
        read_frame=lambda t: np.zeros((4, 6, 3), np.uint8),
        digest=lambda: "0" * 64,
        truth_frames=truth_frames,
    )


def test_frames_without_a_truth_need_no_prediction():
    assert list(list_scored_frames(video(), ALL)) == [0, 1, 2, 3, 4]
    assert list(list_scored_frames(video((1, 3)), ALL)) == [1, 3]
    assert list(list_scored_frames(video((1, 3)), replace(ALL, frames="annotated"))) == [1, 3]


def test_the_inner_frames_are_needed_whole_because_t_looks_at_all_of_them():
    assert list(list_scored_frames(video(), DAVIS_2017)) == [1, 2, 3]
    assert list(list_scored_frames(video((0, 2)), DAVIS_2017)) == [1, 2, 3]


def test_a_missing_mask_of_a_frame_with_truth_is_still_named(tmp_path):
    (tmp_path / "shot").mkdir()
    write_mask(tmp_path / "shot/b.png", np.zeros((4, 6), np.uint8))
    look_over(tmp_path, [video((1,))], lambda masks: list_scored_frames(masks.sample, ALL))
    with pytest.raises(IncompletePredictions, match=r"1 mask is missing in .*: shot/d\.png"):
        look_over(tmp_path, [video((1, 3))], lambda masks: list_scored_frames(masks.sample, ALL))


def test_a_record_of_scores_says_what_it_said_of_a_replay(tests_tools, tmp_path):
    """No method is in the catalog: the record names the masks as a replay all the same, and can be ranked."""
    benchmark = tests_tools.tiny_benchmark()
    for sample in benchmark.open(None, False):
        (tmp_path / sample.name).mkdir()
        for t, name in enumerate(sample.frame_names):
            write_mask(tmp_path / sample.name / f"{name}.png", tests_tools.moving_square(t))
    catalog = tests_tools.catalog_of(benchmark=benchmark)
    trial = plan_scoring(tmp_path, benchmark, catalog, "one-shot")
    record, results = score(trial, tmp_path, catalog)
    assert [result.video for result in results] == ["first", "second"]
    said = record.model_dump(exclude={"id", "created", "conditions", "videos", "scores"})
    assert len(said["plugin"].pop("code_sha256")) == len(said["benchmark"].pop("fingerprint")) == 64
    assert said == {
        "schema_": "harness.run/1",
        "harness_version": __version__,
        "plugin": {
            "name": "replay",
            "distribution": "vos-harness",
            "version": __version__,
            "causality": "offline",
            "lookahead": 0,
            "supervision": "unknown (masks made elsewhere)",
            "replays": True,
        },
        "about": {"authors": "", "licence": "", "paper": "", "url": "", "year": None},
        "preset": "",
        "config": {"directory": str(tmp_path), "binary": False, "frames": "inner"},
        "weights": {"name": "none", "sha256": "", "licence": "", "trained_on": "", "parameters": None},
        "benchmark": {
            "name": "tiny",
            "choice": "",
            "tree": "",
            "task": "one-shot",
            "scoring": "tiny/1",
            "own_rule": True,
            "scored": True,
            "average": "objects",
            "videos_expected": 2,
            "videos_done": 2,
        },
        "providers": {},
        "partial": False,
        "partial_reason": "",
        "seed": 0,
        "timing": None,
        "reused": [],
        "failures": [],
    }
    assert record.scores["share_right"]["share"].value == 1
    assert (record.conditions.executor, record.conditions.precision) == ("inline", "fp32")


def test_a_task_the_benchmark_does_not_score_is_refused(tests_tools, tmp_path):
    benchmark = tests_tools.tiny_benchmark()
    with pytest.raises(UsageError, match="tiny scores one-shot, object-zvos, instance-zvos; --task vis is not among"):
        plan_scoring(tmp_path, benchmark, tests_tools.catalog_of(), "vis")
