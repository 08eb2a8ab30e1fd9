"""Comparing two records: what is refused, what differs by how much, when a gate fails."""

import pytest

from harness.api.errors import UsageError
from harness.api.records import Interval
from harness.ranking.compare import compare
from harness.ranking.gate import gate_from

TEN = [f"video-{number}" for number in range(10)]
BASE = {video: [(0.5, 0.5)] for video in TEN}


def shift(by):
    return {video: [(0.5 + by, 0.5 + by)] for video in TEN}


def gate(base, head, rules, **options):
    return compare(base, head, gate_from(rules, "gate.toml"), **options)


def test_equal_runs_differ_by_nothing(make_record):
    found = compare(make_record(BASE), make_record(BASE))
    assert [change.column for change in found.accuracy] == ["J&F", "J-mean", "F-mean"]
    assert all(change.difference.value == 0 for change in found.accuracy)
    assert all(change.worse_by == 0 for change in found.speed)
    assert found.passed


def test_videos_are_ordered_from_the_greatest_loss(make_record):
    head = {**BASE, "video-3": [(0.25, 0.25)], "video-7": [(1.0, 1.0)]}
    (change, _, _) = compare(make_record(BASE), make_record(head)).accuracy
    assert next(iter(change.videos.items())) == ("video-3", -0.25)
    assert list(change.videos.items())[-1] == ("video-7", 0.5)
    assert change.difference.value == pytest.approx((0.5 - 0.25) / 10)


@pytest.mark.parametrize(("loss", "passed"), [(0.009, True), (0.011, False)])
def test_a_loss_passes_up_to_its_limit(make_record, loss, passed):
    found = gate(make_record(BASE), make_record(shift(-loss)), {"accuracy": {"J&F": {"max_loss": 0.01}}})
    assert found.passed is passed
    assert found.rulings[0].rule == "J&F worse by at most 0.01"


def test_an_unclear_loss_passes_where_only_clear_ones_count(make_record):
    mixed = {video: [(0.1, 0.1)] if video == "video-0" else [(0.52, 0.52)] for video in TEN}
    rules = {"accuracy": {"J&F": {"max_loss": 0.01, "only_if_clear": True}}}
    found = gate(make_record(BASE), make_record(mixed), rules)
    assert found.accuracy[0].difference.value == pytest.approx((9 * 0.02 - 0.4) / 10)
    assert found.passed
    assert not gate(make_record(BASE), make_record(mixed), {"accuracy": {"J&F": {"max_loss": 0.01}}}).passed
    assert not gate(make_record(BASE), make_record(shift(-0.02)), rules).passed


def test_a_figure_that_is_no_mean_over_videos_is_compared_as_a_whole(make_record):
    def whole(value):
        record = make_record(BASE)
        scores = {"track_ap": {"AP": Interval(value=value)}, "j_and_f": {"J&F": Interval(value=value)}}
        return record.model_copy(update={"scores": scores})

    rules = {"accuracy": {"AP": {"max_loss": 0.01, "at_worst": 0.4}, "J&F": {"max_loss": 0.01}}}
    found = gate(whole(0.5), whole(0.45), rules, no_means={"AP", "J&F"})
    assert [(change.column, change.difference.low, change.videos) for change in found.accuracy] == [
        ("AP", None, {}),
        ("J&F", None, {}),  # though its rows, equal in both, are there
    ]
    assert [change.difference.value for change in found.accuracy] == [pytest.approx(-0.05)] * 2
    assert [ruling.passed for ruling in found.rulings] == [True, False, False]
    assert gate(whole(0.5), whole(0.495), rules, no_means={"AP", "J&F"}).passed


def test_no_figure_without_an_interval_passes_because_it_is_unclear(make_record):
    record = make_record(BASE).model_copy(update={"scores": {"track_ap": {"AP": Interval(value=0.5)}}})
    rules = {"accuracy": {"AP": {"max_loss": 0.01, "only_if_clear": True}}}
    found = gate(record, record, rules, no_means={"AP"})
    assert not found.passed
    assert "leave out only_if_clear" in found.rulings[0].found


