"""The camera's motion is found beside moving objects, and frames without motion, texture or size give no motion."""

import pytest
import torch

from harness.models.flow.camera import camera_flow, fit_camera, motion_map, moving, residual_flow

ZOOM = torch.tensor([[0.02, -0.01, 3.0], [0.01, 0.02, -2.0]])
SIZE = (40, 60)


def with_object(camera: torch.Tensor = ZOOM, motion=(6.0, -4.0), size=SIZE) -> torch.Tensor:
    """The flow of a camera, and an object on rows 10..25 and columns 20..45 that moves besides."""
    flow = camera_flow(camera, size)
    flow[:, 10:25, 20:45] += torch.tensor(motion)[:, None, None]
    return flow


def test_the_flow_of_a_camera_is_its_matrix_at_every_pixel():
    flow = camera_flow(ZOOM, SIZE)
    assert flow.shape == (2, *SIZE)
    assert torch.allclose(flow[:, 7, 11], torch.tensor([0.02 * 11 - 0.01 * 7 + 3, 0.01 * 11 + 0.02 * 7 - 2]))


def test_an_affine_camera_is_found_exactly_and_leaves_nothing():
    flow = camera_flow(ZOOM, SIZE)
    assert torch.allclose(fit_camera(flow), ZOOM, atol=1e-5)
    assert residual_flow(flow).abs().max() < 1e-4


def test_an_object_does_not_pull_the_camera():
    assert torch.allclose(fit_camera(with_object()), ZOOM, atol=2e-3)
    residual = residual_flow(with_object())
    assert torch.allclose(residual[:, 15, 30], torch.tensor([6.0, -4.0]), atol=0.05)
    assert residual[:, 35, 5].abs().max() < 0.05


@pytest.mark.parametrize("share", [0.2, 0.45])
def test_an_object_of_nearly_half_of_the_frame_is_still_left_over(share):
    flow = torch.zeros(2, 40, 100)
    flow[0, :, : int(100 * share)] = 8
    assert torch.equal(moving(motion_map(flow)), flow[0] > 0)


def test_the_object_is_what_moves():
    expected = torch.zeros(SIZE, dtype=torch.bool)
    expected[10:25, 20:45] = True
    assert torch.equal(moving(motion_map(with_object())), expected)
    assert torch.equal(moving(motion_map(with_object(), with_object(-ZOOM, (-6.0, 4.0)))), expected)


def test_what_moves_one_way_only_is_no_object():
    """A background about to be covered has a wrong flow forward, and a right one backward."""
    assert not moving(motion_map(with_object(), camera_flow(-ZOOM, SIZE))).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 200)])
@pytest.mark.parametrize("motion", [0.0, 5.0])
def test_a_frame_of_any_size_that_moves_as_one_has_no_motion_of_its_own(size, motion):
    motions = motion_map(torch.full((2, *size), motion))
    assert motions.abs().max() < 1e-3
    assert not moving(motions).any()


def test_noise_on_a_still_frame_is_no_motion():
    noise = 0.05 * torch.randn(2, 40, 60, generator=torch.Generator().manual_seed(0))
    assert not moving(motion_map(noise)).any()


def test_where_everything_moves_its_own_way_the_answer_is_finite():
    flow = 50 * torch.randn(2, 40, 60, generator=torch.Generator().manual_seed(0))
    assert fit_camera(flow).isfinite().all()
    assert motion_map(flow).isfinite().all()


def test_equal_flow_gives_an_equal_answer_of_the_same_type():
    assert torch.equal(motion_map(with_object()), motion_map(with_object()))
    assert motion_map(with_object().half()).dtype == torch.float16
