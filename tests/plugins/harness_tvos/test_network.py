"""The network has the official shape and names, loads official-format checkpoints strictly, and folds exactly."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from harness import DataError
from harness_tvos import harness_methods
from harness_tvos.network import (
    EmbeddingNetwork,
    architecture_of,
    build_network,
    for_inference,
    initialise_from_imagenet,
    load_checkpoint,
    network_for,
)


def with_lived_in_norms(network: EmbeddingNetwork) -> EmbeddingNetwork:
    """Batch norms that differ from the identity, as after training."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return network


@pytest.mark.parametrize(
    ("architecture", "tensors", "parameters"),
    [
        ("r50", 318, 12_157_504),  # spec 1.1, measured on the released code
        # r18: torchvision's 11,689,512 without fc (513,000) and layer 4 of width 512 (8,393,728), plus layer 4 of
        # width 256 without downsample (4 * 9 * 256 * 256 + 4 * 512 = 2,361,344).
        ("r18", 114, 11_689_512 - 513_000 - 8_393_728 + 2_361_344),
        ("r101", 318 + 17 * 18, 12_157_504 + 17 * (2 * 1024 * 256 + 9 * 256 * 256 + 2 * (256 + 256 + 1024))),
    ],
)
def test_tensors_and_parameters_are_the_official_count(architecture: str, tensors: int, parameters: int) -> None:
    network = build_network(architecture)
    assert len(network.state_dict()) == tensors
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_r50_has_the_official_names_and_layer4_is_narrow_without_downsample() -> None:
    state = build_network("r50").state_dict()
    roots = {".".join(name.split(".")[:2]) if name.startswith("backbone") else name.split(".")[0] for name in state}
    assert roots == {*(f"backbone.{i}" for i in (0, 1, 4, 5, 6, 7)), "adjust_dim", "bn256"}
    assert state["backbone.7.0.conv2.weight"].shape == (256, 256, 3, 3)
    assert [name for name in state if "downsample.0" in name] == [
        f"backbone.{i}.0.downsample.0.weight" for i in (4, 5, 6)
    ]
    assert state["adjust_dim.weight"].shape == (256, 1024, 1, 1)


@pytest.mark.parametrize("architecture", ["r18", "r50"])
@pytest.mark.parametrize(("height", "width", "grid"), [(64, 96, (8, 12)), (65, 71, (9, 9))])
def test_features_have_an_eighth_of_the_size_rounded_up(
    architecture: str, height: int, width: int, grid: tuple[int, int]
) -> None:
    features = build_network(architecture).eval()(torch.zeros(2, 3, height, width))
    assert features.shape == (2, 256, *grid)


def test_r18_features_are_after_a_relu_and_r50_features_are_not() -> None:
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert build_network("r18")(images).min() == 0
    assert build_network("r50")(images).min() < 0


def test_initial_convolutions_have_the_official_spread_and_follow_the_seed() -> None:
    one, same, other = (build_network("r18", seed=seed).backbone[7][0].conv1.weight for seed in (0, 0, 1))
    assert one.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_adjust_dim_begins_as_pytorch_leaves_it() -> None:
    # U(-a, a) with a = 1 / sqrt(1024), whose deviation is a / sqrt(3) = .018; N(0, sqrt(2 / 256)) would have .088.
    one, same, other = (build_network("r50", seed=seed).adjust_dim.weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.abs().max() <= 1 / 32
    assert one.std().item() == pytest.approx(1 / 32 / 3**0.5, rel=0.01)


def test_an_official_checkpoint_loads_with_prefix_wrapper_and_missing_counters(tmp_path: Path) -> None:
    network = with_lived_in_norms(build_network("r50", seed=3))
    kept = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    file = tmp_path / "checkpoint.pth.tar"
    torch.save(
        {
            "epoch": 240,
            "state_dict": {f"module.{name}": value for name, value in kept.items()},
            "optimizer": optimizer.state_dict(),
            "scheduler": {"T_max": 240, "last_epoch": 240},
        },
        file,
    )
    loaded = network_for(load_checkpoint(file))
    assert loaded.architecture == "r50"
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in kept.items())


def test_halves_in_safetensors_are_widened(tmp_path: Path) -> None:
    state = build_network("r18").state_dict()
    file = tmp_path / "weights.safetensors"
    save_file({name: value.half() if value.is_floating_point() else value for name, value in state.items()}, file)
    loaded = load_checkpoint(file)
    assert {value.dtype for value in loaded.values()} == {torch.float32, torch.int64}
    assert torch.allclose(loaded["backbone.0.weight"], state["backbone.0.weight"], atol=1e-3)
    assert architecture_of(loaded) == "r18"


