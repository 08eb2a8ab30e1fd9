"""A run's record of tracks: AP has an interval, is checked against what was detected, and is compared by it."""

import json

import pytest

import harness
from harness.api.errors import VerificationFailed
from harness.catalog import Catalog
from harness.leaderboard.verification import read_record, verify_record
from harness.ranking.compare import compare

pytestmark = pytest.mark.slow  # two videos are run, by optical flow
AP = {"AP", "AP50", "AP75", "AR1", "AR10"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a baseline that finds tracks on two small videos."""
    folder = tmp_path_factory.mktemp("tracks") / "run"
    harness.run("moving-components", "mini-small", task="vis", preset="fast", limit=2, out=folder)
    return folder


def test_what_was_detected_gives_the_figures_and_their_intervals(run):
    record = read_record(run / "record.json")
    verify_record(record, run / "record.json", Catalog.load())
    figures = record.scores["track_ap"]
    assert set(figures) >= AP
    assert figures["AP"].low is not None
    assert figures["AP"].low <= figures["AP"].value <= figures["AP"].high
    assert all(video.detections["track_ap"].groups for video in record.videos)
    (change, *_) = compare(record, record, no_means=AP).accuracy
    assert (change.column, change.difference.low, change.difference.high) == ("AP", 0.0, 0.0)
    assert change.verdict == "no difference shown"


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("value", "scores.track_ap.AP.value: found 0.75, expected"),
        ("letters", "detections.track_ap: found .*expected .*letters"),
        ("gone", "track_ap of 1, expected 2, or none"),
    ],
)
def test_an_ap_that_was_not_detected_is_refused(run, tmp_path, field, said):
    content = json.loads((run / "record.json").read_text())
    if field == "value":
        content["scores"]["track_ap"]["AP"] = {"value": 0.75, "low": 0.7, "high": 0.8}
    elif field == "letters":
        content["videos"][0]["detections"]["track_ap"]["groups"][0]["outcomes"][0] += "t"
    else:
        content["videos"][1]["detections"] = {}
    path = tmp_path / "record.json"
    path.write_text(json.dumps(content))
    with pytest.raises(VerificationFailed, match=said):
        verify_record(read_record(path), path, Catalog.load())
