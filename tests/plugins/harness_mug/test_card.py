"""The cards are cheap to read, claim no truth, and their presets are what they say."""

import itertools
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from safetensors import safe_open

from harness.api.errors import UsageError
from harness.catalog import Catalog
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness_mug import harness_methods
from harness_mug.config import INSTANCE_PRESETS, OBJECT_PRESETS, Config, InstanceConfig, ObjectConfig
from harness_mug.config import PRESETS as ONE_SHOT_PRESETS
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


@pytest.mark.parametrize(("card", "other"), list(itertools.permutations(CARDS, 2)))
def test_a_task_that_another_card_offers_is_named_in_the_error(card, other):
    (task,) = CARDS[other].tasks
    bench = "davis17-unsup-val" if task == "instance-zvos" else "davis16-val"
    with pytest.raises(UsageError, match=rf"\b{other} offers {task}"):
        resolve(Request(plugin=card, bench=bench, task=task), Catalog.load())


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


def test_every_card_says_whose_labels_are_behind_its_trunk():
    for card in harness_methods():
        assert "mug-davis-small, and the untrained one, ImageNet's labels" in card.supervision
        assert "mug-davis-small-scratch none" in card.supervision


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


FRAMES = {"small": (None, "small"), "paper": ((256, 256), "paper"), "code": ((640, 640), "code")}
"""What frames are brought to, and the network of a preset without weights. The released test shrinks to 640 x 640."""


def looks(config):
    return config.stretch, config.untrained_architecture


def test_one_shot_in_the_paper_s_form_sees_the_last_frame_alone_and_hands_on_objects():
    """Eq. 17 of frames of 256 x 256."""
    config = ONE_SHOT_PRESETS["paper"]
    assert looks(config) == FRAMES["paper"]
    assert (config.first, config.top, config.labels, config.stretch_scores) == (False, 0, "hard", False)
    assert config.features == "x"


def test_one_shot_before_training_is_the_trunk_s_own_map():
    """Claim 5 asks for the same backbone: a projection that is drawn says nothing of it."""
    config = ONE_SHOT_PRESETS["untrained"]
    assert (config.imagenet, config.features) == (True, "trunk")
    assert replace(config, imagenet=False, features="x") == ONE_SHOT_PRESETS["small"]


@pytest.mark.parametrize(("preset", "frames"), [("uvc", "code"), ("small", "small")])
def test_one_shot_in_the_released_form_sees_the_first_frame_too_and_hands_on_shares(preset, frames):
    """The five largest affinities, mean of both frames, each object from 0 to 1."""
    config = ONE_SHOT_PRESETS[preset]
    assert looks(config) == FRAMES[frames]
    assert (config.first, config.top, config.labels, config.stretch_scores) == (True, 5, "soft", True)


@pytest.mark.parametrize("presets", [OBJECT_PRESETS, INSTANCE_PRESETS])
def test_objects_in_the_paper_s_form_are_decided_by_the_crf(presets):
    config = presets["paper"]
    assert looks(config) == FRAMES["paper"]
    assert (config.source, config.references, config.crf, config.threshold) == ("videos", 8, True, 0.5)
    assert (config.pick, config.leave_out_own, config.enlarge) == ("middle", True, "bilinear")


def test_objects_in_the_released_form_have_no_crf_and_the_released_references():
    config = OBJECT_PRESETS["code"]
    assert looks(config) == FRAMES["code"]
    assert (config.source, config.references, config.crf, config.threshold) == ("videos", 8, False, 0.5)
    assert (config.pick, config.leave_out_own, config.enlarge) == ("released", False, "nearest")


def test_no_two_presets_are_the_same():
    for presets in (OBJECT_PRESETS, INSTANCE_PRESETS, ONE_SHOT_PRESETS):
        assert len(set(presets.values())) == len(presets)
    assert OBJECT_PRESETS["paper-no-crf"] == replace(OBJECT_PRESETS["paper"], crf=False)
    assert OBJECT_PRESETS["small-no-crf"] == replace(OBJECT_PRESETS["small"], crf=False)
    assert (OBJECT_PRESETS["maps"].source, OBJECT_PRESETS["maps"].saliency) == ("maps", "motion")
    assert (OBJECT_PRESETS["maps-boundary"].source, OBJECT_PRESETS["maps-boundary"].saliency) == ("maps", "boundary")
    assert OBJECT_PRESETS["maps"].crf
    assert OBJECT_PRESETS["maps-boundary"].crf


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
