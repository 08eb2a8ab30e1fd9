"""Mask R-CNN from a file is torchvision's network, and gives masks of the frame's size."""

import pytest
import torch

from harness.api.errors import DataError
from harness.models.proposals import proposal_provider

FRAME = torch.randint(0, 256, (60, 80, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"])
def test_a_file_of_torchvision_gives_masks_of_the_frame_s_size(tmp_path, name):
    detection = pytest.importorskip("torchvision.models.detection", reason="torchvision is not installed")
    torch.manual_seed(0)
    network = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=5)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    provider = proposal_provider(f"maskrcnn:{tmp_path / 'net.pth'}")
    provider.network.roi_heads.score_thresh = 0.0  # random weights are sure of nothing
    found = provider.propose(FRAME, most=7)
    assert len(found) == 7
    assert all((each.mask.shape, each.mask.dtype) == ((60, 80), torch.bool) for each in found)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_a_file_of_something_else_is_refused(tmp_path):
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    torch.save({"a": torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(DataError, match=r"odd\.pth: found no Mask R-CNN"):
        proposal_provider(f"maskrcnn:{tmp_path / 'odd.pth'}")
