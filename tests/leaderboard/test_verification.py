"""Records from strangers: what is refused, and that the message names file, field, found and expected."""

import datetime as dt
import json

import pytest

from harness.api.errors import VerificationFailed
from harness.leaderboard.verification import (
    LARGEST_RECORD,
    read_published,
    read_record,
    verify_place,
    verify_record,
)

TENTH = {"videos": 1, "frames": 8, "is_warm": True, "model_seconds": 0.8, "model_fps": 10.0, "e2e_fps": 5.0}
GOOD = {"a": [(0.5, 0.75), (1.0, 0.25)], "b": [(0.25, 0.5)], "c": [(1.0, 0.0)]}  # mean J 11 / 16


def change(record, path, value):
    """The record's JSON with one field replaced; ``path`` has slashes, numbers index lists."""
    data = json.loads(record.to_json())
    *folders, last = path.split("/")
    place = data
    for part in folders:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[last] = value
    return data


def write_record(tmp_path, data):
    path = tmp_path / "record.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_a_sound_record_is_read_back_equal_and_verifies(make_record, toy_catalog, tmp_path):
    record = make_record(GOOD)
    path = write_record(tmp_path, record.to_json())
    assert read_record(path) == record
    verify_record(record, path, toy_catalog)


def test_a_sound_partial_record_verifies(make_record, toy_catalog, tmp_path):
    record = make_record({"a": GOOD["a"]}, expected=3, partial_reason="1 of 3 videos were chosen")
    verify_record(record, tmp_path / "record.json", toy_catalog)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("schema", "harness.run/2", r"schema: found harness.run/2, expected 'harness.run/1'"),
        ("seed", "0", r"seed: found 0, expected otherwise: Input should be a valid integer"),
        ("surprise", 1, r"surprise: found 1, expected no such field"),
        ("plugin/name", "../../../etc/passwd", r"plugin.name: found ../../../etc/passwd"),
        ("benchmark/name", "..", r"benchmark.name: found \.\."),
        ("benchmark/task", "a/b", r"benchmark.task: found a/b"),
        ("plugin/distribution", "x" * 3000, r"plugin.distribution: found xxx.*at most 2000"),
        ("scores/j_and_f/J&F/value", "0.9", r"scores.j_and_f.J&F.value: found 0.9, .*valid number"),
        ("scores/j_and_f/J&F/value", 10**400, r"scores.j_and_f.J&F.value"),
        ("benchmark/videos_done", True, r"benchmark.videos_done: found True"),
        ("id", "short", r"id: found short"),
    ],
)
def test_what_has_the_wrong_form_is_refused(make_record, tmp_path, field, value, said):
    path = write_record(tmp_path, change(make_record(GOOD), field, value))
    with pytest.raises(VerificationFailed, match=said) as error:
        read_record(path)
    assert str(path) in error.value.message
    assert error.value.exit_code == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "found a list, expected an object of schema harness.run/1"),
        ("{}", "schema: found None"),
        ("{", "no readable JSON"),
        ("", "no readable JSON"),
        ('{"schema": NaN}', "NaN is no number of JSON"),
        ('{"schema": -Infinity}', "-Infinity is no number"),
        ('{"schema": 1e999}', "1e999 is too large"),
        ('{"schema": ' + "9" * 5000 + "}", "no readable JSON"),
        ('{"schema": 1, "schema": 2}', "'schema' stands twice"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_plain_json_is_refused(tmp_path, text, said):
    path = write_record(tmp_path, text)
    with pytest.raises(VerificationFailed, match=said):
        read_record(path)


@pytest.mark.parametrize(
    ("value", "said"), [('"half \\ud800"', "end of hex escape"), ("[" * 400 + "]" * 400, "recursion limit exceeded")]
)
def test_what_no_text_can_hold_is_told_without_the_whole_record(make_record, tmp_path, value, said):
    path = write_record(tmp_path, make_record(GOOD, config={"tau": 7}).to_json().replace('"tau": 7', f'"tau": {value}'))
    with pytest.raises(VerificationFailed, match=rf"record.json: found JSON with [a-z ]*{said}, expected whole"):
        read_record(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(VerificationFailed, match="no readable JSON"):
        read_record(path)


def test_a_file_of_100_megabytes_is_refused_without_being_read(tmp_path):
    path = tmp_path / "record.json"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    with pytest.raises(VerificationFailed, match=f"found {100 * 2**20} bytes, expected at most {LARGEST_RECORD}"):
        read_record(path)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("partial", True, "partial: found True, expected False: 3 of 3"),
        ("benchmark/videos_expected", 4, "partial: found False, expected True: 3 of 4"),
        ("benchmark/videos_done", 2, "benchmark.videos_done: found 2, expected 3, the rows of videos"),
        ("benchmark/scored", False, "benchmark.scored: found False, expected True"),
        ("benchmark/name", "toy-vall", "benchmark.name: .*did you mean 'toy-val'"),
        ("benchmark/task", "vis", "benchmark.task: found vis, expected one of one-shot"),
        ("benchmark/average", "sequences", "benchmark.average: found sequences, expected objects"),
        ("videos/0/video", "b", "videos: found 2 names for 3 rows"),
        ("videos/0/video", "d", r"videos: found \['d'\], expected videos of toy-val only"),
        ("videos/0/video", "../x", r"videos: found \['\.\./x'\], expected names without separators"),
        (
            "scores/j_and_f/J-mean/value",
            0.66,
            "scores.j_and_f.J-mean.value: found 0.66, expected 0.6875, the mean of the rows",
        ),
        ("scores/j_and_f/J-mean/value", None, "scores.j_and_f.J-mean.value: found None, expected 0.6875"),
        ("scores/j_and_f/J-mean/value", 65.0, "scores.j_and_f.J-mean.value: found 65.0, expected a fraction"),
        ("scores/j_and_f/J-mean/low", 0.64, "scores.j_and_f.J-mean.low: found 0.64, expected 0.25"),
        ("scores/j_and_f/J-mean/low", None, "expected both ends of the interval or none"),
        ("videos/0/objects/1/J-mean", 1.0, "scores.j_and_f.J-mean.value: found 0.6875, expected 0.8125"),
        ("scores/j_and_f/Q", {"value": 1.0, "low": None, "high": None}, "expected only J&F, J-mean, F-mean"),
        ("scores", {}, "scores: found no j_and_f, expected what davis2017-semi/1 measures"),
        ("scores/j_and_g", {}, "scores: no metric named 'j_and_g'.*did you mean 'j_and_f'"),
        ("timing/model/fps", 1000.0, "timing.model.fps: found 1000.0, expected 10.0"),
        ("timing/model/p50_ms", 200.0, "timing.model: .*expected p50 <= p90 <= p99"),
        ("timing/e2e/mean_ms", -80.0, "timing.e2e: .*expected positive figures"),
        ("timing/e2e/frames", 0, "timing.e2e: .*expected no figures without frames"),
        ("timing/added_memory_mib", -1.0, "timing.added_memory_mib: found -1.0"),
        ("timing/throughput", {**TENTH, "model_fps": 9.0}, "throughput.model_fps: found 9.0, expected 10.0"),
        ("timing/throughput", {**TENTH, "model_fps": None}, "timing.throughput: .*expected positive figures"),
        ("timing/throughput", {**TENTH, "model_seconds": 0.0}, "timing.throughput: .*expected positive figures"),
        ("created", "yesterday", "created: found 'yesterday', expected a time in UTC"),
        ("created", "2026-01-01T00:00:00", "expected a time in UTC"),
        ("created", "2026-01-01T00:00:00+02:00", "expected a time in UTC"),
        ("created", "2999-01-01T00:00:00+00:00", "created: .*expected no later than 2026-06-02"),
        ("id", "", "id: found nothing"),
        ("benchmark/fingerprint", "", "benchmark.fingerprint: found nothing, expected a SHA-256"),
        ("failures", [{"video": "a", "kind": "crashed", "message": "boom"}], "failures: found 1, expected none"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(make_record, toy_catalog, tmp_path, field, value, said):
    path = write_record(tmp_path, change(make_record(GOOD), field, value))
    record = read_record(path)
    with pytest.raises(VerificationFailed, match=said) as error:
        verify_record(record, path, toy_catalog, now=dt.datetime(2026, 6, 1, tzinfo=dt.UTC))
    assert error.value.message.startswith(str(path))


def test_fewer_videos_than_the_benchmark_has_cannot_pass_as_all(make_record, toy_catalog, tmp_path):
    record = make_record({"a": [(0.9, 0.9)]}, expected=1)
    with pytest.raises(VerificationFailed, match="videos_expected: found 1, expected 3, the videos of toy-val"):
        verify_record(record, tmp_path / "record.json", toy_catalog)


def test_a_figure_that_one_video_leaves_undefined_may_be_undefined(make_record, toy_catalog, tmp_path):
    data = change(make_record(GOOD), "videos/0/objects/1", dict.fromkeys(("J&F", "J-mean", "F-mean")))
    data["scores"]["j_and_f"] = {
        name: {"value": None, "low": None, "high": None} for name in ("J&F", "J-mean", "F-mean")
    }
    path = write_record(tmp_path, data)
    verify_record(read_record(path), path, toy_catalog)


@pytest.mark.parametrize("place", ["toy-val/one-shot/ours.json", "toy-val/one-shot/ours-r18+bf16.json"])
def test_a_file_in_its_place_is_accepted(make_record, tmp_path, place):
    verify_place(make_record(GOOD), tmp_path / place, tmp_path)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("other-val/one-shot/ours.json", "folder: found other-val/one-shot, expected toy-val/one-shot"),
        ("toy-val/vis/ours.json", "expected toy-val/one-shot"),
        ("ours.json", r"folder: found \(none\)"),
        ("toy-val/one-shot/deeper/ours.json", "folder: found toy-val/one-shot/deeper"),
        ("toy-val/one-shot/theirs.json", "file name: found theirs.json, expected ours.json or ours-<suffix>.json"),
        ("toy-val/one-shot/ours2.json", "file name"),
        ("toy-val/one-shot/ours-.json", "file name"),
        ("toy-val/one-shot/ours-a b.json", "file name"),
        ("toy-val/one-shot/ours.JSON", "file name"),
        ("toy-val/one-shot/ours.json.exe", "file name"),
        ("../toy-val/one-shot/ours.json", "folder: found ../toy-val/one-shot"),
    ],
)
def test_a_file_out_of_its_place_is_refused(make_record, tmp_path, place, said):
    with pytest.raises(VerificationFailed, match=said):
        verify_place(make_record(GOOD), tmp_path / place, tmp_path)


def test_a_file_outside_the_records_is_refused(make_record, tmp_path):
    with pytest.raises(VerificationFailed, match="expected a file under"):
        verify_place(make_record(GOOD), tmp_path / "ours.json", tmp_path / "records")


def test_a_paper_needs_rows_known_tasks_and_sources(tmp_path):
    row = {
        "benchmark": "toy-val",
        "task": "one-shot",
        "supervision": "none",
        "source": "Table 1",
        "figures": {"J&F": 50.0},
    }
    paper = {
        "schema": "harness.published/1",
        "plugin": "ours",
        "method": "Ours",
        "title": "T",
        "authors": "A",
        "venue": "V",
        "year": 2020,
    }
    path = tmp_path / "ours.json"
    path.write_text(json.dumps({**paper, "rows": [row]}))
    assert read_published(path).rows[0].figures == {"J&F": 50.0}
    for wrong, said in (
        ({"rows": []}, "rows: found"),
        ({"rows": [{**row, "task": "one-shoot"}]}, "rows.0.task: found one-shoot, expected one of"),
        ({"rows": [{**row, "source": ""}]}, "rows.0.source: found"),
        ({"rows": [{**row, "figures": {"J|F": 50.0}}]}, "rows.0.figures"),
        ({"schema": "harness.run/1"}, "expected 'harness.published/1'"),
    ):
        path.write_text(json.dumps({**paper, "rows": [row], **wrong}))
        with pytest.raises(VerificationFailed, match=said):
            read_published(path)


def test_another_rule_may_not_pass_as_the_benchmarks_own(make_record, toy_catalog, tmp_path):
    claim = change(make_record(GOOD), "benchmark/scoring", "davis2016-frame-mean/1")
    with pytest.raises(VerificationFailed, match=r"benchmark.own_rule: found True, expected False"):
        verify_record(read_record(write_record(tmp_path, claim)), tmp_path / "record.json", toy_catalog)


def test_another_rule_is_verified_by_its_own_way_of_averaging(make_record, toy_catalog, tmp_path):
    claim = change(make_record(GOOD), "benchmark/scoring", "davis2016-frame-mean/1")
    claim["benchmark"]["own_rule"] = False
    with pytest.raises(VerificationFailed, match=r"benchmark.average: found objects, expected frames"):
        verify_record(read_record(write_record(tmp_path, claim)), tmp_path / "record.json", toy_catalog)


@pytest.mark.parametrize(
    ("field", "value"),
    [("conditions/threads", -2), ("conditions/workers", 0), ("videos/0/frames", -1), ("timing/model/frames", -5)],
)
def test_counts_below_nothing_are_refused(make_record, toy_catalog, tmp_path, field, value):
    path = write_record(tmp_path, change(make_record(GOOD, fps=20.0), field, value))
    with pytest.raises(VerificationFailed, match=rf"frames|threads|workers.*: found {value}, expected"):
        verify_record(read_record(path), path, toy_catalog)


def test_a_speed_that_no_clock_can_tell_is_refused(make_record, toy_catalog, tmp_path):
    path = write_record(tmp_path, make_record(GOOD, fps=1e99).to_json())
    with pytest.raises(VerificationFailed, match=r"timing.model.fps: found 9.9.*, expected at most 1e\+09"):
        verify_record(read_record(path), path, toy_catalog)


@pytest.mark.parametrize(
    ("counts", "said"),
    [({"1": -3}, r"videos a: found -3 scored frames, expected 0 or more"), ({}, r"videos a.scored_frames: found no")],
)
def test_frames_that_cannot_be_counted_are_no_weights(make_record, toy_catalog, tmp_path, counts, said):
    claim = change(make_record(GOOD), "benchmark/average", "frames")
    claim["benchmark"] |= {"scoring": "davis2016-frame-mean/1", "own_rule": False}
    for video in claim["videos"]:
        video["scored_frames"] = dict.fromkeys(video["objects"], 4) | counts if counts else {}
    with pytest.raises(VerificationFailed, match=said):
        verify_record(read_record(write_record(tmp_path, claim)), tmp_path / "record.json", toy_catalog)
