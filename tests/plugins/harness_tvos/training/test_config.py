"""The constants of training: schedules of the released code and of the shipped weights, and what is refused."""

import dataclasses
import math
import subprocess
import sys

import pytest

from harness_tvos.training.config import OFFICIAL, PRESETS, SMALL, TrainingConfig


def test_the_official_constants():
    assert (OFFICIAL.batch, OFFICIAL.references, OFFICIAL.crop, OFFICIAL.epochs) == (16, 9, 256, 240)
    assert (OFFICIAL.optimizer, OFFICIAL.lr, OFFICIAL.final_lr, OFFICIAL.weight_decay) == ("sgd", 0.02, 4e-5, 3e-4)
    assert (OFFICIAL.flip, OFFICIAL.flip_vertically, OFFICIAL.colour_jitter) == (0.5, 0.5, 0.0)
    assert (PRESETS["paper"].flip, PRESETS["paper"].flip_vertically) == (0.5, 0.0)
    assert (OFFICIAL.labels, OFFICIAL.reshuffle) == ("palette", False)
    assert (PRESETS["official-majority"].labels, PRESETS["official-majority"].reshuffle) == ("majority", True)
    assert {PRESETS[name].labels for name in ("paper", "table2-1", "official-youtube-vos")} == {"palette"}
    assert {PRESETS[name].labels for name in ("small", "lite0")} == {"majority"}  # what the shipped weights learnt from


def test_the_official_learning_rate_is_a_cosine_in_steps_of_an_epoch():
    iterations, epoch = 240 * 263, 263
    rates = [OFFICIAL.learning_rate(i, iterations, epoch) for i in (0, 262, 263, 120 * 263, 240 * 263 - 1)]
    assert rates[0] == rates[1] == 0.02
    assert rates[2] == pytest.approx(4e-5 + (0.02 - 4e-5) * (1 + math.cos(math.pi / 240)) / 2)
    assert rates[3] == pytest.approx((0.02 + 4e-5) / 2)
    assert rates[4] == pytest.approx(4e-5 + (0.02 - 4e-5) * (1 + math.cos(math.pi * 239 / 240)) / 2)


def test_counted_in_iterations_the_learning_rate_warms_up_and_falls_each_iteration():
    config = TrainingConfig(iterations=110, warm_up=10, lr=1.0, final_lr=0.1)
    rates = [config.learning_rate(i, 110, 50) for i in (0, 9, 10, 60, 110)]
    assert rates == pytest.approx([1 / 10, 1, 1, (1 + 0.1) / 2, 0.1])


def test_crops_grow_for_the_last_iterations():
    config = TrainingConfig(crop=64, late_crop=96, late_from=0.5)
    assert [config.crop_at(i, 100) for i in (0, 49, 50)] == [64, 64, 96]
    assert OFFICIAL.crop_at(99, 100) == 256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": 100}, "crops of side 100; expected multiples of 8"),
        ({"late_crop": 12}, "crops of side 12"),
        ({"batch": 0}, "batch=0"),
        ({"epochs": 0}, "epochs=0"),
        ({"correspondence": 0.5}, "set clips=mixed"),
        ({"negatives": 100.0, "targets": "last"}, "targets=each"),
        ({"negatives": 100.0, "targets": "each", "batch": 1}, "set batch to 2"),
        ({"near_gap": 20}, "near_gap=20, far_gap=20"),
        ({"strategy": "sparse", "references": 3}, "references=9"),
        ({"closed_residuals": True}, "architecture=r18"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**changes)


def test_reading_the_config_imports_no_torch():
    code = "import sys, harness_tvos.training.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_preset_is_a_whole_config_of_its_own():
    assert all(isinstance(preset, TrainingConfig) for preset in PRESETS.values())
    assert PRESETS["official"] == TrainingConfig()
    assert PRESETS["small"] is SMALL
    assert len({dataclasses.astuple(preset) for preset in PRESETS.values()}) == len(PRESETS)
