"""Which proposal stands for which true object: the one assignment DAVIS 2017 unsupervised makes a video."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64


def match_proposals(J: Float64[np.ndarray, "P N T"], F: Float64[np.ndarray, "P N T"]) -> Int64[np.ndarray, " N"]:
    """For each true object the index of its proposal, so that the sum of mean J + mean F over all frames is largest.

    There must be as many proposals as objects or more (pad with empty ones). The matrix, its memory layout and
    scipy's solver are those of davis2017-evaluation@ac7c43f, because they decide rounding and ties. That toolkit
    lists its rows by matched proposal; here they are by true object.
    """
    from scipy.optimize import linear_sum_assignment

    agreement = (np.ascontiguousarray(J).mean(axis=2) + np.ascontiguousarray(F).mean(axis=2)) / 2
    proposals, objects = linear_sum_assignment(-agreement)
    return proposals[np.argsort(objects)].astype(np.int64)
