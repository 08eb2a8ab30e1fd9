"""The card is cheap to read, claims no truth, and its presets are what they say."""

import subprocess
import sys

import pytest

from harness_imas import harness_methods
from harness_imas.config import Config
from harness_imas.training.config import PRESETS, TrainingConfig

(CARD,) = harness_methods()


def test_reading_the_card_imports_no_torch():
    code = "import sys, harness_imas; harness_imas.harness_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_training_sees_frames_alone_and_nothing_is_chosen_by_truth():
    assert CARD.training.needs == "frames"
    assert CARD.training.choose == "last"
    assert CARD.training.providers == {"flow": "flow"}
    assert [entry.preset for entry in CARD.weights] == ["small"]
    assert CARD.default_weights == CARD.weights[0].name
    assert CARD.config() == CARD.presets["small"]  # what is run where nothing is named
    assert "frames only" in CARD.weights[0].trained_on


def test_there_are_two_stages_unless_one_has_no_iterations():
    assert [stage.name for stage in CARD.training.stages(TrainingConfig())] == ["motion", "appearance"]
    assert [stage.name for stage in CARD.training.stages(PRESETS["table4-none"])] == ["motion"]
    assert [stage.name for stage in CARD.training.stages(TrainingConfig(iterations=0))] == ["appearance"]
    assert [stage.name for stage in CARD.training.stages(PRESETS["rcf"])] == ["motion", "online", "appearance"]


def test_tables_three_and_four_differ_in_what_they_name():
    assert {name for name in PRESETS if name.startswith("table4-")} == {
        f"table4-{pathway}" for pathway in ("none", "robust", "scaling", "affine", "residual")
    }
    none, residual = PRESETS["table3-none"], PRESETS["table3-residual"]
    assert (none.pathway, none.merging, residual.pathway) == ("none", False, "residual")
    assert not PRESETS["table3-low-level"].semantic
    assert PRESETS["table3-semantic"] == PRESETS["davis16"]


@pytest.mark.parametrize(
    "wrong",
    [{"short_side": 8}, {"export": 0}, {"threshold": 1.0}, {"crf_divide": 0.0}, {"object_channel": -1}],
)
def test_impossible_constants_of_test_time_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        Config(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop": 20},
        {"crop": 400},
        {"channels": 1},
        {"batch": 0},
        {"iterations": -1},
        {"iterations": 0, "appearance_iterations": 0},
        {"dilation": 4},
        {"motion_kernel": 2},
        {"clamp": 0.0},
        {"momentum": 1.0},
        {"schedule": 100},
        {"frozen": True, "photometric": False, "online_iterations": 5},
        {"initial": "imagenet"},
    ],
)
def test_impossible_constants_of_training_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected|shorter side|takes its file|nothing to train|keeps no frames"):
        TrainingConfig(**wrong)


def test_the_learning_rate_falls_polynomially_to_its_end():
    config = TrainingConfig()

    assert config.learning_rate(0, 100, 1e-4) == pytest.approx(1e-4)
    assert config.learning_rate(50, 100, 1e-4) == pytest.approx(1e-6 + 9.9e-5 * 0.5**0.9)
    assert config.learning_rate(100, 100, 1e-4) == pytest.approx(1e-6)
