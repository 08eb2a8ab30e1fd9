"""The cards are cheap to read and say that nothing is trained; presets are what they claim."""

import subprocess
import sys

import pytest

from harness_dtnet import harness_methods
from harness_dtnet.config import PAPER, PRESETS, Config, DiscoveryConfig

DTNET, DNET = harness_methods()


def test_reading_the_cards_imports_no_torch():
    code = "import sys, harness_dtnet; harness_dtnet.harness_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_both_are_online_and_no_weights_are_shipped_as_if_trained():
    assert (DTNET.tasks, DNET.tasks) == (("instance-zvos", "vis"), ("object-zvos", "vis"))
    assert {card.causality for card in (DTNET, DNET)} == {"online"}
    assert not any(card.weights or card.default_weights for card in (DTNET, DNET))
    assert all("no weights are shipped" in card.supervision for card in (DTNET, DNET))


def test_the_default_is_the_papers_preset():
    assert PRESETS["paper"] == Config() == PAPER
    assert DNET.presets["paper"] == DiscoveryConfig()


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
