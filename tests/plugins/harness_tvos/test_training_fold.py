"""A temperature folded into the weights is that temperature, for every architecture and in the file's own types."""

import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import save_file

from harness_tvos.network import build_network, load_checkpoint, network_for
from harness_tvos.recipe.fold_temperature import main, rescale_features


@pytest.mark.parametrize("architecture", ["r18", "r50"])
def test_rescaled_features_are_the_features_times_the_scale(architecture):
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network = build_network(architecture)
    network(images)  # batch norms get statistics of their own
    network.eval()
    with torch.no_grad():
        before = network(images)
        rescale_features(network, 1.5)
        assert torch.allclose(network(images), 1.5 * before, rtol=1e-4, atol=1e-4 * before.abs().max().item())


def test_temperature_four_doubles_the_features_and_is_written_down(tmp_path):
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in build_network("r18").state_dict().items()
    }
    save_file({name: value.contiguous() for name, value in state.items()}, before, {"seed": "0"})
    result = CliRunner().invoke(main, [str(before), str(after), "--temperature", "4"], catch_exceptions=False)
    assert result.exit_code == 0
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, two = (network_for(load_checkpoint(path)).eval()(images) for path in (before, after))
    assert torch.allclose(two, 2 * one, rtol=1e-2, atol=1e-3 * one.max().item())
    with safe_open(after, "pt") as file:
        assert file.metadata() == {"seed": "0", "folded_temperature": "4.0"}
        assert file.get_tensor("backbone.0.weight").dtype == torch.float16
