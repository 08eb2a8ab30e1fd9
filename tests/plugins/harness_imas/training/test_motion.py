"""The motion model against values that can be checked on paper."""

import pytest
import torch

from harness_imas.training import motion
from harness_imas.training.motion import (
    Motion,
    compactness,
    entropy,
    fit_affine,
    flow_on,
    lay_out,
    motion_loss,
    pool,
    rebuild,
)

HALVES = torch.zeros(1, 2, 4, 6)
HALVES[:, 0, :, :3] = 1
HALVES[:, 1, :, 3:] = 1


def test_pooling_is_the_mean_under_each_mask():
    values = torch.arange(24.0).view(1, 1, 4, 6)

    assert pool(values, HALVES)[0, :, 0].tolist() == [pytest.approx(10.0), pytest.approx(13.0)]


def test_a_mask_that_is_zero_everywhere_pools_to_zero():
    empty = torch.cat([torch.ones(1, 1, 4, 6), torch.zeros(1, 1, 4, 6)], 1)

    assert pool(torch.ones(1, 3, 4, 6), empty)[0, 1].tolist() == [0, 0, 0]


def test_constant_motion_is_each_masks_vector():
    vectors = torch.tensor([[[3.0, 1.0], [-2.0, 0.5]]])

    predicted = rebuild(HALVES, vectors, torch.zeros(1, 2, 4, 6), None, "none")

    assert predicted[0, :, 0, 0].tolist() == [3.0, 1.0]
    assert predicted[0, :, 3, 5].tolist() == [-2.0, 0.5]


def test_a_pixel_of_two_masks_moves_by_their_mean():
    soft = torch.full((1, 2, 1, 1), 0.5)

    predicted = rebuild(soft, torch.tensor([[[4.0, 0.0], [0.0, 2.0]]]), torch.zeros(1, 2, 1, 1), None, "none")

    assert predicted.flatten().tolist() == [2.0, 1.0]


def test_the_residual_is_bounded_by_ten_pixels_and_lies_component_first():
    raw = torch.zeros(1, 4, 4, 6)
    raw[:, 0] = 1e4  # dx of channel 0
    raw[:, 3] = -10.0  # dy of channel 1

    predicted = rebuild(HALVES, torch.zeros(1, 2, 2), torch.zeros(1, 2, 4, 6), raw, "residual")

    assert predicted[0, :, 0, 0].tolist() == [10.0, 0.0]
    assert predicted[0, :, 0, 5].tolist() == [0.0, pytest.approx(-7.6159, abs=1e-4)]  # -10 tanh(1)


def test_scaling_multiplies_each_value_by_up_to_two():
    raw = torch.zeros(1, 4, 4, 6)
    raw[:, 0], raw[:, 2] = 1e4, -1e4
    vectors = torch.tensor([[[3.0, 5.0], [1.0, 1.0]]])

    predicted = rebuild(HALVES, vectors, torch.zeros(1, 2, 4, 6), raw, "scaling")

    assert predicted[0, :, 0, 0].tolist() == [6.0, 0.0]
    assert predicted[0, :, 0, 5].tolist() == [1.0, 1.0]


def affine_flow(slopes):
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 10), indexing="ij")
    return torch.stack([slopes[0] * rows + slopes[1] * columns, slopes[2] * rows + slopes[3] * columns])[None]


def test_an_affine_motion_is_found_and_adds_nothing_to_the_mean():
    flow = affine_flow((1.0, -2.0, 0.5, 3.0)).double() + 4.0
    whole = torch.ones(1, 1, 8, 10).double()

    fitted = fit_affine(whole, flow)

    assert fitted.mean((-2, -1)).abs().max() < 1e-12
    torch.testing.assert_close(lay_out(fitted, whole) + 4.0, flow, atol=2e-3, rtol=0)  # the ridge holds it back


def test_two_halves_turn_each_for_itself():
    left = torch.zeros(1, 2, 8, 10).double()
    left[:, 0, :, :5], left[:, 1, :, 5:] = 1, 1
    turns = (affine_flow((0.0, 0.0, 0.0, 1.0)), affine_flow((0.0, 0.0, 2.0, 0.0)))
    flow = torch.where(left[:, :1] > 0, turns[0].double(), turns[1].double())

    predicted = rebuild(left, pool(flow, left), flow, None, "affine")

    torch.testing.assert_close(predicted, flow, atol=2e-3, rtol=0)


@pytest.mark.parametrize("pathway", ["affine", "affine+residual"])
def test_a_collapsed_channel_gives_finite_flow_and_gradients(pathway):
    logits = torch.zeros(1, 3, 8, 10)
    logits[:, 1] = -200.0
    logits.requires_grad_()
    flow = affine_flow((1.0, 0.0, 0.0, 1.0))

    predicted = rebuild(logits.softmax(1), torch.zeros(1, 3, 2), flow, torch.zeros(1, 6, 8, 10), pathway)
    motion_loss(predicted, flow, pathway).backward()

    assert predicted.isfinite().all()
    assert logits.grad.isfinite().all()


