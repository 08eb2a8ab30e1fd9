"""Which frames and objects the metric counts, what it refuses, how videos are put together."""

import dataclasses
import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest

from harness.api.contracts import (
    DAVIS_2016,
    DAVIS_2017,
    DAVIS_2017_UNSUPERVISED,
    RULES,
    VOS_BENCHMARK,
    VOS_BENCHMARK_ALL_FRAMES,
    YOUTUBE_VOS,
    Metric,
    Rule,
)
from harness.api.errors import DataError
from harness.api.records import VideoScores
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.metrics.j_and_f import JAndF, harness_metrics
from harness.metrics.j_and_f.counters import new_counter
from harness.metrics.j_and_f.pair_counts import PlainCounter
from harness.metrics.j_and_f.youtube_vos import YouTubeVOS


def sample_of(truth, name="toy", **changes) -> Sample:
    """A sample over truths in memory; None stands for a frame that is not annotated."""
    height, width = next(mask for mask in truth if mask is not None).shape
    given = {
        "name": name,
        "length": len(truth),
        "height": height,
        "width": width,
        "frame_names": tuple(f"{t:05}" for t in range(len(truth))),
        "read_frame": lambda t: np.zeros((height, width, 3), np.uint8),
        "read_truth": lambda t: truth[t],
        "digest": lambda: "0" * 64,
    }
    return Sample(**{**given, **changes})


def measure(prediction, truth, rule, metric=None, **changes) -> VideoScores:
    measurement = (metric or JAndF()).start(sample_of(truth, **changes), rule)
    for frame, (predicted, true) in enumerate(zip(prediction, truth, strict=True)):
        measurement.add(frame, predicted, true)
    return measurement.finish()


def bars(*widths, height=8, width=8) -> np.ndarray:
    """An id map whose object k + 1 fills columns ``widths[k]`` (first, last), all rows."""
    mask = np.zeros((height, width), np.uint8)
    for k, (first, last) in enumerate(widths):
        mask[:, first : last + 1] = k + 1
    return mask


HALF = bars((0, 3))  # 4 of 8 columns
QUARTER = bars((0, 1))  # 2 of 8 columns, inside HALF
EMPTY = bars()


def J(scores, id_="1"):
    return scores.series["J"][id_]


def test_inner_frames_leave_out_the_first_and_the_last():
    scores = measure([EMPTY, QUARTER, HALF, EMPTY], [HALF] * 4, DAVIS_2017)
    assert scores.frames == [1, 2]
    assert J(scores) == [2 / 4, 1.0]
    assert scores.summary["1"]["J-mean"] == 3 / 4
    assert scores.summary["1"]["J-recall"] == 1 / 2
    assert scores.summary["1"]["J-decay"] == -1 / 2


def test_all_frames_count_the_first_and_the_last():
    rule = dataclasses.replace(DAVIS_2017, frames="all")
    assert J(measure([EMPTY, QUARTER, HALF], [HALF] * 3, rule)) == [0.0, 2 / 4, 1.0]


def test_frames_without_truth_are_not_scored():
    scores = measure([HALF] * 5, [HALF, None, QUARTER, None, HALF], DAVIS_2017)
    assert scores.frames == [2]


def test_a_video_without_a_scored_frame_is_refused():
    with pytest.raises(DataError, match=r"'toy'.*no frame to score among its 2.*inner frames"):
        measure([HALF] * 2, [HALF] * 2, DAVIS_2017)


def test_objects_are_those_of_the_first_truth_even_when_its_frame_is_not_added():
    late = bars((0, 1), (2, 3), (4, 5))
    truth = [bars((0, 1), (2, 3)), late, late]
    measurement = JAndF().start(sample_of(truth), DAVIS_2017)
    measurement.add(1, bars((0, 1)), late)
    assert list(measurement.finish().series["J"]) == ["1", "2"]


def test_an_id_left_out_of_the_first_truth_counts_as_an_empty_object():
    truth = np.where(bars((0, 1), (2, 3), (4, 5)) == 2, 0, bars((0, 1), (2, 3), (4, 5))).astype(np.uint8)
    scores = measure([truth] * 3, [truth] * 3, DAVIS_2017)
    assert list(scores.summary) == ["1", "2", "3"]
    assert scores.summary["2"]["J&F"] == 1


def test_void_in_the_first_truth_is_no_object_and_background_in_one_shot():
    truth = HALF.copy()
    truth[:, 4:] = 255
    scores = measure([HALF] * 3, [truth] * 3, DAVIS_2017)
    assert list(scores.summary) == ["1"]
    assert J(scores) == [1.0]
    whole = bars((0, 7))
    assert J(measure([whole] * 3, [truth] * 3, DAVIS_2017)) == [4 / 8]