def test_of_a_decay_more_is_a_loss(make_record):
    rules = {"accuracy": {"J-mean": {"max_loss": 0.01, "at_worst": 0.5}}}
    more = gate(make_record(BASE), make_record(shift(0.1)), rules, lower_is_better={"J-mean"})
    less = gate(make_record(BASE), make_record(shift(-0.1)), rules, lower_is_better={"J-mean"})
    assert [ruling.passed for ruling in more.rulings] == [False, False]
    assert [ruling.passed for ruling in less.rulings] == [True, True]


def test_a_figure_may_not_be_worse_than_its_floor(make_record):
    for floor, passed in ((0.5, True), (0.51, False)):
        rules = {"accuracy": {"J&F": {"at_worst": floor}}}
        assert gate(make_record(BASE), make_record(BASE), rules).passed is passed


def test_a_rule_about_a_figure_that_is_not_there_fails(make_record):
    found = gate(make_record(BASE), make_record(BASE), {"accuracy": {"T": {"max_loss": 0.1}}})
    assert not found.passed
    assert found.rulings[0].found == "not compared; compared: J&F, J-mean, F-mean"


@pytest.mark.parametrize(("fps", "passed"), [(9.2, True), (9.0, False), (20.0, True)])
def test_speed_may_get_worse_by_its_share(make_record, fps, passed):
    # 10 fps -> 9.2 fps: a frame takes 10 / 9.2 = 1.087 times as long; 10 / 9 is 1.111.
    found = gate(make_record(BASE), make_record(BASE, fps=fps), {"speed": {"model_fps": {"max_loss": 0.1}}})
    assert found.passed is passed
    assert found.speed[0].worse_by == pytest.approx(10 / fps - 1)


def test_memory_and_latency_are_worse_when_higher(make_record):
    found = compare(make_record(BASE, fps=10), make_record(BASE, fps=5))
    by_clock = {change.clock: change.worse_by for change in found.speed}
    assert by_clock == {
        "model_fps": pytest.approx(1.0),
        "model_p90_ms": pytest.approx(1.0),
        "model_first_frame_ms": pytest.approx(1.0),
        "e2e_fps": pytest.approx(1.0),
        "e2e_p90_ms": pytest.approx(1.0),
        "added_memory_mib": 0.0,
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device": "Other"}, "other conditions: device Toy CPU and Other"),
        ({"replays": True}, "head is a replay"),
        ({"fps": None}, "head was not timed"),
    ],
)
def test_speeds_under_other_conditions_are_not_compared(make_record, change, said):
    base, head = make_record(BASE), make_record(BASE, **change)
    rules = {"speed": {"model_fps": {"max_loss": 0.5}}}
    found = gate(base, head, rules)
    assert found.speed == ()
    assert found.not_comparable == said
    assert not found.passed
    assert gate(base, head, {**rules, "when_not_comparable": "skip"}).passed


def test_frame_times_are_paired_by_video(make_record):
    before = {"a": 10.0, "b": 1000.0, "gone": 1.0}
    after = {"a": 20.0, "b": 500.0, "new": 1.0}
    found = compare(make_record(BASE), make_record(BASE), frame_ms=(before, after)).frame_time
    # Twice as slow on a, twice as fast on b: no change in the geometric mean, and no certainty.
    assert found.value == pytest.approx(1.0)
    assert (found.low, found.high) == (pytest.approx(0.5), pytest.approx(2.0))


@pytest.mark.parametrize(
    ("field", "value"), [("task", "vis"), ("scoring", "davis2017-semi/2"), ("fingerprint", "f" * 64)]
)
def test_other_data_or_rules_are_refused(make_record, field, value):
    head = make_record(BASE)
    head = head.model_copy(update={"benchmark": head.benchmark.model_copy(update={field: value})})
    with pytest.raises(UsageError, match=rf"head: benchmark.{field}: found '{value}', expected"):
        compare(make_record(BASE), head)


