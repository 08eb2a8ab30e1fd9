import copy

import cv2
import pytest
import safetensors.torch
import torch
from torch import nn

from harness import BuildContext, DataError
from harness.api.errors import UsageError
from harness_selfsup import harness_methods
from harness_selfsup.config import Config
from harness_selfsup.frames.lab import lab_by_table, to_lab
from harness_selfsup.network import Encoder, Encoders, build_encoder, for_inference, load_checkpoint, state_of


def settle(encoder: Encoder, seed: int = 0) -> Encoder:
    """The encoder in evaluation mode, with batch norms that do something."""
    generator = torch.Generator().manual_seed(seed)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.5)):
                value = getattr(module, name)
                value.data.copy_(torch.rand(value.shape, generator=generator) + low)
    return encoder.eval()


def test_the_encoder_has_the_tensors_of_mast():
    state = Encoder().state_dict()
    assert len(state) == 116
    assert sum(parameter.numel() for parameter in Encoder().parameters()) == 5_291_648
    expected = {f"feature_extraction.conv1.{name}" for name in _pair(0)}
    for layer in (1, 2, 3, 4):
        for block in (0, 1):
            root = f"feature_extraction.layer{layer}.{block}"
            expected |= {f"{root}.left.{name}" for name in (*_pair(0), *_pair(3))}
            if block == 0 and layer in (2, 3):
                expected |= {f"{root}.shortcut.{name}" for name in _pair(0)}
    assert set(state) == expected | {"post_convolution.weight", "post_convolution.bias"}


def _pair(index: int) -> list[str]:
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return [f"{index}.weight", *(f"{index + 1}.{name}" for name in norm)]


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (1, 1), (2, 30)])
def test_features_are_a_quarter_of_the_image_rounded_up(size):
    features = for_inference(build_encoder())(torch.zeros(1, 3, *size))
    assert features.shape == (1, -(-size[0] // 4), -(-size[1] // 4), 64)
    assert features.is_contiguous()


def test_two_encoders_of_one_seed_are_equal_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    first, same, other = build_encoder(3), build_encoder(3), build_encoder(4)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.post_convolution.weight, same.post_convolution.weight)
    assert not torch.equal(first.post_convolution.weight, other.post_convolution.weight)


def test_folding_changes_no_feature():
    encoder = settle(build_encoder())
    image = to_lab(torch.randint(0, 256, (1, 30, 41, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)))
    with torch.inference_mode():
        plain, folded = encoder(image)[0].permute(1, 2, 0), for_inference(encoder)(image)[0]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in for_inference(encoder).modules())
    assert (plain - folded).abs().max() < 1e-4 * plain.abs().max()


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_features_are_near(precision, dtype):
    encoder = settle(build_encoder())
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features, exact = for_inference(encoder, precision=precision)(image), for_inference(encoder)(image)
    assert features.dtype == dtype
    assert (features.float() - exact).abs().max() < 0.05 * exact.abs().max()


def test_lab_is_that_of_opencv():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8, generator=generator)
    images[0, 0, :2] = torch.tensor([[0, 0, 0], [255, 255, 255]], dtype=torch.uint8)
    for frame, found in zip(images, to_lab(images), strict=True):
        lab = torch.from_numpy(cv2.cvtColor(frame.float().div(255).numpy(), cv2.COLOR_RGB2Lab))
        expected = torch.stack([(lab[..., 0] - 50) / 50, lab[..., 1] / 127, lab[..., 2] / 127])
        assert (found - expected).abs().max() < 1e-6
        by_table = lab_by_table(frame[None].float() / 255)[0]
        assert (by_table - lab).abs().max() <= 256 / 2**14  # one unit of its fixed point
        assert (by_table == lab).float().mean() > 0.99


def test_black_and_white_have_the_lightness_they_should():
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 1, 3)
    assert torch.allclose(to_lab(images)[:, :, 0, 0], torch.tensor([[-1.0, 0, 0], [1.0, 0, 0]]), atol=1e-3)