def test_void_is_left_out_of_both_sides_where_the_rule_says_ignore():
    truth = HALF.copy()
    truth[:, 4:6] = 255
    scores = measure([bars((0, 6))] * 2, [truth] * 2, DAVIS_2017_UNSUPERVISED)
    assert J(scores) == [4 / 5, 4 / 5]


@pytest.mark.parametrize("value", [2, 255])
def test_an_id_the_first_truth_lacks_is_refused_in_a_scored_frame(value):
    extra = HALF.copy()
    extra[0, 7] = value
    measure([extra, HALF, extra], [HALF] * 3, DAVIS_2017)
    with pytest.raises(DataError, match=rf"'toy', frame 1 \(00001\): found id {value} .*expected the ids 0\.\.1"):
        measure([HALF, extra, HALF], [HALF] * 3, DAVIS_2017)


def test_more_than_twenty_proposals_are_refused_by_their_highest_id():
    sparse = np.where(HALF == 1, 20, 0).astype(np.uint8)
    assert measure([sparse] * 2, [HALF] * 2, DAVIS_2017_UNSUPERVISED).matched == {"1": 20}
    with pytest.raises(DataError, match=r"frame 0 .*found id 21 .*expected at most 20 proposals"):
        measure([sparse + (sparse > 0)] * 2, [HALF] * 2, DAVIS_2017_UNSUPERVISED)


def test_the_limit_of_proposals_can_be_set():
    rule = dataclasses.replace(DAVIS_2017_UNSUPERVISED, max_proposals=1)
    two = bars((0, 3), (4, 5))
    with pytest.raises(DataError, match="at most 1 proposals"):
        measure([two] * 2, [two] * 2, rule)
    assert measure([HALF] * 2, [two] * 2, rule).matched == {"1": 1}


def test_one_matching_serves_the_whole_video():
    truth = bars((0, 3), (4, 7))
    swapped = np.where(truth == 1, 2, 1).astype(np.uint8)
    scores = measure([swapped, swapped, truth], [truth] * 3, DAVIS_2017_UNSUPERVISED)
    assert scores.matched == {"1": 2, "2": 1}
    assert J(scores) == [1.0, 1.0, 0.0]


def test_objects_without_a_proposal_score_zero_and_have_no_match():
    truth = bars((0, 3), (4, 7))
    scores = measure([HALF] * 2, [truth] * 2, DAVIS_2017_UNSUPERVISED)
    assert scores.matched == {"1": 1}
    assert scores.summary["2"]["J&F"] == 0


def test_a_video_without_objects_has_an_empty_summary():
    assert measure([EMPTY] * 3, [EMPTY] * 3, DAVIS_2017).summary == {}
    assert measure([HALF] * 3, [EMPTY] * 3, DAVIS_2017_UNSUPERVISED).summary == {}


def test_a_single_object_is_every_value_that_is_not_zero():
    truth = np.where(HALF == 1, 255, 0).astype(np.uint8)
    prediction = bars((0, 0), (1, 1))
    assert J(measure([prediction] * 3, [truth] * 3, DAVIS_2016)) == [2 / 4]


def test_parts_of_a_single_object_have_no_boundary_between_them():
    prediction = bars((0, 1), (2, 3))
    assert measure([prediction] * 3, [HALF] * 3, DAVIS_2016).summary["1"]["F-mean"] == 1


def test_seen_ids_count_from_the_first_frame_truth_or_prediction_holds_them():
    two = bars((0, 1), (2, 3))
    prediction = [EMPTY, EMPTY, two, EMPTY, EMPTY]
    truth = [EMPTY, QUARTER, QUARTER, two, EMPTY]
    scores = measure(prediction, truth, VOS_BENCHMARK)
    assert J(scores, "1") == [0.0, 1.0, 0.0]
    assert J(scores, "2") == [None, 0.0, 0.0]
    assert scores.summary["2"]["J-mean"] == 0


def test_seen_ids_that_only_the_prediction_holds_are_not_reported():
    scores = measure([bars((0, 1), (2, 3))] * 2, [QUARTER] * 2, VOS_BENCHMARK_ALL_FRAMES)
    assert list(scores.summary) == ["1"]


def test_void_is_an_ordinary_id_where_the_rule_says_object():
    truth = np.where(HALF == 1, 255, 0).astype(np.uint8)
    scores = measure([truth] * 2, [truth] * 2, VOS_BENCHMARK_ALL_FRAMES)
    assert list(scores.summary) == ["255"]
    assert list(measure([truth] * 2, [truth] * 2, YOUTUBE_VOS, **{"extra": {"unseen": ()}}).summary) == []


def test_annotated_frames_count_after_the_frame_an_object_first_appears_in():
    two = bars((0, 1), (2, 3))
    truth = [QUARTER, None, two, None, two]
    scores = measure([QUARTER] * 5, truth, YOUTUBE_VOS)
    assert scores.frames == [0, 2, 4]
    assert J(scores, "1") == [None, 1.0, 1.0]
    assert J(scores, "2") == [None, None, 0.0]


