"""One video file as a Sample: its frames by number, decoded by OpenCV in whatever thread or process asks."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.api.dataclass import dataclass
from harness.api.errors import DataError
from harness.api.kept_digests import find_digest
from harness.api.mask_files import MAX_PIXELS
from harness.api.video import Sample

if TYPE_CHECKING:
    import cv2

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm")
EXTRACT = (
    "extract its frames into a folder and give that: mkdir frames && ffmpeg -i '{}' -start_number 0 frames/%05d.jpg"
)
KEPT_OPEN = 4
"""Files that stay open in one process."""


def open_video_file(path: Path) -> Sample:
    """The video of one file; DataError where OpenCV finds no frame in it."""
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise DataError.at(path, found="no plain file", expected="a video")
    reader = Reader(path)
    try:
        first = reader.read(0)
        if first is None or first.shape[0] * first.shape[1] > MAX_PIXELS:
            found = "no frame that OpenCV can decode" if first is None else f"frames of {first.shape[:2]}"
            raise DataError.at(path, found=found, expected="a video", hint=EXTRACT.format(path))
        return VideoFile(path, reader.length(), first.shape[:2], reader.fps()).sample()
    finally:
        reader.close()


@dataclass(frozen=True)
class VideoFile:
    """A file, how many frames it has and their (height, width); the methods are what a Sample calls."""

    path: Path
    length: int
    size: tuple[int, ...]
    fps: float = 0.0
    """Frames a second as the file says; 0 where it does not."""

    def sample(self) -> Sample:
        """The video as the rest of the harness knows it."""
        return Sample(
            name=self.path.name,
            length=self.length,
            height=self.size[0],
            width=self.size[1],
            frame_names=tuple(f"{t:05d}" for t in range(self.length)),
            read_frame=self.frame,
            digest=self.digest,
            extra={"fps": self.fps} if self.fps else {},
        )

    def frame(self, index: int) -> np.ndarray:
        """Frame ``index`` as (H, W, 3) uint8 RGB."""
        frame = _reader(os.getpid(), self.path).read(index)
        if frame is None or frame.shape[:2] != self.size:
            found = "nothing to decode" if frame is None else f"{frame.shape[1]} x {frame.shape[0]} pixels"
            expected = f"frame {index} of {self.length}, {self.size[1]} x {self.size[0]} pixels"
            raise DataError.at(self.path, found=found, expected=expected, hint="extract its frames, or leave it out")
        return frame

    def digest(self) -> str:
        """SHA-256 of the file; kept, as those of frames are."""
        return find_digest("", [("video", self.path)], self._make_digest)

    def _make_digest(self) -> str:
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError.at(self.path, found=f"no readable file ({error.strerror})", expected="a video") from error


@functools.lru_cache(maxsize=KEPT_OPEN)
def _reader(process: int, path: Path) -> Reader:
    """An open file belongs to the process that opened it: a fork would share its place in the file."""
    return Reader(path)


@dataclass
class Reader:
    """An open video file; one thread at a time reads. One decoding thread: a fork leaves none behind."""

    path: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _capture: cv2.VideoCapture | None = None

    def read(self, index: int) -> np.ndarray | None:
        """Frame ``index`` as RGB, or None; the frame after the last one read is found without seeking."""
        import cv2

        with self._lock:
            capture = self._open()
            if round(capture.get(cv2.CAP_PROP_POS_FRAMES)) != index:
                capture.set(cv2.CAP_PROP_POS_FRAMES, index)
            is_there, frame = capture.read()
            return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if is_there else None

    def length(self) -> int:
        """How many frames there are: what the header says where its last frame decodes, else by decoding them all."""
        import cv2

        claimed = round(self._open().get(cv2.CAP_PROP_FRAME_COUNT))
        if claimed > 0 and self.read(claimed - 1) is not None and self.read(claimed) is None:
            return claimed
        self.close()
        capture, count = self._open(), 0
        while capture.grab():
            count += 1
        return count

    def fps(self) -> float:
        """Frames a second as the header says; 0 where that cannot be."""
        import cv2

        fps = float(self._open().get(cv2.CAP_PROP_FPS))
        return fps if 0 < fps <= 1000 else 0.0  # NaN is neither

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _open(self) -> cv2.VideoCapture:
        import cv2

        if self._capture is None:
            self._capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        return self._capture
