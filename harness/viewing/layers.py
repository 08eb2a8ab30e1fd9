"""One frame of one run as id maps: what was predicted, what is true, and where the two differ."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from harness.api.mask_files import DAVIS_PALETTE, read_mask
from harness.api.records import VideoResult
from harness.api.track_json import read_tracks
from harness.api.video import Sample
from harness.overlays.write import LEAST_SCORE

VOID = 255
HIT, EXTRA, MISSED, OTHER = 1, 2, 3, 4
"""Object and found; found where there is none; not found; found as another object."""
DIFFERENCE_COLOURS = {HIT: (70, 180, 100), EXTRA: (230, 85, 60), MISSED: (60, 120, 230), OTHER: (200, 80, 200)}
MASK_ALPHA, DIFFERENCE_ALPHA, VOID_ALPHA = 150, 190, 60
FRAME_QUALITY = 80

IdMap = Callable[[int], np.ndarray]
"""From the number of a frame to a (H, W) uint8 id map."""


def read_prediction_of(run: Path, result: VideoResult, frame_names: tuple[str, ...]) -> IdMap:
    """The masks that a run left of a video; of tracks, the surest on top, each under its place in that order."""
    if result.masks.startswith("tracks/"):
        return _read_tracks_of(run / result.masks, result)
    folder = run / result.masks
    return lambda frame: read_mask(folder / f"{frame_names[frame]}.png")


def _read_tracks_of(path: Path, result: VideoResult) -> IdMap:
    tracks = sorted(read_tracks(path, (result.height, result.width), result.length), key=lambda t: -t.score)
    best = tracks[0].score if tracks else 0.0
    shown = [track for track in tracks if track.score >= LEAST_SCORE * best][: VOID - 1]

    def paint(frame: int) -> np.ndarray:
        mask = np.zeros((result.height, result.width), np.uint8)
        for number, track in reversed(list(enumerate(shown, 1))):
            part = track.masks[frame]
            if part is not None:
                mask[part.decode() != 0] = number
        return mask

    return paint


def find_differences(
    prediction: np.ndarray, truth: np.ndarray, *, is_single: bool, matched: Mapping[str, int]
) -> np.ndarray:
    """A (H, W) map of HIT, EXTRA, MISSED and OTHER; 0 where neither holds an object, or the truth is void.

    ``matched`` says which predicted id counts as a true one, where the scoring matches; others count as no object's.
    """
    found, true = prediction, truth
    if is_single:
        found, true = (found != 0).astype(np.uint8), np.where(true == VOID, VOID, (true != 0).astype(np.uint8))
    elif matched:
        names = np.full(256, VOID, np.uint8)  # of no object: wrong wherever it is
        names[0] = 0
        for id_, proposal in matched.items():
            names[proposal] = int(id_)
        found = names[found]
    result = np.zeros(truth.shape, np.uint8)
    result[(found == true) & (true != 0)] = HIT
    result[(found != 0) & (true == 0)] = EXTRA
    result[(found == 0) & (true != 0)] = MISSED
    result[(found != 0) & (true != 0) & (found != true)] = OTHER
    result[true == VOID] = 0
    return result


def encode_mask_layer(mask: np.ndarray) -> bytes:
    """A PNG of an id map to lay over a frame: the background is clear, void is a breath of grey."""
    alphas = [0] + [MASK_ALPHA] * 254 + [VOID_ALPHA]
    return _encode(mask, list(DAVIS_PALETTE), alphas)


def encode_difference_layer(difference: np.ndarray) -> bytes:
    """A PNG of ``find_differences`` to lay over a frame."""
    palette = [0, 0, 0, *(part for kind in sorted(DIFFERENCE_COLOURS) for part in DIFFERENCE_COLOURS[kind])]
    return _encode(difference, palette, [0] + [DIFFERENCE_ALPHA] * len(DIFFERENCE_COLOURS))


def _encode(mask: np.ndarray, palette: list[int], alphas: list[int]) -> bytes:
    picture = Image.fromarray(np.ascontiguousarray(mask, np.uint8), mode="P")
    picture.putpalette(palette)
    file = io.BytesIO()
    picture.save(file, format="PNG", transparency=bytes(alphas))
    return file.getvalue()


def encode_frame(sample: Sample, frame: int) -> bytes:
    """A JPEG of the frame."""
    file = io.BytesIO()
    Image.fromarray(sample.read_frame(frame)).save(file, format="JPEG", quality=FRAME_QUALITY)
    return file.getvalue()
