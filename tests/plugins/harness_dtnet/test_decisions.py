"""The kernels decide as double precision does: masks of targets, ids of pixels, winners; flat to sharp, on each device.

What is compared is what follows from the answer, where the two best answers lie further apart than single precision can
tell; the share of such pixels is asked for too.
"""

import pytest
import torch
from torch.nn import functional

from harness.machine import work_on
from harness_dtnet.association.merging import merge
from harness_dtnet.kernels import fit_targets, gate, gate_plain, group_pixels, group_plain
from harness_dtnet.target.bilinear import gather
from harness_dtnet.target.gauss_newton import Penalty
from harness_dtnet.target.importance import pixel_importance
from harness_dtnet.target.plain import fit_plain

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SMALL = (3, 2, 32, 8, (9, 11), (72, 88))  # targets, samples, channels, projected channels, grid, labels
PAPER = (2, 3, 1024, 96, (30, 30), (473, 473))
# How large features are, and how much of what a target looks like is its own: twins share nearly all of it.
LOOKS = {"flat": (0.05, 1.0), "as they come": (1.0, 1.0), "sharp": (20.0, 1.0), "twins": (1.0, 0.05)}
SCENES = [(SMALL, look) for look in LOOKS] + [
    pytest.param(PAPER, look, id=f"paper-{look}", marks=pytest.mark.slow) for look in ("sharp", "twins")
]


def scene(size, scale, own):
    """Features in which each target has a look of its own, and one box a target that moves from sample to sample."""
    targets, samples, depth, channels, grid, pixels = size
    generator = torch.Generator().manual_seed(0)
    shared, *looks = torch.randn(1 + targets, depth, generator=generator)
    labels = torch.zeros(targets, samples, *pixels)
    features = 0.5 * torch.randn(depth, samples, *grid, generator=generator)
    for target, look in enumerate(looks):
        for sample in range(samples):
            top, left = pixels[0] // 5 + 3 * sample, target * pixels[1] // targets + 2 * sample
            labels[target, sample, top : top + pixels[0] // 3, left : left + pixels[1] // (targets + 1)] = 1
        inside = functional.interpolate(labels[target][None], grid, mode="area")[0]
        features += (shared + own * look)[:, None, None, None] * inside
    features = scale * features.relu().expand(targets, -1, -1, -1, -1).contiguous()
    first = torch.randn(targets, channels, depth, generator=generator) / depth**0.5
    second = torch.randn(targets, channels, 9, generator=generator) / (9 * channels) ** 0.5
    return features, labels, pixel_importance(labels) / samples, first, second


def shares_of(weights, features, pixels):
    """What merging makes of the last sample: the share of each target in each pixel, and the masks, in double."""
    first, second = (part.double() for part in weights)
    projected = first @ features[0, :, -1].double().flatten(1)
    scores = gather((second.mT @ projected).unflatten(2, features.shape[-2:]))
    scores = functional.interpolate(scores[None], pixels, mode="bilinear", align_corners=False)[0]
    return merge(scores, None)[1], scores.clamp(0, 1)


def find_decided(scores, gap):
    """Where the likeliest answer is ahead of the next by more than ``gap``: a target, or the background."""
    background = (1 - scores).amin(0, keepdim=True)
    best, second = torch.cat([background, scores]).topk(2, dim=0).values
    return best - second > gap


def assert_same_masks(found, exact, features, pixels):
    masks, _ = shares_of(found, features, pixels)
    expected, scores = shares_of(exact, features, pixels)
    told = find_decided(scores, 0.001)
    assert all(part.isfinite().all() for part in found)
    assert torch.equal(masks & told, expected & told)
    assert expected.any(0).float().mean() > 0.05
    assert told.float().mean() > 0.9


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("size", "look"), SCENES)
def test_fitted_models_give_the_masks_of_double_precision(size, look, device):
    given = scene(size, *LOOKS[look])
    exact = fit_targets(*(part.double() for part in given), iterations=(5, 10, 10), penalty=Penalty())
    with work_on(device):
        found = fit_targets(*(part.to(device) for part in given), iterations=(5, 10, 10), penalty=Penalty())
    assert_same_masks([part.cpu() for part in found], exact, given[0], size[-1])


