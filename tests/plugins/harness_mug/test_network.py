"""The network: three layouts, sizes of the paper, and which files they take."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from harness import BuildContext, DataError
from harness.api.errors import UsageError
from harness.models.efficientnet_lite import FusedInvertedResidual, InvertedResidual
from harness.models.resnet import BasicBlock
from harness_mug.config import PRESETS
from harness_mug.frames import lightness, working_size
from harness_mug.network import (
    LAYOUTS,
    TRAINING,
    Phi,
    architecture_of,
    build_network,
    load_network,
    load_trunk,
    phi_of,
)
from harness_mug.readout.paper import PaperReadout
from harness_mug.readout.released import Memory as Released
from harness_mug.readout.released import ReleasedReadout


@pytest.fixture(scope="module", params=["paper", "code", "small"])
def network(request):
    return build_network(request.param, seed=0).eval()


@torch.inference_mode()
def test_maps_have_the_stride_and_the_channels_of_the_layout(network):
    layout = network.layout
    found = network.embed(network.normalise(torch.rand(1, 3, 32, 48) * 255))
    grid = (32 // layout.stride, 48 // layout.stride)
    assert found.x.shape == (1, layout.width, *grid)
    assert found.match.shape == (1, layout.match, *grid)
    assert network.embed_for_tracking(torch.rand(1, 3, 32, 32)).shape[1] == layout.track
    assert network.judge(found).shape == (1, 1, *grid)
    memory = network.remember(found)
    r = network.represent(memory, [memory, memory])
    assert network.read_out(r[None], found).shape == (1, 1, *grid)


def test_the_paper_s_r_has_256_channels_and_x_512():
    assert (LAYOUTS["paper"].width, 2 * LAYOUTS["paper"].match, LAYOUTS["paper"].stride) == (512, 256, 4)
    assert (LAYOUTS["code"].width, LAYOUTS["code"].stride) == (512, 8)


@torch.inference_mode()
@pytest.mark.parametrize("seed", [0, 1])
def test_cells_are_as_alike_before_training_as_the_trunk_says(seed):
    """All products of x are those of the trunk's own map, whatever rotation the seed draws; match is x projected."""
    network = build_network("small", seed=seed).eval()
    images = network.normalise(torch.rand(1, 3, 64, 96) * 255)
    own, x, match = (network.describe(images, each)[0].flatten(1) for each in ("trunk", "x", "match"))
    assert torch.allclose(x.t() @ x, own.t() @ own, rtol=1e-4, atol=1e-5)
    assert torch.equal(match, network.match(x.view(1, 128, 4, 6))[0].flatten(1))
    assert torch.equal(x.view(1, 128, 4, 6), network.embed(images).x)


@torch.inference_mode()
def test_gathering_from_a_frame_s_own_twin_gives_what_it_is_most_like():
    network = build_network("small", seed=0).eval()
    match = 40 * torch.nn.functional.one_hot(torch.arange(6), 64).float().t().view(64, 2, 3)
    r = network.represent((match,), [(match,), (torch.zeros(64, 2, 3),)])
    assert torch.allclose(r[:64], match, atol=1e-2)  # alone in its softmax
    assert torch.equal(r[64:], match)


@pytest.mark.parametrize("plain", [True, False])
@torch.inference_mode()
def test_r_is_what_the_references_have_and_then_the_frame_s_own(plain):
    """A frame of cells (0, 0) and (0, sqrt(2) log 3), references of (0, 1) and of (4, 0) twice.

    The first cell takes a third of each; the second products log 3, 0 and 0: 3/5, 1/5 and 1/5 (eq. 9 to 11).
    """
    readout = PaperReadout(2)
    readout.plain = plain
    own = torch.tensor([[0.0, 0.0], [0.0, 2**0.5 * math.log(3)]]).view(2, 1, 2)
    references = torch.tensor([[[0.0], [1.0]], [[4.0], [0.0]], [[4.0], [0.0]]]).view(3, 2, 1, 1)
    r = readout.represent(own, references)
    assert r[0, 0].tolist() == pytest.approx([8 / 3, 8 / 5])
    assert r[1, 0].tolist() == pytest.approx([1 / 3, 3 / 5])
    assert torch.equal(r[2:], own)


@pytest.mark.parametrize("plain", [True, False])
@torch.inference_mode()
def test_the_released_affinity_is_of_keys_through_the_learnt_form(plain):
    """Keys of two channels that the form swaps: what the frame has in the first is sought in the second."""
    readout = ReleasedReadout((8, 8, 8))
    readout.plain = plain
    readout.form.zero_()
    readout.form[0, 1] = 2.0  # not symmetric: from the frame's first channel to the references' second
    own, other = torch.zeros(2, 32, 1, 2)
    own[:2], other[:2] = torch.tensor([[[1.0, 0.0]], [[0.0, 3.0]]]), torch.tensor([[[5.0, 0.0]], [[0.0, 1.0]]])
    values = torch.zeros(128, 1, 2)
    values[0] = torch.tensor([0.0, 1.0])
    r = readout.represent(Released(own, values), other[None], values[None])
    # products of the frame's cells with the second reference cell: 2 and 0; with the first one nothing
    shares = [math.exp(2) / (math.exp(2) + 1), 1 / (math.exp(2) + 1)]
    expected = [math.exp(share) / (math.exp(share) + math.exp(1 / 2)) for share in shares]
    assert r[0, 0].tolist() == pytest.approx(expected)
    assert torch.equal(r[128:], values)