def test_lab_of_floats_in_unit_range_is_that_of_bytes():
    images = torch.randint(0, 256, (1, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(to_lab(images), to_lab(images.float() / 255))


@pytest.mark.parametrize("form", ["bare", "wrapped", "module", "halves", "uncounted", "safetensors"])
def test_a_file_of_mast_loads_strictly(tmp_path, form):
    encoder = settle(build_encoder(5))
    state, path = dict(encoder.state_dict()), tmp_path / "mast.pt"
    if form == "module":
        state = {f"module.{name}": value for name, value in state.items()}
    if form == "halves":
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    if form == "uncounted":
        state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    if form == "safetensors":
        path = path.with_suffix(".safetensors")
        safetensors.torch.save_file(state, path)
    else:
        torch.save({"epoch": 20, "state_dict": state} if form == "wrapped" else state, path)
    loaded = load_checkpoint(path)
    assert loaded.memory is None
    tolerance = 1e-3 if form == "halves" else 0
    for name, value in encoder.state_dict().items():
        found = loaded.query.state_dict()[name]
        assert found.dtype == value.dtype
        assert torch.allclose(found.double(), value.double(), rtol=tolerance, atol=tolerance), name


def test_the_memory_encoder_comes_back_under_its_own_names(tmp_path):
    query, memory = settle(build_encoder(1)), settle(build_encoder(2), seed=2)
    safetensors.torch.save_file(state_of(Encoders(query, memory)), tmp_path / "both.safetensors")
    loaded = load_checkpoint(tmp_path / "both.safetensors")
    assert loaded.memory is not None
    for found, kept in ((loaded.query, query), (loaded.memory, memory)):
        assert all(torch.equal(value, kept.state_dict()[name]) for name, value in found.state_dict().items())


@pytest.mark.parametrize("fault", ["missing", "surplus", "shape", "memory", "truncated", "foreign"])
def test_another_file_is_refused_by_name(tmp_path, fault):
    path = tmp_path / "odd.pt"
    state = copy.copy(build_encoder().state_dict())
    if fault == "missing":
        del state["post_convolution.bias"]
    if fault == "surplus":
        state["fc.weight"] = torch.zeros(2)
    if fault == "shape":
        state["post_convolution.bias"] = torch.zeros(3)
    if fault == "memory":
        state["momentum.post_convolution.bias"] = torch.zeros(64)
    if fault == "foreign":
        state = {"backbone.0.weight": torch.zeros(3)}
    torch.save(state, path)
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
    expected = {
        "missing": "lack 1 tensors.*post_convolution.bias",
        "surplus": "1 unknown.*fc.weight",
        "shape": r"post_convolution.bias: found \(3,\), expected \(64,\)",
        "memory": "under 'momentum.'.*lack",
        "truncated": "odd.pt",
        "foreign": "backbone.0.weight",
    }
    with pytest.raises(DataError, match=expected[fault]):
        load_checkpoint(path)


def test_channels_may_lie_first_and_features_are_the_same(monkeypatch):
    image = torch.randn(1, 3, 24, 36, generator=torch.Generator().manual_seed(0))
    last = for_inference(build_encoder())(image)
    monkeypatch.setattr("harness_selfsup.network.fastest_layout", lambda *where, tf32: torch.contiguous_format)
    first = for_inference(build_encoder())(image)
    assert last.is_contiguous()
    assert first.is_contiguous()
    assert (first - last).abs().max() < 1e-4


def test_tf32_is_refused_on_a_cpu():
    (card, *_) = harness_methods()
    asked = BuildContext("one-shot", Config(tf32=True), device="cpu", precision="fp32", weights=None, seed=0)
    with pytest.raises(UsageError, match="selfsup was asked for tf32 on device 'cpu'"):
        card.build(asked)
