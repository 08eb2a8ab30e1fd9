"""What comes from elsewhere through a metric is checked before anything is made of it; counts of our own are not."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.api.contracts import DAVIS_2017
from harness.api.errors import MethodFailed
from harness.api.mask_files import RunLength
from harness.api.records import VideoScores
from harness.api.video import Track, Tracks
from harness.metrics.precision.track_ap import TrackAP
from harness.running.measure import measure_tracks, measure_video


class Foreign:
    """A metric of masks, and one of tracks, that finds ``scores`` whatever it is shown."""

    def __init__(self, scores):
        self.start = lambda sample, rule: SimpleNamespace(add=lambda *frame: None, finish=lambda: scores)
        self.measure = lambda sample, tracks, rule: scores


def measure(scores, tests_tools, form):
    sample = tests_tools.tiny_sample("a")
    if form == "tracks":
        return measure_tracks(sample, (), {"odd": Foreign(scores)}, DAVIS_2017).scores["odd"]
    return measure_video(sample, [], {"odd": Foreign(scores)}, DAVIS_2017).scores["odd"]


@pytest.mark.parametrize("form", ["masks", "tracks"])
@pytest.mark.parametrize(
    ("scores", "told"),
    [
        (VideoScores(metric="odd", summary={"1": {"J-mean": float("nan")}}), "finite"),
        (VideoScores(metric="odd", series={"J": {"1": [0.5, float("inf")]}}), "finite"),
        (VideoScores(metric="odd", evidence={"masks": {1}}), "JSON"),
        (VideoScores(metric="../odd"), "pattern"),
        (VideoScores(metric="odd", frames="all"), "list"),
        (0.5, "VideoScores"),
        (None, "VideoScores"),
    ],
)
def test_what_no_record_can_hold_is_that_metrics_failure(tests_tools, form, scores, told):
    with pytest.raises(MethodFailed, match=f"(?s)metric odd.*{told}"):
        measure(scores, tests_tools, form)


def test_what_a_record_can_hold_becomes_what_a_record_would_be_read_as(tests_tools):
    made = VideoScores(metric="odd", frames=(0, 1), summary={"1": {"J-mean": np.float64(0.5), "F-mean": 1}})
    found = measure(made, tests_tools, "masks")
    assert found == VideoScores.model_validate_json(found.model_dump_json())
    assert (found.frames, found.summary) == ([0, 1], {"1": {"J-mean": 0.5, "F-mean": 1.0}})


@pytest.mark.parametrize(("number", "score"), [("a", 0.5), (np.int64(1), 0.5), (1, 1e200), (2**70, 0.5)])
def test_what_no_record_can_hold_of_tracks_or_dataset_is_told_at_the_video(tests_tools, number, score):
    mask = RunLength.encode(tests_tools.moving_square(0))
    truth = {"category_id": 1, "segmentations": [mask] * 5, "areas": [9] * 5, "iscrowd": 0}
    sample = tests_tools.tiny_sample("a", extra={"tracks": [truth], "video_id": number})
    with pytest.raises(MethodFailed, match="metric track_ap"):
        measure_tracks(sample, Tracks((Track(1, score, [mask] * 5),)), {"track_ap": TrackAP()}, DAVIS_2017)


def test_ordinary_scores_of_our_own_are_as_their_schema_reads_them(tests_tools, monkeypatch):
    mask = RunLength.encode(tests_tools.moving_square(0))
    truth = {"category_id": 1, "segmentations": [mask] * 5, "areas": [9] * 5, "iscrowd": 0}
    sample = tests_tools.tiny_sample("a", extra={"tracks": [truth], "video_id": 3})
    monkeypatch.setattr(VideoScores, "model_validate", None)
    found = measure_tracks(sample, Tracks((Track(1, 0.5, [mask] * 5),)), {"track_ap": TrackAP()}, DAVIS_2017)
    assert found.scores["track_ap"].detections.order == 3
    assert found.scores["track_ap"].check() == found.scores["track_ap"]
