"""The cards of the adapted forms are honest about what they see, and build over the real propagation."""

import pytest
import torch

from harness import BuildContext, Method, OneShotVOS, Prompts, Video
from harness.api.learning import LearnsAtTestTime
from harness_selfsup import harness_methods
from harness_selfsup.adaptation.config import ADAPTED_PRESETS, CAUSAL_PRESETS, AdaptedConfig, CausalConfig
from harness_selfsup.config import PRESETS

CARDS = {card.name: card for card in harness_methods()}


def build_card(card: Method):
    fields = {"task": "one-shot", "config": card.presets["smoke"], "device": "cpu", "precision": "fp32"}
    return card.build(BuildContext(**fields, weights=None, seed=0))


def test_what_a_form_has_seen_is_on_its_card():
    assert CARDS["selfsup-adapted"].causality == "offline"
    assert CARDS["selfsup-causal"].causality == "online"
    assert CARDS["selfsup-adapted"].weights == CARDS["selfsup"].weights


def test_only_the_form_with_a_whole_video_to_learn_from_shows_itself_learning():
    adapted, causal = (build_card(CARDS[name]) for name in ("selfsup-adapted", "selfsup-causal"))
    assert isinstance(adapted, OneShotVOS)
    assert isinstance(causal, OneShotVOS)
    assert isinstance(adapted, LearnsAtTestTime)
    assert not isinstance(causal, LearnsAtTestTime)


@pytest.mark.parametrize("name", ["selfsup-adapted", "selfsup-causal"])
def test_forms_run_over_the_real_propagation(name):
    mask = torch.zeros(32, 40, dtype=torch.uint8)
    mask[8:20, 8:20] = 1
    frames = torch.randint(256, (3, 32, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    video = Video(name="v", length=3, height=32, width=40, read=frames.__getitem__)
    masks = list(build_card(CARDS[name]).propagate(video, Prompts({0: mask})))
    assert torch.equal(masks[0], mask)
    assert [tuple(found.shape) for found in masks] == [(32, 40)] * 3


def test_the_default_is_the_papers():
    config = AdaptedConfig()
    assert config == ADAPTED_PRESETS["paper"] == ADAPTED_PRESETS["correct"]
    assert (config.unet_size, config.iterations, config.learning_rate, config.decay_every) == (480, 200, 2e-4, 50)
    assert ADAPTED_PRESETS["step-0.1"].decay == 0.1


@pytest.mark.parametrize("presets", [ADAPTED_PRESETS, CAUSAL_PRESETS])
def test_presets_of_propagation_keep_their_names(presets):
    assert presets["mast"].own_offsets is False
    assert set(PRESETS) < set(presets)


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (AdaptedConfig, {"unet_size": 100}, "multiple of 32"),
        (AdaptedConfig, {"unet_size": 0}, "multiple of 32"),
        (AdaptedConfig, {"unet_size": 32, "unet_batch": 1}, "batch norm"),
        (AdaptedConfig, {"unet_width": 6}, "multiple of 4"),
        (AdaptedConfig, {"iterations": 0}, "iterations=0"),
        (AdaptedConfig, {"most_lessons": 0}, "most_lessons=0"),
        (AdaptedConfig, {"learning_rate": 0.0}, "learning_rate=0.0"),
        (AdaptedConfig, {"flip": 1.5}, "flip=1.5"),
        (AdaptedConfig, {"jitter_strengths": (0.4, 0.4)}, "four numbers"),
        (AdaptedConfig, {"dice_smoothing": -1.0}, "dice_smoothing=-1.0"),
        (AdaptedConfig, {"temperature": 0.0}, "temperature"),
        (CausalConfig, {"iterations_per_frame": -1}, "iterations_per_frame=-1"),
    ],
)
def test_impossible_constants_are_refused(config, changes, message):
    with pytest.raises(ValueError, match=message):
        config(**changes)
