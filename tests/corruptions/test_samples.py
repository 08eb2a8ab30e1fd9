"""A benchmark under a corruption: other frames, the same rules; what a method sees is scored against its own truth."""

from itertools import pairwise

import numpy as np
import pytest

from harness.api.errors import DataError, DataProblems, UsageError
from harness.corruptions.names import Setting
from harness.corruptions.samples import choose_frames, corrupt_benchmark, corrupt_sample
from harness.corruptions.table import CORRUPTIONS


def setting(name, severity=3, seed=0):
    return Setting(CORRUPTIONS[name], severity, seed)


def test_a_lower_rate_is_every_nth_frame_and_keeps_those_with_a_prompt(tests_tools):
    sample = tests_tools.tiny_sample(length=20, prompt_frames=(0, 7))
    assert choose_frames(sample, setting("rate", 3)) == (0, 4, 7, 8, 12, 16)


def test_drops_are_as_many_as_the_table_says_and_never_the_first_or_the_last(tests_tools):
    sample = tests_tools.tiny_sample(length=40)
    for severity, lost in ((1, 4), (3, 12), (5, 20)):
        kept = choose_frames(sample, setting("drop", severity))
        assert len(kept) == 40 - lost
        assert (kept[0], kept[-1]) == (0, 39)
        assert kept == choose_frames(sample, setting("drop", severity))
    assert choose_frames(sample, setting("drop", 3)) != choose_frames(sample, setting("drop", 3, seed=1))


def test_what_is_lost_at_one_severity_is_lost_at_the_next(tests_tools):
    sample = tests_tools.tiny_sample(length=40)
    kept = [set(choose_frames(sample, setting("drop", severity))) for severity in range(1, 6)]
    assert all(later < earlier for earlier, later in pairwise(kept))


def test_a_video_of_one_frame_can_be_worse_but_not_shorter(tests_tools):
    sample = tests_tools.tiny_sample(length=1)
    for name in ("noise", "blur", "jpeg", "resolution", "mask-erode", "mask-dilate", "mask-shift"):
        made = corrupt_sample(sample, setting(name, 5))
        assert made.read_frame(0).shape == sample.read_frame(0).shape
        assert set(np.unique(made.read_prompt(0))) == set(np.unique(sample.read_prompt(0)))
    for name in ("drop", "rate"):
        with pytest.raises(DataError, match="leaves 1, expected 3"):
            corrupt_sample(sample, setting(name, 1))


def test_frames_that_are_left_come_with_their_own_truth_name_and_prompt(tests_tools):
    sample = tests_tools.tiny_sample(
        length=20, truth_frames=(0, 4, 5, 8), prompt_frames=(0, 4), read_flow=lambda t: None
    )
    made = corrupt_sample(sample, setting("rate", 3))
    assert made.length == 5
    assert made.frame_names == ("00000", "00004", "00008", "00012", "00016")
    assert (made.read_frame(1) == sample.read_frame(4)).all()
    assert (made.read_truth(1) == sample.read_truth(4)).all()
    assert (made.read_prompt(1) == sample.read_prompt(4)).all()
    assert (made.prompt_frames, made.truth_frames) == ((0, 1), (0, 1, 2))
    assert made.read_flow is None  # none leads from a frame to the one that is next now


def test_true_tracks_lose_the_same_frames(tests_tools):
    track = {
        "id": 1,
        "category_id": 2,
        "iscrowd": 0,
        "length": 6,
        "areas": list(range(6)),
        "segmentations": list("abcdef"),
    }
    made = corrupt_sample(tests_tools.tiny_sample(length=6, extra={"tracks": [track]}), setting("rate", 1))
    (kept,) = made.extra["tracks"]
    assert (kept["areas"], kept["segmentations"], kept["length"], kept["category_id"]) == ([0, 2, 4], list("ace"), 3, 2)
    assert list(made.extra["tracks"][:]) == [kept]


def test_too_few_frames_are_refused(tests_tools):
    with pytest.raises(DataError, match="rate-5 leaves 1, expected 3"):
        choose_frames(tests_tools.tiny_sample(length=8), setting("rate", 5))


def test_a_first_mask_is_worse_and_the_truth_is_not(tests_tools):
    sample = tests_tools.tiny_sample()
    made = corrupt_sample(sample, setting("mask-erode", 5))
    assert np.count_nonzero(made.read_prompt(0)) == 1  # of 3 x 3
    assert (made.read_truth(0) == sample.read_truth(0)).all()
    assert (made.read_frame(0) == sample.read_frame(0)).all()


def test_only_tasks_that_are_given_a_mask_are_left_where_the_mask_is_what_is_changed(tests_tools):
    bench = tests_tools.tiny_benchmark()
    assert corrupt_benchmark(bench, setting("mask-shift")).tasks == ("one-shot",)
    assert corrupt_benchmark(bench, setting("blur")).tasks == bench.tasks
    unprompted = tests_tools.tiny_benchmark(rules={"object-zvos": bench.rules["object-zvos"]})
    with pytest.raises(UsageError, match="shows none to a method"):
        corrupt_benchmark(unprompted, setting("mask-shift"))


def test_a_benchmark_keeps_its_rules_and_videos_under_another_name(tests_tools):
    bench = tests_tools.tiny_benchmark(expected=("first", "second"))
    made = corrupt_benchmark(bench, setting("blur"))
    assert (made.name, made.expected, made.rules) == ("tiny+blur-3", bench.expected, bench.rules)
    assert [sample.name for sample in made.open(None, False)] == ["first", "second"]


def test_what_can_be_opened_of_a_broken_dataset_is_corrupted_too(tests_tools):
    sample = tests_tools.tiny_sample()

    def open_broken(root, partial):
        raise DataProblems([DataError("one is broken")], usable=[sample])

    made = corrupt_benchmark(tests_tools.tiny_benchmark(open=open_broken), setting("noise"))
    with pytest.raises(DataProblems) as caught:
        made.open(None, False)
    assert (caught.value.usable[0].read_frame(0) != sample.read_frame(0)).any()


def test_the_catalog_finds_it_by_name_and_explains_a_wrong_one(tests_tools):
    catalog = tests_tools.catalog_of()
    assert catalog.benchmarks.get("tiny+jpeg-2").name == "tiny+jpeg-2"
    assert catalog.benchmarks.get("tiny+noise-2-s9").name == "tiny+noise-2-s9"
    with pytest.raises(UsageError, match=r"tiny has no corruption 'jpg-2' \(did you mean 'jpeg-2'\?\)"):
        catalog.benchmarks.get("tiny+jpg-2")
    with pytest.raises(UsageError, match="no benchmark named 'tinny'"):
        catalog.benchmarks.get("tinny+jpeg-2")


def test_what_is_chosen_in_a_tree_is_corrupted(tests_tools):
    bench = tests_tools.tiny_benchmark()
    bench = tests_tools.tiny_benchmark(choose=lambda choice: bench)
    made = tests_tools.catalog_of(benchmark=bench).benchmarks.get("tiny+blur-3:mine")
    assert (made.full_name, made.choice) == ("tiny+blur-3:mine", "mine")
