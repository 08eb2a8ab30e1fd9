"""Records: they survive a round trip unchanged, and refuse what a stranger should not be able to write into them."""

import dataclasses
import json

import pydantic
import pytest

from harness.api import records
from harness.api.records import RunRecord, VideoResult, VideoScores, is_safe_video_name

DIGEST = "ab" * 32


def record(**changes) -> dict:
    """A whole record as plain data."""
    plain = {
        "schema": "harness.run/1",
        "id": DIGEST,
        "created": "2026-01-02T03:04:05Z",
        "harness_version": "0.1.0",
        "plugin": {
            "name": "tvos",
            "distribution": "vos-harness",
            "version": "0.1.0",
            "code_sha256": DIGEST,
            "causality": "online",
        },
        "config": {"sigma": 8.0, "radii": [1, 2], "nested": {"on": True}},
        "weights": {"name": "r18"},
        "benchmark": {
            "name": "mini-small",
            "task": "one-shot",
            "fingerprint": DIGEST,
            "scoring": "davis2017-semi/1",
            "scored": True,
            "videos_expected": 2,
            "videos_done": 2,
        },
        "partial": False,
        "seed": 0,
        "conditions": {
            "device": "cpu",
            "device_type": "cpu",
            "torch": "2.13.0",
            "python": "3.11.7",
            "platform": "Linux",
            "precision": "fp32",
        },
        "scores": {"j_and_f": {"J&F": {"value": 0.1 + 0.2, "low": 1e-300, "high": None}}},
        "videos": [{"video": "bear", "frames": 3, "objects": {"1": {"J-mean": 2 / 3}}}],
        "failures": [{"video": "cow", "kind": "crashed", "message": "boom"}],
    }
    return plain | changes


def assert_refused(plain: dict, field: str) -> None:
    with pytest.raises(pydantic.ValidationError) as refusal:
        RunRecord.model_validate_json(json.dumps(plain))
    assert any(field in map(str, error["loc"]) for error in refusal.value.errors())


def test_a_record_survives_the_round_trip_bit_for_bit():
    first = RunRecord.model_validate(record())
    second = RunRecord.model_validate_json(first.to_json())
    assert second == first
    assert second.to_json() == first.to_json()
    assert second.scores["j_and_f"]["J&F"].value == 0.1 + 0.2


def test_a_record_is_written_with_its_schema_under_the_plain_name():
    written = json.loads(RunRecord.model_validate(record()).to_json())
    assert written["schema"] == "harness.run/1"
    assert "schema_" not in written


def test_a_video_result_survives_the_round_trip():
    scores = VideoScores(metric="j_and_f", frames=[1, 2], series={"J": {"1": [0.5, None]}}, summary={"1": {"J": 0.5}})
    first = VideoResult(
        video="bear", key=DIGEST, digest=DIGEST, length=3, height=2, width=2, scores={"j_and_f": scores}
    )
    assert VideoResult.model_validate_json(first.model_dump_json(by_alias=True)) == first


def test_a_record_of_another_schema_is_refused():
    assert_refused(record(schema="harness.run/2"), "schema")


def test_an_unknown_field_is_refused():
    assert_refused(record(score="0.99"), "score")


def test_an_unknown_field_inside_is_refused():
    assert_refused(record(weights={"name": "r18", "path": "/etc/passwd"}), "path")


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", ".hidden", "<script>", "x" * 101, "name\n", "-flag", "nul\0"])
def test_a_name_that_could_be_a_path_a_flag_or_markup_is_refused(name):
    assert_refused(record(benchmark=record()["benchmark"] | {"name": name}), "name")


@pytest.mark.parametrize("digest", ["xyz", DIGEST.upper(), DIGEST + "0", DIGEST + "\n"])
def test_a_digest_that_is_none_is_refused(digest):
    assert_refused(record(id=digest), "id")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_no_number_is_refused(number):
    assert_refused(record(scores={"j_and_f": {"J&F": {"value": number}}}), "value")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused_deep_in_the_config(number):
    assert_refused(record(config={"a": {"b": [1, {"c": number}]}}), "config")


def test_a_number_that_is_none_is_refused_in_evidence():
    with pytest.raises(pydantic.ValidationError, match="finite"):
        VideoScores(metric="ap", evidence={"scores": [0.5, float("nan")]}).check()


def test_an_object_that_is_not_json_is_refused_in_evidence():
    with pytest.raises(pydantic.ValidationError, match="JSON"):
        VideoScores(metric="ap", evidence={"masks": {1, 2}}).check()


def test_tuples_and_nothing_are_fine_in_evidence():
    scores = VideoScores(metric="ap", evidence={"counts": (1, 2), "none": None})
    assert VideoScores.model_validate_json(scores.model_dump_json()).evidence == {"counts": [1, 2], "none": None}


def test_an_endless_string_is_refused():
    assert_refused(record(created="x" * 2001), "created")


def test_text_where_a_number_belongs_is_refused():
    assert_refused(record(scores={"j_and_f": {"J&F": {"value": "very good"}}}), "value")


def test_a_cut_off_file_is_refused():
    whole = RunRecord.model_validate(record()).to_json()
    with pytest.raises(pydantic.ValidationError):
        RunRecord.model_validate_json(whole[: len(whole) // 2])


def test_a_file_nested_without_end_is_refused_and_does_not_crash():
    text = json.dumps(record()).replace('"sigma": 8.0', '"sigma": ' + "[" * 100_000 + "]" * 100_000)
    with pytest.raises(pydantic.ValidationError):
        RunRecord.model_validate_json(text)


def test_records_cannot_be_changed_after_they_were_made():
    made = RunRecord.model_validate(record())
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.partial = True


def test_conditions_that_differ_in_precision_or_threads_are_different_groups():
    plain = record()["conditions"]
    base = records.Conditions(**plain)
    assert base.group == records.Conditions(**plain | {"load_average": 3.0, "driver": "1"}).group
    for change in ({"precision": "bf16"}, {"threads": 2}, {"device": "NVIDIA H200"}, {"resolutions": ["854x480"]}):
        assert base.group != records.Conditions(**plain | change).group


def test_the_json_schema_names_every_field_and_refuses_others():
    schema = RunRecord.model_json_schema()
    assert set(record()) <= set(schema["properties"])
    assert schema["properties"]["schema"]["const"] == "harness.run/1"
    assert schema["additionalProperties"] is False


def test_the_json_schema_is_plain_json():
    assert json.loads(json.dumps(RunRecord.model_json_schema()))["title"] == "RunRecord"


@pytest.mark.parametrize("name", ["bmx-trees", "00a1b2", "dog agility", "vidéo"])
def test_real_video_names_are_safe(name):
    assert is_safe_video_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", ".git", "a/b", "a\\b", "a\0", "a\n", "\ta", "x" * 201])
def test_a_video_name_that_could_leave_its_folder_is_not_safe(name):
    assert not is_safe_video_name(name)
