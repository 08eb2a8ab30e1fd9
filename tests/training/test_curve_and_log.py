"""The log and its picture: means are exact, torn lines are left out, any log can be drawn."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from harness.training.curve import draw_curve, in_one_row
from harness.training.log import NEVER, Window, cut, means_of, read_lines

TRAIN = {"kind": "train", "iteration": 10, "losses": {"loss": 0.5, "$a_b$": None, "_c": 2.0}, "lr": 0.1}
SCORED = {"kind": "validation", "iteration": 10, "metric": "J&F", "benchmark": "tiny", "score": 0.25}


@pytest.mark.parametrize("lines", [[], [TRAIN], [SCORED], [TRAIN, SCORED, {**SCORED, "iteration": 20, "score": None}]])
def test_every_log_can_be_drawn(tmp_path, lines):
    draw_curve(tmp_path / "curve.png", lines, "pixels on tiny_$x^2$")
    with Image.open(tmp_path / "curve.png") as curve:
        picture = np.array(curve.convert("L"))
    assert picture.shape[1] == 800
    assert picture.min() < 100 < picture.max()


def test_a_window_that_was_stored_goes_on_where_it_was():
    whole, part = Window(), Window()
    for iteration, value in enumerate([0.1, 0.7, 0.3]):
        whole.add(iteration, torch.tensor(value), {"other": torch.tensor(2 * value)})
    part.add(0, torch.tensor(0.1), {"other": torch.tensor(0.2)})
    part = Window.of_plain(json.loads(json.dumps(part.as_plain())))
    for iteration, value in ((1, 0.7), (2, 0.3)):
        part.add(iteration, torch.tensor(value), {"other": torch.tensor(2 * value)})
    assert part.as_plain() == whole.as_plain()
    assert means_of([whole.as_plain()])["loss"] == pytest.approx(1.1 / 3)


def test_a_figure_that_is_logged_now_and_then_is_averaged_over_those_times():
    first, second = Window(), Window()
    first.add(0, torch.tensor(1.0), {"rare": torch.tensor(4.0)})
    first.add(1, torch.tensor(3.0), {})
    second.add(1, torch.tensor(5.0), {"odd": torch.tensor(torch.inf)})
    assert means_of([first.as_plain(), second.as_plain()]) == {"loss": 3.0, "rare": 4.0, "odd": None}


def test_the_first_iteration_that_was_not_finite_is_remembered():
    window = Window()
    assert window.bad_iteration() == NEVER
    for iteration, value in enumerate([1.0, torch.inf, 1.0, torch.nan]):
        window.add(iteration + 40, torch.tensor(value), {})
    assert window.bad_iteration() == 41


def test_a_log_is_cut_behind_a_checkpoint(tmp_path):
    log = tmp_path / "log.jsonl"
    lines = [{"kind": kind, "iteration": i} for i in (0, 5, 10, 15) for kind in ("train", "validation")]
    log.write_text("\n".join(json.dumps(line) for line in lines) + '\nnot json\n[1]\n{"kind": "tra')
    assert read_lines(log) == lines
    cut(log, iteration=10, validated=5)
    assert [(line["kind"], line["iteration"]) for line in read_lines(log)] == [
        ("train", 0),
        ("validation", 0),
        ("train", 5),
        ("validation", 5),
        ("train", 10),
    ]
    assert log.read_text().endswith("\n")


def test_a_log_of_stages_is_cut_in_the_stage_that_goes_on(tmp_path):
    log = tmp_path / "log.jsonl"
    lines = [
        {"kind": "train", "stage": stage, "iteration": i} for stage in ("one", "two", "three", "old") for i in (5, 10)
    ]
    log.write_text("\n".join(json.dumps(line) for line in lines))
    cut(log, stages=["one", "two", "three"], stage="two", iteration=7, validated=-1)
    found = [(line["stage"], line["iteration"]) for line in read_lines(log)]
    assert found == [("one", 5), ("one", 10), ("two", 5)]


def test_the_curve_counts_iterations_over_the_stages():
    lines = [{"kind": "train", "stage": stage, "iteration": i} for stage in ("one", "two") for i in (5, 10)]
    row, begins = in_one_row(lines)
    assert [line["iteration"] for line in row] == [5, 10, 15, 20]
    assert begins == {"one": 0, "two": 10}
    assert in_one_row([{"kind": "train", "iteration": 3}]) == ([{"kind": "train", "iteration": 3}], {})
