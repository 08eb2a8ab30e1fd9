"""The losses are the formulas, taken plainly in float64, and their gradients those of finite differences."""

import math

import pytest
import torch

from harness_tvos.training.losses import (
    correspondence_loss,
    every_frame_losses,
    last_frame_loss,
    log_negatives,
    propagate_labels,
)


def random_features(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_share(target, references, labels, own) -> float:
    """The propagated probability of label ``own`` at one cell, term by term."""
    weights = [math.exp(sum(a * b for a, b in zip(target, reference, strict=True))) for reference in references]
    return sum(w for w, label in zip(weights, labels, strict=True) if label == own) / sum(weights)


def test_one_softmax_over_all_references_times_their_labels():
    # One target (2, 0); references (1, 0), (0, 1), (0, 0) of labels 1, 0, 1: shares e^2, 1, 1.
    target = torch.tensor([[[2.0], [0.0]]])
    references = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    shares = propagate_labels(target, references, torch.tensor([[1, 0, 1]]), 2)
    assert shares[0, 0, 1].item() == pytest.approx((math.exp(2) + 1) / (math.exp(2) + 2))


def test_the_official_loss_is_the_plain_formula():
    features = random_features(2, 4, 3, 5)  # 2 clips of 4 frames, 3 channels, 5 cells
    labels = torch.randint(3, (2, 4, 5), generator=torch.Generator().manual_seed(1))
    expected, right = [], []
    for b in range(2):
        references = [features[b, k, :, j].tolist() for k in range(3) for j in range(5)]
        ids = labels[b, :3].flatten().tolist()
        for i in range(5):
            shares = [plain_share(features[b, 3, :, i].tolist(), references, ids, c) for c in range(3)]
            expected.append(-math.log(shares[labels[b, 3, i]] + 1e-14))
            right.append(shares.index(max(shares)) == labels[b, 3, i])
    loss, share = last_frame_loss(features, labels, 22)
    assert loss.item() == pytest.approx(sum(expected) / 10, rel=1e-12)
    assert share.item() == pytest.approx(sum(right) / 10)


def test_the_official_loss_has_no_spatial_prior():
    features, labels = random_features(1, 3, 4, 6), torch.tensor([[[0, 1, 0, 0, 1, 1]] * 3])
    moved = torch.tensor([3, 5, 0, 2, 4, 1])
    shuffled, their_labels = features.clone(), labels.clone()
    shuffled[:, :-1], their_labels[:, :-1] = features[:, :-1][..., moved], labels[:, :-1][..., moved]
    assert last_frame_loss(shuffled, their_labels, 2)[0].item() == pytest.approx(
        last_frame_loss(features, labels, 2)[0].item()
    )


def test_a_label_without_reference_costs_the_log_of_the_tiny_number():
    features, labels = random_features(1, 2, 3, 1), torch.tensor([[[0], [1]]])
    assert last_frame_loss(features, labels, 2)[0].item() == pytest.approx(-math.log(1e-14))


def every_frame(features, labels, negatives=0.0, matches=None, is_matched=None):
    clips, _, _, height, width = features.shape
    matches = features.new_zeros(clips, 0, height, width, 2) if matches is None else matches
    is_matched = torch.zeros(matches.shape[:-1], dtype=torch.bool) if is_matched is None else is_matched
    return every_frame_losses(features, labels, matches, is_matched, negatives=negatives, neighbourhood=0.7)


def test_each_frame_is_the_target_of_the_others_and_unknown_labels_are_left_out():
    features = random_features(1, 3, 2, 1, 2)  # 3 frames of 2 cells
    labels = torch.tensor([[[[0, 1]], [[0, 0]], [[0, 9]]]])  # 1 and 9 are each in one frame only
    expected = []
    for k in range(3):
        others = [m for m in range(3) if m != k]
        references = [features[0, m, :, 0, j].tolist() for m in others for j in range(2)]
        ids = [int(labels[0, m, 0, j]) for m in others for j in range(2)]
        for i in range(2):
            own = int(labels[0, k, 0, i])
            if own in ids:
                expected.append(-math.log(plain_share(features[0, k, :, 0, i].tolist(), references, ids, own)))
    assert len(expected) == 4
    assert every_frame(features, labels)[0].item() == pytest.approx(sum(expected) / 4, rel=1e-12)


def test_other_clips_weigh_as_many_cells_as_asked():
    flat = random_features(3, 4, 5)  # 3 clips of 4 cells
    found = log_negatives(flat, 80.0)
    rest = torch.cat([flat[0], flat[2]])
    assert found[1, 2].item() == pytest.approx(math.log(80 / 8 * (flat[1, 2] @ rest.t()).exp().sum().item()))


def test_negatives_are_in_the_denominator_and_never_right():
    features, labels = random_features(2, 2, 3, 1, 2), torch.zeros(2, 2, 1, 2, dtype=torch.long)
    assert every_frame(features, labels)[0].item() == pytest.approx(0, abs=1e-12)  # every reference is right
    expected = []
    for b, k, i in ((b, k, i) for b in range(2) for k in range(2) for i in range(2)):
        target = features[b, k, :, 0, i]
        own = sum((target @ features[b, 1 - k, :, 0, j]).exp().item() for j in range(2))
        other = sum((target @ features[1 - b, m, :, 0, j]).exp().item() for m in range(2) for j in range(2))
        expected.append(-math.log(own / (own + 100 / 4 * other)))
    assert every_frame(features, labels, negatives=100.0)[0].item() == pytest.approx(sum(expected) / 8)


def test_the_losses_have_the_gradients_of_finite_differences():
    features = random_features(2, 3, 2, 2, 2, scale=0.5).requires_grad_()
    labels = torch.randint(3, (2, 3, 2, 2), generator=torch.Generator().manual_seed(2))
    matches = torch.rand(2, 2, 2, 2, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    is_matched = torch.tensor([[[[1, 0], [1, 1]]] * 2] * 2).bool()
    assert torch.autograd.gradcheck(lambda f: every_frame(f, labels, 50.0, matches, is_matched)[:2], features)
    assert torch.autograd.gradcheck(lambda f: last_frame_loss(f.flatten(3), labels.flatten(2), 3)[0], features)


def test_a_saturated_wrong_match_still_has_a_gradient():
    features = torch.zeros(1, 2, 2, 1, 2)
    features[0, 0, 0] = 100.0  # both cells of frame 0 are (100, 0)
    features[0, 1] = torch.eye(2)[:, None]  # those of frame 1 are (1, 0) and (0, 1)
    features.requires_grad_()
    loss = every_frame(features, torch.tensor([[[[1, 1]], [[0, 1]]]]))[0]
    loss.backward()
    assert loss.item() == pytest.approx((100 + 100 + math.log(2) * 0 + 0) / 3, abs=1e-3)
    assert features.grad[0, 0].abs().sum() > 1


def test_correspondence_is_free_for_a_sharp_right_match_and_costs_the_label_beside_it():
    scores = 1000 * torch.eye(9).reshape(1, 1, 9, 9)
    rows, columns = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="ij")
    same = torch.stack([columns, rows], -1)[None, None]
    known = torch.ones(1, 1, 3, 3, dtype=torch.bool)
    assert correspondence_loss(scores, same, known, 0.5).item() == pytest.approx(0, abs=1e-6)
    # One cell off at width .5: the log label is -1 / (2 * .25) = -2; in the last column the nearest cell is the match.
    beside = same + torch.tensor([1.0, 0.0])
    off = correspondence_loss(scores, beside, known & (columns < 2), 0.5)
    assert off.item() == pytest.approx(2, abs=1e-6)
    assert correspondence_loss(scores, beside, ~known, 0.5).item() == 0


def test_what_else_is_in_the_softmax_makes_a_match_dearer():
    scores, nowhere = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1, 2)
    known = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    loss = correspondence_loss(scores, nowhere, known, 0.5, elsewhere=torch.full((1, 1, 1), math.log(3)))
    assert loss.item() == pytest.approx(math.log(4))