def test_a_checkpoint_with_other_objects_is_refused_with_the_way_to_save_it_again(tmp_path: Path) -> None:
    file = tmp_path / "official.pth"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "scheduler": collections.deque([1])}, file)
    with pytest.raises(DataError, match=r"other Python objects") as refusal:
        load_checkpoint(file)
    assert "weights_only=False" in refusal.value.hint
    assert "official-weights.pth" in refusal.value.hint


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_damaged_and_absent_files_are_data_errors_naming_the_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=name):
        load_checkpoint(tmp_path / name)
    (tmp_path / name).write_bytes(b"not a checkpoint")
    with pytest.raises(DataError, match=name):
        load_checkpoint(tmp_path / name)


def test_a_file_without_a_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(DataError, match="holds no state dict"):
        load_checkpoint(tmp_path / "empty.pth")


def test_missing_and_unknown_tensors_are_named() -> None:
    state = build_network("r50").state_dict()
    del state["bn256.bias"]
    state["fc.weight"] = torch.zeros(1)
    with pytest.raises(DataError, match=r"lack 1 tensors \(bn256.bias\) and have 1 unknown \(fc.weight\)"):
        network_for(state)


def test_weights_of_another_network_are_refused_with_its_depths() -> None:
    state = {name: value for name, value in build_network("r50").state_dict().items() if "backbone.6.5" not in name}
    with pytest.raises(DataError, match=r"\(3, 4, 5, 3\)"):
        network_for(state)


def test_a_tensor_of_another_width_is_refused_with_both_shapes() -> None:
    state = build_network("r18").state_dict()
    state["backbone.7.1.conv2.weight"] = torch.zeros(512, 256, 3, 3)
    with pytest.raises(DataError, match=r"found \(512, 256, 3, 3\), expected \(256, 256, 3, 3\)"):
        network_for(state)


@pytest.mark.parametrize("architecture", ["r18", "r50"])
def test_the_folded_network_equals_the_plain_one(architecture: str) -> None:
    network = with_lived_in_norms(build_network(architecture)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.randn(1, 3, 40, 56, generator=torch.Generator().manual_seed(0))
    folded = for_inference(network)
    with torch.no_grad():
        plain, fast = network(images), folded(images)
    assert (plain - fast).abs().max() < 1e-3 * plain.abs().max()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())


def test_a_bf16_network_takes_fp32_images_and_returns_bf16_features() -> None:
    network = build_network("r18").eval()
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    features = for_inference(network, "cpu", "bf16")(images)
    assert features.dtype == torch.bfloat16
    with torch.no_grad():
        assert torch.allclose(features.float(), network(images), atol=0.05 * network(images).max().item())


@pytest.mark.gpu
def test_features_on_a_gpu_equal_those_on_the_cpu() -> None:
    network = build_network("r18").eval()
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    on_gpu = for_inference(network, "cuda")(images.cuda()).cpu()
    assert torch.allclose(on_gpu, for_inference(network)(images), rtol=1e-2, atol=1e-2)


def test_imagenet_weights_reach_the_stem_and_layers_1_to_3_only() -> None:
    donor, network = build_network("r50", seed=5).state_dict(), build_network("r50", seed=6)
    names = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3"}
    torchvision = {"fc.weight": torch.zeros(1000, 2048), "layer4.0.conv1.weight": torch.zeros(512, 1024, 1, 1)}
    for name, value in donor.items():
        _, _, rest = name.partition("backbone.")
        index, _, tail = rest.partition(".")
        if index in names:
            torchvision[f"{names[index]}.{tail}"] = value
    layer4 = network.backbone[7][0].conv1.weight.clone()
    initialise_from_imagenet(network, torchvision)
    assert torch.equal(network.backbone[0].weight, donor["backbone.0.weight"])
    assert torch.equal(network.backbone[6][5].conv3.weight, donor["backbone.6.5.conv3.weight"])
    assert torch.equal(network.backbone[7][0].conv1.weight, layer4)


def test_imagenet_weights_of_another_depth_are_refused() -> None:
    with pytest.raises(DataError, match="the ImageNet weights lack"):
        initialise_from_imagenet(build_network("r18"), {"conv1.weight": torch.zeros(64, 3, 7, 7)})


@pytest.mark.parametrize(
    "weights", [each for each in harness_methods()[0].weights if each.path], ids=lambda each: each.name
)
def test_the_shipped_weights_are_small_and_state_their_licence(weights) -> None:
    assert weights.path.stat().st_size < 2e6
    network = network_for(load_checkpoint(weights.path))
    assert network.architecture == "lite0-s4"
    with safe_open(weights.path, "pt") as file:
        metadata = file.metadata()
    assert "CC BY-NC 4.0" in metadata["data_licence"]
    assert {"method", "data", "config", "iterations", "seed"} <= set(metadata)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(for_inference(network)(images)).all()
