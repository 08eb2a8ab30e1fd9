"""A backbone that does not learn: its maps are kept once, and heads learn from them as from frames."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness import DataError, TrainingContext
from harness_imas.network import build_segmenter
from harness_imas.training.clips import Order
from harness_imas.training.config import FROZEN, TrainingConfig
from harness_imas.training.frozen import WholePairs, frame_size, map_paths, open_maps, prepare_maps
from harness_imas.training.learner import SynergyLearner


@pytest.fixture
def kept(toy, tmp_path):
    """Makes the maps of the toy world in ``tmp_path``: the context, the flow, the network and the maps."""

    def make(**changes):
        config = replace(toy.CONFIG, frozen=True, flip=0.5, **changes)
        sample, flow, _ = toy.world()
        context = TrainingContext(samples=[sample], config=config, device="cpu", precision="fp32", weights=None, seed=0)
        segmenter = build_segmenter(config.architecture, config.channels, merging=config.merging, seed=0)
        prepare_maps(context, segmenter, tmp_path, lambda done, total: None)
        return context, flow, segmenter.eval(), open_maps(context, tmp_path)

    return make


def test_the_maps_are_those_of_each_whole_frame(kept):
    context, _, segmenter, maps = kept()
    rows, columns = frame_size(context.config)
    low, high = maps.pair(0, 2)
    assert low.shape == (2, 24, rows // 4, -(-columns // 4))
    assert high.shape == (2, 112, rows // 16, -(-columns // 16))
    frame = torch.from_numpy(context.samples[0].read_frame(3)).permute(2, 0, 1)[None].float()
    wide = torch.nn.functional.interpolate(frame, size=(rows, columns), mode="bilinear", align_corners=False)
    with torch.no_grad():
        wanted = segmenter.backbone(segmenter.normalise(wide))
    torch.testing.assert_close(low[1].float(), wanted.low[0], rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(high[1].float(), wanted.high[0], rtol=2e-3, atol=2e-3)


def test_masks_made_without_the_low_map_keep_none_of_it(kept):
    *_, maps = kept(merging=False)
    low, high = maps.pair(0, 0)
    assert low.numel() == 0
    assert high.numel() > 0


def test_what_is_there_is_not_made_again_and_what_is_missing_is(kept, tmp_path):
    context, _, segmenter, _ = kept()
    low, high = map_paths(tmp_path, context.samples[0])
    before = high.stat().st_mtime_ns
    prepare_maps(context, segmenter, tmp_path, lambda done, total: None)
    assert high.stat().st_mtime_ns == before
    low.unlink()
    prepare_maps(context, segmenter, tmp_path, lambda done, total: None)
    assert low.exists()


def test_a_file_of_another_length_is_named(kept, tmp_path):
    context, *_ = kept()
    _, high = map_paths(tmp_path, context.samples[0])
    np.save(high, np.zeros((1, 112, 4, 7), np.float16))
    with pytest.raises(DataError, match="expected float16 of \\(4, D, i, j\\)"):
        open_maps(context, tmp_path)
    high.write_bytes(b"no array")
    with pytest.raises(DataError, match="cannot be read"):
        open_maps(context, tmp_path)


def test_pairs_come_in_the_order_of_a_training_that_sees_frames_and_are_mirrored_whole(kept):
    context, flow, _, maps = kept()
    batch_size = context.config.batch
    source = WholePairs(context.samples, flow, maps, context.config, seed=0)
    order = Order(context.samples, batch_size, 0)
    mirrored = set()
    for iteration in range(6):
        batch = source.pairs(iteration, range(batch_size))
        for place in range(batch_size):
            low, _ = maps.pair(*order.pair(iteration, place))
            is_mirrored = torch.equal(batch.low[place], low.flip(-1))
            assert is_mirrored or torch.equal(batch.low[place], low)
            assert (batch.flows[place, 0, 0].sum() < 0) == is_mirrored  # the square moves right
            mirrored.add(is_mirrored)
    assert mirrored == {True, False}


def test_heads_learn_and_the_backbone_stays(kept, toy):
    context, flow, segmenter, maps = kept()
    learner = SynergyLearner(context, flow, begin_from=None, maps=maps)
    before = {name: value.clone() for name, value in learner.segmenter.backbone.state_dict().items()}
    losses = [each["loss"] for each in toy.steps(learner, 12)]
    assert np.mean(losses[-3:]) < losses[0]
    after = learner.segmenter.backbone.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert before.keys() == segmenter.backbone.state_dict().keys()


def test_colours_of_kept_maps_cannot_shift():
    assert not FROZEN.photometric
    with pytest.raises(ValueError, match="set photometric=false"):
        TrainingConfig(frozen=True)
