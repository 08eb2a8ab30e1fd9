"""The cards are cheap to read and say that nothing is trained; presets are what they claim."""

import subprocess
import sys

import pytest

from harness_dtnet import harness_methods
from harness_dtnet.config import PAPER, PRESETS, Config

DTNET, DNET = harness_methods()


def test_reading_the_cards_imports_no_torch():
    code = "import sys, harness_dtnet; harness_dtnet.harness_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_both_are_online_and_run_with_the_weights_that_are_shipped():
    assert (DTNET.tasks, DNET.tasks) == (("instance-zvos", "vis"), ("object-zvos", "vis"))
    assert {card.causality for card in (DTNET, DNET)} == {"online"}
    for card in (DTNET, DNET):
        assert {entry.preset for entry in card.weights} == {"small"}
        assert card.default_weights == card.weights[0].name
        assert sum(entry.path.stat().st_size for entry in card.weights) < 14e6
        assert card.config() == card.presets["small"]  # what is run where nothing is named
        assert "ImageNet" in card.supervision
        assert "masks" in card.supervision


def test_the_presets_of_the_paper_have_its_constants():
    assert PRESETS["paper"] == PAPER
    for preset in (PAPER, DNET.presets["paper"]):
        assert (preset.untrained_architecture, preset.short_side, preset.centre_window) == ("paper", 480, 7)
    assert (PAPER.target_side, PAPER.first_iterations, PAPER.verified_overlap) == (473, (5, 10, 10, 10, 10), 0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"centre_window": 4},
        {"most_tracks": 21},
        {"memory": 5},
        {"gamma": 1.0},
        {"first_iterations": ()},
        {"foreground_threshold": 1.0},
        {"short_side": 8},
        {"target_side": 16},
        {"most_proposals": 0},
        {"projection": 0},
        {"categories": -1},
    ],
)
def test_constants_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError):
        Config(**wrong)
