"""Saved masks, read one a frame, and saved tracks; missing, misshapen and unreadable ones are named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from harness import DataError, Prompts, Tracks, Video
from harness.api.errors import IncompletePredictions
from harness.api.predicted_masks import read_prediction
from harness.api.track_json import read_tracks
from harness_replay.config import ReplayConfig


class Replay:
    """A folder of masks, or of tracks, as a method for every task."""

    def __init__(self, config: ReplayConfig) -> None:
        if not config.directory:
            raise DataError("replay was given no folder of masks", hint="add --set directory=DIR")
        self._root = Path(config.directory)
        self._config = config
        if not self._root.is_dir():
            raise DataError(f"no folder {self._root}; expected one folder of PNG masks (or file of tracks) a video")

    def propagate(self, video: Video, prompts: Prompts) -> Iterator[torch.Tensor]:
        """Yield the saved masks of ``video``."""
        return self._masks(video)

    def segment_object(self, video: Video) -> Iterator[torch.Tensor]:
        """Yield the saved masks of ``video``."""
        return self._masks(video)

    def segment_instances(self, video: Video) -> Iterator[torch.Tensor]:
        """Yield the saved masks of ``video``."""
        return self._masks(video)

    def segment_tracks(self, video: Video) -> Tracks:
        """Return the saved tracks of ``video``."""
        path = self._root / f"{video.name}.json"
        if not path.is_file():
            raise IncompletePredictions(f"no tracks {path}; expected one file a video")
        return read_tracks(path, video.size, len(video))

    def _masks(self, video: Video) -> Iterator[torch.Tensor]:
        last = len(video) - 1
        for frame, name in enumerate(video.frame_names):
            if self._config.frames == "inner" and frame in (0, last):
                yield torch.zeros(video.size, dtype=torch.uint8)
            else:
                path = self._root / video.name / f"{name}.png"
                yield torch.from_numpy(read_prediction(path, video.size, binary=self._config.binary))
