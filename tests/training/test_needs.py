"""What of the truth a training is shown: nothing, id masks or tracks; and whose truth may choose its weights."""

import json
from dataclasses import replace

import numpy as np
import pytest

from harness import read_tracks
from harness.api.errors import DataError
from harness.api.mask_files import RunLength
from harness.api.providers import parse_spec
from harness.api.video import without_truth
from harness.datasets.mini import TRAIN
from harness.training.needs import convert_as_needed


def track(mask, **changes):
    given = {"id": 3, "category_id": 2, "iscrowd": 0, "segmentations": [RunLength.encode(mask), None, None, None, None]}
    return given | changes


@pytest.fixture
def tracked(tests_tools):
    """A video whose truth is two overlapping tracks, and a crowd, as YouTube-VIS has it."""
    square = tests_tools.moving_square(0)
    tracks = [track(square), track(square[::-1], category_id=5), track(square, iscrowd=1)]
    return replace(without_truth(tests_tools.tiny_sample("vis")), extra={"tracks": tracks})


def test_a_method_that_learns_from_tracks_is_given_those_of_the_dataset_without_crowds(tiny, tests_tools, tracked):
    benchmark = tests_tools.tiny_benchmark([tracked])
    (sample,) = tiny.plan(tiny.card(needs="tracks"), benchmark=benchmark, validate="none")[0].samples
    first, second = read_tracks(sample)
    assert (first.category, second.category, first.score) == (2, 5, 1.0)
    assert first.masks[0].decode().tolist() == tests_tools.moving_square(0).tolist()
    assert first.masks[1] is None


def test_id_masks_are_tracks_too_each_id_one_of_category_0(tests_tools):
    def truth(t):
        mask = tests_tools.moving_square(t)
        mask[7, 7], mask[6, 0] = 255, 4 * (t == 2)
        return None if t == 3 else mask

    sample = tests_tools.tiny_sample("first", read_truth=truth)
    assert convert_as_needed([sample], "tracks", "pixels", "tiny") == [sample]
    square, dot = read_tracks(sample)
    assert (square.category, dot.category) == (0, 0)
    assert square.masks[1].decode().tolist() == (truth(1) == 1).tolist()
    assert [None if mask is None else mask.area for mask in dot.masks] == [None, None, 1, None, None]
    assert [mask.area for mask in square.masks[:2]] == [9, 9]
    with pytest.raises(IndexError, match=r"frames 0\.\.4, not 5"):
        square.masks[5]
    assert len(read_tracks(without_truth(sample))) == 0


def test_the_instances_of_mini_are_tracks_with_categories():
    sample = replace(TRAIN[0], length=2).sample()
    (needed,) = convert_as_needed([sample], "tracks", "pixels", "mini-train")
    tracks = read_tracks(needed)
    assert len(tracks) == np.unique(sample.read_truth(0)).size - 1
    assert {track.category for track in tracks} <= set(sample.extra["category_names"])
    union = sum(track.masks[0].decode().astype(int) for track in tracks if track.masks[0] is not None)
    assert (union > 0).tolist() == (sample.read_truth(0) > 0).tolist()


@pytest.mark.parametrize(
    ("needs", "reason"),
    [
        ("masks", r"learns from masks, and 2 of 2 videos of tiny have none \(first: vis; 1 have tracks\)"),
        ("tracks", r"learns from tracks, and 1 of 2 videos of tiny have none \(first: bare\)"),
    ],
)
def test_videos_with_less_than_is_needed_are_refused(tests_tools, tracked, needs, reason):
    bare = without_truth(tests_tools.tiny_sample("bare"))
    with pytest.raises(DataError, match=reason):
        convert_as_needed([tracked, bare], needs, "pixels", "tiny")


def test_exact_flow_is_shown_to_a_training_of_frames_that_names_it_and_to_no_other():
    sample = replace(TRAIN[0], length=2).sample()
    (blind,) = convert_as_needed([sample], "frames", "pixels", "mini-train", [parse_spec("flow", "dis")])
    (shown,) = convert_as_needed([sample], "frames", "pixels", "mini-train", [parse_spec("flow", "truth-flow")])
    assert blind.read_flow is None
    assert shown.read_flow is sample.read_flow
    assert (shown.read_truth, dict(shown.extra)) == (None, {})


def test_where_no_truth_may_choose_none_is_looked_at_and_no_best_is_written(tiny):
    trained = tiny.train(tiny.card(choose="last"))
    assert [line["kind"] for line in trained.lines] == ["train"]
    assert trained.best is None
    assert not (tiny.folder / "best.safetensors").exists()
    described = json.loads((tiny.folder / "train.json").read_text())
    assert (described["chosen_by"], described["measured"]) == ([], [])


def test_a_validation_that_is_asked_for_chooses_nothing_and_says_so(tiny):
    trained = tiny.train(tiny.card(choose="last"), validate="tiny", validate_every=12)
    assert [line["chooses"] for line in trained.lines if line["kind"] == "validation"] == ["nothing", "nothing"]
    assert trained.best is None
    assert not (tiny.folder / "best.safetensors").exists()
    described = json.loads((tiny.folder / "train.json").read_text())
    assert (described["chosen_by"], described["measured"]) == ([], ["share on tiny"])


def test_the_description_says_whose_truth_chose_also_in_an_earlier_sitting(tiny):
    trained = tiny.train()
    assert "chooses" not in trained.lines[0]
    tiny.train(validate="none")
    assert json.loads((tiny.folder / "train.json").read_text())["chosen_by"] == ["share on tiny"]
