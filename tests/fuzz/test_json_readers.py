"""Mutated JSON in every reader of it: records, papers, results, plans, predictions, tables of datasets."""

import copy
import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.api.errors import DataError, IncompletePredictions, UsageError, VerificationFailed
from harness.api.mask_files import RunLength, write_mask
from harness.api.records import StageTime, VideoResult, VideoScores, VideoTiming
from harness.cli.tables import scores_table, speed_table, videos_table
from harness.datasets import youtube_vis, youtube_vos
from harness.leaderboard.verification import read_published, read_record, verify_record
from harness.metrics.precision.track_overlap import Tubes
from harness.predictions.found import read_all_tracks
from harness.ranking.compare import compare
from harness.reporters.json import Json
from harness.reporters.markdown import Markdown
from harness.running.finished import read_frame_ms
from harness.running.folder import RunFolder

FUZZ = settings.get_profile(os.environ.get("HARNESS_FUZZ", "fuzz"))
GOOD = {"a": [(0.5, 0.75), (1.0, 0.25)], "b": [(0.25, 0.5)], "c": [(1.0, 0.0)]}
CODE = {"size": [8, 8], "counts": RunLength.encode(np.eye(8, dtype=bool)).counts.decode()}
TRACK = {"video_id": 1, "category_id": 1, "score": 0.5, "segmentations": [CODE, None]}

