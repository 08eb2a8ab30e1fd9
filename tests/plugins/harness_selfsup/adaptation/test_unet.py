"""The U-Net: its size, its shapes, where its weights come from, and that all of them learn."""

import pytest
import torch

from harness_selfsup.adaptation.unet import draw_untrained


def unet(classes: int = 2, seed: int = 0, width: int = 8):
    return draw_untrained(classes, torch.Generator().manual_seed(seed), width)


def test_two_classes_make_14_33_million_parameters():
    assert sum(parameter.numel() for parameter in unet(width=64).parameters()) == 14_328_354


@pytest.mark.parametrize(("height", "width"), [(32, 64), (96, 32)])
def test_logits_have_the_size_of_the_images(height, width):
    with torch.inference_mode():
        assert unet(4).eval()(torch.rand(1, 3, height, width)).shape == (1, 4, height, width)


def test_weights_come_from_the_generator_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = unet(seed=1), unet(seed=1), unet(seed=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    same = [torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True)]
    assert all(same)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_every_parameter_learns():
    network = unet(3, width=64)
    logits = network(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    (logits * torch.rand(logits.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_a_new_class_leaves_the_others_as_they_were():
    network = unet(2).eval()
    images = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        before = network(images)
    network.widen(4, torch.Generator().manual_seed(3))
    with torch.inference_mode():
        after = network(images)
    assert after.shape[1] == 4
    torch.testing.assert_close(after[:, :2], before)
    assert network.head.weight.requires_grad
    assert after[:, 2:].abs().max() > 0
