"""J, region similarity: the intersection of prediction and truth over their union."""

from __future__ import annotations

import numpy as np

from harness.metrics.shapes import Float64, Int64


def region_similarity(
    intersection: Int64[np.ndarray, "*shape"], union: Int64[np.ndarray, "*shape"]
) -> Float64[np.ndarray, "*shape"]:
    """J of each pair of masks from pixel counts; 1 where both masks are empty (Perazzi et al. 2016, section 3).

    One float64 division of two integers, as davis2017-evaluation@ac7c43f does it. DAVIS-2016 (fperazzi/davis@aaee12c)
    divides by a float32 union, which is the same number below 2^24 pixels.
    """
    similarity = np.ones(union.shape)
    np.divide(intersection, union, out=similarity, where=union > 0)
    return similarity
