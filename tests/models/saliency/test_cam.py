"""A class activation map shows where the likeliest classes' features lie."""

import pytest
import torch

from harness.api.errors import DataError
from harness.models.dilated_resnet import ResNet
from harness.models.saliency import cam, saliency_provider


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(cam, "SHORTER", 32)
    monkeypatch.setattr(cam, "LONGEST", 64)


def classifier(name: str = "r18", classes: int = 7) -> dict[str, torch.Tensor]:
    """A state of torchvision's layout with random weights."""
    torch.manual_seed(0)
    network = ResNet(name)
    return network.state_dict() | {
        "fc.weight": torch.randn(classes, network.channels[-1]), "fc.bias": torch.zeros(classes),
    }  # fmt: skip


def save(path, state):
    torch.save(state, path)
    return f"cam:{path}"


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_classifier_of_torchvision_s_layout_rates_a_frame(tmp_path, prefix):
    state = {prefix + name: value for name, value in classifier().items()}
    provider = saliency_provider(save(tmp_path / "r18.pth", state))
    frame = torch.randint(0, 256, (48, 64, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    rated = provider.rate(frame)
    assert (rated.shape, rated.dtype) == ((48, 64), torch.float32)
    assert (rated.min(), rated.max()) == (0, 1)
    assert torch.equal(rated, provider.rate(frame))
    assert not rated.requires_grad


def test_the_map_is_the_features_weighed_by_the_likeliest_classes(tmp_path, monkeypatch):
    """Two channels, two classes a channel: the channel that is brighter decides which five of six classes are kept."""
    provider = saliency_provider(save(tmp_path / "r18.pth", classifier()))
    features = torch.zeros(1, 512, 2, 2)
    features[0, 0, 0, 0], features[0, 1, 1, 1] = 8.0, 2.0
    provider.weight = torch.zeros(6, 512)
    provider.weight[:5, 0] = 1.0
    provider.weight[5, 1] = 1.0  # the least likely class: its channel is left out
    provider.bias = torch.zeros(6)
    monkeypatch.setattr(provider.network, "forward", lambda images: [features])
    rated = provider.rate(torch.zeros(2, 2, 3, dtype=torch.uint8))
    assert rated.tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (300, 20)])
def test_a_frame_of_any_size_is_rated(tmp_path, size):
    rated = saliency_provider(save(tmp_path / "r18.pth", classifier())).rate(torch.zeros(*size, 3, dtype=torch.uint8))
    assert rated.shape == size
    assert rated.isfinite().all()


def without(state, *names):
    return {name: value for name, value in state.items() if not name.startswith(names)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: without(state, "fc."), "found no fc.weight and fc.bias"),
        (lambda state: without(state, "layer4.1."), "found a network of (2, 2, 2, 1) blocks a layer"),
        (lambda state: without(state, "layer4.1.bn2.weight"), "lack 1 tensors of this ResNet"),
        (lambda state: state | {"fc.weight": torch.zeros(7, 3)}, "found fc.weight of (7, 3)"),
    ],
)
def test_a_file_that_is_no_classifier_is_refused(tmp_path, change, told):
    spec = save(tmp_path / "odd.pth", change(classifier()))
    with pytest.raises(DataError) as refused:
        saliency_provider(spec)
    assert told in refused.value.message
    assert "odd.pth" in refused.value.message
