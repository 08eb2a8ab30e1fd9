"""J and F against the official toolkits' own numbers: made masks and real ones (SegFlow and OSVOS on DAVIS)."""

import json
from pathlib import Path

import numpy as np
import pytest

from harness.api.contracts import (
    DAVIS_2016,
    DAVIS_2017,
    DAVIS_2017_UNSUPERVISED,
    VOS_BENCHMARK,
    VOS_BENCHMARK_ALL_FRAMES,
)
from harness.api.errors import DataError
from harness.api.mask_files import read_mask
from harness.api.video import Sample
from harness.metrics.j_and_f import JAndF
from harness.metrics.j_and_f.pair_counts import PlainCounter

SHARED = Path(__file__).resolve().parents[4] / "shared"
GOLDEN = SHARED / "golden"
DAVIS, PREDICTIONS = SHARED / "data" / "DAVIS", SHARED / "data" / "predictions"


def _load(path):
    return json.loads(path.read_text()) if path.is_file() else {}


CASES = _load(GOLDEN / "cases.json")
EXPECTED = _load(GOLDEN / "expected.json")
REFERENCE = _load(PREDICTIONS / "reference_scores.json")
FOLDERS = {
    "osvos(davis17 ids merged to foreground)": "osvos",
    "segflow": "segflow",
    "segflow-ol-unsup": "segflow-ol-unsup",
}
REAL = [(run, video) for run in FOLDERS for video in REFERENCE.get(run, {}).get("per_sequence", {})]
ONE_SHOT = sorted(name for name, case in CASES.items() if case["task"] == "semi")
UNSUPERVISED = sorted(name for name, case in CASES.items() if case["task"] == "unsup")
STATISTICS = {"M": "mean", "R": "recall", "D": "decay"}

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not (CASES and REAL), reason=f"golden figures and predictions are not at {SHARED}"),
]


@pytest.fixture(params=["compiled", "plain"])
def counter(request, monkeypatch):
    """Run the test with the compiled kernels and with the plain form."""
    if request.param == "plain":
        monkeypatch.setattr("harness.metrics.j_and_f.measurement.new_counter", PlainCounter)
    return request.param


def masks_of(case):
    with np.load(GOLDEN / "inputs" / f"{case}.npz") as arrays:
        return arrays["pred"], arrays["gt"]


def measure(name, prediction, truth, rule):
    sample = Sample(
        name=name,
        length=len(truth),
        height=truth.shape[1],
        width=truth.shape[2],
        frame_names=tuple(f"{t:05}" for t in range(len(truth))),
        read_frame=lambda t: np.zeros((*truth.shape[1:], 3), np.uint8),
        read_truth=lambda t: truth[t],
        digest=lambda: "0" * 64,
    )
    measurement = JAndF().start(sample, rule)
    for frame in range(len(truth)):
        measurement.add(frame, prediction[frame], truth[frame])
    return measurement.finish()


def test_every_golden_case_is_here():
    assert (len(ONE_SHOT), len(UNSUPERVISED), len(REAL)) == (26, 10, 30)


@pytest.mark.parametrize("case", ONE_SHOT)
def test_one_shot_equals_davis2017_bit_for_bit(case, counter):
    expected = EXPECTED[case]["toolkits"]["davis2017"]
    if "error" in expected:
        with pytest.raises(DataError, match=rf"'{case}', frame \d+ .*found id \d+ .*expected the ids"):
            measure(case, *masks_of(case), DAVIS_2017)
        return
    scores = measure(case, *masks_of(case), DAVIS_2017)
    objects = [str(number) for number in range(1, int(expected["n_objects"]) + 1)]
    for quantity in "JF":
        assert [scores.series[quantity][id_] for id_ in objects] == expected[f"{quantity}_frames"]
        for letter, name in STATISTICS.items():
            found = [scores.summary[id_][f"{quantity}-{name}"] for id_ in objects]
            assert found == expected[f"{quantity}_{letter}"]
    assert JAndF().summarise([scores], DAVIS_2017)["J&F"] == expected["J&F"]


