"""Tracks of video instance segmentation on disk: one JSON a video, YouTube-VIS run-length codes."""

from __future__ import annotations

import json
from pathlib import Path

from harness.api.video import Tracks
from harness.results import write_atomically


def write_tracks(run: Path, video: str, tracks: Tracks) -> str:
    """Write ``tracks/<video>.json`` under ``run`` and return its path relative to it.

    Each track is {category_id, score, segmentations}: one {size, counts} or null a frame, as in results.json.
    """
    content = [
        {
            "category_id": track.category,
            "score": track.score,
            "segmentations": [
                None if mask is None else {"size": list(mask.size), "counts": mask.counts.decode("ascii")}
                for mask in track.masks
            ],
        }
        for track in tracks
    ]
    relative = f"tracks/{video}.json"
    write_atomically(run / relative, json.dumps(content).encode())
    return relative
