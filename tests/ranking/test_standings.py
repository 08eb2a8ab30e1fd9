"""Ranking: who is better beyond doubt, what is not ranked, whose speeds may be compared."""

import pytest

from harness.api.records import Conditions, Detections, Matches, VideoSummary, WeightsInfo
from harness.ranking.figures import difference_of, interval_to_show, mean_of, shares_of, significance_of
from harness.ranking.precision import resample_figures
from harness.ranking.standings import standing, standings

TEN = [f"video-{number}" for number in range(10)]


def flat(value):
    return {video: [(value + number / 100, value)] for number, video in enumerate(TEN)}


def test_rows_are_ordered_by_the_main_figure(make_record):
    worse = make_record({"a": [(0.2, 0.4)], "b": [(0.4, 0.6)]}, method="worse")
    better = make_record({"a": [(0.9, 0.7)], "b": [(0.5, 0.5)]}, method="better")
    (board,) = standing([worse, better]).boards
    assert [(row.rank, row.label) for row in board.rows] == [(1, "better"), (2, "worse")]
    assert board.rows[0].record.scores["j_and_f"]["J&F"].value == pytest.approx((0.8 + 0.5) / 2)


def test_a_constant_gain_is_a_clear_rank(make_record):
    (board,) = standing([make_record(flat(0.5), method="low"), make_record(flat(0.6), method="high")]).boards
    assert [(row.best_rank, row.worst_rank) for row in board.rows] == [(1, 1), (2, 2)]


def test_what_the_videos_cannot_tell_apart_shares_its_ranks(make_record):
    base = {video: [(0.5, 0.5)] for video in TEN}
    uneven = {video: [(0.58, 0.58)] if number % 2 else [(0.44, 0.44)] for number, video in enumerate(TEN)}
    clear = {video: [(0.9, 0.9)] for video in TEN}
    records = [make_record(videos, method=name) for name, videos in (("b", base), ("u", uneven), ("c", clear))]
    (board,) = standing(records).boards
    assert [(row.label, row.rank, row.best_rank, row.worst_rank) for row in board.rows] == [
        ("c", 1, 1, 1),
        ("u", 2, 2, 3),
        ("b", 3, 2, 3),
    ]


def test_equal_figures_share_a_rank_and_leave_a_gap(make_record):
    records = [make_record(flat(value), method=name) for name, value in (("x", 0.6), ("y", 0.6), ("z", 0.5))]
    (board,) = standing(records).boards
    assert [(row.label, row.rank) for row in board.rows] == [("x", 1), ("y", 1), ("z", 3)]


def test_five_videos_show_nothing_since_chance_does_as_much_in_one_of_sixteen(make_record):
    def of(value, count):
        return {video: [(value + number / 1000, value)] for number, video in enumerate(TEN[:count])}

    for count, shown in ((5, 0), (6, 1)):
        (board,) = standing([make_record(of(value, count), method=f"m{value}") for value in (0.5, 0.9)]).boards
        assert (board.pairs.videos, board.pairs.count, board.pairs.shown) == (count, 1, shown)
        assert board.rows[0].worst_rank == 2 - shown


def test_a_board_says_what_it_could_show_and_what_is_left_of_many_questions(make_record):
    uneven = {video: [(0.5 + (-1) ** number / 10, 0.5)] for number, video in enumerate(TEN)}
    records = [make_record(flat(0.5), method="a"), make_record(flat(0.7), method="b"), make_record(uneven, method="c")]
    (board,) = standing(records).boards
    assert (board.pairs.count, board.pairs.shown, board.pairs.shown_together) == (3, 2, 2)
    pairs = [significance_of(records[i], records[j], "J&F").detectable for i, j in ((0, 1), (0, 2), (1, 2))]
    assert board.pairs.detectable == pytest.approx(sorted(pairs)[1])


