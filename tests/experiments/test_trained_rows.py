"""Rows that make their own weights: what is asked of the training, chains of rows, and what is refused."""

import json
from types import SimpleNamespace

import pytest

from harness.api.errors import MethodFailed, UsageError
from harness.api.records import Interval, StageTime
from harness.catalog import Catalog
from harness.experiments.format import Experiment, cells_of, list_shipped, read_experiment
from harness.experiments.grid import figures_by_video, seconds_by_stage
from harness.experiments.outcome import CellOutcome, Outcome, Seed
from harness.experiments.table import tabulate
from harness.experiments.trained import RowTrainings, folder_name
from harness.planning.config import make_config

HEAD = """
title = "Toy"
method = "mover"
task = "one-shot"
benchmark = "paper-val"
metrics = ["share", "stage:affinity"]
paper = {title = "Toys", authors = "Toy", year = 2020, where = "Table 7"}
"""
CHAIN = """
[[rows]]
name = "first"
train = {data = "a,b", preset = "short", set = {lr = 0.5, kinds = ["x"]}}
[[rows]]
name = "w/o memory"
method = "other"
train = {data = "a", init = "first"}
"""


@pytest.fixture
def read(tmp_path):
    def reading(text) -> Experiment:
        path = tmp_path / "toy.toml"
        path.write_text(HEAD + text)
        return read_experiment(path)

    return reading


def trainings(experiment, folder):
    asked = []

    def learn(lesson):
        asked.append(lesson)
        return lesson.folder / "last.safetensors"

    return RowTrainings(experiment, folder, learn), asked


def test_a_row_begins_from_another_which_is_trained_first_and_once(read, tmp_path):
    experiment = read(CHAIN)
    made, asked = trainings(experiment, tmp_path)
    second = made.weights_of(experiment.rows[1])
    assert made.weights_of(experiment.rows[0]) == tmp_path / "first/last.safetensors"
    assert [(lesson.row, lesson.plugin, lesson.data) for lesson in asked] == [
        ("first", "mover", ("a", "b")),
        ("w/o memory", "other", ("a",)),
    ]
    assert (asked[0].preset, asked[0].overrides, asked[0].init) == ("short", ("lr=0.5", 'kinds=["x"]'), None)
    assert asked[1].init == tmp_path / "first/last.safetensors"
    assert second.parent == tmp_path / folder_name("w/o memory")


def test_rows_with_one_and_the_same_training_share_it(read, tmp_path):
    same = 'train = {data = "a", preset = "long"'
    experiment = read(
        f'[[rows]]\nname = "one"\n{same}}}\n[[rows]]\nname = "two"\nset = {{topk = 3}}\n{same}}}\n'
        f'[[rows]]\nname = "adapted"\nmethod = "mover-adapted"\n{same}, method = "mover"}}\n'
        f'[[rows]]\nname = "other"\nmethod = "stranger"\n{same}}}'
    )
    made, asked = trainings(experiment, tmp_path)
    where = [made.weights_of(row).parent.name for row in reversed(experiment.rows)]
    assert where == ["other", "one", "one", "one"]
    assert [(lesson.row, lesson.plugin) for lesson in asked] == [("other", "stranger"), ("one", "mover")]


def test_a_row_of_several_seeds_is_trained_with_each_and_so_is_what_begins_from_it(read, tmp_path):
    experiment = read(
        '[[rows]]\nname = "first"\ntrain = {data = "a", seeds = 3}\n'
        '[[rows]]\nname = "second"\ntrain = {data = "a", init = "first", seeds = 3}\n'
        '[[rows]]\nname = "once"\ntrain = {data = "a", init = "first"}\n'
    )
    made, asked = trainings(experiment, tmp_path)
    assert [cell.seeds for cell in cells_of(experiment)] == [3, 3, 1]
    assert made.weights_of(experiment.rows[1], 2) == tmp_path / "second/seed-2/last.safetensors"
    assert made.weights_of(experiment.rows[1], 2) == made.weights_of(experiment.rows[1], 2)
    assert made.weights_of(experiment.rows[2], 5) == tmp_path / "once/last.safetensors"
    assert [(lesson.row, lesson.seed) for lesson in asked] == [("first", 2), ("second", 2), ("first", 0), ("once", 0)]
    assert asked[1].init == tmp_path / "first/seed-2/last.safetensors"


def test_a_rule_of_the_file_is_that_of_every_cell_but_those_that_name_their_own(read):
    experiment = read('[[rows]]\nname = "a"\n[[rows]]\nname = "b"\nprotocol = "merged-frame-mean"')
    named = experiment.model_copy(update={"protocol": "davis-2016-frame-mean"})
    assert [cell.protocol for cell in cells_of(experiment)] == ["", "merged-frame-mean"]
    assert [cell.protocol for cell in cells_of(named)] == ["davis-2016-frame-mean", "merged-frame-mean"]


def test_the_trainings_of_the_shipped_experiments_fit_the_cards():
    methods, benchmarks = Catalog.load().methods, Catalog.load().benchmarks
    trained = 0
    for path in list_shipped().values():
        experiment = read_experiment(path)
        for row in experiment.rows:
            if row.train is None:
                continue
            training = methods.get(row.train.method or row.method or experiment.method).training
            constants = [f"{key}={json.dumps(value)}" for key, value in row.train.set.items()]
            make_config(row.name, training.config, training.presets, row.train.preset, constants)
            assert all(benchmarks.get(name.strip()) for name in row.train.data.split(","))
            trained += 1
    assert trained >= 13


