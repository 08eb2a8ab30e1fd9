"""What stands out, split in two; nothing does in a frame of one colour."""

import pytest
import torch

from harness.api.errors import UsageError
from harness_baselines.config import SaliencyConfig
from harness_baselines.saliency import build, split


def test_the_split_lies_between_two_levels():
    rated = torch.tensor([[0.1, 0.2], [0.8, 0.9]])

    assert split(rated).tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_nothing_is_above_one_level(level):
    assert not split(torch.full((3, 4), level)).any()


@pytest.mark.parametrize("provider", ["boundary", "spectral", "finegrained"])
@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (24, 32)])
def test_frames_of_one_colour_and_of_any_shape_have_masks(context, shown, provider, size):
    noise = torch.randint(0, 256, (*size, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    method = build(context(SaliencyConfig(provider), saliency=provider))
    flat, noisy = method.segment_object(shown([torch.full_like(noise, 90), noise]))

    assert not flat.any()
    assert noisy.shape == size
    assert set(noisy.unique().tolist()) <= {0, 1}


def test_a_bright_square_stands_out(context, shown):
    frame = torch.full((60, 80, 3), 40, dtype=torch.uint8)
    frame[20:40, 30:50] = torch.tensor([220, 30, 30], dtype=torch.uint8)
    (mask,) = build(context(SaliencyConfig(), saliency="boundary")).segment_object(shown([frame]))
    truth = torch.zeros(60, 80, dtype=torch.bool)
    truth[20:40, 30:50] = True

    assert (mask.bool() & truth).sum() > 0.8 * (mask.bool() | truth).sum()


def test_no_provider_is_refused(context):
    with pytest.raises(UsageError, match="found no saliency provider"):
        build(context(SaliencyConfig("")))


def test_one_that_looks_at_the_frames_around_is_refused_as_each_frame_is_seen_on_its_own(context):
    with pytest.raises(UsageError, match="looks at the frames around"):
        build(context(SaliencyConfig("motion"), saliency="motion"))