def test_seeds_are_a_second_level_and_no_further_videos(make_record):
    def run_of_seed(seed, value, **changes):
        weights = WeightsInfo(name=f"seed-{seed}", sha256=str(seed) * 64, trained_on="toys")
        return make_record(
            flat(value), seed=seed, weights=weights, created=f"2026-01-0{seed}T00:00:00+00:00", **changes
        )

    (board,) = standing(
        [run_of_seed(1, 0.5), run_of_seed(2, 0.6), run_of_seed(3, 0.7), run_of_seed(4, 0.9, preset="other")]
    ).boards
    (group,) = board.seeds
    alone = shares_of(run_of_seed(2, 0.6), "J&F").interval()
    assert (group.seeds, group.spread) == ((1, 2, 3), pytest.approx(0.1))
    assert group.values == pytest.approx([0.5225, 0.6225, 0.7225])
    assert (group.interval.value, group.interval.low) == (pytest.approx(0.6225), pytest.approx(alone.low))
    assert standing([run_of_seed(1, 0.5), run_of_seed(4, 0.9, preset="other")]).boards[0].seeds == ()


def test_of_a_seed_that_ran_twice_the_latest_counts(make_record):
    runs = [make_record(flat(v), seed=s, created=f"2026-01-0{d}T00:00:00+00:00") for v, s, d in
            ((0.1, 1, 1), (0.5, 1, 2), (0.7, 2, 1))]  # fmt: skip
    assert standing(runs).boards[0].seeds[0].values == pytest.approx([0.5225, 0.7225])


def test_one_video_proves_nothing(make_record):
    high, low = make_record({"a": [(0.9, 0.9)]}, method="high"), make_record({"a": [(0.1, 0.1)]}, method="low")
    assert standing([high, low]).boards[0].rows[0].worst_rank == 2


def test_the_latest_record_of_an_entry_wins_even_when_it_is_worse(make_record):
    old = make_record(flat(0.8), created="2026-01-01T00:00:00+00:00")
    new = make_record(flat(0.7), created="2026-02-01T00:00:00+00:00")
    found = standing([new, old])
    assert [row.record for row in found.boards[0].rows] == [new]
    assert found.older == 1


@pytest.mark.parametrize("change", [{"preset": "paper"}, {"config": {"topk": 5}}, {"precision": "bf16"}])
def test_another_preset_constant_or_precision_is_another_entry(make_record, change):
    base = make_record(flat(0.8), config={"topk": 3})
    if "precision" in change:
        change = {"conditions": base.conditions.model_copy(update=change)}
    other = make_record(flat(0.7), created="2026-02-01T00:00:00+00:00", **{"config": {"topk": 3}, **change})
    assert len(standing([base, other]).boards[0].rows) == 2


def test_namesakes_are_told_apart_by_the_constants_that_differ(make_record):
    records = [make_record(flat(0.8), preset="paper", config={"topk": k, "sigma": 8}) for k in (3, 5)]
    (board,) = standing(records).boards
    assert sorted(row.label for row in board.rows) == ["ours (paper) topk=3", "ours (paper) topk=5"]


def test_namesakes_are_told_apart_by_weights_and_precision_and_not_by_what_older_code_lacked(make_record):
    old = make_record(flat(0.8), config={"topk": 3}, weights=WeightsInfo(name="first", sha256="1" * 64))
    new = make_record(flat(0.7), config={"topk": 3, "fast": True}, weights=WeightsInfo(name="second", sha256="2" * 64))
    half = new.model_copy(
        update={"id": "f" * 64, "conditions": new.conditions.model_copy(update={"precision": "bf16"})}
    )
    (board,) = standing([old, new, half]).boards
    assert sorted(row.label for row in board.rows) == [
        "ours weights=first, precision=fp32",
        "ours weights=second, precision=bf16",
        "ours weights=second, precision=fp32",
    ]


def test_one_name_of_two_weights_files_is_told_with_their_checksums(make_record):
    records = [make_record(flat(0.8), weights=WeightsInfo(name="last", sha256=digit * 64)) for digit in "12"]
    (board,) = standing(records).boards
    assert sorted(row.label for row in board.rows) == ["ours weights=last (11111111)", "ours weights=last (22222222)"]


def test_a_constant_that_one_record_lacks_is_told_where_nothing_else_differs(make_record):
    records = [make_record(flat(0.8), config=config) for config in ({"topk": 3}, {"topk": 3, "fast": True})]
    (board,) = standing(records).boards
    assert sorted(row.label for row in board.rows) == ["ours", "ours fast=true"]


