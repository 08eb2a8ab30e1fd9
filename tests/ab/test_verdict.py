"""A match judged: by which limits, when a loss counts, and what the page says of it."""

import json
from dataclasses import replace

import pytest

from harness.ab.match import Match, Terms
from harness.ab.report import describe_verdict, write_markdown
from harness.ab.verdict import default_gate, judge
from harness.ranking.gate import Gate, SpeedRule
from harness.ranking.rounds import Peaks

ROUNDS = {"a": [10.0, 10.2, 9.9, 10.1], "b": [20.0, 20.1, 20.2, 19.9], "c": [5.0, 5.1, 5.0, 4.9]}
EVEN = {"a": [(0.5, 0.5)], "b": [(0.5, 0.5)], "c": [(0.5, 0.5)]}


def take(rounds, by):
    return {video: [by * value for value in values] for video, values in rounds.items()}


@pytest.fixture
def match_of(make_record):
    """``match_of(slower=1.15, lost=0.01)``: a match whose head takes so much longer and is so much worse."""

    def make(slower=1.0, lost=0.0, memory=None, clocks=("model_cpu_ms", "model_fps"), device_type="cpu"):
        worse = {video: [(j - lost, f)] for video, ((j, f),) in EVEN.items()}
        base, head = make_record(EVEN), make_record(worse)
        conditions = base.conditions.model_copy(update={"device_type": device_type})
        base, head = (record.model_copy(update={"conditions": conditions}) for record in (base, head))
        return Match(
            base,
            head,
            Terms(rounds=4),
            {clock: (ROUNDS, take(ROUNDS, slower)) for clock in clocks},
            differing=dict.fromkeys(EVEN, 3 if lost else 0),
            memory=memory,
        )

    return make


def rules_broken_by(verdict):
    return [ruling.rule.split(" ")[0] for ruling in verdict.rulings if not ruling.passed]


def test_equal_sides_pass_and_are_said_to_be_identical(match_of, toy_catalog):
    verdict = judge(match_of(), toy_catalog)
    assert verdict.passed
    assert "masks: identical on 3 of 3 videos" in write_markdown(list(describe_verdict(verdict)))


@pytest.mark.parametrize(("slower", "passed"), [(1.06, True), (1.08, False), (0.5, True)])
def test_the_cpu_clock_may_be_worse_by_its_limit(match_of, toy_catalog, slower, passed):
    verdict = judge(match_of(slower), toy_catalog)
    assert verdict.passed is passed
    assert rules_broken_by(verdict) == ([] if passed else ["model_cpu_ms"])


def test_a_loss_beyond_the_limit_that_is_not_clear_passes(match_of, toy_catalog):
    match = match_of()
    head = {"a": [15.0, 20.0, 15.0, 16.0], "b": [16.0, 16.5, 30.0, 24.0], "c": [7.0, 9.0, 7.5, 8.0]}
    verdict = judge(replace(match, clocks={"model_cpu_ms": (ROUNDS, head)}), toy_catalog)
    assert verdict.ratios["model_cpu_ms"].value > 1.07
    assert verdict.ratios["model_cpu_ms"].low < 1
    assert verdict.passed


@pytest.mark.parametrize(
    ("milliseconds", "rounds", "found"),
    [
        (0.02, 4, "by less than 0.02 ms, which says nothing"),
        (5.0, 2, "--rounds 2 cannot tell, 3 can"),
        (5.0, 3, ""),
        (0.2, 3, ""),
    ],
)
def test_a_loss_counts_where_rounds_and_clocks_can_tell_it(match_of, toy_catalog, milliseconds, rounds, found):
    base = dict.fromkeys(EVEN, [milliseconds] * rounds)
    verdict = judge(replace(match_of(), clocks={"model_cpu_ms": (base, take(base, 1.15))}), toy_catalog)
    assert verdict.passed is bool(found)
    assert verdict.to_confirm == (() if found else ("model_cpu_ms",))
    assert verdict.rulings[-1].found.endswith(found)


def test_what_other_processes_do_not_find_is_no_loss(match_of, toy_catalog):
    """Equal code once took 1.086 [1.079, 1.092] as long in one pair of processes, and 1.00 in every other."""
    verdict = judge(match_of(1.086), toy_catalog, again=match_of())
    assert verdict.to_confirm == ("model_cpu_ms",)
    assert verdict.passed
    (ruling,) = (one for one in verdict.rulings if one.rule.startswith("model_cpu_ms"))
    assert ruling.found.startswith("takes 1.086 [1.086, 1.086] as long; in other processes takes 1.000")


@pytest.mark.parametrize("again", [{"slower": 1.15}, {"slower": 1.15, "clocks": ("model_fps",)}])
def test_what_other_processes_find_too_or_cannot_tell_is_a_loss(match_of, toy_catalog, again):
    assert not judge(match_of(1.15), toy_catalog, again=match_of(**again)).passed