def test_other_videos_are_refused(make_record):
    head = {**{video: BASE[video] for video in TEN[1:]}, "another": [(0.5, 0.5)]}
    with pytest.raises(UsageError, match="in one only: another, video-0"):
        compare(make_record(BASE), make_record(head))


def test_the_videos_that_both_have_are_compared_where_that_is_asked_for(make_record):
    """Base has videos 0 to 9, head 2 to 10: of the eight they share head is .1 better on each."""
    longer = {**{video: [(0.6, 0.6)] for video in TEN[2:]}, "another": [(0.0, 0.0)]}
    base, head = make_record({**BASE, "video-0": [(1.0, 1.0)]}), make_record(longer)
    with pytest.raises(UsageError, match="--common compares the 8 that both have"):
        compare(base, head)
    found = compare(base, head, common=True)
    assert found.common == tuple(TEN[2:])
    assert [(change.base, change.head) for change in found.accuracy] == [(0.5, pytest.approx(0.6))] * 3
    assert (found.base.videos, found.head.videos) == (10, 9)
    assert found.speed == ()
    assert found.not_comparable == "the clocks are of all 10 and 9 videos"


def test_of_common_videos_times_by_video_are_compared_and_what_is_no_mean_is_left_out(make_record):
    base, head = make_record(BASE), make_record({video: BASE[video] for video in TEN[:2]})
    times = (dict.fromkeys(TEN, 100.0), dict.fromkeys(TEN[:2], 50.0))
    found = compare(base, head, common=True, frame_ms=times, no_means={"J-mean"})
    assert found.frame_time.value == pytest.approx(0.5)
    assert [change.column for change in found.accuracy] == ["J&F", "F-mean"]


def test_nothing_in_common_and_other_data_of_common_videos_are_refused(make_record):
    base, head = make_record(BASE), make_record({TEN[0]: BASE[TEN[0]], "another": [(0.5, 0.5)]})
    with pytest.raises(UsageError, match="no video is in both"):
        compare(make_record({"other": [(0.5, 0.5)]}), head, common=True)
    with pytest.raises(UsageError, match="video video-0: the data of base and head differ"):
        compare(base, head, common=True, digests=({TEN[0]: "a" * 64}, {TEN[0]: "b" * 64}))
    assert compare(base, head, common=True, digests=({TEN[0]: "a" * 64}, {TEN[0]: "a" * 64})).common == (TEN[0],)


def test_runs_on_the_same_videos_are_compared_whole_with_common_too(make_record):
    found = compare(make_record(BASE), make_record(BASE), common=True)
    assert (found.common, found.not_comparable) == ((), "")


def test_what_differs_between_the_runs_is_named(make_record):
    base = make_record(BASE, config={"tau": 0.5, "old": 1}, preset="paper")
    head = make_record(BASE, config={"tau": 0.25, "new": [1, 2]}, method="theirs")
    head = head.model_copy(
        update={
            "plugin": head.plugin.model_copy(update={"version": "2", "code_sha256": "c" * 64}),
            "weights": head.weights.model_copy(update={"sha256": "d" * 64}),
        }
    )
    found = {item.what: (item.base, item.head) for item in compare(base, head).differences}
    assert found == {
        "method": ("ours", "theirs"),
        "version": ("toys 1", "toys 2"),
        "code": ("0" * 12, "c" * 12),
        "preset": ("paper", ""),
        "config.old": ("1", "-"),
        "config.tau": ("0.5", "0.25"),
        "config.new": ("-", "[1, 2]"),
        "weights": (f"default ({'1' * 12})", f"default ({'d' * 12})"),
    }


@pytest.mark.parametrize(("fps", "words"), [(5.0, "worse by 100.0 %"), (20.0, "better by 50.0 %"), (10.0, "equal")])
def test_no_speed_is_worse_by_less_than_nothing(make_record, fps, words):
    rules = {"speed": {"model_fps": {"max_loss": 1.5}}}
    found = gate(make_record(BASE, fps=10.0), make_record(BASE, fps=fps), rules)
    assert next(change.words for change in found.speed if change.clock == "model_fps") == words
    assert [(ruling.rule, ruling.found) for ruling in found.rulings] == [("model_fps worse by at most 150 %", words)]