@torch.inference_mode()
def test_the_released_read_out_gathers_nearly_the_mean_of_the_references():
    network = build_network("code", seed=0).eval()
    frames = network.embed(network.normalise(torch.rand(3, 3, 64, 64) * 255))
    own, *others = (network.remember(frames.at(place)) for place in range(3))
    r = network.represent(own, others)
    mean = torch.stack([value for _, value in others]).mean((0, 2, 3))
    assert torch.allclose(r[:128].mean((1, 2)), mean, rtol=0.05, atol=1e-3)


@torch.inference_mode()
def test_folding_changes_nothing(network):
    images = torch.rand(1, 3, 32, 32) * 255
    twin = build_network(network.architecture, seed=0)
    before = network.embed(network.normalise(images)).x
    assert torch.allclose(Phi(twin, "cpu", torch.float32).embed(images).x, before, rtol=1e-3, atol=1e-4)


def test_a_file_s_names_say_which_layout_it_is_of(network, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({**network.state_dict(), TRAINING + "bias": torch.zeros(1)}, path)
    loaded = load_network(path)
    assert loaded.architecture == network.architecture == architecture_of(network.state_dict(), "w")
    assert all(
        torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), network.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("of", ["paper", "code"])
def test_weights_of_another_network_than_the_preset_s_are_refused(tmp_path, of):
    save_file(build_network("small", seed=0).state_dict(), tmp_path / "mine.safetensors")
    config = replace(PRESETS["smoke"], untrained_architecture=of)
    context = BuildContext("one-shot", config, "cpu", "fp32", tmp_path / "mine.safetensors", 0)
    with pytest.raises(UsageError, match=f"'small', and the config is of '{of}'") as refused:
        phi_of(context)
    assert f"--preset {of} and give its --weights FILE" in str(refused.value)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"fc.weight": torch.zeros(2)}, path)
    with pytest.raises(DataError, match=r"of no MuG.*fc\.weight"):
        load_network(path)


def test_a_file_that_lacks_a_tensor_or_has_one_of_another_shape_is_refused(tmp_path):
    state = build_network("small", seed=0).state_dict()
    path = tmp_path / "w.safetensors"
    save_file({name: value for name, value in state.items() if name != "rho.bias"}, path)
    with pytest.raises(DataError, match=r"lack 1 tensors \(rho\.bias\)"):
        load_network(path)
    save_file({**state, "rho.bias": torch.zeros(2)}, path)
    with pytest.raises(DataError, match=r"do not fit at 1 tensors, first rho\.bias"):
        load_network(path)


def test_trunks_take_torchvision_s_names():
    network = build_network("code", seed=0)
    state = {name: value + 1 for name, value in network.trunk.state_dict().items()} | {"fc.weight": torch.zeros(3)}
    load_trunk(network, state, "resnet18.pth")
    assert isinstance(network.trunk.layer4[0], BasicBlock)
    assert torch.equal(network.trunk.conv1.weight, state["conv1.weight"])
    with pytest.raises(DataError, match="lack"):
        load_trunk(network, {"conv1.weight": state["conv1.weight"]}, "resnet18.pth")


def test_lightness_is_that_of_cie_lab_in_eight_bits():
    colours = torch.tensor([[0.0, 0, 0], [255, 255, 255], [255, 0, 0], [119, 119, 119]]).t().view(1, 3, 2, 2)
    found = lightness(colours)
    # L of black, white, red (53.2) and middle grey (50.0), times 2.55
    assert found[0, 0].flatten().tolist() == [0, 255, 136, 128]
    assert torch.equal(found[0, 0], found[0, 2])


def test_a_frame_s_size_is_of_whole_cells():
    assert working_size((240, 427), 240, None, 8) == (240, 424)
    assert working_size((5, 3), 16, None, 8) == (24, 16)


def test_a_small_trunk_is_fused_on_a_cpu_unless_plain_is_asked_for():
    frames = 255 * torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    fused, plain = (Phi(build_network("small", 0), "cpu", torch.float32, plain=plain) for plain in (False, True))
    kinds = [{type(block) for block in each.network.trunk._blocks} for each in (fused, plain)]
    assert kinds == [{FusedInvertedResidual}, {InvertedResidual}]
    with torch.inference_mode():
        found, expected = fused.embed(frames).x, plain.embed(frames).x
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))