def test_only_what_is_lost_by_measure_is_to_be_confirmed(match_of, toy_catalog):
    heavy, light = (Peaks((50.0,) * 3, (head,) * 3) for head in (90.0, 50.0))
    verdict = judge(match_of(memory=heavy, lost=0.02), toy_catalog)
    assert verdict.to_confirm == ("added_memory_mib",)
    confirmed = judge(match_of(memory=heavy, lost=0.02), toy_catalog, again=match_of(memory=light))
    assert rules_broken_by(confirmed) == ["J&F", "J-mean"]
    missing = Gate(speed={"model_first_frame_ms": SpeedRule(max_loss=0.1)})
    assert judge(match_of(), toy_catalog, missing).to_confirm == ()


def test_a_point_of_j_is_found_though_half_of_it_is_in_the_main_figure(match_of, toy_catalog):
    verdict = judge(match_of(lost=0.0099), toy_catalog)
    assert rules_broken_by(verdict) == ["J-mean"]  # J&F loses .00495


def test_on_a_gpu_and_without_a_cpu_clock_it_is_the_wall_clock(match_of):
    assert set(default_gate(match_of()).speed) == {"model_cpu_ms"}
    assert set(default_gate(match_of(clocks=("model_fps",))).speed) == {"model_fps"}
    (limit,) = default_gate(match_of(device_type="cuda")).speed.items()
    assert limit == ("model_fps", SpeedRule(max_loss=0.03))
    assert set(default_gate(match_of(clocks=("throughput_fps",))).speed) == {"throughput_fps"}


@pytest.mark.parametrize(
    ("head", "passed"),
    [
        ((60.0, 61.0, 62.0), False),
        ((60.0, 61.0, 50.0), True),  # one process took no more than base
        ((54.0, 54.5, 54.2), True),  # clear, and within the limit
    ],
)
def test_memory_is_worse_where_every_process_of_head_took_more(match_of, toy_catalog, head, passed):
    verdict = judge(match_of(memory=Peaks((50.0, 51.0, 49.0), head)), toy_catalog)
    assert verdict.passed is passed
    assert verdict.rulings[-1].rule.startswith("added_memory_mib")


def test_what_the_allocator_alone_differs_by_is_no_loss(match_of, toy_catalog):
    assert judge(match_of(memory=Peaks((0.3, 0.4, 0.3), (1.4, 1.3, 1.5))), toy_catalog).passed


@pytest.mark.parametrize(("rule", "passed"), [("fail", False), ("skip", True)])
def test_a_rule_on_what_turns_do_not_measure_fails_unless_it_may_be_skipped(match_of, toy_catalog, rule, passed):
    gate = Gate(speed={"e2e_fps": SpeedRule(max_loss=0.1)}, when_not_comparable=rule)
    verdict = judge(match_of(), toy_catalog, gate)
    assert verdict.passed is passed
    assert "not measured in turns; measured: model_cpu_ms, model_fps" in verdict.rulings[0].found


def test_the_json_holds_every_turn(match_of, toy_catalog):
    found = json.loads(json.dumps(judge(match_of(1.5), toy_catalog).to_json()))
    assert found["passed"] is False
    assert found["rounds"]["model_cpu_ms"]["base"] == ROUNDS
    assert found["ratios"]["model_cpu_ms"]["value"] == pytest.approx(1.5)
    assert found["again"] is None
    found = json.loads(json.dumps(judge(match_of(1.5), toy_catalog, again=match_of(1.2)).to_json()))
    assert found["again"]["ratios"]["model_cpu_ms"]["value"] == pytest.approx(1.2)


def test_markdown_has_the_answer_first_and_says_only_what_it_says(match_of, toy_catalog):
    match = match_of(1.15, lost=0.02, memory=Peaks((50.0,), (50.0,)))
    strange = match.head.plugin.model_copy(update={"version": "1 | <b>x</b>\n# h"})
    match = replace(match, head=match.head.model_copy(update={"plugin": strange}), unsteady=("head: a",))
    page = write_markdown(list(describe_verdict(judge(match, toy_catalog))))
    lines = page.splitlines()
    assert lines[0] == "## harness ab: ours on toy-val: FAIL"
    assert any(
        line.startswith("| FAIL | model\\_cpu\\_ms worse by at most 7 %, if clear | takes 1.150") for line in lines
    )
    assert "- a: 3 frames differ" in lines
    assert "- not the same in each turn, so chance is in it: head: a" in lines
    assert "<b>" not in page
    assert not any(line.startswith("# ") for line in lines)
    widths = {line.count(" | ") for line in lines if line.startswith(("| gate", "| FAIL", "| pass"))}
    assert widths == {2}
