"""The card is cheap to read, says where weights come from, and builds what it promises."""

import dataclasses
import subprocess
import sys

import pytest
import safetensors.torch
import torch

from harness import BuildContext, DataError, OneShotVOS
from harness_selfsup import harness_methods
from harness_selfsup.config import CORRECT
from harness_selfsup.network import Encoders, build_encoder, state_of

CARD = next(card for card in harness_methods() if card.name == "selfsup")


def context(**changes) -> BuildContext:
    fields = {"task": "one-shot", "config": CORRECT, "device": "cpu", "precision": "fp32", "weights": None, "seed": 0}
    return BuildContext(**{**fields, **changes})


def test_reading_the_card_imports_no_torch():
    code = "import sys, harness_selfsup; harness_selfsup.harness_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_card_is_online_and_needs_no_masks():
    assert (CARD.causality, CARD.tasks) == ("online", ("one-shot",))
    assert CARD.supervision == "none (frames only)"
    assert CARD.presets["correct"] == CARD.config()


def test_published_weights_say_where_they_are_and_which_preset_they_are_for():
    published = [entry for entry in CARD.weights if entry.path is None]
    assert [entry.name for entry in published] == ["mast-youtube-vos"]
    assert all(entry.url.startswith("https://") and entry.licence and not entry.sha256 for entry in published)
    assert all(entry.preset in CARD.presets for entry in CARD.weights)


def test_kernels_are_listed():
    assert [kernel.name for kernel in CARD.kernels()] == ["attend", "coarse_offsets"]


def test_without_weights_the_encoder_is_untrained_and_follows_the_seed():
    image = torch.randint(256, (16, 24, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    first, again, other = (CARD.build(context(seed=seed)).encode(image, (16, 24))[0] for seed in (0, 0, 1))
    assert isinstance(CARD.build(context()), OneShotVOS)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_features_lie_on_the_grid_in_the_asked_precision(precision, dtype):
    features, kept = CARD.build(context(precision=precision)).encode(
        torch.zeros(17, 24, 3, dtype=torch.uint8), (17, 24)
    )
    assert features.shape == (5, 6, 64)
    assert features.dtype == dtype
    assert kept is features


def test_a_memory_encoder_in_the_file_encodes_references_unless_told_otherwise(tmp_path):
    path = tmp_path / "both.safetensors"
    safetensors.torch.save_file(state_of(Encoders(build_encoder(1), build_encoder(2))), path)
    image = torch.full((8, 8, 3), 90, dtype=torch.uint8)
    query, kept = CARD.build(context(weights=path)).encode(image, (8, 8))
    assert not torch.equal(query, kept)
    shared = dataclasses.replace(CORRECT, shared_encoder=True)
    query, kept = CARD.build(context(weights=path, config=shared)).encode(image, (8, 8))
    assert kept is query


def test_foreign_weights_are_refused_with_the_files_name(tmp_path):
    torch.save({"backbone.0.weight": torch.zeros(3)}, tmp_path / "tvos.pth")
    with pytest.raises(DataError, match=r"tvos\.pth lack .* tensors"):
        CARD.build(context(weights=tmp_path / "tvos.pth"))
