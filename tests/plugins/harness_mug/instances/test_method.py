"""Instances: candidates within the foreground, links over time, and which twenty tracks are kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.api.errors import UsageError
from harness.models.proposals import proposal_provider
from harness.models.proposals.proposal import Proposal
from harness_mug.config import INSTANCE_PRESETS, InstanceConfig
from harness_mug.instances.method import Ledger, MuGInstances, apart, build, cut
from harness_mug.method import Foreground

CONFIG = InstanceConfig(crf=False, flow="", least_link=0.05)


def method_of(toy, config=CONFIG, provider=None, flow=None, source=None):
    source = source or toy.Bright()
    return MuGInstances(Foreground(config, source), provider or proposal_provider("components"), flow, config)


def grounds(frames, size=(60, 80)):
    return np.full((frames, *size, 3), 40, np.uint8)


def test_two_objects_keep_their_ids_while_they_pass(toy):
    images = grounds(6)
    for t in range(6):
        images[t, 5:20, 5 + 3 * t : 20 + 3 * t] = 200
        images[t, 35:50, 60 - 3 * t : 75 - 3 * t] = 220
    found = torch.stack(list(method_of(toy).segment_instances(toy.video_of(images))))
    assert set(found.unique().tolist()) == {0, 1, 2}
    for t in range(6):
        upper, lower = found[t, 10, 10 + 3 * t], found[t, 40, 65 - 3 * t]
        assert (int(upper), int(lower)) == (int(found[0, 10, 10]), int(found[0, 40, 65]))
        assert upper != lower
        assert int((found[t] > 0).sum()) == 2 * 15 * 15


def test_flow_links_what_overlap_loses(toy):
    class Known:
        name = "known"

        def fingerprint(self, video):
            return "known"

        def between(self, first, second, places=None):
            return torch.tensor([30.0, 0.0])[:, None, None].expand(2, *first.shape[:2]).contiguous()

    images = grounds(2)
    images[0, 20:30, 5:15] = images[1, 20:30, 35:45] = 200
    config = replace(CONFIG, patience=0)
    without = torch.stack(list(method_of(toy, config).segment_instances(toy.video_of(images))))
    linked = torch.stack(list(method_of(toy, config, flow=Known()).segment_instances(toy.video_of(images))))
    assert [sorted(mask.unique().tolist()) for mask in without] == [[0, 1], [0, 2]]
    assert [sorted(mask.unique().tolist()) for mask in linked] == [[0, 1], [0, 1]]


def test_of_more_than_twenty_candidates_the_twenty_that_last_are_kept(toy):
    images = grounds(3)
    for n in range(24):
        row, column = 2 + 14 * (n // 6), 2 + 13 * (n % 6)
        images[:, row : row + 8, column : column + 8] = 200
    images[1:, 2:10, 2:10] = 40  # the first is seen once, the others thrice
    found = torch.stack(list(method_of(toy).segment_instances(toy.video_of(images))))
    assert sorted(found.unique().tolist()) == list(range(21))
    assert not found[:, 2:10, 2:10].any()


@pytest.mark.parametrize("value", [40, 200])
def test_no_foreground_and_all_foreground(toy, value):
    images = np.full((2, 40, 50, 3), value, np.uint8)
    found = torch.stack(list(method_of(toy).segment_instances(toy.video_of(images))))
    assert found.unique().tolist() == [int(value == 200)]


def test_no_proposal_is_no_object(toy):
    class Nothing:
        name = "nothing"

        def fingerprint(self, video):
            return "nothing"

        def propose(self, frame, foreground=None, place=None, *, most=20):
            return []

    images, _ = toy.squares(2)
    found = torch.stack(list(method_of(toy, provider=Nothing()).segment_instances(toy.video_of(images))))
    assert not found.any()


def proposal(mask, score=1.0):
    return Proposal(mask, score, (0, 0, 1, 1))


def test_a_candidate_has_to_be_foreground_by_half_and_is_cut_to_it():
    foreground = torch.zeros(4, 4, dtype=torch.bool)
    foreground[:, :2] = True
    half = torch.zeros(4, 4, dtype=torch.bool)
    half[0] = True  # two of four pixels
    less = torch.zeros(4, 4, dtype=torch.bool)
    less[0, 1:] = True  # one of three
    assert torch.equal(cut(proposal(half), foreground, CONFIG).mask, half & foreground)
    assert cut(proposal(less), foreground, CONFIG) is None
    assert cut(proposal(half & False), foreground, CONFIG) is None


def test_of_candidates_that_overlap_the_surer_one_stays():
    one = torch.zeros(4, 4, dtype=torch.bool)
    one[:2] = True
    other = torch.zeros(4, 4, dtype=torch.bool)
    other[1:3] = True  # 4 of 12: a third
    far = torch.zeros(4, 4, dtype=torch.bool)
    far[3] = True
    kept = apart([proposal(one, 0.9), proposal(other, 0.8), proposal(far, 0.7)], 0.2)
    assert [each.score for each in kept] == [0.9, 0.7]
    assert len(apart([proposal(one, 0.9), proposal(other, 0.8)], 0.4)) == 2
    assert apart([], 0.2) == []


def test_the_surer_of_two_lies_on_top_and_tracks_are_ranked_by_the_sum_of_scores():
    ledger = Ledger()
    both = torch.ones(2, 2, 2, dtype=torch.bool)
    ledger.note(both, [5, 3], [0.9, 0.4])
    ledger.note(both[:1], [3], [0.4])
    assert ledger.maps[0].unique().tolist() == [5]
    assert ledger.worth == pytest.approx({3: 0.8, 5: 0.9})
    assert ledger.best(2) == {3: 1, 5: 2}
    assert ledger.best(1) == {5: 1}


def test_the_card_s_own_way_from_frames_to_ids(toy):
    images, _ = toy.squares(3)
    method = build(toy.context(INSTANCE_PRESETS["smoke"], "instance-zvos", proposals="components", flow="dis:fast"))
    found = list(method.segment_instances(toy.video_of(images)))
    assert len(found) == 3
    assert all(mask.shape == (64, 96) and mask.dtype == torch.uint8 for mask in found)


def test_boxes_and_grabcut_cut_out_what_is_foreground(toy):
    pytest.importorskip("cv2.ximgproc")
    images, truths = toy.squares(1)
    method = method_of(toy, provider=proposal_provider("edgebox+grabcut"))
    (found,) = method.segment_instances(toy.video_of(images))
    mine, truth = found.bool(), torch.from_numpy(truths[0]).bool()
    assert (mine & truth).sum() / (mine | truth).sum() > 0.7


def test_providers_that_make_no_sense_are_refused(toy):
    config = INSTANCE_PRESETS["smoke"]
    with pytest.raises(UsageError, match="no proposal provider"):
        build(toy.context(config))
    with pytest.raises(UsageError, match="truth-flow"):
        build(toy.context(config, proposals="components", flow="truth-flow"))
