"""Experiments: the file's format, the grid's runs, the table; every shipped file fits the cards."""

import functools
import math
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from harness.api.contracts import Method, Weights
from harness.api.errors import UsageError
from harness.catalog import Catalog
from harness.cli.train import command as train
from harness.experiments.format import cells_of, find, list_shipped, read_experiment
from harness.experiments.grid import Choice, run_grid
from harness.experiments.outcome import Outcome
from harness.experiments.table import tabulate
from harness.planning.config import configure, make_config

HEAD = """
title = "Toy table"
method = "mover"
task = "one-shot"
benchmark = "paper-val"
metrics = ["share"]
[paper]
title = "Toys"
authors = "Toy et al."
year = 2020
where = "Table 7"
"""
GRID = """
[[columns]]
name = "still"
[[columns]]
name = "moved"
set = {by = 1}
[[rows]]
name = "shipped"
[[rows]]
name = "trained"
trained = "long"
needs = "harness train --plugin mover"
published = [71.2, nan]
"""


@pytest.fixture
def read(tmp_path):
    """``read(text)``: the experiment of HEAD and this text."""

    def reading(text, head=HEAD):
        path = tmp_path / "toy.toml"
        path.write_text(head + text)
        return read_experiment(path)

    return reading


# The file


def test_a_cell_joins_its_row_and_its_column(read):
    cells = cells_of(read(GRID))
    assert [cell.name for cell in cells] == ["shipped, still", "shipped, moved", "trained, still", "trained, moved"]
    assert [cell.overrides for cell in cells] == [(), ("by=1",), (), ("by=1",)]
    assert [dict(cell.published) for cell in cells] == [{}, {}, {"share": 71.2}, {"share": None}]
    assert {(cell.method, cell.benchmark, cell.preset, cell.seeds) for cell in cells} == {("mover", "paper-val", "", 1)}


def test_without_columns_published_figures_are_those_of_the_metrics(read):
    head = HEAD.replace('["share"]', '["J&F", "J-mean"]')
    (cell,) = cells_of(read('[[rows]]\nname = "a"\nmethod = "other"\nseeds = 3\npublished = [60.4, 58]', head))
    assert cell.published == {"J&F": 60.4, "J-mean": 58.0}
    assert (cell.name, cell.method, cell.seeds) == ("a", "other", 3)


def test_columns_and_metrics_nest(read):
    head = HEAD.replace('["share"]', '["J", "F"]')
    columns = '[[columns]]\nname = "x"\n[[columns]]\nname = "y"\n[[rows]]\nname = "a"\n'
    cells = cells_of(read(columns + "published = [[1, 2], [3, 4]]", head))
    assert [dict(cell.published) for cell in cells] == [{"J": 1, "F": 2}, {"J": 3, "F": 4}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[rows]]\nname = "a"\npreset = 3', r"toy.toml: rows\[0\] \('a'\).preset: found 3; .*valid string"),
        ('[[rows]]\nname = "a"\nwieghts = "x"', r"rows\[0\] \('a'\).wieghts: found 'x'; Extra inputs"),
        ('[[rows]]\nname = "a, b"', r"rows\[0\] \('a, b'\).name: found 'a, b'"),
        ('[[rows]]\nname = "a"\n[[rows]]\nname = "a"', "rows: found two named 'a', expected each name once"),
        ("", "toy.toml: rows: found .*Field required"),
        (GRID.replace("71.2, nan", "71.2"), r"\('trained'\).published: found \[71.2\], expected 2 figures"),
        (GRID.replace('name = "trained"', 'name = "trained"\nset = {by = 2}'), r"set.by: found another in column"),
        (
            '[[columns]]\nname = "c"\npreset = "p"\n[[rows]]\nname = "a"\npreset = "q"',
            r"rows\[0\] \('a'\).preset: found another in column 'c', expected one of the two",
        ),
        ("[[rows]\n", "found no TOML"),
    ],
)
def test_a_wrong_file_is_told_with_its_key(read, text, said):
    with pytest.raises(UsageError, match=said):
        read(text)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UsageError, match="found nothing readable"):
        read_experiment(tmp_path / "none.toml")


def test_experiments_are_found_by_name_in_both_spellings_and_files_by_path():
    assert find("tvos/table2") == find("tvos-table2") == list_shipped()["tvos-table2"]
    assert str(find("mine/own.toml")) == "mine/own.toml"
    with pytest.raises(UsageError, match="did you mean 'tvos-table2'"):
        find("tvos/tabel2")