@pytest.mark.parametrize(("by", "words"), [(-0.25, "worse by 0.2500"), (0.25, "better by 0.2500"), (0, "equal")])
def test_no_figure_is_worse_by_less_than_nothing(make_record, by, words):
    found = gate(make_record(BASE), make_record(shift(by)), {"accuracy": {"J&F": {"max_loss": 0.5}}})
    assert found.rulings[0].found == words


def test_a_figure_that_nobody_reports_gets_the_nearest_that_is(make_record):
    found = gate(make_record(BASE), make_record(BASE), {"accuracy": {"J-men": {"max_loss": 0.5}}})
    assert "did you mean 'J-mean'?" in found.rulings[0].found
    assert not found.passed


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({}, "found no rule"),
        ({"accuracy": {}}, "found no rule"),
        ({"accuracy": {"J&F": {}}}, "accuracy.J&F: found no limit"),
        ({"accuracy": {"J&F": {"max_los": 0.1}}}, r"accuracy.J&F has no key 'max_los' \(did you mean 'max_loss'"),
        (
            {"accuracy": {"J&F": {"max_loss": -0.1}}},
            "accuracy.J&F.max_loss: found -0.1, expected a number of 0 or more",
        ),
        ({"accuracy": {"J&F": {"at_worst": True}}}, "accuracy.J&F.at_worst: found True, expected a number"),
        (
            {"accuracy": {"J&F": {"max_loss": 0.1, "only_if_clear": 1}}},
            "only_if_clear: found 1, expected true or false",
        ),
        ({"accuracy": {"J&F": 0.1}}, "accuracy.J&F: found 0.1, expected a table such as {max_loss"),
        ({"accuracy": 0.1}, "accuracy: found 0.1, expected a table of rules by figure"),
        ({"accuracy": {"J&F": {"max_loss": float("nan")}}}, "accuracy.J&F.max_loss: found nan"),
        ({"accuracy": {"J&F": {"max_loss": "0.1"}}}, "accuracy.J&F.max_loss: found '0.1'"),
        ({"speed": {"modl_fps": {"max_loss": 0.1}}}, r"speed has no clock 'modl_fps' \(did you mean 'model_fps'"),
        ({"speed": {"model_fps": {"max_loss": "10 %"}}}, "found '10 %', expected a share of 0 or more"),
        ({"speed": {"model_fps": {"at_worst": 5.0}}}, "speed.model_fps has no key 'at_worst'|found no max_loss"),
        ({"speed": {"model_fps": {}}}, "speed.model_fps: found no max_loss, expected max_loss = a share"),
        ({"speeds": {}}, r"has no key 'speeds' \(did you mean 'speed'"),
        ({"when_not_comparable": "shrug"}, 'when_not_comparable: found \'shrug\', expected "fail" or "skip"'),
    ],
)
def test_a_gate_that_says_something_else_than_it_seems_is_refused_in_words(rules, said):
    with pytest.raises(UsageError, match=rf"gate.toml.*{said}"):
        gate_from(rules, "gate.toml")


def test_an_offline_method_is_compared_by_throughput(make_record):
    base, head = (make_record(BASE, causality="offline", fps=900.0, throughput=fps) for fps in (4.0, 2.0))
    by_clock = {change.clock: change.worse_by for change in compare(base, head).speed}
    assert by_clock == {"model_first_frame_ms": 0.0, "throughput_fps": pytest.approx(1.0), "added_memory_mib": 0.0}


def test_two_runs_are_said_not_to_be_measured_in_turns(make_record):
    base = make_record(BASE, created="2026-01-02T03:04:05+00:00")
    head = make_record(BASE, created="2026-01-02T03:49:05+00:00")
    (note,) = compare(base, head).notes
    assert "taken as not measured in turns: the runs ended 45 minutes apart" in note
    assert "harness ab" in note
    assert compare(base, make_record(BASE, fps=None)).notes == ()
