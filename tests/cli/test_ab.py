"""``harness ab`` as it is typed: what is refused at once, and a whole match with workers."""

import json

import pytest
from click.testing import CliRunner

from harness.ab.match import Match
from harness.api.errors import GateFailed
from harness.cli.ab import command

ON = ["--plugin", "copyfirst", "--bench", "mini-small"]


def refuse(*arguments):
    ran = CliRunner().invoke(command, [*arguments])
    assert ran.exit_code != 0
    return str(ran.exception) + ran.output


def test_wrong_names_are_answered_at_once():
    assert "did you mean 'copyfirst'" in refuse("--plugin", "copyfrst", "--bench", "mini-small")
    assert "did you mean 'mini-small'" in refuse("--plugin", "copyfirst", "--bench", "mini-smal")


def test_a_gate_with_a_typing_mistake_is_refused_before_anything_runs(tmp_path):
    gate = tmp_path / "gate.toml"
    gate.write_text("[speed]\nmodel_cpu = {max_loss = 0.1}\n")
    assert "did you mean 'model_cpu_ms'" in refuse(*ON, "--gate", str(gate))


@pytest.mark.parametrize("rounds", ["0", "-1", "1001"])
def test_a_number_of_rounds_that_cannot_be_is_refused(rounds):
    assert "not in the range" in refuse(*ON, "--rounds", rounds)


def test_saved_masks_play_no_match(tmp_path):
    asked = ["--plugin", "replay", "--bench", "mini-small", "--task", "one-shot", "--set", f"directory={tmp_path}"]
    assert "real names" in refuse(*asked, "--out", str(tmp_path / "out"))


def test_a_loss_of_speed_is_played_again_by_other_processes(tmp_path, monkeypatch, make_record):
    record = make_record({"a": [(0.5, 0.5)]})
    played = []

    def play(base, head, catalog, out, terms, on_note):
        played.append((out.relative_to(tmp_path).as_posix(), terms.seed))
        clocks = {"model_cpu_ms": ({"a": [10.0] * 3}, {"a": [15.0 / len(played)] * 3})}
        return Match(record, record, terms, clocks, differing={"a": 0})

    monkeypatch.setattr("harness.ab.match.play_match", play)
    ran = CliRunner().invoke(command, [*ON, "--coin", "3", "--out", str(tmp_path / "out")])
    assert ran.exit_code == 0, ran.output
    assert played == [("out", 3), ("out/again", 4)]
    assert "head lost by model_cpu_ms: played again with other processes" in ran.stderr
    assert "in other processes takes 0.750" in ran.stdout


@pytest.mark.slow
def test_a_whole_match_leaves_two_runs_and_says_no_to_a_planted_loss(tmp_path):
    asked = ["--plugin", "centre-prior", "--bench", "mini-small", "--limit", "2", "--threads", "1", "--rounds", "2"]
    asked += ["--memory-rounds", "1", "--out", str(tmp_path / "out"), "--json"]
    equal = CliRunner().invoke(command, [*asked])
    assert equal.exit_code == 0, equal.output
    found = json.loads(equal.stdout)
    assert (found["identical"], list(found["differing"].values())) == (2, [0, 0])
    assert all(len(turns) == 2 for turns in found["rounds"]["model_cpu_ms"]["head"].values())
    for side in ("base", "head"):
        assert json.loads((tmp_path / "out" / side / "record.json").read_text())["timing"]["model_cpu_ms"] > 0
    worse = CliRunner().invoke(command, [*asked, "--head", "half_height=0.6"])
    assert isinstance(worse.exception, GateFailed), worse.output
    found = json.loads(worse.stdout)
    assert found["identical"] == 0
    assert not found["rulings"][0]["passed"]
    assert found["comparison"]["differences"][0]["what"] == "config.half_height"