@pytest.mark.parametrize("objects", ["single", "first-frame-max"])
def test_annotated_frames_hold_for_objects_known_from_the_start_too(objects):
    rule = Rule(version="toy/1", frames="annotated", objects=objects)
    assert J(measure([HALF] * 3, [HALF] * 3, rule)) == [None, 1.0, 1.0]


def test_an_object_that_appears_last_has_no_figures_and_does_not_count():
    truth = [EMPTY, QUARTER]
    scores = measure([EMPTY, EMPTY], truth, YOUTUBE_VOS)
    assert set(scores.summary["1"].values()) == {None}
    assert set(JAndF().summarise([scores], YOUTUBE_VOS).values()) == {None}


def test_official_decay_of_a_long_video_is_undefined_and_the_fixed_form_is_not():
    truth, prediction = [HALF] * 300, [HALF] * 150 + [QUARTER] * 150
    assert measure(prediction, truth, DAVIS_2017).summary["1"]["J-decay"] is None
    fixed = dataclasses.replace(DAVIS_2017, decay="fixed")
    assert measure(prediction, truth, fixed).summary["1"]["J-decay"] == 1 / 2


def test_predictions_of_another_size_or_type_are_refused():
    with pytest.raises(DataError, match=r"frame 1 .*\(4, 8\) uint8, expected uint8 of \(8, 8\)"):
        measure([HALF, HALF[:4], HALF], [HALF] * 3, DAVIS_2017)
    with pytest.raises(DataError, match=r"\(8, 8\) int64"):
        measure([HALF, HALF.astype(np.int64), HALF], [HALF] * 3, DAVIS_2017)


def test_frames_are_added_in_order_and_within_the_video():
    measurement = JAndF().start(sample_of([HALF] * 3), DAVIS_2017)
    measurement.add(1, HALF, HALF)
    with pytest.raises(ValueError, match="frame 1 after 1"):
        measurement.add(1, HALF, HALF)
    with pytest.raises(ValueError, match="frame 3 after 1, of 3"):
        measurement.add(3, HALF, HALF)


@pytest.mark.parametrize(
    "rule",
    [
        Rule(version="toy/1", matching="none"),
        Rule(version="toy/1", matching="hungarian", objects="seen"),
        Rule(version="toy/1", matching="hungarian", objects="single"),
    ],
)
def test_rules_that_have_no_meaning_together_are_refused(rule):
    with pytest.raises(ValueError, match="j_and_f cannot match"):
        JAndF().start(sample_of([HALF] * 3), rule)


def test_no_mask_is_kept():
    measurement = JAndF().start(sample_of([HALF] * 4), DAVIS_2017)
    for frame in range(4):
        prediction, truth = HALF.copy(), HALF.copy()
        measurement.add(frame, prediction, truth)
        kept = weakref.ref(prediction), weakref.ref(truth)
        del prediction, truth
        gc.collect()
        assert [reference() for reference in kept] == [None, None]


def test_masks_are_not_changed_and_may_be_read_only_or_strided():
    wide = np.zeros((8, 16), np.uint8)
    wide[:, ::2] = QUARTER
    prediction, truth = wide[:, ::2], HALF.copy()
    truth[:, 7] = 255
    before = truth.copy()
    truth.flags.writeable = False
    assert J(measure([prediction] * 2, [truth] * 2, DAVIS_2017_UNSUPERVISED)) == [2 / 4, 2 / 4]
    assert (truth == before).all()
    assert (prediction == QUARTER).all()


def test_every_object_weighs_the_same_or_every_video_does():
    one = measure([HALF] * 3, [HALF] * 3, DAVIS_2017)
    two = bars((0, 3), (4, 7))
    other = measure([EMPTY] * 3, [two] * 3, DAVIS_2017)
    assert JAndF().summarise([one, other], DAVIS_2017)["J&F"] == pytest.approx(1 / 3, abs=1e-15)
    by_video = dataclasses.replace(DAVIS_2017, average="sequences")
    assert JAndF().summarise([one, other], by_video)["J&F"] == 1 / 2


def test_one_undefined_decay_makes_the_overall_one_undefined_unless_videos_are_averaged():
    short = measure([HALF] * 4, [HALF] * 4, DAVIS_2017)
    long = measure([HALF] * 300, [HALF] * 300, DAVIS_2017)
    overall = JAndF().summarise([short, long], DAVIS_2017)
    assert overall["J-decay"] is None
    assert overall["J-mean"] == 1
    assert JAndF().summarise([short, long], DAVIS_2016)["J-decay"] == 0


