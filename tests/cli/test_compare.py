"""``harness compare``: exit codes, what is printed where, the gate's file, per-video times of run folders."""

import json
import re

import pytest

from harness.api.records import VideoResult, VideoTiming
from harness.catalog import Catalog
from harness.cli import main
from harness.cli.compare import describe_comparison
from harness.ranking.compare import compare

THREE = {"a": [(0.5, 0.5)], "b": [(0.75, 0.25)], "c": [(1.0, 0.0)]}
WORSE = {video: [(j / 2, f / 2) for j, f in objects] for video, objects in THREE.items()}


@pytest.fixture
def place(tmp_path, monkeypatch, toy_catalog, make_record):
    """A folder with the runs base and head (half as good), in which commands run with the toy catalog."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Catalog, "load", classmethod(lambda cls: toy_catalog))
    for name, videos in (("base", THREE), ("head", WORSE)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(make_record(videos).to_json())
    return tmp_path


def run(*arguments):
    """The exit code of ``harness compare ...``."""
    with pytest.raises(SystemExit) as end:
        main(["compare", *map(str, arguments)])
    return end.value.code


def test_without_a_gate_a_loss_is_told_and_passes(place, capsys):
    assert run("base", "head/record.json") == 0
    told = capsys.readouterr().out
    # J&F is 0.5 on every video of base, 0.25 on every video of head.
    assert "J&F       0.5000  0.2500  -0.2500       [-0.2500, -0.2500]  0.000" in told
    assert re.search(r"^model_fps +(\S+) +\1 +1 +equal$", told, re.M)  # head / base, and by how much it is worse
    assert told.startswith(
        "base: ours of toys 1, weights default (111111111111), on toy-val (one-shot, rule davis2017-semi"
    )
    assert "method, code, config, weights and versions are the same" in told


def test_figures_of_which_less_is_better_say_so(make_record):
    found = compare(make_record(THREE), make_record(THREE), lower_is_better={"J-mean"})
    assert "J-mean (lower is better)  0.7500" in describe_comparison(found)


def test_what_differs_has_a_table(place, capsys, make_record):
    (place / "head/record.json").write_text(make_record(THREE, config={"tau": 0.5}).to_json())
    assert run("base", "head") == 0
    assert re.search(r"^differs +base +head\n-+ +-+ +-+\nconfig\.tau +- +0\.5$", capsys.readouterr().out, re.M)


def test_common_videos_are_compared_and_counted(place, capsys, make_record):
    (place / "head/record.json").write_text(make_record({**THREE, "d": [(0.0, 0.0)]}).to_json())
    assert run("base", "head") == 2
    assert "in one only: d\n  next: --common compares the 3 that both have" in capsys.readouterr().err
    assert run("base", "head", "--common") == 0
    told = capsys.readouterr().out
    assert "common: 3 videos, which all figures below are of" in told
    assert "J&F       0.5000  0.5000  +0.0000" in told
    assert "speeds are not compared: the clocks are of all 3 and 4 videos" in told


def test_a_gate_that_says_no_is_exit_code_1_and_names_the_rule(place, capsys):
    (place / "gate.toml").write_text('[accuracy]\n"J&F" = {max_loss = 0.1}\n[speed]\nmodel_fps = {max_loss = 0.1}\n')
    assert run("base", "head", "--gate", "gate.toml") == 1
    told = capsys.readouterr()
    assert "FAIL    J&F worse by at most 0.1         worse by 0.2500" in told.out
    assert "pass    model_fps worse by at most 10 %  equal" in told.out
    assert "the gate gate.toml says no:\n  J&F worse by at most 0.1: worse by 0.2500" in told.err
    assert run("head", "base", "--gate", "gate.toml") == 0


def test_json_says_the_same_and_the_exit_code_stays(place, capsys):
    (place / "gate.toml").write_text('[accuracy]\n"J&F" = {at_worst = 0.4}\n')
    assert run("base", "head", "--gate", "gate.toml", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is False
    assert told["rulings"] == [{"rule": "J&F at worst 0.4", "passed": False, "found": "0.2500"}]
    assert told["accuracy"][0]["videos"] == {"a": -0.25, "b": -0.25, "c": -0.25}


def test_run_folders_give_frame_times_by_video(place, capsys):
    for name, seconds in (("base", 0.1), ("head", 0.2)):
        (place / name / "videos").mkdir()
        for video in THREE:
            result = VideoResult(
                video=video,
                key="",
                digest="",
                length=3,
                height=8,
                width=8,
                timing=VideoTiming(model=[9.0, seconds, seconds], e2e=[9.0, seconds, seconds]),
            )
            (place / name / "videos" / f"{video}.json").write_text(result.model_dump_json(by_alias=True))
    assert run("base", "head") == 0
    assert "head / base, paired by video: 2.000 [2.000, 2.000]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[accuracy", "found no TOML"),
        ("[acuracy]\n", "did you mean 'accuracy'"),
        (None, "gate.toml: found nothing readable"),
    ],
)
def test_a_wrong_gate_is_a_usage_error(place, capsys, text, said):
    if text is not None:
        (place / "gate.toml").write_text(text)
    assert run("base", "head", "--gate", "gate.toml") == 2
    assert said in capsys.readouterr().err


def test_a_missing_run_is_missing_data_and_a_broken_one_fails_verification(place, capsys):
    assert run("base", "nowhere") == 3
    (place / "head" / "record.json").write_text("{")
    assert run("base", "head") == 8
    assert "head/record.json: found no readable JSON" in capsys.readouterr().err


def test_files_of_pytest_benchmark_are_compared_and_a_gate_says_no(tmp_path, capsys):
    rounds = [1.0, 1.01, 0.99, 1.02, 0.98]
    for name, by in (("base", 1.0), ("head", 1.2)):
        benchmark = {"fullname": "tests/x.py::y", "stats": {"data": [by * value for value in rounds]}}
        (tmp_path / f"{name}.json").write_text(json.dumps({"benchmarks": [benchmark]}))
    (tmp_path / "gate.toml").write_text("[speed]\nbenchmark_ms = {max_loss = 0.1}\n")
    files = [str(tmp_path / "base.json"), str(tmp_path / "head.json"), "--import", "pytest-benchmark"]
    with pytest.raises(SystemExit) as ended:
        main(["compare", *files, "--gate", str(tmp_path / "gate.toml")])
    printed = capsys.readouterr()
    assert ended.value.code == 1
    assert "tests/x.py::y: benchmark_ms worse by at most 10 %" in printed.err
    assert "1.200" in printed.out
    assert "not measured in turns" in printed.out
