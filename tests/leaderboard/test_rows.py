"""Rows that cannot be, though the overall figures follow from them; rules and objects that are not those known here."""

import json

import pytest

from harness.api.errors import VerificationFailed
from harness.api.records import BenchmarkInfo, Interval, RunRecord
from harness.catalog import Catalog
from harness.leaderboard.rows import expect_possible
from harness.leaderboard.verification import verify_record
from harness.ranking.figures import mean_of

GOOD = {"a": [(0.5, 0.75), (1.0, 0.25)], "b": [(0.25, 0.5)], "c": [(1.0, 0.0)]}
SMALL = {"small-cross": 2, "small-return": 3, "small-crowd": 4, "small-deform": 3}
"""Objects of the videos of mini-small."""


def forge(record, change):
    """The record with its rows changed in place by ``change``, and the overall figures that follow from them."""
    data = json.loads(record.to_json())
    change(data["videos"])
    forged = RunRecord.model_validate(data, strict=True)
    figures = {name: mean_of(forged, name) for name in forged.scores["j_and_f"]}
    return forged.model_copy(update={"scores": {"j_and_f": figures}})


def small_record(make_record, objects, **fields):
    return make_record({name: [(0.5, 0.5)] * count for name, count in objects.items()}, bench="mini-small", **fields)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"J&F": 0.99}, r"videos a.objects.1.J&F: found 0.99, expected 0.625, the mean of J-mean and F-mean"),
        ({"F-mean": 1.25, "J&F": 0.875}, r"videos a.objects.1.F-mean: found 1.25, expected a fraction, 0 to 1"),
        ({"J-mean": -0.25, "J&F": 0.25}, r"videos a.objects.1.J-mean: found -0.25, expected a fraction, 0 to 1"),
        ({"F-recall": 1.5}, r"videos a.objects.1.F-recall: found 1.5, expected a fraction, 0 to 1"),
        ({"J-decay": -1.5}, r"videos a.objects.1.J-decay: found -1.5, expected a fraction, or a difference of two"),
        ({"T": -0.5}, r"videos a.objects.1.T: found -0.5, expected 0 or more"),
        ({"J-mean": None}, r"videos a.objects.1: found \[0.625, None, 0.75\], expected .* all defined, or none"),
    ],
)
def test_a_row_that_cannot_be_is_refused(make_record, toy_catalog, tmp_path, figures, said):
    record = forge(make_record(GOOD), lambda videos: videos[0]["objects"]["1"].update(figures))
    with pytest.raises(VerificationFailed, match=said):
        verify_record(record, tmp_path / "record.json", toy_catalog)


def test_a_row_may_not_keep_out_of_the_mean_of_one_figure(make_record, toy_catalog, tmp_path):
    record = forge(make_record(GOOD), lambda videos: videos[1]["objects"]["1"].pop("J&F"))
    with pytest.raises(VerificationFailed, match=r"videos b.objects.1: found no J&F, expected figures J&F, J-mean, F-"):
        verify_record(record, tmp_path / "record.json", toy_catalog)


def test_a_row_of_another_metric_beside_them_needs_no_j_and_f(make_record, toy_catalog, tmp_path):
    record = forge(make_record(GOOD), lambda videos: videos[0]["objects"].update(video={"smoothness": 3.0}))
    verify_record(record, tmp_path / "record.json", toy_catalog)


def test_decay_below_zero_and_instability_above_one_are_possible(make_record, toy_catalog, tmp_path):
    record = forge(make_record(GOOD), lambda videos: videos[0]["objects"]["1"].update({"J-decay": -0.5, "T": 4.0}))
    verify_record(record, tmp_path / "record.json", toy_catalog)


@pytest.mark.parametrize(
    ("name", "number", "is_possible"),
    [("AP", -0.25, False), ("AP50", 1.5, False), ("AR_S", 1.0, True), ("gain", -0.25, True), ("gain", -1.5, False)],
)
def test_ap_is_a_share_and_a_plugins_fraction_may_be_a_difference(tmp_path, name, number, is_possible):
    if is_possible:
        expect_possible(tmp_path, "scores", number, name, "fraction")
    else:
        with pytest.raises(VerificationFailed, match=f"scores: found {number}, expected a fraction"):
            expect_possible(tmp_path, "scores", number, name, "fraction")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"1": 99, "2": 8}, r"videos a.scored_frames.1: found 99, expected at most 8, the frames of the video"),
        ({"1": 8, "2": 0}, r"videos a.objects.2: found \[0.625, 1.0, 0.25\], expected no figures, of 0 scored frames"),
    ],
)
def test_frames_that_do_not_fit_the_video_or_the_figures_are_refused(make_record, toy_catalog, tmp_path, counts, said):
    record = forge(make_record(GOOD), lambda videos: videos[0].update(scored_frames=counts))
    with pytest.raises(VerificationFailed, match=said):
        verify_record(record, tmp_path / "record.json", toy_catalog)


