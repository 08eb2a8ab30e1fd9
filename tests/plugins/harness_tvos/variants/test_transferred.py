"""Layer 3 of public ResNets: every layout of their files, at stride 8, as raw products and as cosines."""

import functools
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness import BuildContext, DataError, Prompts, Video
from harness_tvos import harness_methods
from harness_tvos.config import PRESETS
from harness_tvos.network import build_network, load_checkpoint
from harness_tvos.variants.transferred import Layer3Network, build_layer3_network, layer3_network_for

(CARD,) = harness_methods()
REST = {"fc.weight": torch.zeros(1000, 8), "layer4.0.conv1.weight": torch.zeros(512, 1024, 1, 1)}


@functools.cache
def network():
    return build_layer3_network("r50", seed=3)


def tensors():
    return network().state_dict()


def context(weights: Path | None, preset: str) -> BuildContext:
    return BuildContext("one-shot", PRESETS[preset], device="cpu", precision="fp32", weights=weights, seed=0)


def test_resnet_50_up_to_layer_3_has_torchvisions_count():
    # torchvision's resnet50 has 25,557,032 parameters, layer4 14,964,736 and fc 2,049,000 of them.
    assert sum(parameter.numel() for parameter in network().parameters()) == 25_557_032 - 14_964_736 - 2_049_000
    assert {name.split(".")[0] for name in tensors()} == {"conv1", "bn1", "layer1", "layer2", "layer3"}
    assert tensors()["layer3.5.conv3.weight"].shape == (1024, 256, 1, 1)


def test_features_have_stride_8():
    with torch.no_grad():
        assert build_layer3_network("r18").eval()(torch.zeros(1, 3, 65, 96)).shape == (1, 256, 9, 12)


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(lambda state: {**state, **REST}, id="torchvision"),
        pytest.param(
            lambda state: {"state_dict": {f"module.{name}": value for name, value in (state | REST).items()}},
            id="instdisc",
        ),
        pytest.param(
            lambda state: {
                "epoch": 200,
                "state_dict": {
                    **{f"module.encoder_q.{name}": value for name, value in (state | REST).items()},
                    **{f"module.encoder_k.{name}": torch.zeros_like(value) for name, value in state.items()},
                    "module.queue": torch.zeros(128, 4),
                },
            },
            id="moco",
        ),
        pytest.param(lambda state: {f"encoder_q.{name}": value for name, value in state.items()}, id="moco-bare"),
        pytest.param(
            lambda state: {name: v for name, v in state.items() if "num_batches" not in name}, id="old-batch-norm"
        ),
    ],
)
def test_every_layout_gives_the_same_network(tmp_path, layout):
    torch.save(layout(tensors()), tmp_path / "weights.pth.tar")
    found = layer3_network_for(load_checkpoint(tmp_path / "weights.pth.tar"))
    assert all(torch.equal(value, tensors()[name]) for name, value in found.state_dict().items())


def test_tvos_weights_have_a_layer_3_too():
    network = build_network("r18", seed=1)
    found = layer3_network_for(network.state_dict()).eval()
    images = torch.randn(1, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(found(images), network.eval().backbone[:7](images))


@pytest.mark.parametrize(("architecture", "blocks"), [("r18", (2, 2, 2)), ("r50", (3, 4, 6)), ("r101", (3, 4, 23))])
def test_names_tell_the_architecture(architecture, blocks):
    found = layer3_network_for(build_layer3_network(architecture).state_dict())
    assert tuple(len(part) for part in (found.layer1, found.layer2, found.layer3)) == blocks


def test_what_is_no_resnet_is_refused():
    with pytest.raises(DataError, match="of no ResNet: found 1 tensors such as"):
        layer3_network_for({"encoder.weight": torch.zeros(1)})


def test_another_width_is_refused_with_the_tensor():
    wide = tensors() | {"layer1.0.conv1.weight": torch.zeros(128, 64, 1, 1)}
    with pytest.raises(DataError, match=r"layer1.0.conv1.weight: found \(128, 64, 1, 1\), expected \(64, 64, 1, 1\)"):
        layer3_network_for(wide)


def test_layers_between_are_missed():
    with pytest.raises(DataError, match=r"lack 1 tensors \(layer2.1.bn2.bias\)"):
        layer3_network_for({name: value for name, value in tensors().items() if name != "layer2.1.bn2.bias"})


def test_raw_features_are_those_of_the_layer_and_cosines_have_length_one(tmp_path):
    small = build_layer3_network("r18", seed=4).eval()
    save_file(small.state_dict(), tmp_path / "weights.safetensors")
    image = torch.randint(256, (24, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    raw, cosine = (
        CARD.build(context(tmp_path / "weights.safetensors", f"layer3-{kind}")).embed(image)
        for kind in ("raw", "cosine")
    )
    normalised = (image.permute(2, 0, 1) / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    with torch.no_grad():
        expected = small(normalised[None])[0].flatten(1).t()
    assert (raw - expected).abs().max() < 1e-4 * expected.abs().max()
    assert torch.allclose(cosine, raw / raw.norm(dim=1, keepdim=True), atol=1e-6)


def test_a_video_goes_through_with_either_preset(tmp_path):
    torch.save(build_layer3_network("r18").state_dict(), tmp_path / "weights.pth")
    frames = [torch.zeros(16, 24, 3, dtype=torch.uint8)] * 3
    prompt = torch.zeros(16, 24, dtype=torch.uint8)
    prompt[:8, :8] = 5
    for preset in ("layer3-raw", "layer3-cosine"):
        video = Video(name="v", length=3, height=16, width=24, read=frames.__getitem__)
        masks = list(CARD.build(context(tmp_path / "weights.pth", preset)).propagate(video, Prompts({0: prompt})))
        assert [mask.shape for mask in masks] == [(16, 24)] * 3
        assert set(masks[2].unique().tolist()) <= {0, 5}


def test_without_weights_an_untrained_one_is_built():
    assert isinstance(CARD.build(context(None, "layer3-raw")).network.network, Layer3Network)