@pytest.mark.parametrize("case", UNSUPERVISED)
def test_unsupervised_equals_davis2017_bit_for_bit_up_to_the_order_of_rows(case, counter):
    expected = EXPECTED[case]["toolkits"]["davis2017"]
    if "error" in expected:
        with pytest.raises(DataError, match=rf"'{case}', frame \d+ .*found id \d+ .*expected at most 20 proposals"):
            measure(case, *masks_of(case), DAVIS_2017_UNSUPERVISED)
        return
    scores = measure(case, *masks_of(case), DAVIS_2017_UNSUPERVISED)
    # The official rows are in order of the matched proposal; objects matched to padding come last, in their own order.
    rows = sorted(scores.summary, key=lambda id_: (scores.matched.get(id_, 256), int(id_)))
    assert len(rows) == expected["n_objects"]
    for quantity in "JF":
        assert [scores.series[quantity][id_] for id_ in rows] == expected[f"{quantity}_frames"]
        for letter, name in STATISTICS.items():
            assert [scores.summary[id_][f"{quantity}-{name}"] for id_ in rows] == expected[f"{quantity}_{letter}"]
    # The mean over objects is summed in another order, so its last bit may differ.
    overall = JAndF().summarise([scores], DAVIS_2017_UNSUPERVISED)["J&F"]
    assert overall == pytest.approx(expected["J&F"], abs=1e-12)


@pytest.mark.parametrize(
    ("task", "cases", "rule"), [("semi", ONE_SHOT, DAVIS_2017), ("unsup", UNSUPERVISED, DAVIS_2017_UNSUPERVISED)]
)
def test_overall_figures_equal_davis2017(task, cases, rule):
    videos = [
        measure(case, *masks_of(case), rule)
        for case in cases
        if "error" not in EXPECTED[case]["toolkits"]["davis2017"] and case != "long_sequence"
    ]
    overall = JAndF().summarise(videos, rule)
    expected = EXPECTED["_global_davis2017"][task]
    assert sum(len(video.summary) for video in videos) == expected["objects"]
    # The toolkit went through the cases in another order than we do, so the last bits of a mean may differ.
    for quantity in "JF":
        found = [overall[f"{quantity}-{name}"] for name in STATISTICS.values()]
        assert found == pytest.approx(expected[f"{quantity}_mean_recall_decay"], abs=1e-12)
    assert overall["J&F"] == pytest.approx(expected["J&F"], abs=1e-12)


@pytest.mark.parametrize("case", ONE_SHOT + UNSUPERVISED)
def test_vos_benchmark_rules_equal_vos_benchmark_bit_for_bit(case, counter):
    rule = VOS_BENCHMARK if case in ONE_SHOT else VOS_BENCHMARK_ALL_FRAMES
    expected = EXPECTED[case]["toolkits"]["vos_benchmark"]
    scores = measure(case, *masks_of(case), rule)
    for quantity in "JF":
        found = {id_: figures[f"{quantity}-mean"] * 100 for id_, figures in scores.summary.items()}
        assert found == expected[f"{quantity}_percent"]
    # The toolkit averages per cent over its own order of ids; the last bits of the mean may differ.
    overall = JAndF().summarise([scores], rule)
    for quantity in "JF":
        assert overall[f"{quantity}-mean"] * 100 == pytest.approx(expected[quantity], abs=1e-12)


@pytest.mark.parametrize("case", ONE_SHOT)
def test_single_object_equals_davis2016(case, counter):
    expected = EXPECTED[case]["toolkits"]["davis2016_label1"]
    prediction, truth = ((masks == 1).astype(np.uint8) for masks in masks_of(case))
    scores = measure(case, prediction, truth, DAVIS_2016)
    for quantity in "JF":
        assert [None, *scores.series[quantity]["1"], None] == expected[quantity]["frames"]
        # The toolkit takes its mean over an array with NaN at both ends, which adds in another order: 1 ulp.
        found = [scores.summary["1"][f"{quantity}-{name}"] for name in STATISTICS.values()]
        assert found == pytest.approx(expected[quantity]["MOD"], abs=1e-12)


@pytest.mark.parametrize(("run", "video"), REAL)
def test_real_masks_equal_the_reference_scores(run, video):
    expected = REFERENCE[run]["per_sequence"][video]
    paths = sorted((DAVIS / "Annotations" / "480p" / video).glob("*.png"))
    truth = np.stack([read_mask(path) for path in paths])
    prediction = np.stack([read_mask(PREDICTIONS / FOLDERS[run] / video / path.name) for path in paths])
    scores = measure(video, prediction, truth, DAVIS_2016)
    assert len(scores.frames) == expected["n"]
    for quantity in "JF":
        found = [scores.summary["1"][f"{quantity}-{name}"] for name in STATISTICS.values()]
        assert found == pytest.approx(expected[quantity], abs=1e-9)
