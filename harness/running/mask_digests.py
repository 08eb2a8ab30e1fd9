"""Masks and tracks as digests: whether two sides, two turns or two machines decided the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.api.mask_files import read_mask
from harness.api.records import VideoResult
from harness.api.video import Tracks
from harness.running.folder import encode_tracks, tracks_of


def digest_mask(mask: np.ndarray) -> str:
    """SHA-256 over the size of a (H, W) uint8 id map and its pixels."""
    return hashlib.sha256(b"%d %d " % mask.shape + np.ascontiguousarray(mask).tobytes()).hexdigest()


def digest_tracks(tracks: Tracks) -> str:
    """SHA-256 over the tracks as they are written."""
    return hashlib.sha256(encode_tracks(tracks)).hexdigest()


def read_digests_of_masks(run: Path, result: VideoResult, frame_names: Sequence[str]) -> tuple[str, ...]:
    """The digest of each mask of a video that lies in a run folder, in the order of its frames' names; of tracks, one.

    How the folder lists them says nothing: frame ``10`` comes after frame ``9``.
    """
    place = run / result.masks
    if result.masks == tracks_of(result.video):
        return (hashlib.sha256(place.read_bytes()).hexdigest(),)
    return tuple(digest_mask(read_mask(place / f"{name}.png")) for name in frame_names)
