"""A pyramid sees each cell at every rate and the whole map, keeps its size, and folds without change."""

import copy

import torch
from torch import nn

from harness.models.aspp import ASPP, fold_aspp


def test_the_map_keeps_its_size_and_every_part_is_heard():
    pyramid = ASPP(8, rates=(2, 3), out=4).eval()
    assert pyramid(torch.zeros(2, 8, 9, 11)).shape == (2, 4, 9, 11)
    assert pyramid.project[0].weight.shape == (4, 4 * 4, 1, 1)
    assert [tuple(part[0].dilation) for part in pyramid.convs[:3]] == [(1, 1), (2, 2), (3, 3)]


def test_a_cell_reaches_what_lies_a_rate_away_and_by_the_mean_everything():
    pyramid = ASPP(1, rates=(3,), out=1).eval()
    for part, value in ((pyramid.convs[0], 1.0), (pyramid.convs[1], 10.0), (pyramid.convs[2], 100.0)):
        nn.init.constant_(next(module for module in part if isinstance(module, nn.Conv2d)).weight, value)
    nn.init.ones_(pyramid.project[0].weight)
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4] = 81.0
    found = pyramid(image)[0, 0] * (1 + 1e-5)  # each part's norm and the last one's divide by sqrt(1 + 1e-5)
    assert torch.allclose(found[4, 4], torch.tensor(81.0 * 11 + 100.0))
    assert torch.allclose(found[4, 7], torch.tensor(81.0 * 10 + 100.0))
    assert torch.allclose(found[0, 0], torch.tensor(100.0))


def test_folded_it_gives_the_same():
    pyramid = ASPP(8, rates=(2,), out=4).double().eval()
    for module in pyramid.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(0.1)
            module.running_var.fill_(2.0)
    folded = copy.deepcopy(pyramid)
    fold_aspp(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    image = torch.rand(1, 8, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(folded(image), pyramid(image), rtol=1e-12)
