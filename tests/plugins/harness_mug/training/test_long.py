"""Long term: affinities, transformations and their inliers, on grids that can be drawn on paper."""

import pytest
import torch

from harness_mug.training.granularities.long import Kappa, affinity, gather_matches, inliers, long_loss, places

SIZE = (3, 4)
CELLS = 12


def shift(columns):
    """tau that looks so many columns further right."""
    tau = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    tau[0, 0, 2] = 2 * columns / SIZE[1]
    return tau


def affinity_of_shift(columns):
    """The affinity (1, N, N) of a frame with one whose every cell lies so many columns further left."""
    found = torch.zeros(1, CELLS, CELLS)
    for row in range(SIZE[0]):
        for column in range(SIZE[1]):
            if 0 <= column + columns < SIZE[1]:
                found[0, row * 4 + column + columns, row * 4 + column] = 1
    return found


def one_hot_features():
    """Features (1, N, h, w) that tell every cell from every other."""
    return 50 * torch.eye(CELLS).view(1, CELLS, *SIZE)


def test_each_column_of_an_affinity_sums_to_one():
    """Two cells, products 0 and sqrt(2) log 3: shares 1/4 and 3/4."""
    one = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    other = torch.tensor([[[2**0.5 * torch.log(torch.tensor(3.0))], [0.0]]])
    assert affinity(one, other)[0, :, 0].tolist() == pytest.approx([1 / 4, 3 / 4])


def test_the_identity_leads_each_cell_to_itself():
    found = places(shift(0), SIZE)[0]
    assert found[0].tolist() == pytest.approx([-3 / 4, -2 / 3])  # x, y of the first cell's centre
    assert gather_matches(affinity_of_shift(0), shift(0), SIZE).tolist() == [[1.0] * CELLS]


def test_a_shift_matches_what_moved_by_it_and_loses_what_left_the_frame():
    found = gather_matches(affinity_of_shift(1), shift(1), SIZE)[0].view(SIZE)
    assert found[:, :3].tolist() == [pytest.approx([1, 1, 1], abs=1e-5)] * 3
    assert found[:, 3].tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_half_a_cell_off_counts_half():
    found = gather_matches(affinity_of_shift(0), shift(0.5), SIZE)[0].view(SIZE)
    assert found[:, :3].flatten().tolist() == pytest.approx([0.5] * 9, abs=1e-5)


def test_the_printed_inliers_are_the_cells_within_one_cell():
    found = inliers(shift(0), SIZE)[0]
    assert found[:, 5].view(SIZE).tolist() == [
        [False, True, False, False],
        [True, True, True, False],
        [False, True, False, False],
    ]
    assert int(found[:, 0].sum()) == 3  # a corner, and two beside it
    assert int(inliers(shift(9), SIZE).sum()) == 0


def test_a_soft_inlier_is_a_printed_one():
    """Wherever the soft weight is above 0 in one direction alone, the cell lies within one cell of tau(o)."""
    hard = inliers(shift(0.5), SIZE)[0]
    for o in range(CELLS):
        for m in range(CELLS):
            alone = torch.zeros(1, CELLS, CELLS)
            alone[0, m, o] = 1
            if gather_matches(alone, shift(0.5), SIZE)[0, o] > 1e-6:
                assert hard[m, o]


def test_alike_frames_under_the_identity_reach_the_least_loss_there_is():
    loss, tau = long_loss(one_hot_features(), one_hot_features(), Kappa().eval())
    assert tau[0].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert float(loss.detach()) == pytest.approx(-2, abs=1e-4)


class Known(Kappa):
    """Knows both ways of a second frame that shows what lies one column further right in the first."""

    def forward(self, matches, size):
        return torch.cat([shift(1) if each[1, 0] > 0.5 else shift(-1) for each in matches])


