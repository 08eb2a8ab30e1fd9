"""Frames and masks are changed together, as often and as much as asked, and colours keep their luma."""

import pytest
import torch

from harness_selfsup.adaptation.augment import YIQ, change, colour_matrices, draw

STRENGTHS = (0.4, 0.4, 0.4, 0.1)


def images(batch: int = 4) -> torch.Tensor:
    return torch.rand(batch, 3, 8, 12, generator=torch.Generator().manual_seed(0))


def classes(batch: int = 4) -> torch.Tensor:
    return torch.randint(3, (batch, 8, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def changes(batch: int = 4, seed: int = 0, *, jitter: float = 0.0, gray: float = 0.0, flip: float = 0.0):
    generator = torch.Generator().manual_seed(seed)
    return draw(batch, generator, jitter=jitter, strengths=STRENGTHS, gray=gray, flip=flip)


def test_nothing_asked_nothing_changed():
    same, masks = change(images(), classes(), changes())
    torch.testing.assert_close(same, images(), atol=1e-5, rtol=0)
    assert torch.equal(masks, classes())


def test_frame_and_mask_are_mirrored_together():
    mirrored, masks = change(images(), classes(), changes(flip=1.0))
    torch.testing.assert_close(mirrored, images().flip(-1), atol=1e-5, rtol=0)
    assert torch.equal(masks, classes().flip(-1))


def test_grey_is_the_luma_in_every_channel():
    grey, _ = change(images(), classes(), changes(gray=1.0))
    luma = torch.einsum("bchw,c->bhw", images(), torch.tensor(YIQ[0]))
    torch.testing.assert_close(grey, luma[:, None].expand_as(grey), atol=1e-5, rtol=0)


def test_jitter_changes_each_image_by_itself_and_stays_in_range():
    one = images(1).expand(4, -1, -1, -1)
    jittered, _ = change(one, classes(), changes(jitter=1.0))
    apart = torch.cdist(jittered.flatten(1), jittered.flatten(1)) + torch.eye(4)
    assert apart.min() > 0.1
    assert jittered.min() >= 0
    assert jittered.max() <= 1


@pytest.mark.parametrize(("saturation", "turn"), [(1.3, 0.0), (1.0, 0.1), (0.6, -0.25)])
def test_colours_turn_without_changing_luma(saturation, turn):
    matrix = colour_matrices(torch.tensor([saturation]), torch.tensor([turn]))[0]
    colour = torch.tensor([0.7, 0.2, 0.4])
    luma = torch.tensor(YIQ[0])
    torch.testing.assert_close(luma @ (matrix @ colour), luma @ colour)
    assert not torch.allclose(matrix @ colour, colour, atol=1e-2)


def test_a_whole_turn_of_the_hue_is_none():
    torch.testing.assert_close(colour_matrices(torch.ones(1), torch.ones(1))[0], torch.eye(3), atol=1e-5, rtol=0)


def test_chances_are_as_asked():
    drawn = changes(4000, jitter=0.8, gray=0.2, flip=0.5)
    grey = (drawn.colours - torch.tensor(YIQ[0])).abs().flatten(1).amax(1) < 1e-5
    for share, asked in (
        (drawn.is_mirrored, 0.5),
        (drawn.brightness != 1, 0.8),
        (drawn.contrast != 1, 0.8),
        (grey, 0.2),
    ):
        assert float(share.float().mean()) == pytest.approx(asked, abs=0.03)
    assert float(drawn.brightness.min()) >= 0.6
    assert float(drawn.brightness.max()) <= 1.4
