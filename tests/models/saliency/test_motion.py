"""Motion as saliency: what moves against the camera is at .5 and more, and only a moving camera moves nothing."""

import pytest
import torch

from harness.models.flow import flow_provider
from harness.models.flow.camera import motion_map, moving
from harness.models.saliency import SaliencyProvider, frames_around, saliency_provider


def square_at(left: int, camera: int = 0) -> torch.Tensor:
    """A textured square at rows 40..72 and columns ``left``.. of a textured ground that ``camera`` shifts."""
    generator = torch.Generator().manual_seed(0)
    ground = torch.randint(40, 110, (30, 46, 3), generator=generator).float()
    paint = torch.randint(150, 250, (8, 8, 3), generator=generator).float()
    enlarge = torch.nn.functional.interpolate
    frame = enlarge(ground.movedim(-1, 0)[None], (120, 184), mode="bicubic")[0].movedim(0, -1)
    frame = frame.roll(camera, 1)[:, 12:172].clone()
    frame[40:72, left : left + 32] = enlarge(paint.movedim(-1, 0)[None], (32, 32), mode="bicubic")[0].movedim(0, -1)
    return frame.clamp(0, 255).to(torch.uint8)


def test_what_moves_stands_out_whatever_the_camera_does():
    frame, after, before = square_at(60), square_at(66, camera=3), square_at(54, camera=-3)
    truth = torch.zeros(120, 160, dtype=torch.bool)
    truth[40:72, 60:92] = True
    found = saliency_provider("motion").rate(frame, around=(before, after)) >= 0.5
    assert (found & truth).sum() / (found | truth).sum() > 0.6


def test_half_of_one_is_the_threshold_of_what_moves():
    frame, after = square_at(60), square_at(66)
    flow = flow_provider("dis").between(frame, after)
    rated = saliency_provider("motion").rate(frame, around=(after,))
    assert torch.equal(rated > 0.5, moving(motion_map(flow)))
    assert 0 <= rated.min() <= rated.max() <= 1


@pytest.mark.parametrize("around", [(), (square_at(60),), (square_at(60), square_at(60))])
def test_where_nothing_moves_or_there_is_no_other_frame_nothing_stands_out(around):
    assert (saliency_provider("motion").rate(square_at(60), around=around) < 0.5).all()


@pytest.mark.parametrize(("t", "expected"), [(0, (1,)), (1, (0, 2)), (2, (1,))])
def test_neighbours_are_shown_to_who_looks_at_them(t, expected):
    def read(place: int) -> torch.Tensor:
        return torch.full((1, 1, 3), place, dtype=torch.uint8)

    found = frames_around(saliency_provider("motion"), read, t, 3)
    assert tuple(int(frame[0, 0, 0]) for frame in found) == expected
    assert frames_around(saliency_provider("boundary"), read, t, 3) == ()


def test_it_is_a_provider_whose_flow_is_in_its_fingerprint():
    provider = saliency_provider("motion")
    assert isinstance(provider, SaliencyProvider)
    assert provider.fingerprint("dog") == f"motion-1-{flow_provider('dis').fingerprint('dog')}"