def test_each_way_is_counted_by_the_tau_of_its_own():
    """The last column is shown twice, as frames end. There, it is looked for outside: 9/12 match. Back, the first is
    outside, and a cell of the last is half one of the twins: (3 + 3 + 3/2)/12."""
    one = one_hot_features()
    other = one[..., [1, 2, 3, 3]]
    loss, tau = long_loss(one, other, Known())
    assert tau.tolist() == shift(1).tolist()
    assert float(loss) == pytest.approx(-(9 + 7.5) / 12, abs=1e-4)


def test_features_that_tell_nothing_match_a_cell_s_share():
    """Each cell is as alike as every other: 1/12 both ways."""
    flat = torch.zeros(1, 5, *SIZE)
    loss, _ = long_loss(flat, flat, Kappa().eval())
    assert float(loss.detach()) == pytest.approx(-2 / CELLS, abs=1e-5)


def test_going_down_finds_the_shift():
    tau = shift(0.4).requires_grad_()
    optimizer = torch.optim.Adam([tau], 0.02)
    before = gather_matches(affinity_of_shift(1), tau, SIZE).mean().item()
    for _ in range(100):
        loss = -gather_matches(affinity_of_shift(1), tau, SIZE).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert -loss.item() > before + 0.2
    assert tau[0, 0, 2].item() == pytest.approx(2 / SIZE[1], abs=0.08)
    assert -loss.item() == pytest.approx(9 / 12, abs=0.03)  # a column has left the frame


def test_features_learn_to_match_where_tau_says():
    features = torch.randn(1, 8, *SIZE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([features], 0.3)
    kappa = Kappa().eval().requires_grad_(False)
    losses = []
    for _ in range(40):
        loss, _ = long_loss(features, features.detach(), kappa)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    assert losses[-1] < -1.5


def test_its_gradients_are_right_for_affinity_and_transformation():
    generator = torch.Generator().manual_seed(1)
    matches = torch.rand(1, CELLS, CELLS, dtype=torch.double, generator=generator).requires_grad_()
    tau = (shift(0.3).double() + 0.05 * torch.rand(1, 2, 3, dtype=torch.double, generator=generator)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, t: gather_matches(a, t, SIZE), (matches, tau))


def test_kappa_begins_at_the_identity_and_hears_of_the_inliers():
    kappa = Kappa().train()
    one = torch.randn(2, 4, *SIZE, generator=torch.Generator().manual_seed(2))
    other = torch.randn(2, 4, *SIZE, generator=torch.Generator().manual_seed(3))
    loss, tau = long_loss(one, other, kappa)
    loss.backward()
    assert tau.shape == (2, 2, 3)
    assert kappa.linear.weight.grad.abs().sum() > 0


def draw_pairs(generator, count):
    """Features (B, C, 12, 12) of two frames of a texture each, and how far the second has moved, by -2 to 2 cells."""
    textures = 2 * torch.randn(count, 16, 16, 16, generator=generator)
    away = torch.randint(-2, 3, (count, 2), generator=generator)  # rows, columns
    moved = [
        each[:, 2 + row : 14 + row, 2 + column : 14 + column]
        for each, (row, column) in zip(textures, away.tolist(), strict=True)
    ]
    return textures[..., 2:14, 2:14], torch.stack(moved), away


@pytest.mark.slow
def test_kappa_finds_transformations_that_nobody_tells_it():
    """By the loss alone; then asked of pairs that it has not seen."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kappa = Kappa()
    optimizer = torch.optim.Adam(kappa.parameters(), 1e-4)
    for _ in range(60):
        one, other, _ = draw_pairs(generator, 8)
        loss, _ = long_loss(one, other, kappa)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    one, other, away = draw_pairs(generator, 32)
    with torch.inference_mode():
        loss, tau = long_loss(one, other, kappa.eval())
    found = tau[..., 2].flip(1) * 12 / 2  # (B, 2) rows, columns, in cells
    assert (found - away).abs().mean() < 0.3
    assert away.abs().float().mean() > 1  # what the identity would be off by
    assert (tau[..., :2] - torch.eye(2)).abs().mean() < 0.06
    assert loss.item() < -0.7