# What no ``json.dumps`` writes; put into a document in place of a mark.
RAW = (
    *("NaN", "-Infinity", "1e999", "-1e-999", "9" * 4300, "9" * 5000, "-0", "01", "0x1", "tru", ""),
    *('"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\\u001b[2J"', '"\ud800"', '"\x01"', '"\\x"', "'x'"),
    *(
        "[" * 1_000 + "]" * 1_000,
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a": 1, "a": 2}',
        '{"\\ud800": 1}',
        '"' + "x" * 9000 + '"',
    ),
)
VALUES = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 10**400, 0.0, -1.5, 1e308, "", "x", [], {}, [[]]]
    ),
    st.sampled_from(
        ["..", "/etc/passwd", "a/../../b", "\x1b[31mred", "\u202eevil", "a\nb", "\ud800", "<b>|`", "x" * 3000]
    ),
    st.sampled_from([[None], [0], ["x"], {"": None}, {"x": {}}, [1, "x", None], {"1": {"J-mean": 2}}, [-1, 10**30]]),
    st.sampled_from(["1970-01-01T00:00:00+00:00", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"]),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)


def places_in(value: object) -> list[tuple[object, object]]:
    """Every (container, key) in a document."""
    if isinstance(value, dict):
        return [(value, key) for key in value] + [place for item in value.values() for place in places_in(item)]
    if isinstance(value, list):
        return [(value, index) for index in range(len(value))] + [place for item in value for place in places_in(item)]
    return []


@st.composite
def mutate(draw: st.DrawFn, document: object) -> bytes:
    """The document as JSON with up to three places changed, and now and then with broken bytes."""
    root = {"": copy.deepcopy(document)}
    raw: dict[str, str] = {}
    for number in range(draw(st.integers(0, 3))):
        container, key = draw(st.sampled_from(places_in(root)))
        match draw(st.sampled_from(["value", "value", "value", "raw", "drop", "key", "wrap", "copy"])):
            case "value":
                container[key] = copy.deepcopy(draw(VALUES))
            case "raw":
                container[key] = f"\u2603{number}"
                raw[json.dumps(container[key])] = draw(st.sampled_from(RAW))
            case "drop" if container is not root:
                container.pop(key)
            case "key" if isinstance(container, dict) and container is not root:
                container[
                    draw(st.one_of(st.sampled_from(["", "\ud800", "\x1b[2J", "1", "__proto__"]), st.text(max_size=4)))
                ] = copy.deepcopy(draw(VALUES))
            case "wrap":
                container[key] = draw(st.sampled_from([[container[key]], {"x": container[key]}, [container[key]] * 2]))
            case "copy":
                container[key] = copy.deepcopy(draw(st.sampled_from(places_in(root)))[0])
    text = json.dumps(root[""])
    for mark, written in raw.items():
        text = text.replace(mark, written)
    content = text.encode("utf-8", "surrogatepass")
    match draw(st.integers(0, 9)):
        case 0:
            return content[: draw(st.integers(0, len(content)))]
        case 1:
            place = draw(st.integers(0, len(content)))
            return content[:place] + draw(st.binary(min_size=1, max_size=3)) + content[place + 1 :]
        case 2:
            return draw(st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\x00"])) + content
    return content


PAPER = {
    "schema": "harness.published/1",
    "plugin": "ours",
    "method": "Ours",
    "title": "Ours",
    "authors": "A. Author",
    "venue": "CVPR",
    "year": 2020,
    "rows": [
        {
            "benchmark": "toy-val",
            "task": "one-shot",
            "supervision": "none",
            "source": "Table 1",
            "figures": {"J-mean": 69.9},
            "speed": {"fps": 10.0, "source": "Section 4", "conditions": "a GPU"},
        }
    ],
}


@pytest.fixture
def reports(tmp_path):
    """Write every page that the reporters make of these records and papers."""

    def write(records, papers=()):
        for reporter in (Markdown(), Json()):
            for page in reporter.report(records, tmp_path / "out", papers):
                assert page.is_relative_to(tmp_path / "out")
                text = page.read_text(encoding="utf-8")
                assert text.replace("\n", "").isprintable()
                assert "<b>" not in text or page.suffix == ".json"

    return write


@FUZZ
@given(data=st.data())
def test_a_mutated_record_is_refused_or_can_be_ranked_compared_and_shown(
    tmp_path, make_record, toy_catalog, value_or_refusal, reports, data
):
    good = make_record(GOOD, config={"top_k": 5, "sizes": [1.5, "x", {"a": None}]})
    path = tmp_path / "record.json"
    path.write_bytes(data.draw(mutate(json.loads(good.to_json()))))
    found = value_or_refusal(lambda: read_record(path), path, VerificationFailed)
    if found is None:
        return
    found.to_json().encode()
    value_or_refusal(lambda: compare(good, found), "head", UsageError)
    value_or_refusal(lambda: compare(found, found), "head", UsageError)
    "".join(table(found) for table in (scores_table, videos_table, speed_table)).encode()
    if value_or_refusal(lambda: verify_record(found, path, toy_catalog) or found, path, VerificationFailed):
        reports([good, found])


@FUZZ
@given(data=st.data())
def test_a_mutated_paper_is_refused_or_can_be_shown(tmp_path, make_record, value_or_refusal, reports, data):
    path = tmp_path / "ours.json"
    path.write_bytes(data.draw(mutate(PAPER)))
    found = value_or_refusal(lambda: read_published(path), path, VerificationFailed)
    if found is not None:
        reports([make_record(GOOD)], [found])


def result_of_a_video() -> VideoResult:
    figures = {"1": {"J-mean": 0.5}}
    return VideoResult(
        video="a",
        key="0" * 64,
        digest="1" * 64,
        length=3,
        height=8,
        width=8,
        objects=[1],
        scores={"j_and_f": VideoScores(metric="j_and_f", frames=[1], series={"J": {"1": [0.5]}}, summary=figures)},
        timing=VideoTiming(model=[0.5, 0.25, 0.25], warm_up=1, stages={"warp": StageTime(calls=3, seconds=0.5)}),
        masks="masks/a",
    )


@FUZZ
@given(data=st.data())
def test_a_mutated_result_of_a_video_is_refused_or_not_reused(tmp_path, value_or_refusal, data):
    good = result_of_a_video()
    path = tmp_path / "videos" / "a.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data.draw(mutate(json.loads(good.model_dump_json(by_alias=True)))))
    found = RunFolder(tmp_path).read_result("a")
    assert found is None or found.video == "a"
    for by_video in (False, True):
        read = partial(read_frame_ms, tmp_path, by_video=by_video)
        times = value_or_refusal(read, path, VerificationFailed, UsageError)
        assert times is None or all(0 < ms < float("inf") for ms in times.values())


@FUZZ
@given(data=st.data())
def test_a_mutated_plan_is_refused_and_nothing_is_thrown_away(tmp_path, value_or_refusal, data):
    parts = {"plugin": {"name": "tvos", "version": "1"}, "bench": "mini", "seed": 0}
    (tmp_path / "plan.json").write_bytes(data.draw(mutate(parts)))
    (tmp_path / "videos").mkdir(exist_ok=True)
    (tmp_path / "videos" / "a.json").write_text("{}")
    value_or_refusal(lambda: RunFolder(tmp_path).claim(parts, fresh=False), tmp_path, UsageError)
    assert (tmp_path / "videos" / "a.json").exists()


@FUZZ
@given(data=st.data(), is_subset=st.booleans())
def test_mutated_predictions_of_tracks_are_tracks_or_refused(tmp_path, tests_tools, value_or_refusal, data, is_subset):
    samples = [tests_tools.tiny_sample("a", 2, extra={"video_id": 1, "category_names": {1: "dog"}})]
    path = tmp_path / "results.json"
    path.write_bytes(data.draw(mutate([TRACK, TRACK])))
    kinds = (DataError, IncompletePredictions)
    read = partial(read_all_tracks, path, samples, is_subset=is_subset)
    found = value_or_refusal(read, path, *kinds)
    loose = value_or_refusal(partial(read, deep=False), path, *kinds)
    for tracks, _ in (each for each in (found, loose) if each is not None):
        masks = [track.masks for track in tracks["a"]]
        assert {track.category for track in tracks["a"]} <= {1}
        assert all(np.isfinite(track.score) for track in tracks["a"])
        if tracks is (found or [None])[0]:
            Tubes.of(masks, (8, 8), 2)
    (tmp_path / "a.json").write_bytes(path.read_bytes())
    value_or_refusal(lambda: read_all_tracks(tmp_path, samples, is_subset=False), tmp_path / "a.json", *kinds)


def write_frames(folder: Path, *stems: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stem in stems:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / f"{stem}.jpg")


VIS_TABLE = {
    "videos": [{"id": 1, "width": 8, "height": 8, "length": 2, "file_names": ["a/00000.jpg", "a/00005.jpg"]}],
    "categories": [{"id": 1, "name": "dog"}],
    "annotations": [
        {"id": 1, "video_id": 1, "category_id": 1, "iscrowd": 0, "areas": [8, None], "segmentations": [CODE, None]},
        {
            "id": 2,
            "video_id": 1,
            "category_id": 1,
            "segmentations": [{"size": [8, 8], "counts": [60, 4]}, [[0, 0, 4, 0, 4, 4]]],
        },
    ],
}
VOS_TABLE = {"videos": {"a": {"objects": {"1": {"category": "dog", "frames": ["00000", "00005"]}}}}}


@FUZZ
@given(data=st.data())
def test_a_mutated_table_of_youtube_vis_gives_samples_or_is_refused(tmp_path, value_or_refusal, data):
    write_frames(tmp_path / "train" / "JPEGImages" / "a", "00000", "00005")
    path = tmp_path / "train.json"
    path.write_bytes(data.draw(mutate(VIS_TABLE)))
    part = youtube_vis.PARTS[1]
    for sample in value_or_refusal(lambda: youtube_vis.open_part(part, tmp_path, True), tmp_path, DataError) or ():
        assert "/" not in sample.name
        assert len(sample.digest()) == 64
        Tubes.of([track["segmentations"] for track in sample.extra["tracks"]], (8, 8), sample.length)


@FUZZ
@given(data=st.data())
def test_a_mutated_table_of_youtube_vos_gives_samples_or_is_refused(tmp_path, value_or_refusal, data):
    write_frames(tmp_path / "train" / "JPEGImages" / "a", "00000", "00005")
    masks = tmp_path / "train" / "Annotations" / "a"
    masks.mkdir(parents=True, exist_ok=True)
    for stem in ("00000", "00005"):
        write_mask(masks / f"{stem}.png", np.eye(8, dtype=np.uint8))
    (tmp_path / "train" / "meta.json").write_bytes(data.draw(mutate(VOS_TABLE)))
    youtube_vos.read_seen_categories.cache_clear()
    part = youtube_vos.PARTS[2]
    for sample in value_or_refusal(lambda: youtube_vos.open_part(part, tmp_path, True), tmp_path, DataError) or ():
        assert "/" not in sample.name
        assert len(sample.digest()) == 64
        assert all(sample.read_prompt(frame).shape == (8, 8) for frame in sample.prompt_frames)


def test_what_is_not_mutated_is_read(tmp_path, make_record, toy_catalog, tests_tools):
    (tmp_path / "record.json").write_text(make_record(GOOD).to_json())
    verify_record(read_record(tmp_path / "record.json"), tmp_path / "record.json", toy_catalog)
    (tmp_path / "ours.json").write_text(json.dumps(PAPER))
    assert read_published(tmp_path / "ours.json").year == 2020
    samples = [tests_tools.tiny_sample("a", 2, extra={"video_id": 1})]
    (tmp_path / "results.json").write_text(json.dumps([TRACK]))
    assert len(read_all_tracks(tmp_path / "results.json", samples, is_subset=False)[0]["a"]) == 1
    write_frames(tmp_path / "train" / "JPEGImages" / "a", "00000", "00005")
    (tmp_path / "train.json").write_text(json.dumps(VIS_TABLE))
    assert [sample.name for sample in youtube_vis.open_part(youtube_vis.PARTS[1], tmp_path, True)] == ["a"]