def test_nothing_measured_has_no_figures():
    assert set(JAndF().summarise([], DAVIS_2017).values()) == {None}


def test_every_column_is_in_summary_and_overall_figures():
    scores = measure([QUARTER] * 3, [HALF] * 3, DAVIS_2017)
    names = [column.name for column in JAndF.columns]
    assert names == ["J&F", "J-mean", "J-recall", "J-decay", "F-mean", "F-recall", "F-decay"]
    assert sorted(scores.summary["1"]) == sorted(names)
    assert list(JAndF().summarise([scores], DAVIS_2017)) == names


def test_scores_survive_json():
    scores = measure([EMPTY, EMPTY, QUARTER, EMPTY], [EMPTY, QUARTER, bars((0, 1), (2, 3)), EMPTY], VOS_BENCHMARK)
    assert VideoScores.model_validate_json(scores.model_dump_json()) == scores


def test_youtube_vos_averages_seen_and_unseen_objects_apart():
    truth = bars((0, 1), (2, 3), (4, 5))
    prediction = bars((0, 1), (2, 2))  # object 1 whole, object 2 half, object 3 missed
    metric = YouTubeVOS()
    scores = measure([prediction] * 2, [truth] * 2, YOUTUBE_VOS, metric, extra={"unseen": (2, "3")})
    assert scores.evidence == {"1": "seen", "2": "unseen", "3": "unseen"}
    overall = metric.summarise([scores], YOUTUBE_VOS)
    assert overall["J_seen"] == 1
    assert overall["J_unseen"] == (1 / 2 + 0) / 2
    assert overall["F_seen"] == 1
    four = [overall[name] for name in ("J_seen", "J_unseen", "F_seen", "F_unseen")]
    assert overall["J&F"] == pytest.approx(sum(four) / 4, abs=1e-15)
    assert list(overall) == [column.name for column in metric.columns]


def test_youtube_vos_without_unseen_objects_has_no_overall_figure():
    scores = measure([HALF] * 2, [HALF] * 2, YOUTUBE_VOS, YouTubeVOS(), extra={"unseen": ()})
    overall = YouTubeVOS().summarise([scores], YOUTUBE_VOS)
    assert (overall["J_seen"], overall["J_unseen"], overall["J&F"]) == (1, None, None)


def test_youtube_vos_needs_to_know_which_objects_are_unseen():
    with pytest.raises(DataError, match=r"'toy': found no list .*extra\['unseen'\]"):
        YouTubeVOS().start(sample_of([HALF] * 3), YOUTUBE_VOS)


def test_the_hook_offers_both_metrics_and_every_protocol_names_installed_ones():
    metrics = {metric.name: metric for metric in harness_metrics()}
    assert all(isinstance(metric, Metric) for metric in metrics.values())
    installed = set(Catalog.load().metrics.names())
    assert all(rule.metrics and set(rule.metrics) <= installed for rule in RULES.values())
    assert set(metrics) <= {name for rule in RULES.values() for name in rule.metrics}
    assert len({rule.version for rule in RULES.values()}) == len(RULES)


def test_without_machine_code_the_plain_counter_is_used(monkeypatch):
    monkeypatch.setattr("harness.metrics.j_and_f.compiled_counter.CompiledCounter.is_usable", lambda: False)
    assert isinstance(new_counter(), PlainCounter)


def test_the_plain_counter_is_used_where_numba_is_switched_off():
    code = "from harness.metrics.j_and_f.counters import new_counter; print(type(new_counter()).__name__)"
    for switch, expected in (("1", "PlainCounter"), ("0", "CompiledCounter")):
        done = subprocess.run(
            [sys.executable, "-c", code], env={"NUMBA_DISABLE_JIT": switch}, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected


def test_importing_the_metric_loads_neither_numba_nor_scipy_nor_opencv_nor_torch():
    code = (
        "import sys, harness.metrics.j_and_f; "
        "print(sorted({'numba', 'scipy', 'cv2', 'torch', 'skimage'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("prediction", "advice"),
    [
        ([[0, 255], [255, 0]], "a mask of 0 and 255 names no object: write the object's id"),
        (np.arange(64).reshape(8, 8) * 4, "grey levels of a soft mask are no ids"),
        ([[0, 1], [0, 7]], "mend the prediction of this frame"),
    ],
)
def test_an_id_that_is_too_high_is_refused_with_what_it_looks_like(tests_tools, prediction, advice):
    prediction = np.array(prediction, np.uint8)
    truth = (prediction > 0).astype(np.uint8)
    height, width = truth.shape
    sample = tests_tools.tiny_sample(height=height, width=width, read_truth=lambda t: truth)
    measurement = JAndF().start(sample, DAVIS_2017)
    with pytest.raises(DataError) as caught:
        measurement.add(1, prediction, truth)
    assert caught.value.hint.startswith(advice)