def test_the_file_shown_in_the_docs_can_be_read(read):
    page = (Path(__file__).parents[2] / "docs/experiments.md").read_text(encoding="utf-8")
    shown = page.split("```toml\n")[1].split("```")[0]
    cells = cells_of(read(shown, head=""))
    assert dict(cells[-1].published) == {"J&F": 61.0, "J-mean": None}


# What is shipped


installed = functools.cache(Catalog.load)


@pytest.mark.parametrize("path", list_shipped().values(), ids=list_shipped())
def test_a_shipped_file_fits_the_cards_and_its_published_grid_is_full(path):
    experiment = read_experiment(path)
    benchmark = installed().benchmarks.get(experiment.benchmark)
    figures = {column.name for metric in installed().metrics for column in metric.columns}
    assert experiment.task in benchmark.tasks
    assert {name.partition("@")[0] for name in experiment.metrics if not name.startswith("stage:")} <= figures
    assert experiment.rows[0].published == []  # what runs at once comes first
    assert not experiment.rows[0].needs
    assert any(row.published for row in experiment.rows)
    for cell in cells_of(experiment):
        method = installed().methods.get(cell.method)
        assert experiment.task in method.tasks
        configure(method, cell.preset, cell.overrides)
        assert cell.row.weights in ("", "none") or method.weights_named(cell.row.weights)
        printed = cell.published
        least = {metric: -100 if metric.endswith("-decay") else 0 for metric in printed}  # what is not printed is None
        assert all(figure is None or least[metric] < figure < 100 for metric, figure in printed.items())
        assert len(printed) == (len(experiment.metrics) if cell.row.published else 0)


@pytest.mark.parametrize("path", list_shipped().values(), ids=list_shipped())
def test_a_command_that_gets_weights_fits_the_card_and_the_command_line(path):
    options = {name for option in train.params for name in option.opts}
    for row in read_experiment(path).rows:
        for line in re.findall(r"harness train (.*?)(?:, or |; |$)", row.needs):
            words = line.split()
            given = [(word, words[place + 1]) for place, word in enumerate(words) if word.startswith("--")]
            assert {word for word, _ in given} <= options
            asked = dict(given)
            method = installed().methods.get(asked["--plugin"])
            for name in asked["--data"].split(","):
                installed().benchmarks.get(name)
            constants = [value for word, value in given if word == "--set"]
            training = method.training
            make_config(method.name, training.config, training.presets, asked.get("--preset", ""), constants)


# The grid


@dataclass(frozen=True)
class Moves:
    by: int = 0


def mover(**changes):
    """A method that shows the first mask, moved by so many columns a frame; ``built`` counts."""
    built = []

    def build(context):
        built.append(context)

        class Mover:
            def propagate(self, video, prompts):
                for t in range(len(video)):
                    yield torch.roll(prompts[0], t * context.config.by + (context.seed if t else 0), dims=1)

        return Mover()

    return Method(**{"name": "mover", "tasks": ("one-shot",), "build": build, "config": Moves, **changes}), built


@dataclass
class Quiet:
    reused: list

    def frame(self, video, done, length):
        pass

    def note(self, words):
        pass

    def video(self, outcome, reused):
        self.reused.append(reused)


def run_toy(experiment, choice, tools, method, benchmark=None):
    watched, seen = [], Quiet([])

    @contextmanager
    def watch(cell, plan):
        watched.append(cell)
        yield seen

    benchmark = benchmark or tools.tiny_benchmark(name="paper-val")
    outcome = run_grid("toy", experiment, choice, tools.catalog_of(method, benchmark=benchmark), watch)
    return outcome, watched, seen.reused


SHARE_STILL = 1 - (0 + 6 + 12 + 18 + 18) / 5 / 64  # as in test_runner: a 3 x 3 square that leaves its first place


def test_a_grid_runs_what_it_can_and_says_what_it_lacks(read, tmp_path, tests_tools):
    method, _ = mover()
    outcome, watched, _ = run_toy(read(GRID), Choice(tmp_path / "out"), tests_tools, method)
    assert watched == ["shipped, still, seed 0", "shipped, moved, seed 0"]
    assert outcome.cell("shipped", "still").figure("share").value == pytest.approx(SHARE_STILL)
    assert outcome.cell("shipped", "moved").figure("share").value == 1.0
    assert [cell.state for cell in outcome.cells] == ["measured"] * 2 + ["needs-weights"] * 2
    assert outcome.exit_code == 0
    assert Outcome.model_validate_json((tmp_path / "out/results.json").read_bytes()) == outcome


