"""Mean, recall and decay of one object's values over the scored frames of a video."""

from __future__ import annotations

from typing import Literal

import numpy as np

from harness.metrics.shapes import Float64

RECALL_THRESHOLD = 0.5
"""A frame counts as recalled above this, not at it (Perazzi et al. 2016, section 4)."""
DECAY_BINS = 4

Decay = Literal["official", "fixed"]


def mean(values: Float64[np.ndarray, " T"]) -> float:
    """The mean over frames; NaN without a frame."""
    return float(values.mean()) if values.size else float("nan")


def recall(values: Float64[np.ndarray, " T"]) -> float:
    """The part of the frames above the threshold; NaN without a frame."""
    return float((values > RECALL_THRESHOLD).mean()) if values.size else float("nan")


def decay(values: Float64[np.ndarray, " T"], form: Decay = "official") -> float:
    """The mean of the first quarter of the frames minus that of the last (Perazzi et al. 2016, section 4).

    Neighbouring quarters share their edge frame. ``official``: the edges are kept in 8 bits as in
    davis2017-evaluation@ac7c43f, so with 257 frames and more they wrap, the last quarter is mostly empty and the
    decay is then NaN. ``fixed`` is the same without the wrap.
    """
    edges = np.round(np.linspace(1, values.size, DECAY_BINS + 1) + 1e-10).astype(np.int64) - 1
    if form == "official":
        edges %= 256
    return mean(values[edges[0] : edges[1] + 1]) - mean(values[edges[-2] : edges[-1] + 1])


def summarise_series(J: Float64[np.ndarray, " T"], F: Float64[np.ndarray, " T"], form: Decay) -> dict[str, float]:
    """One object's figures by column name; NaN where undefined."""
    figures = {}
    for name, values in (("J", J), ("F", F)):
        figures[f"{name}-mean"] = mean(values)
        figures[f"{name}-recall"] = recall(values)
        figures[f"{name}-decay"] = decay(values, form) if values.size else float("nan")
    return {"J&F": (figures["J-mean"] + figures["F-mean"]) / 2, **figures}
