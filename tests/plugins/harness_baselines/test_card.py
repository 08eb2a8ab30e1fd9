"""Five cards that say what they look at, name their providers, and have presets that build."""

import pytest

from harness_baselines import harness_methods
from harness_baselines.config import CentreConfig, ComponentConfig

CARDS = {card.name: card for card in harness_methods()}


def test_every_task_without_a_prompt_has_a_baseline():
    assert {task for card in CARDS.values() for task in card.tasks} == {"object-zvos", "instance-zvos", "vis"}


def test_who_looks_at_the_next_frame_says_so():
    looks_ahead = {name: (card.causality, card.lookahead) for name, card in CARDS.items() if card.lookahead}

    assert looks_ahead == {"flow-threshold": ("window", 1), "moving-components": ("window", 1)}


def test_what_was_chosen_on_masks_is_supervision():
    assert [name for name, card in CARDS.items() if card.supervision == "none"] == ["boundary-saliency"]
    assert "30 DAVIS 2016 train" in CARDS["centre-prior"].supervision


def test_every_preset_builds_with_the_providers_it_names(context):
    for card in CARDS.values():
        for config in (card.config(), *card.presets.values()):
            providers = {constant: getattr(config, constant) for constant in card.providers}
            assert card.build(context(config, **providers)) is not None


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (CentreConfig, {"half_height": 0.0}),
        (CentreConfig, {"half_width": -0.1}),
        (ComponentConfig, {"least_overlap": 0.0}),
        (ComponentConfig, {"least_overlap": 1.5}),
        (ComponentConfig, {"patience": -1}),
    ],
)
def test_impossible_constants_are_refused(config, wrong):
    with pytest.raises(ValueError, match="expected"):
        config(**wrong)
