"""How time and memory grow: one thing at a time, every point by itself, and one that fails is a point all the same."""

import pytest

from harness.api.errors import UsageError
from harness.api.foreign import Interrupted
from harness.benching import growth as growing
from harness.benching.clip import Clip
from harness.benching.estimate import PROBE_SECONDS, Probe, estimate_growth, find_law, list_probes
from harness.benching.growth import GrowthReport, list_clips, measure_growth, width_of
from harness.benching.growth_pictures import write_growth
from harness.benching.kept_points import KeptPoints
from harness.benching.methods import MethodRow, ProcessMemory, catalog_with, measure_row
from harness.benching.point import Asked, answer_for
from harness.planning.request import Request

ASKED = [Request(plugin="toy", bench="clip")]
BASE = Clip(16, 29, 4, 1)


def shapes(clips):
    return [(clip.frames, clip.objects, clip.height) for clip in clips]


@pytest.fixture
def timing(make_record):
    return make_record({"a": [(1.0, 1.0)]}).timing


def test_one_thing_grows_at_a_time_from_the_first_of_each_and_the_quickest_come_first():
    clips = list_clips((4, 8), (1, 3), ((16, 29), (32, 57)))
    assert shapes(clips) == [(4, 1, 16), (8, 1, 16), (4, 3, 16), (4, 1, 32)]
    assert shapes(list_clips((8, 4), (3,), ((16, 29),))) == [(4, 3, 16), (8, 3, 16)]
    with pytest.raises(UsageError, match="same rows"):
        list_clips((4,), (1,), ((16, 29), (16, 30)))


def test_sizes_are_those_of_video_at_16_to_9():
    assert [width_of(rows) for rows in (240, 480, 1080, 2160)] == [427, 854, 1920, 3840]


def test_a_point_that_fails_is_marked_and_the_others_are_measured(timing, tmp_path):
    clips = list_clips((4, 8), (1, 3), ((16, 29),))

    def measure(request, clip, seconds):
        if clip.frames == 8:
            return MethodRow(plugin="toy", problem="out-of-memory: too much", exit_code=5)
        return MethodRow(plugin="toy", task="one-shot", timing=timing, process_mib=[(1, 100.0), (clip.frames, 101.5)])

    report, is_interrupted = measure_growth(ASKED, clips, BASE, measure=measure)
    assert not is_interrupted
    assert [point.state for point in report.curve("toy", "frames")] == ["measured", "failed"]
    assert [point.state for point in report.curve("toy", "objects")] == ["measured", "measured"]
    (point, _) = report.curve("toy", "objects")
    assert (point.frame_ms, point.added_memory_mib) == (timing.model.mean_ms, 100.0)
    lines = report.as_csv().splitlines()
    assert len(lines) == 1 + 3
    assert lines[1].endswith(",101.5")
    written = write_growth(report, tmp_path / "growth")
    assert [path.name for path in written] == ["growth.json", "growth.csv", "toy.png"]
    assert (tmp_path / "growth" / "toy.png").read_bytes()[:4] == b"\x89PNG"
    assert GrowthReport.model_validate_json((tmp_path / "growth" / "growth.json").read_bytes()) == report


def test_what_is_left_when_the_time_is_over_is_not_measured(timing, monkeypatch):
    moments = iter([0.0, 1.0, 1.0, 9.0, 11.0])  # begun; the first from 1 to 9; then it is 11
    monkeypatch.setattr(growing.time, "monotonic", lambda: next(moments))
    allowed = []

    def measure(request, clip, seconds):
        allowed.append(seconds)
        return MethodRow(plugin="toy", timing=timing)

    report, _ = measure_growth(ASKED, [BASE, Clip(16, 29, 8, 1)], BASE, seconds=10, measure=measure)
    assert allowed == [9.0]
    assert [point.state for point in report.points] == ["measured", "not measured"]
    assert report.points[1].problem == "the time was over"


def test_a_point_that_the_time_ended_did_not_fail(monkeypatch):
    moments = iter([0.0, 1.0, 1.0, 10.0])
    monkeypatch.setattr(growing.time, "monotonic", lambda: next(moments))
    over = MethodRow(plugin="toy", problem="ended after 9 s: the time was over", exit_code=5)
    report, _ = measure_growth(ASKED, [BASE], BASE, seconds=10, measure=lambda *given: over)
    assert report.points[0].state == "not measured"


def test_the_quickest_by_estimate_come_first_whatever_their_clip_and_the_unknown_last(timing):
    requests = [Request(plugin=name, bench="clip") for name in ("slow", "toy", "unknown")]
    long = Clip(16, 29, 8, 1)
    estimates = {("slow", BASE): 50.0, ("slow", long): 90.0, ("toy", BASE): 1.0, ("toy", long): 2.0}
    seen = []

    def measure(request, clip, seconds):
        seen.append((request.plugin, clip.frames))
        return MethodRow(plugin=request.plugin, timing=timing)

    report, _ = measure_growth(requests, [BASE, long], BASE, measure=measure, estimates=estimates)
    assert seen == [("toy", 4), ("toy", 8), ("slow", 4), ("slow", 8), ("unknown", 4), ("unknown", 8)]
    assert [point.estimated_seconds for point in report.points] == [1.0, 2.0, 50.0, 90.0, None, None]


