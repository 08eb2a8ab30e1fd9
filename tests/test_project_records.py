"""``make records``: what it would make, what it leaves alone, and a record of it made for real."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.records import ALL_CORRUPTED, CLEAN, CORRUPTED, NEEDS_NO_WEIGHTS, ROBUSTNESS, TOO_SLOW, list_cases, main
from harness.catalog import Catalog


def run(*options):
    ended = CliRunner().invoke(main, [str(option) for option in options], catch_exceptions=False)
    return ended.exit_code, ended.output.splitlines()


def test_every_method_that_ships_what_it_needs_is_made_for_every_task_it_has():
    catalog = Catalog.load()
    cases = list(list_cases(catalog, CLEAN, ()))
    made = {(case.method.name, case.bench.name, case.task) for case in cases}
    for card in catalog.methods:
        is_made = bool(card.default_weights) or card.name in NEEDS_NO_WEIGHTS
        wanted = {
            (card.name, bench, task)
            for bench in CLEAN
            for task in catalog.benchmarks.get(bench).tasks
            if task in card.tasks and is_made and card.name not in TOO_SLOW and not card.replays
        }
        assert wanted == {place for place in made if place[0] == card.name}, card.name
    assert len({case.folder for case in cases}) == len({case.record_in(Path()) for case in cases}) == len(cases)


def test_every_way_in_which_a_video_is_worse_is_made_for_the_methods_whose_curves_are_shown():
    cases = list(list_cases(Catalog.load(), CORRUPTED, ()))
    assert len({case.record_in(Path()) for case in cases}) == len({case.folder for case in cases}) == len(cases)
    for corruption, tasks in (("blur", {"one-shot", "instance-zvos", "object-zvos"}), ("mask-shift", {"one-shot"})):
        for severity in (1, 3, 5):
            there = [case for case in cases if case.bench.name == f"mini-small+{corruption}-{severity}"]
            wanted = {(name, task) for task in tasks for name in ROBUSTNESS[task]}
            assert {(case.method.name, case.task) for case in there} == wanted
    assert all(case.is_corrupted for case in cases)
    assert {case.ending for case in cases if case.method.name == "tvos"} == {"lite0"}  # the first form of the clean one


def test_a_word_stands_for_all_that_are_corrupted(tmp_path):
    code, lines = run("--only", ALL_CORRUPTED, "--method", "dtnet", "--list", "--to", tmp_path)
    assert (code, len(lines)) == (0, 18)  # six ways, three severities; the first mask is none of dtnet's
    assert lines[0] == "to do: dtnet on mini-small+noise-1 (instance-zvos)"


def test_what_is_there_is_left_and_what_has_no_data_is_told(tmp_path):
    there = tmp_path / "board/records/mini-small/one-shot/copyfirst.json"
    there.parent.mkdir(parents=True)
    there.write_text("{}")
    options = ["--to", tmp_path / "board", "--data", tmp_path / "none", "--method", "copyfirst", "--list"]
    code, lines = run("--only", "mini-small", "--only", "davis17-val", *options)
    assert code == 0
    assert lines == [
        "there is records/mini-small/one-shot/copyfirst.json",
        f"skipped copyfirst on davis17-val (one-shot): no data at {tmp_path / 'none'}",
    ]
    assert run("--only", "mini-small", *options, "--again")[1] == ["to do: copyfirst on mini-small (one-shot)"]


@pytest.mark.slow
def test_data_that_are_not_those_of_the_benchmark_are_a_reason_to_skip(tmp_path):
    (tmp_path / "data").mkdir()
    options = ["--to", tmp_path / "board", "--out", tmp_path / "runs", "--data", tmp_path / "data"]
    code, lines = run("--only", "davis17-val", "--method", "copyfirst", *options)
    assert code == 0
    assert lines[0].startswith("copyfirst on davis17-val (one-shot): skipped: ")
    assert not list((tmp_path / "board/records").rglob("*.json"))


@pytest.mark.slow
def test_a_record_is_made_once_and_the_page_with_it(tmp_path):
    options = ["--to", tmp_path / "board", "--out", tmp_path / "runs", "--only", "mini-small", "--method", "copyfirst"]
    code, lines = run(*options)
    assert (code, lines[0].split(",")[1]) == (0, " all videos")
    record = json.loads((tmp_path / "board/records/mini-small/one-shot/copyfirst.json").read_text())
    assert (record["conditions"]["threads"], record["partial"]) == (1, False)
    assert "copyfirst" in (tmp_path / "board/README.md").read_text()
    assert run(*options)[1][0] == "there is records/mini-small/one-shot/copyfirst.json"


@pytest.mark.slow
def test_a_record_of_a_corrupted_benchmark_holds_no_clocks(tmp_path):
    bench, board = "mini-small+drop-5", tmp_path / "board"
    code, lines = run("--to", board, "--out", tmp_path / "runs", "--only", bench, "--method", "copyfirst")
    assert (code, lines[0].split(", ")[-1]) == (0, "no clocks")
    record = json.loads((board / f"records/{bench}/one-shot/copyfirst.json").read_text())
    assert record.get("timing") is None
    assert record["scores"]["j_and_f"]["J&F"]["value"] > 0
