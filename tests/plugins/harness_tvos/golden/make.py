"""Makes the golden vectors of TVOS: small inputs, and what the plain forms make of them in double precision.

``python tests/plugins/harness_tvos/golden/make.py`` writes propagation.npz beside itself. The inputs are stored too, so
that the vectors outlive changes of random generators. Made on 2026-11-21 with torch 2.13.0.
"""

from pathlib import Path

import numpy as np
import torch

from harness_tvos.config import PRESETS
from harness_tvos.frames.references import reference_frames, sigmas
from harness_tvos.kernels import propagate_plain, upsample_plain

SIZE = (5, 7)
VIDEO = (37, 53)
TARGETS = {"narrow": 12, "wide": 18}
"""Frames 12 and 18 of a video: the narrow prior everywhere, and the wide one for far references."""


def inputs() -> dict[str, np.ndarray]:
    """Features with self-products near 30, shares of three classes in frame 0 and hard labels after it."""
    generator = torch.Generator().manual_seed(2004)
    pixels, channels, frames = SIZE[0] * SIZE[1], 6, 18
    scene = torch.randn(pixels, channels, generator=generator, dtype=torch.float64)
    keys = (scene + 0.4 * torch.randn(frames, pixels, channels, generator=generator, dtype=torch.float64)) * 2.0
    labels = torch.nn.functional.one_hot(torch.randint(3, (frames, pixels), generator=generator), 3).double()
    labels[0] = torch.rand(pixels, 3, generator=generator, dtype=torch.float64)
    labels[0] /= labels[0].sum(1, keepdim=True)
    made = {"query": 2.0 * scene, "keys": keys, "labels": labels.transpose(1, 2), "ids": torch.tensor([0, 4, 9])}
    return {name: value.contiguous().numpy() for name, value in made.items()}


def outputs(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Scores and masks of both targets, by the official preset."""
    query, keys, labels = (torch.from_numpy(given[name]) for name in ("query", "keys", "labels"))
    ids = torch.from_numpy(given["ids"]).byte()
    made = {}
    for name, target in TARGETS.items():
        references = reference_frames(target, PRESETS["official"])
        widths = sigmas(target, len(references), PRESETS["official"])
        scores = propagate_plain(query, keys, labels, references, widths, size=SIZE)
        made[f"{name}-scores"] = scores.numpy()
        made[f"{name}-mask"] = upsample_plain(scores.unflatten(1, SIZE), ids, VIDEO).numpy()
    return made


if __name__ == "__main__":
    given = inputs()
    np.savez_compressed(Path(__file__).with_name("propagation.npz"), **given, **outputs(given))
