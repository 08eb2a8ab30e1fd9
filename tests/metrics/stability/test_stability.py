"""T of DAVIS 2016: equal to the official figures, ties included; what has no value; compiled equals plain."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.api.contracts import DAVIS_2016, Metric
from harness.api.records import VideoScores
from harness.api.video import Sample
from harness.metrics.stability import Stability, contour_contexts, harness_metrics, pair_instability
from harness.metrics.stability.contour import contour_points, simplify
from harness.metrics.stability.curves import boundary_curves
from harness.metrics.stability.match import (
    costs_between,
    costs_plain,
    count_neighbours,
    count_plain,
    distances_between,
    distances_plain,
    match_points,
    shape_contexts,
)
from harness.metrics.stability.path import cheapest_path, cheapest_path_by_search

SHAPES = "star static rect_shift hole two_parts vanish border tiny noisy diag_touch"


def video_of(masks: np.ndarray, **extra: object) -> VideoScores:
    """Measure masks as one video: they are its inner frames, an empty frame stands at both ends."""
    empty = np.zeros(masks.shape[1:], np.uint8)
    frames = [empty, *masks, empty]
    sample = Sample(
        name="toy",
        length=len(frames),
        height=masks.shape[1],
        width=masks.shape[2],
        frame_names=tuple(f"{t:05}" for t in range(len(frames))),
        read_frame=lambda t: np.zeros((*masks.shape[1:], 3), np.uint8),
        digest=lambda: "0" * 64,
        extra=extra,
    )
    measurement = Stability().start(sample, DAVIS_2016)
    for t, mask in enumerate(frames):
        measurement.add(t, mask, None)
    return measurement.finish()


def blob(*boxes: tuple[int, int, int, int], height: int = 24, width: int = 32) -> np.ndarray:
    """A mask of boxes (top, bottom, left, right), ends not included."""
    mask = np.zeros((height, width), np.uint8)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = 1
    return mask


@pytest.mark.data
@pytest.mark.parametrize("case", [f"t_{shape}" for shape in SHAPES.split()])
def test_the_official_figures_come_out(case: str, shared) -> None:
    expected = json.loads((shared / "golden" / "expected.json").read_text())["_T_davis2016"][case]
    scores = video_of(np.load(shared / "golden" / "inputs" / f"{case}.npz")["pred"].view(np.uint8))
    for found, official in zip(scores.series["T"]["1"], expected["pairs_times5"], strict=True):
        assert found == (official if official is None else pytest.approx(official, rel=0, abs=1e-12))
    assert scores.summary["1"]["T"] == pytest.approx(expected["mean"], rel=0, abs=1e-12)


@pytest.mark.data
def test_two_hundred_random_pairs_have_the_official_bits(shared) -> None:
    """Blobs, noise, holes, parts that touch at corners, masks without a contour (NaN there, None here)."""
    pairs = np.load(shared / "golden" / "stability_pairs.npz")
    assert len(pairs["official"]) == 200
    for number, official in enumerate(pairs["official"].tolist()):
        masks = (pairs[f"{side}{number:03}"].view(np.uint8) for side in "ab")
        found = pair_instability(*(contour_contexts(mask) for mask in masks))
        assert found == (None if math.isnan(official) else official), number


def test_the_metric_is_offered_and_lower_is_better() -> None:
    (metric,) = harness_metrics()
    assert isinstance(metric, Metric)
    assert [(column.name, column.higher_is_better) for column in metric.columns] == [("T", False)]


def test_a_mask_that_stays_as_it_is_has_no_instability() -> None:
    scores = video_of(np.stack([blob((4, 20, 5, 25))] * 3))
    assert scores.frames == [2, 3]
    assert scores.series == {"T": {"1": [0.0, 0.0]}}
    assert scores.summary == {"1": {"T": 0.0}}


def test_all_ids_are_one_object() -> None:
    mask = blob((4, 20, 5, 25))
    many = mask.copy()
    many[4:10] *= 3
    many[10:20, 20:] *= 255
    assert video_of(np.stack([mask, many])).summary["1"]["T"] == 0.0


def test_the_first_and_the_last_frame_are_not_looked_at() -> None:
    steady, other = blob((4, 20, 5, 25)), blob((2, 9, 3, 30), (9, 22, 20, 24))
    sample_scores = video_of(np.stack([steady, steady]))
    assert sample_scores.summary["1"]["T"] == 0.0
    assert video_of(np.stack([steady, other])).summary["1"]["T"] > 0.1


def test_a_pair_with_an_empty_mask_has_no_value_and_does_not_count() -> None:
    mask = blob((4, 20, 5, 25))
    scores = video_of(np.stack([mask, mask, mask * 0, mask]))
    assert scores.series["T"]["1"] == [0.0, None, None]
    assert scores.summary["1"]["T"] == 0.0


def test_a_video_without_any_pair_has_no_value() -> None:
    scores = video_of(blob((4, 20, 5, 25))[None])
    assert (scores.frames, scores.summary) == ([], {"1": {"T": None}})


def test_a_sequence_that_the_dataset_does_not_evaluate_is_left_out() -> None:
    masks = np.stack([blob((4, 20, 5, 25)), blob((2, 9, 3, 30))])
    left_out, counted = video_of(masks, eval_t=False), video_of(masks, eval_t=True)
    assert left_out.summary == {"1": {"T": None}}
    assert counted.summary["1"]["T"] > 0
    overall = Stability().summarise([left_out, counted], DAVIS_2016)
    assert overall == {"T": counted.summary["1"]["T"]}
    assert Stability().summarise([left_out], DAVIS_2016) == {"T": None}


def test_frames_out_of_order_are_refused_and_a_gap_makes_no_pair() -> None:
    mask = blob((4, 20, 5, 25))
    sample = Sample("toy", 9, 24, 32, tuple("012345678"), read_frame=lambda t: mask, digest=lambda: "0" * 64)
    measurement = Stability().start(sample, DAVIS_2016)
    for frame in (1, 2, 4, 5):
        measurement.add(frame, mask, None)
    with pytest.raises(ValueError, match="frame 5 after 5"):
        measurement.add(5, mask, None)
    assert measurement.finish().frames == [2, 5]


def test_a_polygon_runs_on_pixel_corners_and_long_sides_are_cut() -> None:
    points = contour_points(blob((4, 10, 6, 12)))
    corners = [(6, 4), (12, 4), (12, 10), (6, 10), (6, 4)]
    middles = [(9, 4), (12, 7), (9, 10), (6, 7)]
    expected = [point for pair in zip(corners, middles, strict=False) for point in pair] + [corners[-1]]
    assert points.tolist() == [list(map(float, point)) for point in expected]


def test_blocks_that_touch_at_a_corner_are_two_polygons_and_the_later_counts() -> None:
    points = contour_points(blob((2, 8, 2, 8), (8, 14, 8, 14)))
    assert points.min(axis=0).tolist() == [8, 8]
    assert points.max(axis=0).tolist() == [14, 14]


def test_a_hole_that_touches_the_outside_at_a_corner_is_cut_off() -> None:
    mask = blob((2, 14, 2, 14))
    mask[13, 13] = mask[11:13, 12] = 0
    points = contour_points(mask)
    assert points.tolist()[0] == [13, 13]  # the corner where they touch
    assert [13, 11] not in points.tolist()
    assert [2, 2] in points.tolist()


def test_a_hole_with_more_vertices_is_taken_and_runs_the_other_way() -> None:
    mask = blob((0, 24, 0, 32))
    mask[4:20, 4:12] = mask[12:20, 12:28] = 0  # an L
    points = contour_points(mask)
    x, y = points.T
    assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2 == -(16 * 8 + 8 * 16)


def test_what_is_simplified_away_has_no_contour() -> None:
    assert contour_points(blob((4, 5, 4, 5))) is None
    assert contour_points(blob()) is None


def test_of_equally_far_points_the_later_is_kept() -> None:
    line = np.array([[0, 0], [2, 4], [6, 4], [8, 0]], float)
    assert simplify(line, 3.0).tolist() == [[0, 0], [6, 4], [8, 0]]


def test_points_near_the_last_one_kept_go_first() -> None:
    line = np.array([[0, 0], [2, 2], [4, 9], [8, 0]], float)
    assert simplify(line, 1.0).tolist() == [[0, 0], [2, 2], [4, 9], [8, 0]]
    assert simplify(line, 3.0).tolist() == [[0, 0], [4, 9], [8, 0]]


def test_a_point_counts_itself_and_what_lies_far_away_does_not_count() -> None:
    points = np.array([[0, 0], [1, 0], [0, 1], [60, 0]], float)
    assert (shape_contexts(points) > 0).sum(axis=1).tolist() == [2, 3, 3, 1]  # the first has the second in its own bin
    assert shape_contexts(points)[0].max() == 2 / 3
    assert shape_contexts(points)[3].max() == 1


coordinates = arrays(np.float64, st.tuples(st.integers(4, 40), st.just(2)), elements=st.integers(0, 60).map(float))


@settings(deadline=None, max_examples=40)
@given(coordinates, coordinates)
def test_compiled_and_plain_give_the_same_bits(points: np.ndarray, others: np.ndarray) -> None:
    if len(np.unique(points, axis=0)) < 2 or len(np.unique(others, axis=0)) < 2:
        return
    distances = distances_plain(points)
    assert (distances_between(points) == distances).all()
    edges = np.array([0.125, 0.25, 0.5, 1, 2])
    unit = float(distances.mean())
    assert (count_neighbours(points, distances, unit, edges) == count_plain(points, distances, unit, edges)).all()
    a, b = shape_contexts(points), shape_contexts(others)
    assert (costs_between(a, b) == costs_plain(a, b)).all()


@settings(deadline=None, max_examples=60)
@given(arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)))
def test_the_programme_finds_what_the_search_finds(numbers: np.ndarray) -> None:
    costs = numbers / 7.0
    rows, columns = cheapest_path(costs)
    searched_rows, searched_columns = cheapest_path_by_search(costs)
    assert (rows.tolist(), columns.tolist()) == (searched_rows.tolist(), searched_columns.tolist())
    assert (rows[0] + 1, columns[0] + 1) == costs.shape
    assert (rows[-1], columns[-1]) == (0, 0)
    best = np.zeros(costs.shape)
    for x, y in np.ndindex(costs.shape):
        before = [best[i, j] for i, j in ((x - 1, y), (x, y - 1), (x - 1, y - 1)) if i >= 0 and j >= 0]
        best[x, y] = min(before) + costs[x, y] if before else 0.0
    assert costs[rows[:-1], columns[:-1]].sum() == pytest.approx(best[-1, -1])


def test_equal_paths_are_decided_as_boost_decides_them() -> None:
    """Worked by hand. Costs 0: the first popped node, right of the origin, hands on first, then its last sibling."""
    rows, columns = cheapest_path(np.zeros((2, 3)))
    # heap after the origin: right 1, down 3, diagonal 4; popping 1 lets 4 move up; 1 reaches 2 and 5 first.
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(1, 2), (0, 1), (0, 0)]


def test_each_point_is_matched_once() -> None:
    costs = np.random.default_rng(3).random((15, 20))
    rows, columns = match_points(costs)
    assert len(set(rows.tolist())) == len(rows)
    assert len(set(columns.tolist())) == len(columns)


@settings(deadline=None, max_examples=30)
@given(arrays(np.uint8, (2, 20, 24), elements=st.integers(0, 1)))
def test_instability_lies_between_0_and_5_on_noise(masks: np.ndarray) -> None:
    value = pair_instability(*(contour_contexts(mask) for mask in masks))
    assert value is None or 0 <= value <= 5


def test_the_same_numbers_come_without_machine_code() -> None:
    code = """