@pytest.mark.parametrize("device", DEVICES)
def test_fitted_models_give_the_masks_of_double_backward(device):
    given = scene(SMALL, *LOOKS["as they come"])
    exact = fit_plain(*(part.double() for part in given), iterations=(5, 10), penalty=Penalty())
    with work_on(device):
        found = fit_targets(*(part.to(device) for part in given), iterations=(5, 10), penalty=Penalty())
    assert_same_masks([part.cpu() for part in found], exact, given[0], SMALL[-1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("count", "spread"),
    [(0, 0.1), (3, 0.0), (3, 0.1), (3, 3.0), *(pytest.param(n, 0.1, marks=pytest.mark.slow) for n in (20, 255))],
)
def test_pixels_are_grouped_as_in_double_precision(count, spread, device):
    """``spread``: how far offsets lead, in heights of the frame; at 0 each pixel stays where it is."""
    generator = torch.Generator().manual_seed(count)
    height, width = 480, 854
    centres = torch.rand(count, 2, generator=generator) * torch.tensor([height, width])
    offsets = spread * height * torch.randn(2, height, width, generator=generator)
    foreground = torch.rand(height, width, generator=generator) > 0.5
    found = group_pixels(foreground.to(device), offsets.to(device), centres.to(device)).cpu()
    exact = group_plain(foreground, offsets.double(), centres.double())
    rows, columns = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    different = (found != exact).nonzero(as_tuple=True)
    if len(different[0]):  # nearest by less than single precision can tell
        reached = torch.stack([rows + offsets[0], columns + offsets[1]], -1)[different]
        one, other = (centres.double()[ids[different].long() - 1] for ids in (found, exact))
        squared = [(reached - centre).square().sum(1) for centre in (one, other)]
        assert ((squared[0] - squared[1]).abs() <= 1e-5 * squared[1].clamp(min=1)).all()
    assert len(different[0]) <= 1e-4 * foreground.sum()
    assert not found[~foreground].any()


@pytest.mark.parametrize("device", DEVICES)
def test_the_first_of_equal_centres_is_taken(device):
    centres = torch.tensor([[5.0, 9.0], [5.0, 1.0], [5.0, 1.0]], device=device)
    foreground = torch.ones(11, 11, dtype=torch.bool, device=device)
    found = group_pixels(foreground, torch.zeros(2, 11, 11, device=device), centres)
    assert found[:, 5].unique().tolist() == [1]
    assert found.unique().tolist() == [1, 2]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_what_is_read_out_of_the_gate_is_decided_alike(scale, dtype, device):
    """The larger of eight linear read-outs, as a head has it; logits from flat to one that takes all."""
    generator = torch.Generator().manual_seed(0)
    own, guidance = torch.randn(2, 1, 256, 30, 54, generator=generator).to(dtype)
    logits = (scale * torch.randn(1, 2, 256, generator=generator)).to(dtype)
    head = torch.randn(8, 256, generator=generator, dtype=torch.float64)
    found = gate(*(part.to(device) for part in (own, guidance, logits))).cpu().double()
    exact = gate_plain(own.double(), guidance.double(), logits.double())
    mine, theirs = (torch.einsum("kc,bchw->bkhw", head, maps) for maps in (found, exact))
    best, second = theirs.topk(2, dim=1).values.unbind(1)
    told = best - second > (1e-3 if dtype == torch.float32 else 1.0)
    assert torch.equal(mine.argmax(1)[told], theirs.argmax(1)[told])
    assert told.float().mean() > (0.99 if dtype == torch.float32 else 0.8)