def test_a_name_that_is_no_folder_gets_one_of_its_own():
    assert folder_name("9 frames") == "9 frames"
    assert folder_name("w/o SGM").startswith("w-o-SGM-")
    assert folder_name("w/o SGM") != folder_name("w-o SGM") != folder_name("w\\o SGM")
    assert "/" not in folder_name("../up")


def test_a_training_that_failed_is_not_tried_by_the_next_cell(read, tmp_path):
    experiment, tries = read(CHAIN), []

    def learn(lesson):
        tries.append(lesson.row)
        raise MethodFailed("the loss was not finite")

    made = RowTrainings(experiment, tmp_path, learn)
    for _ in range(2):
        with pytest.raises(MethodFailed, match="not finite"):
            made.weights_of(experiment.rows[1])
    assert tries == ["first"]


def test_a_file_to_begin_from_must_be_there(read, tmp_path):
    experiment = read('[[rows]]\nname = "a"\ntrain = {data = "d", init = "none.safetensors"}')
    with pytest.raises(UsageError, match="found no such file and no row of that name"):
        trainings(experiment, tmp_path)[0].weights_of(experiment.rows[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[[rows]]\nname = "a"\ntrain = {data = "d", init = "b"}\n'
            '[[rows]]\nname = "b"\ntrain = {data = "d", init = "a"}',
            "found the circle a <- b <- a, expected an end",
        ),
        ('[[rows]]\nname = "a"\ntrain = {data = "d", init = "a"}', "found the circle a <- a"),
        (
            '[[rows]]\nname = "a"\ntrain = {data = "d", init = "b"}\n[[rows]]\nname = "b"',
            "found the row 'b', which has no train",
        ),
        ('[[rows]]\nname = "a"\ntrain = {preset = "p"}', r"train.data: .*Field required"),
    ],
)
def test_trainings_that_cannot_be_are_told_before_anything_runs(read, text, said):
    with pytest.raises(UsageError, match=said):
        read(text)


def test_seconds_of_a_stage_are_over_every_frame():
    timing = SimpleNamespace(
        model=SimpleNamespace(frames=7),
        model_first_frame=SimpleNamespace(frames=2),
        warm_up_frames=1,
        stages={"affinity": StageTime(calls=10, seconds=0.5)},
    )
    record = SimpleNamespace(timing=timing, plugin=SimpleNamespace(replays=False))
    assert seconds_by_stage(record) == {"stage:affinity": Interval(value=0.05)}
    assert seconds_by_stage(SimpleNamespace(timing=None, plugin=record.plugin)) == {}


def test_seconds_are_shown_as_seconds_beside_the_printed_ones(read):
    experiment = read('[[rows]]\nname = "a"\npublished = [65.0, 0.05]')
    seed = Seed(
        seed=0,
        folder="runs/a",
        figures={"share": Interval(value=0.5), "stage:affinity": Interval(value=0.01234)},
        videos_done=2,
        videos_expected=2,
    )
    cell = CellOutcome(
        row="a",
        column="",
        method="mover",
        preset="",
        overrides=[],
        benchmark="paper-val",
        weights="last.safetensors",
        training="runs/train/a",
        published={"share": 65.0, "stage:affinity": 0.05},
        state="measured",
        seeds=[seed],
    )
    outcome = Outcome(name="toy", created="now", harness_version="0", experiment=experiment, cells=[cell])
    choice = SimpleNamespace(bench="", overrides=(), precision="fp32")
    page = tabulate(outcome, choice)
    assert page.heads == ("", "share", "affinity, s a frame")
    assert page.rows == (("a", "50.0 / 65.0", "0.0123 / 0.05"),)
    assert "trained here, runs/train/a" in "\n".join(page.lines)


def test_a_figure_of_one_video_is_the_mean_over_its_objects():
    videos = [
        SimpleNamespace(video="dogs", objects={"1": {"J-mean": 0.5}, "2": {"J-mean": 0.7}, "3": {"J-mean": None}}),
        SimpleNamespace(video="cat", objects={"1": {"J-mean": None}}),
    ]
    assert figures_by_video(SimpleNamespace(videos=videos)) == {"J-mean@dogs": Interval(value=0.6)}


def test_many_figures_are_lines_and_the_rows_of_the_paper_columns(read):
    names = [f"share@{place}" for place in range(13)]
    experiment = read('[[rows]]\nname = "a"').model_copy(update={"metrics": names})
    cell = CellOutcome(
        row="a", column="", method="mover", preset="", overrides=[], benchmark="paper-val",
        published={name: float(place) for place, name in enumerate(names)}, state="failed",
    )  # fmt: skip
    outcome = Outcome(name="toy", created="now", harness_version="0", experiment=experiment, cells=[cell])
    page = tabulate(outcome, SimpleNamespace(bench="", overrides=(), precision="fp32"))
    assert page.heads == ("", "a")
    assert page.rows[12] == ("share@12", "failed / 12.0")
