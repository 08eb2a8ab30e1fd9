"""``python -m benchmarks.decisions``: every kernel has a rule, and one that decides otherwise is counted."""

import math

import pytest
import torch
from click.testing import CliRunner

from benchmarks.decisions.__main__ import main
from benchmarks.decisions.judging import Count, judge, precisions_of, propagate_exactly, scale_example
from benchmarks.decisions.rules import RULES, decide, list_kernels
from harness.api.timing import Example, kernel
from harness_tvos.kernels import propagate


def test_every_kernel_has_a_rule_and_every_rule_a_kernel():
    kernels = [kernel for _, kernel in list_kernels()]
    assert {kernel.name for kernel in kernels} == set(RULES)
    for each in kernels:
        examples = each.example("cpu")
        chosen = [examples[place] for place in RULES[each.name].sizes]
        sizes = [sum(part.numel() for part in example.args if isinstance(part, torch.Tensor)) for example in examples]
        assert max(sizes) in [sizes[examples.index(example)] for example in chosen] or each.name == "refine"


def test_the_lead_is_what_the_next_best_is_behind_the_best():
    chosen, lead = decide(torch.tensor([[4.0, 1.0, 3.0], [2.0, 2.0, 0.0]]).double())
    assert chosen.tolist() == [0, 0]
    assert lead.tolist() == [1 / 4, 0]


def plain_attend(query, keys, values):
    return query @ keys.t() @ values


@kernel(example=lambda device: [], reference=plain_attend, name="spread")
def careless(query, keys, values):
    """Rounds what it is asked to bf16."""
    return plain_attend(query.bfloat16().to(query.dtype), keys, values)


def test_a_kernel_that_decides_otherwise_is_counted_with_the_lead_that_was_lost():
    asked = torch.tensor([[1.0, 0.0], [1.0, 1.001]])  # 1.001 is 1 in bf16: the first of equals is taken
    verdict = judge(careless, Example("two", (asked, torch.eye(2), torch.eye(2)), rounded=()), "fp32")
    assert isinstance(verdict.fast, Count)
    assert (verdict.fast.changed, verdict.fast.of) == (1, 2)
    assert math.isclose(verdict.fast.lead, 0.001 / 1.001, rel_tol=1e-4)
    assert verdict.plain == Count(0, 2, 0.0)


def test_propagation_in_double_by_blocks_is_the_plain_form():
    example = propagate.example("cpu")[0]
    args = [part.double() if isinstance(part, torch.Tensor) else part for part in example.args]
    plain = propagate.reference(*args, **example.kwargs)
    found = propagate_exactly(*args, **example.kwargs)
    assert (found / found.amax(0) - plain / plain.amax(0)).abs().max() < 1e-10


def test_inputs_that_follow_no_precision_are_given_in_one():
    assert precisions_of(Example("a", (), rounded=())) == ["fp32"]
    assert precisions_of(Example("a", (), rounded=(0,))) == ["fp32", "bf16"]


def test_one_argument_is_multiplied():
    example = scale_example(careless, Example("a", (torch.ones(1, 1), torch.ones(1, 1))), 30.0)
    assert [part.item() for part in example.args] == [30.0, 1.0]


def test_the_table_has_a_row_for_each_precision():
    done = CliRunner().invoke(main, ["gate", "coarse_offsets", "--small"])
    assert done.exit_code == 0, done.output
    rows = [line for line in done.output.splitlines() if line.startswith("| `")]
    assert [row.split("|")[1].strip() for row in rows] == ["`gate`", "`gate`", "`coarse_offsets`"]


@pytest.mark.slow
def test_in_single_precision_no_kernel_changes_a_decision_on_its_smallest_example():
    for _, each in list_kernels():
        for scale in (0.1, 1.0, 3.0):
            verdict = judge(each, scale_example(each, each.example("cpu")[0], scale), "fp32")
            assert isinstance(verdict.fast, Count), f"{each.name}: {verdict.fast}"
            assert verdict.fast.changed == 0, f"{each.name} x {scale:g}"


def test_a_name_of_no_kernel_is_refused():
    done = CliRunner().invoke(main, ["spred"])
    assert done.exit_code == 2
    assert "no kernel spred; known: propagate" in done.output