def test_a_figure_is_not_undefined_where_frames_were_scored(make_record, toy_catalog, tmp_path):
    def leave_out(videos):
        videos[1]["objects"]["1"] = dict.fromkeys(("J&F", "J-mean", "F-mean"))
        videos[1]["scored_frames"] = {"1": 8}

    with pytest.raises(VerificationFailed, match=r"videos b.objects.1: .*expected figures, of 8 scored frames"):
        verify_record(forge(make_record(GOOD), leave_out), tmp_path / "record.json", toy_catalog)


def test_the_overall_figure_of_youtube_vos_is_the_mean_of_its_four(make_record, tmp_path):
    groups = {"J_seen": 0.5, "J_unseen": 0.25, "F_seen": 0.75, "F_unseen": 0.5}
    rule = BenchmarkInfo(
        name="mini-small",
        task="one-shot",
        fingerprint="2" * 64,
        scoring="youtube-vos/1",
        own_rule=False,
        scored=True,
        videos_expected=4,
        videos_done=4,
    )
    for together, is_sound in ((0.5, True), (0.75, False)):
        figures = {name: Interval(value=value) for name, value in {"J&F": together, **groups}.items()}
        record = small_record(make_record, SMALL, benchmark=rule, scores={"youtube_vos": figures})
        if is_sound:
            verify_record(record, tmp_path / "record.json", Catalog.load())
            continue
        with pytest.raises(
            VerificationFailed, match=r"youtube_vos.J&F.value: found 0.75, expected 0.5, the mean of J_"
        ):
            verify_record(record, tmp_path / "record.json", Catalog.load())


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ({"small-cross": 1}, r"videos small-cross.objects: found \['1'\], expected those of the truth, \['1', '2'\]"),
        ({"small-crowd": 5}, r"videos small-crowd.objects: .*'5'\], expected those of the truth, \['1', .*'4'\]"),
    ],
)
def test_objects_of_an_embedded_benchmark_are_those_of_its_truth(make_record, tmp_path, objects, said):
    path = tmp_path / "record.json"
    verify_record(small_record(make_record, SMALL), path, Catalog.load())
    with pytest.raises(VerificationFailed, match=said):
        verify_record(small_record(make_record, SMALL | objects), path, Catalog.load())


def test_an_embedded_video_has_no_more_frames_than_it_has(make_record, tmp_path):
    record = forge(small_record(make_record, SMALL), lambda videos: videos[0].update(frames=25))
    with pytest.raises(VerificationFailed, match=r"videos small-cross.frames: found 25, expected at most 24"):
        verify_record(record, tmp_path / "record.json", Catalog.load())


def claim_rule(record, version, *, own_rule):
    about = record.benchmark.model_copy(update={"scoring": version, "own_rule": own_rule})
    return record.model_copy(update={"benchmark": about})


@pytest.mark.parametrize("version", ["/2", "/99", "/0", "/01", "/1.5", "/1\n", ""])
def test_a_version_of_our_rule_that_is_not_known_does_not_rank(make_record, toy_catalog, tmp_path, version):
    record = claim_rule(make_record(GOOD), f"davis2017-semi{version}", own_rule=True)
    with pytest.raises(VerificationFailed, match=r"scoring: .*expected davis2017-semi/1, the newest") as error:
        verify_record(record, tmp_path / "record.json", toy_catalog)
    assert error.value.hint == "run again with this version of the harness, or upgrade it"


def test_a_rule_of_ours_that_is_not_the_benchmarks_own_is_known_by_version_too(make_record, toy_catalog, tmp_path):
    record = claim_rule(make_record(GOOD), "vos-benchmark/2", own_rule=False)
    with pytest.raises(VerificationFailed, match="found vos-benchmark/2, expected vos-benchmark/1"):
        verify_record(record, tmp_path / "record.json", toy_catalog)


def test_a_rule_of_a_plugin_is_taken_but_not_as_the_benchmarks_own(make_record, toy_catalog, tmp_path):
    path = tmp_path / "record.json"
    verify_record(claim_rule(make_record(GOOD), "theirs/3", own_rule=False), path, toy_catalog)
    with pytest.raises(VerificationFailed, match=r"benchmark.own_rule: found True, expected False"):
        verify_record(claim_rule(make_record(GOOD), "theirs/3", own_rule=True), path, toy_catalog)
