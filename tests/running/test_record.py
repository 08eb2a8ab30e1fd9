"""A record's conditions hold what the method's config says of itself: compilation and rounding to TF32."""

from dataclasses import dataclass

import pytest

from harness.api.contracts import Method, NoConfig
from harness.api.records import Conditions, VideoResult, VideoScores, VideoTiming
from harness.machine import conditions
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.record import record_of, timing_of


@dataclass(frozen=True)
class Quick:
    compile: bool = False
    tf32: bool = False


def tell_conditions(tests_tools, config: type, overrides: tuple[str, ...] = ()) -> Conditions:
    """Conditions of a run without videos."""
    method = Method(name="quick", tasks=("one-shot",), build=lambda context: None, config=config)
    catalog = tests_tools.catalog_of(method)
    plan = resolve(Request(plugin="quick", bench="tiny", overrides=overrides), catalog)
    return record_of(plan, catalog, [], []).conditions


@pytest.mark.parametrize(("overrides", "expected"), [((), False), (("compile=true",), True)])
def test_the_config_says_whether_the_method_is_compiled(tests_tools, overrides, expected):
    assert tell_conditions(tests_tools, Quick, overrides).compiled == expected


@pytest.mark.parametrize(("overrides", "expected"), [((), False), (("tf32=true",), True)])
def test_the_config_says_whether_products_are_rounded(tests_tools, monkeypatch, overrides, expected):
    asked = []

    def note(device, precision, *, tf32, **rest):
        asked.append(tf32)
        return conditions(device, precision, tf32=tf32, **rest)

    monkeypatch.setattr("harness.running.record.conditions", note)
    assert not tell_conditions(tests_tools, Quick, overrides).tf32  # on a CPU nothing is
    assert not tell_conditions(tests_tools, NoConfig).tf32
    assert asked == [expected, False]


def work_on(video, laps, warm_up, *, memory=None):
    """The result of a video of 8 frames."""
    timing = VideoTiming(
        model=laps,
        model_cpu=[lap / 2 for lap in laps],
        e2e=[2 * lap for lap in laps],
        warm_up=warm_up,
        added_memory_mib=memory,
    )
    return VideoResult(video=video, key="", digest="", length=8, height=8, width=8, timing=timing)


def test_throughput_is_frames_over_all_time_of_the_videos_that_did_not_warm_up():
    results = [
        work_on("a", [40.0], 1, memory=300.0),
        work_on("b", [3.0], 0, memory=20.0),
        work_on("c", [1.0], 0, memory=9.0),
    ]
    timing = timing_of(results, by_video=True)
    found = timing.throughput
    assert (found.videos, found.frames, found.model_seconds, found.is_warm) == (2, 16, 4.0, True)
    assert (found.model_fps, found.e2e_fps) == (16 / 4, 16 / 8)
    assert timing.model_cpu_ms == 1000 * (3 / 2 + 1 / 2) / 16
    assert timing.added_memory_mib == 20.0


def test_one_video_is_warm_up_and_all_there_is():
    timing = timing_of([work_on("a", [4.0, 1.0, 1.0, 2.0], 3, memory=300.0)], by_video=True)
    assert (timing.throughput.model_fps, timing.throughput.is_warm) == (8 / 8, False)
    assert timing.added_memory_mib == 300.0


def test_what_answers_frame_by_frame_has_no_throughput():
    results = [work_on("a", [4.0, 1.0, 1.0, 2.0], 3, memory=300.0), work_on("b", [1.0, 2.0], 0, memory=20.0)]
    timing = timing_of(results, by_video=False)
    assert timing.throughput is None
    assert timing.added_memory_mib == 300.0
    assert timing.model_cpu_ms == 1000 * (2 / 2 + 2 / 2) / 2


def test_there_is_no_cpu_time_where_one_video_was_worked_through_without_that_clock():
    older = work_on("a", [4.0, 1.0], 0)
    older = older.model_copy(update={"timing": older.timing.model_copy(update={"model_cpu": []})})
    assert timing_of([older, work_on("b", [1.0, 2.0], 0)], by_video=False).model_cpu_ms is None


def test_frames_are_those_on_which_an_object_has_a_value_by_the_first_metric(tests_tools):
    """Object 2 enters late; T has a value a pair of frames, and one object."""
    plan = resolve(Request(plugin="quick", bench="tiny"), tests_tools.catalog_of(quick()))
    J = {"1": [0.5, 0.5, 0.5], "2": [None, None, 1.0]}
    summary = {name: {"J-mean": 0.5} for name in J}
    scores = {
        "j_and_f": VideoScores(metric="j_and_f", frames=[0, 1, 2, 3], series={"J": J}, summary=summary),
        "stability": VideoScores(metric="stability", frames=[2, 3], series={"T": {"1": [0.1, None]}}),
    }
    result = VideoResult(video="first", key="", digest="", length=5, height=8, width=8, scores=scores)
    (row,) = record_of(plan, tests_tools.catalog_of(quick()), [result], []).videos
    assert (row.frames, row.scored_frames) == (3, {"1": 3, "2": 1})


def quick() -> Method:
    return Method(name="quick", tasks=("one-shot",), build=lambda context: None)