def test_gradients_of_every_pathway_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    logits, raw, flow = (torch.randn(1, c, 3, 4, generator=generator, dtype=torch.float64) for c in (2, 4, 2))
    vectors = torch.randn(1, 2, 2, generator=generator, dtype=torch.float64)
    for pathway in motion.PATHWAYS:
        there = raw if pathway in motion.OUTPUTS else None

        def predict(logits, vectors, raw, there=there, pathway=pathway):
            return rebuild(logits.softmax(1), vectors, flow, None if there is None else raw, pathway)

        inputs = tuple(each.clone().requires_grad_() for each in (logits, vectors, raw))
        assert torch.autograd.gradcheck(predict, inputs), pathway


def test_the_loss_is_the_mean_absolute_difference_or_its_robust_form():
    predicted, flow = torch.zeros(1, 2, 1, 2), torch.tensor([3.0, 1.0, 0.0, 0.0]).view(1, 2, 1, 2)

    assert motion_loss(predicted, flow, "residual").item() == 1.0  # (3 + 1) / 4
    expected = (3.01**0.4 + 1.01**0.4 + 2 * 0.01**0.4) / 4
    assert motion_loss(predicted, flow, "robust").item() == pytest.approx(expected, rel=1e-6)


def test_entropy_is_zero_where_sure_and_the_logarithm_of_the_channels_where_not():
    assert entropy(torch.zeros(1, 4, 2, 2)).item() == pytest.approx(1.386294, abs=1e-5)
    assert entropy(torch.tensor([500.0, 0, 0, 0]).view(1, 4, 1, 1)).item() == 0


def test_flow_is_clamped_after_it_is_resized_and_never_scaled():
    flow = torch.tensor([[0.0, 60.0]]).view(1, 1, 1, 2).expand(1, 2, 1, 2)

    assert flow_on(flow, (1, 1), 20.0).flatten().tolist() == [20.0, 20.0]  # the mean is 30; clamped first it were 10
    assert flow_on(flow, (1, 4), 100.0)[0, 0, 0].tolist() == [0.0, 15.0, 45.0, 60.0]


def test_the_right_mask_has_a_lower_loss_than_a_wrong_one_and_motion_alone_finds_it():
    """A square moves by (6, 0) over a still ground: masks are learnt from nothing but the flow."""
    torch.manual_seed(0)
    truth = torch.zeros(12, 16, dtype=torch.bool)
    truth[3:9, 4:11] = True
    flow = torch.stack([6.0 * truth, 0.0 * truth])[None]
    logits = (0.1 * torch.randn(1, 2, 12, 16)).requires_grad_()
    model = Motion(hidden=16, kernel=1)
    optimizer = torch.optim.Adam([logits, *model.parameters()], lr=0.05)
    losses = []
    for _ in range(300):
        masks = logits.softmax(1)
        loss = motion_loss(rebuild(masks, model(masks, flow), flow, None, "none"), flow, "none")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    found = logits.argmax(1)[0].bool()

    assert losses[-1] < 0.05 * losses[0]
    assert torch.equal(found, truth) or torch.equal(~found, truth)


@pytest.mark.parametrize("pathway", motion.PATHWAYS)
def test_every_pathway_fits_a_turning_square_better_as_it_learns(pathway):
    """Its right half moves by 6 more than its left: none of it is constant."""
    torch.manual_seed(0)
    square = torch.zeros(12, 16)
    square[3:9, 4:12] = 4.0
    square[3:9, 8:12] = 10.0
    flow = torch.stack([square, 0 * square])[None]
    logits = (0.1 * torch.randn(1, 2, 12, 16)).requires_grad_()
    model, raw = Motion(hidden=16, kernel=1), torch.zeros(1, 4, 12, 16, requires_grad=True)
    optimizer = torch.optim.Adam([logits, raw, *model.parameters()], lr=0.05)
    losses = []
    for _ in range(80):
        masks = logits.softmax(1)
        there = raw if pathway in motion.OUTPUTS else None
        loss = motion_loss(rebuild(masks, model(masks, flow), flow, there, pathway), flow, pathway)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < 0.7 * losses[0]


def test_compactness_is_the_spread_of_a_mask_and_nothing_of_one_cell():
    mask = torch.zeros(1, 4, 4)
    mask[0, 1, 2] = 1
    assert compactness(mask) == 0
    mask[0, 1, 0] = 1  # half a frame away: each cell a quarter from the middle
    assert compactness(mask) == pytest.approx(2 * 0.25**2 / 16)
    assert compactness(torch.zeros(1, 4, 4)) == 0