def test_a_grid_that_was_killed_goes_on(read, tmp_path, tests_tools):
    method, built = mover()
    choice = Choice(tmp_path / "out")
    first, _, _ = run_toy(read(GRID), choice, tests_tools, method)
    folder = first.cell("shipped", "moved").seeds[0].folder
    (tmp_path / folder / "videos/second.json").unlink()  # as if killed before it
    built.clear()
    again, _, reused = run_toy(read(GRID), choice, tests_tools, method)
    assert reused == [True, True, True, False]
    assert len(built) == 1
    assert [cell.figure("share") for cell in again.cells] == [cell.figure("share") for cell in first.cells]
    assert again.cell("shipped", "moved").seeds[0].folder == folder


def test_results_are_there_after_each_cell(read, tmp_path, tests_tools):
    states = []

    def build(context):
        path = tmp_path / "out/results.json"
        states.append(len(Outcome.model_validate_json(path.read_bytes()).cells) if path.exists() else 0)
        return mover()[0].build(context)

    run_toy(read(GRID), Choice(tmp_path / "out"), tests_tools, mover(build=build)[0])
    assert states == [0, 1]


def test_a_cell_that_fails_is_told_and_the_others_go_on(read, tmp_path, tests_tools):
    def build(context):
        if context.config.by == 0:
            raise RuntimeError("no kernel for standing still")
        return mover()[0].build(context)

    outcome, _, _ = run_toy(read(GRID), Choice(tmp_path / "out"), tests_tools, mover(build=build)[0])
    failed, moved = outcome.cell("shipped", "still"), outcome.cell("shipped", "moved")
    assert failed.state == "failed"
    assert "no kernel for standing still" in failed.problem
    assert moved.figure("share").value == 1.0
    assert outcome.exit_code == failed.exit_code == 4


def test_a_cell_of_which_a_video_crashed_keeps_the_others_and_ends_in_5(read, tmp_path, tests_tools):
    class Falls:
        def propagate(self, video, prompts):
            if video.name.endswith("1"):
                raise RuntimeError("lost it")
            for _ in range(len(video)):
                yield prompts[0].clone()

    method = mover(build=lambda context: Falls())[0]
    outcome, _, _ = run_toy(read('[[rows]]\nname = "a"'), Choice(tmp_path / "out"), tests_tools, method)
    (cell,) = outcome.cells
    assert cell.state == "measured"
    assert cell.problem.startswith("1 videos failed, the first: second: crashed")
    assert outcome.exit_code == 5
    assert tabulate(outcome, Choice(tmp_path / "out")).rows[0][1].endswith("* / -")


def test_all_videos_crashed_is_a_failed_cell(read, tmp_path, tests_tools):
    method = mover(build=lambda context: type("Falls", (), {"propagate": lambda self, video, prompts: 1 / 0})())[0]
    outcome, _, _ = run_toy(read('[[rows]]\nname = "a"'), Choice(tmp_path / "out"), tests_tools, method)
    assert outcome.cells[0].state == "failed"
    assert outcome.exit_code == 5
    page = tabulate(outcome, Choice(tmp_path / "out"))
    assert page.rows == (("a", "failed / -"),)
    assert any("2 videos failed" in line for line in page.lines)


def test_weights_given_for_a_row_are_used_and_those_of_the_card_that_are_not_here_are_asked_for(
    read, tmp_path, tests_tools
):
    file = tmp_path / "best.safetensors"
    file.write_bytes(b"weights")
    method, built = mover(weights=(Weights("theirs", "MIT", url="https://example.org/w"),))
    rows = '[[rows]]\nname = "given"\nneeds = "train"\n[[rows]]\nname = "theirs"\nweights = "theirs"'
    choice = Choice(tmp_path / "out", weights={"given": str(file)})
    outcome, _, _ = run_toy(read(rows), choice, tests_tools, method)
    given, theirs = outcome.cells
    assert [context.weights for context in built] == [file]
    assert given.weights == "best.safetensors"
    assert theirs.state == "needs-weights"
    assert theirs.problem == "download theirs from https://example.org/w"


