"""The digests of the masks that lie in a run's folder are those of its frames, one after the other."""

from types import SimpleNamespace

import numpy as np

from harness.api.mask_files import write_mask
from harness.running.mask_digests import digest_mask, read_digests_of_masks


def test_digests_are_in_the_order_of_frames_also_where_names_have_no_leading_zeros(tmp_path):
    (tmp_path / "masks/dog").mkdir(parents=True)
    names, masks = [str(t) for t in range(8, 12)], [np.full((2, 3), t, np.uint8) for t in range(4)]
    for name, mask in zip(names, masks, strict=True):
        write_mask(tmp_path / f"masks/dog/{name}.png", mask)
    result = SimpleNamespace(video="dog", masks="masks/dog")
    assert read_digests_of_masks(tmp_path, result, names) == tuple(map(digest_mask, masks))
