"""What a training takes is said before it begins; on a CPU a card may have a preset of its own."""

from dataclasses import dataclass

import pytest

from harness import Training
from harness.catalog import Catalog
from harness.training.memory import MemoryNeeds, choose_preset, describe_memory, estimate_memory
from harness.training.plan import TrainingRequest, resolve_training

TRAINABLE = {
    "tvos": "small",
    "selfsup": "small-pairwise",
    "imas": "small-scratch",
    "dtnet": "small-scratch",
    "mug-zvos": "small-scratch",
}


@dataclass(frozen=True)
class Config:
    batch: int = 16


PRESETS = {"whole": Config(), "small": Config(batch=1)}


def plan_of(**changes):
    return resolve_training(TrainingRequest(plugin="tvos", data=("mini-small",), **changes), Catalog.load())


def test_a_cpu_has_the_card_s_preset_where_none_is_named():
    training = Training(len, Config, PRESETS, cpu_preset="small")
    assert choose_preset(training, "", "cpu") == "small"
    assert choose_preset(training, "", "cuda:0") == ""
    assert choose_preset(training, "whole", "cpu") == "whole"
    assert choose_preset(Training(len, Config, PRESETS), "", "cpu") == ""
    with pytest.raises(ValueError, match="cpu_preset 'smal'; its presets: whole, small"):
        Training(len, Config, PRESETS, cpu_preset="smal")


@pytest.mark.parametrize(("name", "preset"), TRAINABLE.items())
def test_what_a_cpu_is_given_takes_less_than_two_gib_and_the_paper_s_more_than_a_machine_has(name, preset):
    training = Catalog.load().methods.get(name).training
    assert training.cpu_preset == preset
    assert training.memory_mib(training.presets[preset]) < 2048
    assert training.memory_mib(training.config()) > 9 * 1024


def test_more_than_is_free_is_said_with_a_smaller_preset():
    plan = plan_of(preset="official")
    needs = estimate_memory(plan)
    assert needs.total == needs.step + needs.frames + needs.process
    first, second = describe_memory(plan, needs, 9 * 1024)
    assert "for a step" in first
    assert "9.0 GiB are free" in first
    assert second.startswith(
        "note: the training takes more than is free and may be killed; --preset small takes 0.7 GiB"
    )
    small = plan_of(preset="small")
    assert len(describe_memory(small, estimate_memory(small), 9 * 1024)) == 1


def test_a_card_that_does_not_say_is_said_not_to():
    (line,) = describe_memory(plan_of(preset="small"), MemoryNeeds(None, 1.0), None)
    assert line.startswith("memory: the card of tvos does not say what a step takes; how much is free is not known")