def test_a_partial_record_is_shown_apart_and_not_ranked(make_record):
    whole = make_record({"a": [(0.5, 0.5)], "b": [(0.5, 0.5)]}, method="whole")
    part = make_record({"a": [(0.9, 0.9)]}, method="part", expected=2, partial_reason="1 of 2 videos were chosen")
    found = standing([whole, part])
    assert [row.label for board in found.boards for row in board.rows] == ["whole"]
    assert [row.label for board in found.boards for group in board.speeds for row in group.rows] == ["whole"]
    assert [(row.label, row.reason) for row in found.apart] == [
        ("part", "partial: 1 of 2 videos (1 of 2 videos were chosen)")
    ]


def test_a_benchmark_without_public_truth_ranks_nobody(make_record):
    record = make_record(flat(0.5))
    unscored = record.model_copy(
        update={"scores": {}, "benchmark": record.benchmark.model_copy(update={"scored": False})}
    )
    found = standing([unscored])
    assert found.boards == ()
    assert "not public" in found.apart[0].reason


def test_another_scoring_version_is_another_board_the_newest_first(make_record):
    record = make_record(flat(0.9), method="old-rule")
    newer = make_record(flat(0.5), method="new-rule")
    newer = newer.model_copy(update={"benchmark": newer.benchmark.model_copy(update={"scoring": "davis2017-semi/10"})})
    found = standing([record, newer])
    assert [board.rule for board in found.boards] == ["davis2017-semi/10", "davis2017-semi/1"]
    assert [[row.rank for row in board.rows] for board in found.boards] == [[1], [1]]


def test_other_data_under_the_same_name_is_another_board(make_record):
    records = [make_record(flat(0.5), method=name) for name in ("x", "y", "changed")]
    changed = records[2].benchmark.model_copy(update={"fingerprint": "f" * 64})
    records[2] = records[2].model_copy(update={"benchmark": changed})
    assert [[row.label for row in board.rows] for board in standing(records).boards] == [["x", "y"], ["changed"]]


def test_a_replay_has_accuracy_and_no_speed(make_record):
    replay = make_record(flat(0.9), method="replay", replays=True, fps=5000.0)
    method = make_record(flat(0.5), method="method", fps=5.0)
    (board,) = standing([replay, method]).boards
    assert [row.label for row in board.rows] == ["replay", "method"]
    assert [[row.label for row in group.rows] for group in board.speeds] == [["method"]]


def test_speeds_of_different_conditions_are_never_in_one_group(make_record):
    slow = make_record(flat(0.5), method="slow", device="CPU", fps=1.0)
    fast = make_record(flat(0.4), method="fast", device="GPU", fps=100.0)
    (board,) = standing([slow, fast]).boards
    assert [[(row.label, row.is_on_front) for row in group.rows] for group in board.speeds] == [
        [("slow", True)],
        [("fast", True)],
    ]


def test_the_same_entry_on_two_devices_is_ranked_once_and_timed_twice(make_record):
    cpu = make_record(flat(0.5), device="CPU", fps=1.0)
    gpu = make_record(flat(0.5), device="GPU", fps=100.0, created="2026-03-01T00:00:00+00:00")
    found = standing([cpu, gpu])
    (board,) = found.boards
    assert [row.record for row in board.rows] == [gpu]
    assert [[row.fps for row in group.rows] for group in board.speeds] == [[pytest.approx(1)], [pytest.approx(100)]]
    assert found.older == 0


def test_the_front_holds_what_nobody_beats_in_both(make_record):
    points = {
        "accurate": (0.9, 1.0),
        "middle": (0.8, 2.0),
        "beaten": (0.7, 1.5),
        "fast": (0.6, 4.0),
        "twin": (0.6, 4.0),
    }
    records = [make_record(flat(value), method=name, fps=fps) for name, (value, fps) in points.items()]
    ((group,),) = [board.speeds for board in standing(records).boards]
    assert [row.label for row in group.rows] == ["fast", "twin", "middle", "beaten", "accurate"]
    assert {row.label for row in group.rows if row.is_on_front} == {"accurate", "middle", "fast", "twin"}


def test_threads_resolution_precision_and_compilation_part_speeds(make_record):
    base = make_record(flat(0.5)).conditions
    for change in ({"threads": 2}, {"resolutions": ["854x480"]}, {"tf32": True}, {"compiled": True}, {"batch": 2}):
        assert Conditions(**{**base.model_dump(), **change}).group != base.group