def test_seeds_give_mean_and_spread(read, tmp_path, tests_tools):
    method, built = mover()
    choice = Choice(tmp_path / "out", seeds=2)
    outcome, _, _ = run_toy(read('[[rows]]\nname = "a"'), choice, tests_tools, method)
    assert [context.seed for context in built] == [0, 1]
    (cell,) = outcome.cells
    # Seed 1 shows every mask but the first one column further: wrong by 0, 0, 6, 12, 18 pixels.
    shares = [SHARE_STILL, 1 - (0 + 0 + 6 + 12 + 18) / 5 / 64]
    assert cell.figure("share").value == pytest.approx(sum(shares) / 2)
    assert cell.spread("share") == pytest.approx(abs(shares[0] - shares[1]) / math.sqrt(2))
    assert "(2 seeds) / -" in tabulate(outcome, choice).rows[0][1]


def test_rows_columns_and_overrides_choose(read, tmp_path, tests_tools):
    method, built = mover()
    choice = Choice(tmp_path / "out", rows=("shipped",), columns=("still",), overrides=("by=1",), limit=1)
    outcome, watched, _ = run_toy(read(GRID), choice, tests_tools, method)
    assert watched == ["shipped, still, seed 0"]
    assert [context.config.by for context in built] == [1]
    words = " ".join(tabulate(outcome, choice).lines)
    assert "NOT the paper's conditions: partial: 1 of 2 videos were chosen; constants changed: by=1" in words


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"rows": ("shiped",)}, "no row 'shiped' .did you mean 'shipped'"),
        ({"columns": ("fast",)}, "no column 'fast'"),
        ({"weights": {"other": "x"}}, "no row 'other'"),
        ({"seeds": 0}, "--seeds 0 runs nothing"),
    ],
)
def test_names_that_are_not_in_the_file_are_refused_before_anything_runs(read, tmp_path, tests_tools, asked, said):
    with pytest.raises(UsageError, match=said):
        run_toy(read(GRID), Choice(tmp_path / "out", **asked), tests_tools, mover()[0])
    assert not (tmp_path / "out").exists()


# The table


def test_the_table_shows_measured_beside_published_and_what_differs(read, tmp_path, tests_tools):
    file = tmp_path / "w"
    file.write_bytes(b"1")
    choice = Choice(tmp_path / "out", bench="tiny", weights={"trained": str(file)})
    outcome, _, _ = run_toy(read(GRID), choice, tests_tools, mover()[0], tests_tools.tiny_benchmark())
    page = tabulate(outcome, choice)
    assert page.heads == ("", "still", "moved")
    measured = f"{100 * SHARE_STILL:.1f}"
    assert page.rows[0] == ("shipped", f"{measured} [{measured}, {measured}] / -", "100.0 [100.0, 100.0] / -")
    assert page.rows[1] == ("trained", f"{measured} [{measured}, {measured}] / 71.2", "100.0 [100.0, 100.0] / -")
    assert page.lines[0].startswith("Table 7 of Toys (Toy et al. 2020)")
    assert page.lines[1] == "measured on tiny, 2 of 2 videos"
    assert page.lines[2] == "NOT the paper's conditions: benchmark tiny, the paper's is paper-val"
    assert "shipped: weights none; not in the paper" in page.lines
    assert "trained: weights w; the paper's: long" in page.lines


def test_under_the_papers_conditions_the_table_says_so(read, tmp_path, tests_tools):
    choice = Choice(tmp_path / "out")
    outcome, _, _ = run_toy(read('[[rows]]\nname = "a"\npublished = [9.0]'), choice, tests_tools, mover()[0])
    assert tabulate(outcome, choice).lines[1] == "measured on paper-val, 2 of 2 videos: the paper's benchmark, whole"


def test_an_unscored_benchmark_gives_masks_and_says_so(read, tmp_path, tests_tools):
    bench = tests_tools.tiny_benchmark(name="paper-val", scored=False)
    outcome, _, _ = run_toy(read('[[rows]]\nname = "a"'), Choice(tmp_path / "out"), tests_tools, mover()[0], bench)
    assert outcome.cells[0].state == "not-scored"
    assert outcome.exit_code == 0
    assert tabulate(outcome, Choice(tmp_path / "out")).rows == (("a", "not scored / -"),)


def test_markdown_shows_names_as_they_are(read, tmp_path, tests_tools):
    choice = Choice(tmp_path / "out")
    rows = '[[rows]]\nname = "a <b> *c*"\nneeds = "see\\n| this"'
    outcome, _, _ = run_toy(read(rows), choice, tests_tools, mover()[0])
    page = tabulate(outcome, choice).as_markdown()
    assert "| a \\<b\\> \\*c\\* | needs weights / - |" in page
    assert "needs weights: see \\| this; then" in page
