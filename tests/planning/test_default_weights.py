"""Which weights are taken without ``--weights``."""

import dataclasses

import pytest

from harness.api.contracts import Method, Weights
from harness.planning.provenance import NO_WEIGHTS, choose_weights


@pytest.fixture
def card(tmp_path):
    """Two checkpoints, of which the second is for vis."""
    for name in ("plain", "named"):
        (tmp_path / f"{name}.safetensors").write_bytes(name.encode())
    weights = tuple(Weights(name, "CC0", tmp_path / f"{name}.safetensors") for name in ("plain", "named"))
    weights = (weights[0], dataclasses.replace(weights[1], default_for=("vis",)))
    return Method("m", ("instance-zvos", "vis"), build=lambda context: None, weights=weights, default_weights="plain")


def test_each_task_has_its_own(card):
    assert choose_weights(card, "instance-zvos", None)[0].name == "plain"
    assert choose_weights(card, "vis", None)[0].name == "named"


def test_what_is_asked_for_comes_first(card):
    assert choose_weights(card, "vis", "plain")[0].name == "plain"
    assert choose_weights(card, "vis", "none")[0].name == NO_WEIGHTS


def test_a_task_without_a_default_has_none(card):
    card = dataclasses.replace(card, default_weights="")
    assert choose_weights(card, "instance-zvos", None)[0].name == NO_WEIGHTS
    assert choose_weights(card, "vis", None)[0].name == "named"
