"""A run's masks drawn over its videos: a JPEG a frame and one animation, below the run's folder in ``overlays``."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from harness.api.errors import EnvironmentProblem
from harness.api.mask_files import read_mask
from harness.api.track_json import read_tracks
from harness.api.video import Sample
from harness.files import name_refusals, refuse_links
from harness.overlays.draw import draw_mask, draw_objects

FOLDER = "overlays"
FPS = 24.0
"""Where a video does not say: that of DAVIS."""
QUALITY = 90
LEAST_SCORE = 0.5
"""Of tracks those are drawn whose score is at least so much of the best one's."""

Form = Literal["mp4", "webp", "gif"]
"""Of an animation."""
Draw = Callable[[int, np.ndarray], np.ndarray]
"""From the number of a frame and its pixels to the picture."""


def overlay_of(run: Path, video: str) -> Path:
    """The folder of a video's pictures; the animation lies beside it under the same name."""
    return run / FOLDER / video


def is_drawn(run: Path, sample: Sample) -> bool:
    """Whether the pictures and the animation of a video are there."""
    place = overlay_of(run, sample.name)
    animations = [place.parent / f"{sample.name}.{form}" for form in get_args(Form)]
    return place.is_dir() and any(animation.is_file() for animation in animations)


def can_write_mp4() -> bool:
    """Whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def write_overlay(run: Path, sample: Sample, form: Form | None = None) -> Path:
    """Draw the masks or tracks that a run left of a video over its frames; returns the animation.

    Without a ``form`` MP4 where PyAV is installed, else animated WebP. What is written is in its place only when it is
    whole. CannotWrite where the system refuses; EnvironmentProblem where MP4 is asked for without PyAV.
    """
    form = form or ("mp4" if can_write_mp4() else "webp")
    if form == "mp4" and not can_write_mp4():
        raise EnvironmentProblem(
            "MP4 is written by PyAV, which is not installed", hint="pip install av, or another form"
        )
    place = overlay_of(run, sample.name)
    building = place.with_name(f".{sample.name}.building")
    refuse_links(place.parent, place)
    with name_refusals(building):
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        try:
            animation = _write(building, sample, _drawer_of(run, sample), form)
            final = place.with_name(f"{sample.name}{animation.suffix}")
            refuse_links(final)
            animation.replace(final)
            shutil.rmtree(place, ignore_errors=True)
            building.replace(place)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return final


def _drawer_of(run: Path, sample: Sample) -> Draw:
    tracks = run / "tracks" / f"{sample.name}.json"
    if tracks.is_file():
        return _track_drawer(tracks, sample)
    masks = run / "masks" / sample.name

    def draw(frame: int, pixels: np.ndarray) -> np.ndarray:
        return draw_mask(pixels, read_mask(masks / f"{sample.frame_names[frame]}.png"))

    return draw


def _track_drawer(path: Path, sample: Sample) -> Draw:
    """The surest tracks on top; of a track without a mask in a frame nothing is drawn there."""
    tracks = sorted(read_tracks(path, (sample.height, sample.width), sample.length), key=lambda track: track.score)
    best = tracks[-1].score if tracks else 0.0
    shown = [track for track in tracks if track.score >= LEAST_SCORE * best]

    def draw(frame: int, pixels: np.ndarray) -> np.ndarray:
        masks = [(len(shown) - place, track.masks[frame]) for place, track in enumerate(shown)]
        return draw_objects(pixels, [(number, mask.decode() != 0) for number, mask in masks if mask is not None])

    return draw


def _write(folder: Path, sample: Sample, draw: Draw, form: Form) -> Path:
    """A JPEG a frame into the folder, and the animation, which is made of what was drawn and not of the JPEGs."""

    def pictures() -> Iterator[Image.Image]:
        for frame, name in enumerate(sample.frame_names):
            picture = Image.fromarray(draw(frame, sample.read_frame(frame)))
            picture.save(folder / f"{name}.jpg", quality=QUALITY)
            yield picture

    fps = float(sample.extra.get("fps", FPS))
    path = folder / f".animation.{form}"
    if form == "mp4":
        return _write_mp4(path, pictures(), fps)
    return _write_animation(path, pictures(), fps)


def _write_animation(path: Path, pictures: Iterator[Image.Image], fps: float) -> Path:
    """WebP or GIF. Pillow asks for one picture after the other: one lies in memory."""
    first = next(pictures)
    # GIF counts in hundredths of a second, and browsers slow down what is faster than two of them.
    milliseconds = max(20, 10 * round(100 / fps)) if path.suffix == ".gif" else max(1, round(1000 / fps))
    told: dict[str, Any] = {} if path.suffix == ".gif" else {"quality": 80, "method": 0}
    first.save(path, save_all=True, append_images=pictures, duration=milliseconds, loop=0, **told)
    return path


def _write_mp4(path: Path, pictures: Iterator[Image.Image], fps: float) -> Path:
    """H.264 in the one form that every browser shows, which takes even sizes: an odd edge is doubled."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = None
        for picture in pictures:
            pixels = np.asarray(picture)
            pixels = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
                stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())
    return path
