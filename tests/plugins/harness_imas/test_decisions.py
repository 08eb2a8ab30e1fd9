"""One mask enlarged alone decides as double precision does: up to 480p, flat to very sharp, at every threshold used."""

import pytest
import torch
from torch.nn import functional

from harness_imas.config import DAVIS16, SMALL
from harness_imas.kernels import share, share_plain

SIZES = [((24, 43), (96, 171)), ((60, 107), (480, 854)), ((98, 175), (480, 854))]  # of logits, of the video
SHARPNESS = {"flat": 0.05, "as they come": 5.0, "sharp": 50.0, "very sharp": 500.0}
"""The spread of logits."""
THRESHOLDS = (0.05, DAVIS16.threshold, SMALL.threshold, 0.9)


def logits_of(size, spread, *, smooth):
    """Of four masks: smooth as a network makes them, or each cell by itself."""
    generator = torch.Generator().manual_seed(0)
    if not smooth:
        return spread * torch.randn(4, *size, generator=generator)
    coarse = torch.randn(1, 4, size[0] // 4, size[1] // 4, generator=generator)
    return spread * functional.interpolate(coarse, size=size, mode="bilinear")[0]


def decide(values):
    return torch.stack([values > threshold for threshold in THRESHOLDS])


@pytest.mark.parametrize("smooth", [True, False], ids=["smooth", "rough"])
@pytest.mark.parametrize("spread", SHARPNESS.values(), ids=SHARPNESS)
@pytest.mark.parametrize(("size", "video"), SIZES)
def test_pixels_above_the_threshold(size, video, spread, smooth):
    """None is another one where the share is further from the threshold than single precision can tell.

    A place in a grid of 350 columns is known to 2^-16 there, and so are the weights of its neighbours.
    """
    logits = logits_of(size, spread, smooth=smooth)
    for channel in range(4):
        exact = share_plain(logits.double(), channel, video)
        found, plain = share(logits, channel, video), share_plain(logits, channel, video)
        told = torch.stack([(exact - threshold).abs() > 5e-5 for threshold in THRESHOLDS])
        assert torch.equal(decide(found)[told], decide(exact)[told])
        assert torch.equal(decide(found), decide(plain))  # the same arithmetic: not one bit may differ
        assert told.float().mean() > 0.999


@pytest.mark.parametrize("spread", SHARPNESS.values(), ids=SHARPNESS)
def test_what_rounding_logits_to_bf16_decides_otherwise(spread):
    """A network in bf16 gives logits that are off by 2^-9 of themselves: few pixels lie so near a threshold."""
    logits = logits_of((60, 107), spread, smooth=True)
    exact = torch.stack([share_plain(logits.double(), channel, (480, 854)) for channel in range(4)])
    rounded = torch.stack([share(logits.bfloat16().float(), channel, (480, 854)) for channel in range(4)])
    assert (decide(exact) != decide(rounded)).float().mean() < 0.002


def test_a_form_that_is_off_by_a_thousandth_fails_these_checks():
    logits = logits_of((60, 107), 5.0, smooth=True)
    exact = share_plain(logits.double(), 1, (480, 854))
    assert not torch.equal(decide(exact + 0.001), decide(exact))
