"""Tracks of video instance segmentation on disk: one JSON a video, YouTube-VIS run-length codes."""

from __future__ import annotations

import json
from pathlib import Path

from harness.api.track_json import track_to_json
from harness.api.video import Tracks
from harness.files import write_atomically


def write_tracks(run: Path, video: str, tracks: Tracks) -> str:
    """Write ``tracks/<video>.json`` under ``run`` and return its path relative to it.

    Each track is {category_id, score, segmentations}: one {size, counts} or null a frame, as in results.json.
    """
    content = [track_to_json(track) for track in tracks]
    relative = f"tracks/{video}.json"
    write_atomically(run / relative, json.dumps(content).encode())
    return relative