def test_what_was_measured_before_ctrl_c_is_taken_from_its_file(timing, tmp_path):
    kept = KeptPoints(tmp_path, lambda request, clip: clip.name)
    clips = list_clips((4, 8), (1,), ((16, 29),))
    seen = []

    def measure(request, clip, seconds):
        seen.append(clip.frames)
        if clip.frames == 8 and len(seen) == 2:
            raise Interrupted
        return MethodRow(plugin="toy", timing=timing, process_mib=[(clip.frames, 101.5)])

    _, is_interrupted = measure_growth(ASKED, clips, BASE, measure=measure, kept=kept)
    assert is_interrupted
    report, is_interrupted = measure_growth(ASKED, clips, BASE, measure=measure, kept=kept)
    assert (is_interrupted, seen) == (False, [4, 8, 8])
    assert [point.process_mib for point in report.points] == [[(4, 101.5)], [(8, 101.5)]]


def test_what_failed_is_not_kept(timing, tmp_path):
    kept = KeptPoints(tmp_path, lambda request, clip: "key")
    kept.keep(ASKED[0], BASE, MethodRow(plugin="toy", problem="out-of-memory", exit_code=5), 1.0)
    assert kept.find(ASKED[0], BASE) is None
    kept.keep(ASKED[0], BASE, MethodRow(plugin="toy", timing=timing), 1.5)
    row, seconds = kept.find(ASKED[0], BASE)
    assert (row.timing, seconds) == (timing, 1.5)
    assert KeptPoints(tmp_path, lambda request, clip: "another key").find(ASKED[0], BASE) is None


def test_the_law_has_a_part_of_pixels_one_of_their_square_and_an_equal_step_an_object():
    small, large, many = list_probes([Clip(240, 427, 50, 1), Clip(240, 427, 50, 5)])
    assert (small.objects, large.objects, many.objects) == (1, 1, 5)

    def frame(pixels):
        return 2e-6 * pixels + 3e-12 * pixels**2

    once, more = frame(120 * 214), frame(270 * 480)
    law = find_law([Probe(small, once, 2.0), Probe(large, more, 9.0), Probe(many, 3 * once, 2.0)])
    assert (law.linear, law.square) == (pytest.approx(2e-6), pytest.approx(3e-12))
    assert law.step == pytest.approx(0.5)  # three times as long with four more
    assert law.seconds_of(Clip(1080, 1920, 10, 1)) == pytest.approx(2 + 10 * frame(1080 * 1920))
    assert law.seconds_of(Clip(1080, 1920, 10, 2)) == pytest.approx(2 + 10 * frame(1080 * 1920) * 1.5)


def test_a_method_that_is_relatively_quicker_on_more_pixels_goes_with_the_pixels():
    small, large = list_probes([BASE])
    law = find_law([Probe(small, 0.5, 2.0), Probe(large, 0.6, 2.0)])
    assert law.square == 0
    assert law.linear == pytest.approx(0.6 / (270 * 480))
    assert find_law([Probe(small, 0.5, 2.0), None]) is None


def test_a_method_whose_probe_is_over_time_is_not_estimated(timing):
    asked = []

    def measure(request, clip, seconds):
        asked.append((request.plugin, seconds))
        return MethodRow(plugin=request.plugin, timing=timing if request.plugin == "toy" else None, problem="over")

    requests = [Request(plugin="learns", bench="clip"), ASKED[0]]
    found = estimate_growth(requests, [BASE], measure=measure)
    assert found["learns", BASE] is None
    assert found["toy", BASE] > 0
    assert asked == [("learns", PROBE_SECONDS), *[("toy", PROBE_SECONDS)] * 2]


def test_after_ctrl_c_what_was_measured_is_kept(timing):
    def measure(request, clip, seconds):
        if clip.frames == 8:
            raise Interrupted
        return MethodRow(plugin="toy", timing=timing)

    clips = list_clips((4, 8, 12), (1,), ((16, 29),))
    report, is_interrupted = measure_growth(ASKED, clips, BASE, measure=measure)
    assert is_interrupted
    assert [point.state for point in report.points] == ["measured", "not measured", "not measured"]


def test_memory_of_the_process_is_looked_at_about_a_hundred_times_however_long_the_video_is():
    for length, looks in ((30, 30), (10_000, 100)):
        memory = ProcessMemory(length)
        for done in range(1, length + 1):
            memory.look("clip", done, length)
        assert len(memory.seen) == looks
        assert memory.seen[-1][0] == length
        assert all(mib > 1 for _, mib in memory.seen)


def test_a_point_has_the_clocks_of_a_run_and_a_plugin_that_is_not_there_is_a_problem(tests_tools):
    from harness.catalog import Catalog

    row = measure_row(Request(plugin="copyfirst", bench="clip"), catalog_with(Clip(16, 29, 4, 1), Catalog.load()))
    assert row.timing.model.frames == 1  # four less three of warm-up
    assert [done for done, _ in row.process_mib] == [1, 2, 3, 4]
    asked = Asked(request={"plugin": "copyfrist", "bench": "clip"}, clip=(16, 29, 4, 1))
    gone = answer_for(asked, Catalog.load())
    assert (gone.exit_code, "did you mean 'copyfirst'?" in gone.problem) == (4, True)
