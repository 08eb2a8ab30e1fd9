"""Short term: a patch is followed on and back, on pictures where the answer is known."""

import math

import pytest
import torch

from harness_mug.training.granularities import short
from harness_mug.training.granularities.short import crop, find_peaks, follow, gaussian, respond, short_loss

ZERO = torch.tensor(0.0)


def spots(places, size=(12, 16), seed=0):
    """Frames (F, 3, h, w) of one textured 3 x 3 spot each, whose centre is at those places; a cell is a pixel."""
    texture = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(seed))
    frames = torch.zeros(len(places), 3, *size)
    for frame, (row, column) in zip(frames, places, strict=True):
        frame[:, row - 1 : row + 2, column - 1 : column + 2] = texture
    return frames


def walk(places, start, *, scale=1.0, bias=ZERO):
    frames = spots(places)[None]
    at = torch.tensor([start])
    return follow(frames, frames * scale, at, lambda patch: patch * scale, bias, side=3, stride=1)


def test_the_gaussian_falls_to_the_root_of_e_one_deviation_away():
    found = gaussian(torch.tensor([[2, 3]]), (5, 7), 1.0)[0]
    assert found[2, 3] == 1
    assert float(found[2, 4]) == pytest.approx(math.exp(-1 / 2))
    assert float(found[4, 3]) == pytest.approx(math.exp(-2))
    assert float(found[1, 2]) == pytest.approx(math.exp(-1))


def test_an_even_patch_is_cut_out_from_half_its_side_before_its_cell():
    images = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    patch = crop(images, torch.tensor([[2, 1]]), side=2, stride=2)
    assert patch.shape == (1, 3, 4, 4)
    assert patch[0, 0, 0, 0] == 8 * 2 + 0  # cells 1 and 2 down, 0 and 1 across, of two pixels each


@pytest.mark.parametrize("side", [2, 3, 4])
def test_a_patch_of_a_frame_is_found_where_it_was_cut_out(side):
    features = torch.randn(2, 3, 12, 14, generator=torch.Generator().manual_seed(1))
    features = torch.nn.functional.normalize(features, dim=1)  # so that nothing fits better than the same
    for at in ([5, 6], [side // 2, side // 2], [12 - side + side // 2, 14 - side + side // 2]):
        start = torch.tensor([at, at])
        patch = crop(features, start, side, 1)
        response = respond(patch, features, ZERO)
        assert find_peaks(response, side).tolist() == [at, at]


def test_a_peak_is_only_looked_for_where_its_patch_fits():
    response = torch.zeros(1, 6, 6)
    response[0, 0, 0] = 2.0
    response[0, 3, 4] = 1.0
    assert find_peaks(response, 4).tolist() == [[3, 4]]


def test_a_spot_that_moves_is_followed_on_and_back():
    response, where = walk([(4, 5), (6, 8), (7, 11)], (4, 5))
    assert where.tolist() == [[4, 5]]
    assert response.shape == (1, 12, 16)


def test_the_way_goes_on_over_both_later_frames_and_back_over_the_one_between(monkeypatch):
    """Each patch is cut out where the last one was found; frame f is told by its value, f + 1 times the spot's."""
    places = [(4, 5), (6, 8), (7, 11)]
    frames = (spots(places) * torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1))[None]
    texture = spots([(1, 1)], (3, 3))
    cut, looked_in = [], []

    def note_patch(patch):
        cut.extend(f for f in range(3) if torch.equal(patch, texture * (f + 1)))
        return patch

    def note_frame(patch, features, bias):
        looked_in.extend(f for f in range(3) if torch.equal(features, frames[:, f]))
        return respond(patch, features, bias)

    monkeypatch.setattr(short, "respond", note_frame)
    follow(frames, frames, torch.tensor([[4, 5]]), note_patch, ZERO, side=3, stride=1)
    assert cut == [0, 1, 2, 1]
    assert looked_in == [1, 2, 1, 0]


def test_what_leaves_the_frame_on_the_way_does_not_come_back_to_its_start():
    frames = torch.randn(1, 3, 3, 12, 16, generator=torch.Generator().manual_seed(2))  # nothing goes on
    at = torch.tensor([[4, 5]])
    _, where = follow(frames, frames, at, lambda patch: patch, ZERO, side=3, stride=1)
    assert where.tolist() != at.tolist()


def test_the_loss_is_nothing_where_the_response_is_the_gaussian_and_one_cell_s_share_where_it_is_off():
    start = torch.tensor([[2, 2]])
    target = gaussian(start, (5, 5), 0.4)
    assert float(short_loss(target, start, 0.4)) == 0
    target[0, 0, 0] += 0.5
    assert float(short_loss(target, start, 0.4)) == pytest.approx(0.25 / 25, rel=1e-4)


def test_learning_the_scale_and_the_bias_brings_the_loss_down_to_a_peak_at_the_start():
    places, start = [(4, 5), (6, 8), (7, 11)], torch.tensor([[4, 5]])
    scale, bias = torch.tensor(1.0, requires_grad=True), torch.tensor(0.0, requires_grad=True)
    optimizer = torch.optim.Adam([scale, bias], 0.3)
    losses = []
    for _ in range(60):
        response, _ = walk(places, (4, 5), scale=scale, bias=bias)
        loss = short_loss(response, start, 0.4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10
    assert find_peaks(response, 3).tolist() == start.tolist()
    assert response[0, 4, 5].item() > 0.7


def test_its_gradient_is_right_and_goes_through_the_last_correlation_alone():
    generator = torch.Generator().manual_seed(3)
    patch = torch.randn(1, 2, 2, 2, dtype=torch.double, generator=generator).requires_grad_()
    features = torch.randn(1, 2, 5, 5, dtype=torch.double, generator=generator).requires_grad_()
    bias = torch.tensor(-1.0, dtype=torch.double, requires_grad=True)
    start = torch.tensor([[2, 2]])
    assert torch.autograd.gradcheck(lambda p, f, b: short_loss(respond(p, f, b), start, 0.5), (patch, features, bias))
    frames = spots([(4, 5), (6, 8), (7, 11)])[None]
    seen = frames.clone().requires_grad_()
    response, _ = follow(frames, seen, torch.tensor([[4, 5]]), lambda each: each, ZERO, side=3, stride=1)
    response.sum().backward()
    assert seen.grad[0, 0].abs().sum() > 0
    assert seen.grad[0, 1:].abs().sum() == 0
