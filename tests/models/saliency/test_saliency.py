"""Saliency maps lie in 0..1, stand out where an object does, and are flat where nothing does."""

import numpy as np
import pytest
import torch

from harness.api.errors import UsageError
from harness.models.saliency import SaliencyProvider, saliency_provider
from harness.models.saliency.boundary import boundary_connectivity, rate_superpixels, superpixels
from harness.models.saliency.scale import to_unit

COMPUTED = ("boundary", "spectral", "finegrained")
GRASS, RED = (60, 140, 60), (220, 30, 30)


def lawn(size: tuple[int, int] = (96, 128)) -> torch.Tensor:
    """A red square, on rows 36..60 and columns 50..74, on a lawn with a little noise."""
    noise = torch.randint(-8, 9, (*size, 3), generator=torch.Generator().manual_seed(0))
    frame = torch.tensor(GRASS).expand(*size, 3) + noise
    frame[36:60, 50:74] = torch.tensor(RED)
    return frame.to(torch.uint8)


def test_by_its_spectrum_a_small_bright_spot_stands_out():
    frame = torch.full((96, 128, 3), 120, dtype=torch.uint8)
    frame[40:50, 60:70] = 220
    spot = torch.zeros(96, 128, dtype=torch.bool)
    spot[36:54, 56:74] = True
    rated = saliency_provider("spectral").rate(frame)
    assert rated[spot].mean() > 10 * rated[~spot].mean()


@pytest.mark.parametrize("name", ["boundary", "finegrained"])
def test_an_object_stands_out(name):
    rated = saliency_provider(name).rate(lawn())
    inside = torch.zeros(96, 128, dtype=torch.bool)
    inside[36:60, 50:74] = True
    assert rated.dtype == torch.float32
    assert (rated.min(), rated.max()) == (0, 1)
    assert rated[inside].mean() > 2 * rated[~inside].mean()


def test_by_boundary_the_object_is_found_whole():
    assert torch.equal(saliency_provider("boundary").rate(lawn())[38:58, 52:72].round(), torch.ones(20, 20))
    assert saliency_provider("boundary").rate(lawn())[:30].max() < 0.2


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 3), (5, 200), (40, 60)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_frame_of_one_colour_has_nothing_that_stands_out_whatever_its_size(name, size, value):
    rated = saliency_provider(name).rate(torch.full((*size, 3), value, dtype=torch.uint8))
    assert rated.shape == size
    assert rated.isfinite().all()
    assert rated.max() == 0


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 4), (17, 64)])
def test_small_grey_noise_is_rated(name, size):
    grey = torch.randint(0, 256, (*size, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    rated = saliency_provider(name).rate(grey.expand(-1, -1, 3))
    assert rated.shape == size
    assert 0 <= rated.min() <= rated.max() <= 1


@pytest.mark.parametrize("name", COMPUTED)
def test_equal_frames_give_equal_maps(name):
    before = lawn()
    assert torch.equal(saliency_provider(name).rate(before), saliency_provider(name).rate(lawn()))
    assert torch.equal(before, lawn())


@pytest.mark.parametrize("name", COMPUTED)
def test_each_is_a_provider_with_a_fingerprint_of_its_own(name):
    provider = saliency_provider(name)
    assert isinstance(provider, SaliencyProvider)
    assert provider.name == name
    assert provider.fingerprint("dog").startswith(name)


def test_an_unknown_name_is_refused_with_a_guess():
    with pytest.raises(UsageError, match="did you mean 'spectral'"):
        saliency_provider("spectrum")


def test_boundary_connectivity_is_the_border_s_share_to_the_root_of_the_area():
    """Two colours far apart: 8 superpixels around, all of the border; one inside, of another colour."""
    labels = np.arange(9).reshape(3, 3)
    colours = np.zeros((9, 3))
    colours[4] = 1000
    expected = np.full(9, 8 / 8**0.5)
    expected[4] = 0 / 1**0.5
    assert boundary_connectivity(labels, colours) == pytest.approx(expected)


def test_a_colour_that_reaches_the_border_by_small_steps_belongs_to_it():
    """A row of cells whose colours differ by 1 each: what is near in colour, over neighbours, is like."""
    labels = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    near, far = (boundary_connectivity(labels, np.array([[0.0, 0, 0], [step, 0, 0]]))[1] for step in (1.0, 1000.0))
    alike = np.exp(-(1.0**2) / (2 * 10.0**2))
    assert near == pytest.approx(alike / (1 + alike) ** 0.5)
    assert far == pytest.approx(0)


def test_contrast_counts_the_background_near_by():
    """The object differs by 50 from the ring around it, and is no background; the ring differs from nothing else."""
    labels = np.arange(9).reshape(3, 3)
    lab = np.zeros((3, 3, 3))
    lab[1, 1] = 50
    rated = rate_superpixels(labels, lab)
    ring = 1 - np.exp(-((8 / 8**0.5) ** 2) / 2)
    apart = 50 * 3**0.5
    near = [np.exp(-(distance**2) / 9 / (2 * 0.25**2)) for distance in (1, 2**0.5)]
    assert rated[4] == pytest.approx(apart * ring * 4 * sum(near), rel=1e-3)
    assert rated[0] < rated[4] / 100


def test_superpixels_are_numbered_without_a_gap():
    labels = superpixels(lawn().numpy())
    assert labels.shape == (96, 128)
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))


def test_scores_are_stretched_to_the_whole_range():
    assert to_unit(torch.tensor([[2.0, 4.0, 6.0]])).tolist() == [[0, 0.5, 1]]
    assert to_unit(torch.tensor([[7.0, 7.0]])).tolist() == [[0, 0]]
