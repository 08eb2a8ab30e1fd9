"""The cards are cheap to read, claim no truth, and their presets are what they say."""

import json
import subprocess
import sys

import pytest
from safetensors import safe_open

from harness.api.errors import UsageError
from harness.catalog import Catalog
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness_mug import harness_methods
from harness_mug.config import OBJECT_PRESETS, Config, InstanceConfig, ObjectConfig
from harness_mug.training.config import PRESETS, TrainingConfig

CARDS = {card.name: card for card in harness_methods()}
TRAINING = CARDS["mug-zvos"].training


def test_reading_the_cards_imports_no_torch():
    code = "import sys, harness_mug; harness_mug.harness_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_each_task_has_a_card_of_its_causality():
    assert {name: (card.tasks, card.causality) for name, card in CARDS.items()} == {
        "mug": (("one-shot",), "online"),
        "mug-zvos": (("object-zvos",), "offline"),
        "mug-instances": (("instance-zvos",), "offline"),
    }


@pytest.mark.parametrize(
    ("card", "task", "sister"),
    [("mug", "object-zvos", "mug-zvos offers object-zvos"), ("mug-zvos", "one-shot", "mug offers one-shot")],
)
def test_a_task_that_another_card_offers_is_named_in_the_error(card, task, sister):
    with pytest.raises(UsageError, match=sister):
        resolve(Request(plugin=card, bench="davis16-val", task=task), Catalog.load())


def test_training_sees_frames_alone_and_nothing_is_chosen_by_truth():
    assert (TRAINING.needs, TRAINING.choose, TRAINING.validation != "davis16-val") == ("frames", "last", True)
    assert TRAINING.providers == {"saliency": "saliency"}
    for card in CARDS.values():
        assert card.default_weights == card.weights[0].name
        assert card.config() == card.presets[card.weights[0].preset]  # what is run where nothing is named
        assert all("frames only" in weights.trained_on for weights in card.weights)


def test_both_weights_are_small_and_each_says_which_labels_are_behind_it():
    weights = CARDS["mug-zvos"].weights
    assert sum(each.path.stat().st_size for each in weights) < 14e6
    notes = {each.preset: each.note for each in weights}
    assert "ImageNet labels" in notes["small"]
    assert "from nothing: no label" in notes["small-scratch"]
    for each in weights:
        assert each.preset in OBJECT_PRESETS
        assert each.preset in PRESETS
        with safe_open(each.path, "np") as file:
            assert json.loads(file.metadata()["config"])["initial"] == PRESETS[each.preset].initial


def test_each_round_is_a_stage():
    assert [stage.name for stage in TRAINING.stages(TrainingConfig())] == ["round-1", "round-2"]
    assert [stage.name for stage in TRAINING.stages(PRESETS["small-one-round"])] == ["round-1"]
    assert len(TRAINING.stages(PRESETS["table1-4-rounds"])) == 4


@pytest.mark.parametrize("name", ["frame", "short", "long", "video"])
def test_each_granularity_can_be_left_out(name):
    for preset, whole in ((f"small-no-{name}", "small"), (f"table1-no-{name}", "paper")):
        others = {"frame", "short", "long", "video"} - {name}
        assert not getattr(PRESETS[preset], name)
        assert all(getattr(PRESETS[preset], other) for other in others)
        assert PRESETS[preset].size == PRESETS[whole].size


def test_the_paper_s_numbers_are_the_default():
    config = TrainingConfig()
    assert (config.short_weight, config.long_weight, config.video_weight, config.alpha) == (0.1, 0.02, 0.5, 0.05)
    assert (config.videos, config.segments, config.size, config.patch, config.rounds) == (16, 8, (256, 256), 64, 2)
    assert config.grid == (64, 64)


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (Config, {"top": -1}),
        (Config, {"short_side": 8}),
        (ObjectConfig, {"references": 0}),
        (ObjectConfig, {"threshold": 1.0}),
        (ObjectConfig, {"stretch": (256, 8)}),
        (InstanceConfig, {"least_link": 0.0}),
        (InstanceConfig, {"most_tracks": 21}),
        (InstanceConfig, {"candidates": 0}),
        (TrainingConfig, {"size": (250, 256)}),
        (TrainingConfig, {"patch": 63}),
        (TrainingConfig, {"patch": 512}),
        (TrainingConfig, {"rounds": 0}),
        (TrainingConfig, {"clip": 2}),
        (TrainingConfig, {"segments": 1}),
        (TrainingConfig, {"alpha": 1.5}),
        (TrainingConfig, {"temperature": 0.0}),
        (TrainingConfig, {"initial": "imagenet"}),
        (TrainingConfig, {"architecture": "small", "frozen_stages": 6}),
        (TrainingConfig, {"architecture": "small", "frozen_stages": 3, "keep_maps": True}),
        (TrainingConfig, {"label_threshold": 1.0}),
    ],
)
def test_impossible_constants_are_refused(config, wrong):
    with pytest.raises(ValueError, match=r"expected|takes its file"):
        config(**wrong)