def test_every_benchmark_and_task_has_its_own_standing(make_record):
    records = [make_record(flat(0.5), bench=bench) for bench in ("z-val", "a-val")]
    zero_shot = records[0].benchmark.model_copy(update={"task": "object-zvos"})
    records.append(records[0].model_copy(update={"benchmark": zero_shot}))
    assert [(found.benchmark, found.task) for found in standings(records)] == [
        ("a-val", "one-shot"),
        ("z-val", "object-zvos"),
        ("z-val", "one-shot"),
    ]
    with pytest.raises(ValueError, match="one benchmark and task"):
        standing(records)


def test_what_works_by_whole_videos_is_ranked_by_throughput(make_record):
    online = make_record(flat(0.5), method="online", fps=5.0)
    offline = make_record(flat(0.6), method="offline", fps=1000.0, causality="offline", throughput=2.0)
    (group,) = standing([online, offline]).boards[0].speeds
    assert [(row.label, row.fps) for row in group.rows] == [("online", 5.0), ("offline", 2.0)]


def test_steady_frames_of_an_offline_method_are_no_speed(make_record):
    board = standing([make_record(flat(0.6), fps=1000.0, causality="offline")]).boards[0]
    assert (len(board.rows), board.speeds) == (1, ())


def test_a_throughput_with_its_warm_up_inside_is_not_ranked(make_record):
    record = make_record(flat(0.6), causality="offline", throughput=2.0)
    cold = record.timing.throughput.model_copy(update={"is_warm": False})
    cold_record = record.model_copy(update={"timing": record.timing.model_copy(update={"throughput": cold})})
    assert standing([cold_record]).boards[0].speeds == ()


def under_another_rule(record, version="another/9"):
    told = record.benchmark.model_copy(update={"scoring": version, "own_rule": False})
    return record.model_copy(update={"benchmark": told})


def test_what_another_rule_gave_has_a_table_below_the_benchmarks_own(make_record):
    own = make_record(flat(0.5), method="own")
    other = under_another_rule(make_record(flat(0.9), method="other"))
    found = standing([other, own])
    assert [(board.rule, board.is_own) for board in found.boards] == [
        (own.benchmark.scoring, True),
        ("another/9", False),
    ]
    assert [row.record for row in found.boards[0].rows] == [own]


def test_a_mean_over_frames_is_compared_as_one(make_record):
    record = make_record({"a": [(0.2, 0.4)], "b": [(0.8, 0.6)]})
    videos = [
        video.model_copy(update={"scored_frames": dict.fromkeys(video.objects, frames)})
        for video, frames in zip(record.videos, (1, 3), strict=True)
    ]
    told = record.benchmark.model_copy(update={"average": "frames"})
    pooled = record.model_copy(update={"benchmark": told, "videos": videos})
    assert mean_of(pooled, "J-mean").value == pytest.approx((0.2 + 3 * 0.8) / 4)
    assert difference_of(record, record, "J-mean").value == 0


def test_tracks_are_told_apart_by_what_was_detected(make_record):
    def of(method, hits):
        """Eight videos of one truth each, found first or after a false detection."""
        group = {"category": 1, "scores": [0.9, 0.8], "ranks": [0, 1], "truths": [1] * 4}
        rows = []
        for number in range(8):
            outcomes = ["t" * 10 + "f" * 10 if number < hits else "f" * 10 + "t" * 10] * 4
            found = Detections(groups=[Matches(**group, outcomes=outcomes)])
            rows.append(VideoSummary(video=f"v{number}", frames=5, objects={}, detections={"track_ap": found}))
        record = make_record(flat(0.5), method=method)
        figures = resample_figures([row.detections["track_ap"] for row in rows])
        bench = record.benchmark.model_copy(update={"task": "vis", "scoring": "youtube-vis/1"})
        return record.model_copy(update={"benchmark": bench, "videos": rows, "scores": {"track_ap": figures}})

    records = [of("few", 1), of("half", 4), of("all", 8)]
    (board,) = standing(records).boards
    assert [row.label for row in board.rows] == ["all", "half", "few"]
    assert (board.pairs.count, board.pairs.videos) == (3, 8)
    assert board.pairs.leads[0, 2]
    told = significance_of(records[0], records[2], "AP")
    assert (told.judge(higher_is_better=True), told.is_exact, told.flips) == ("better", True, 2**8)
    shown = interval_to_show(records[1], "AP")
    assert 0.5 < shown.low < shown.value < shown.high <= 1.0