import numpy as np
from harness.metrics.stability import contour_contexts, pair_instability
from harness.metrics.stability.curves import trace
assert not trace.is_compiled
masks = np.random.default_rng(5).random((2, 24, 32)) > 0.3
print(repr(pair_instability(*(contour_contexts(mask.view(np.uint8)) for mask in masks))))
"""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    masks = np.random.default_rng(5).random((2, 24, 32)) > 0.3
    assert repr(pair_instability(*(contour_contexts(mask.view(np.uint8)) for mask in masks))) == run.stdout.strip()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([".#", "#."], [[[1, 1], [0, 1], [0, 2], [1, 2]], [[1, 1], [1, 0], [2, 0], [2, 1]]], id="a corner"),
        pytest.param(["##", "##"], [[[0, 0], [1, 0], [2, 0], [2, 1], [2, 2], [1, 2], [0, 2], [0, 1]]], id="a block"),
        pytest.param(["#.#"], [[[0, 2], [1, 2], [1, 3], [0, 3]], [[0, 0], [1, 0], [1, 1], [0, 1]]], id="two parts"),
    ],
)
def test_curves_begin_and_turn_as_the_official_program_walks(rows: list[str], expected: list) -> None:
    """Without a junction: the last found first, downwards from its upper left corner; with one: from the junction."""
    corners, ends = boundary_curves(np.array([[mark == "#" for mark in row] for row in rows], np.uint8))
    assert [curve.tolist() for curve in np.split(corners, ends[:-1])] == expected
