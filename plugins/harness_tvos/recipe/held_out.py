"""Region similarity on videos kept out of training: a small plain propagation, at the size of the frames given."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from harness import DataError
from harness_tvos.network import EmbeddingNetwork, for_inference
from harness_tvos.training import normalised

NEAR = 3  # how many of the last frames are references, beside three spread over the frames before
NEAR_SIGMA, FAR_SIGMA = 8 / 60, 21 / 60  # of the feature grid's height: 8 and 21 cells at 480 lines
TILE = 512  # target cells at a time


def read_video(root: Path, video: str, frames: int, every: int) -> tuple[Tensor, NDArray[np.bool_]]:
    """Every ``every``-th frame, at most ``frames``: (T, H, W, 3) uint8 RGB and the truth (T, H, W)."""
    images = sorted(root.glob(f"JPEGImages/*/{video}/*.jpg"))[::every][:frames]
    masks = sorted(root.glob(f"Annotations/*/{video}/*.png"))[::every][:frames]
    if len(images) < 3 or len(images) != len(masks):
        raise DataError(
            f"{root}: every {every}th frame of video {video!r} is {len(images)} frames and {len(masks)} masks; "
            "expected 3 or more, as many of both",
            hint="give --data the folder that holds JPEGImages and Annotations",
        )
    rgb = [np.asarray(cv2.imread(str(path)))[..., ::-1] for path in images]
    truth = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) > 127 for path in masks]
    return torch.from_numpy(np.stack(rgb)), np.stack(truth)


@torch.inference_mode()
def propagate(
    network: EmbeddingNetwork, frames: Tensor, first: NDArray[np.bool_], temperature: float = 1.0
) -> NDArray[np.bool_]:
    """The masks (T, H, W) of frames (T, H, W, 3), by spec 1.2's rule with fewer references."""
    embed = for_inference(network)
    size = tuple(frames.shape[1:3])
    features, labels = [], []  # (C, N) and (2, N) by frame
    masks = [first]
    for t, frame in enumerate(frames):
        feature = embed(normalised(frame[None]))[0]  # (C, h, w)
        grid = tuple(feature.shape[1:])
        features.append(feature.flatten(1))
        if t == 0:
            one_hot = F.one_hot(torch.from_numpy(first).long(), 2).movedim(-1, 0)[None].float()
            labels.append(F.interpolate(one_hot, grid, mode="bilinear", align_corners=False)[0].flatten(1))
            continue
        prediction = _prediction(features, labels, t, grid, temperature)  # (2, N)
        labels.append(F.one_hot(prediction.argmax(0), 2).T.float())
        full = F.interpolate(prediction.reshape(1, 2, *grid), size, mode="bilinear", align_corners=False)
        masks.append(full[0].argmax(0).bool().numpy())
    return np.stack(masks)


def _prediction(
    features: list[Tensor], labels: list[Tensor], t: int, grid: tuple[int, ...], temperature: float
) -> Tensor:
    near = list(range(max(t - NEAR, 0), t))
    far = sorted({int(k) for k in np.linspace(0, max(t - NEAR - 1, 0), 3)} - set(near))
    keys = torch.cat([features[k] for k in far + near], 1)  # (C, K*N)
    values = torch.cat([labels[k] for k in far + near], 1)  # (2, K*N)
    sigmas = [FAR_SIGMA * grid[0]] * len(far) + [NEAR_SIGMA * grid[0]] * len(near)
    parts = []
    for cells in torch.arange(features[t].shape[1]).split(TILE):
        affinity = torch.softmax(features[t][:, cells].T @ keys * temperature, 1)
        affinity *= torch.cat([_prior(grid, cells, sigma) for sigma in sigmas], 1)
        parts.append(values @ affinity.T)
    return torch.cat(parts, 1)


def _prior(grid: tuple[int, ...], cells: Tensor, sigma: float) -> Tensor:
    rows, columns = (torch.exp(-((torch.arange(n)[:, None] - torch.arange(n)) ** 2) / sigma**2) for n in grid)
    down, across = rows[cells // grid[1]], columns[cells % grid[1]]
    return (down[:, :, None] * across[:, None, :]).flatten(1)  # (cells, N)


def region_similarity(masks: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """The mean J of the frames between the first and the last; two empty masks count as 1."""
    inner = slice(1, -1)
    intersection = (masks[inner] & truth[inner]).sum((1, 2))
    union = (masks[inner] | truth[inner]).sum((1, 2))
    return float(np.where(union == 0, 1.0, intersection / np.maximum(union, 1)).mean())


def held_out_similarity(
    network: EmbeddingNetwork | None,
    root: Path,
    videos: list[str],
    *,
    frames: int = 14,
    every: int = 3,
    temperature: float = 1.0,
) -> dict[str, float]:
    """J by video; no network means copying the first mask forward."""
    found = {}
    for video in videos:
        images, truth = read_video(root, video, frames, every)
        masks = propagate(network, images, truth[0], temperature) if network else np.repeat(truth[:1], len(truth), 0)
        found[video] = region_similarity(masks, truth)
    return found
