"""RAFT from a file is torchvision's network; only what is there without torchvision is looked at where it is absent."""

import importlib.util

import pytest
import torch
from torch.nn import functional

from harness.api.errors import DataError, EnvironmentProblem
from harness.models.flow import flow_provider


def noise(*size: int) -> torch.Tensor:
    return torch.randint(0, 256, (*size, 3), generator=torch.Generator().manual_seed(sum(size)), dtype=torch.uint8)


def test_without_torchvision_raft_says_so(tmp_path, monkeypatch):
    (tmp_path / "raft.pth").write_bytes(b"")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="flow by raft needs the package torchvision, which is not installed"):
        flow_provider(f"raft:{tmp_path / 'raft.pth'}")


@pytest.mark.parametrize("name", ["raft_small", "raft_large"])
def test_a_file_of_torchvision_gives_torchvision_s_flow(tmp_path, name):
    models = pytest.importorskip("torchvision.models.optical_flow", reason="torchvision is not installed")
    torch.manual_seed(0)
    network = getattr(models, name)(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "raft.pth")
    provider = flow_provider(f"raft:{tmp_path / 'raft.pth'}")
    first, second = noise(130, 150), noise(150, 130).transpose(0, 1)
    padded = [
        functional.pad(frame.permute(2, 0, 1)[None].float() / 127.5 - 1, (0, 2, 0, 6), "replicate")
        for frame in (first, second)
    ]
    with torch.no_grad():
        expected = network(*padded)[-1][0, :, :130, :150]
    assert torch.equal(provider.between(first, second), expected)
    assert provider.between(noise(3, 5), noise(3, 5)).shape == (2, 3, 5)


def test_a_file_of_something_else_is_refused(tmp_path):
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    torch.save({"a": torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(DataError, match=r"odd\.pth: found no RAFT \(1 other tensors\)"):
        flow_provider(f"raft:{tmp_path / 'odd.pth'}")
