"""Frames made worse: noise, blur, JPEG, fewer pixels; each (H, W, 3) uint8 RGB, by scikit-image and Pillow."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

Frame = np.ndarray
Corrupt = Callable[[Frame, float, np.random.Generator], Frame]


def add_noise(frame: Frame, deviation: float, draws: np.random.Generator) -> Frame:
    """Independent Gaussian noise on every value, cut at 0 and 1."""
    from skimage.util import img_as_ubyte, random_noise

    return np.asarray(img_as_ubyte(random_noise(frame, mode="gaussian", rng=draws, var=deviation**2)))


def blur(frame: Frame, deviation: float, draws: np.random.Generator) -> Frame:
    """A Gaussian over rows and columns, cut off at four deviations; the picture's edge goes on beyond it."""
    from skimage.filters import gaussian
    from skimage.util import img_as_ubyte

    return np.asarray(img_as_ubyte(gaussian(frame, sigma=deviation, channel_axis=-1)))


def compress(frame: Frame, quality: float, draws: np.random.Generator) -> Frame:
    """Through a JPEG of that quality, colours at half resolution as Pillow does by itself."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=int(quality))
    return np.array(Image.open(file).convert("RGB"))


def reduce_resolution(frame: Frame, share: float, draws: np.random.Generator) -> Frame:
    """To that share of rows and columns by averaging, and back bilinearly."""
    height, width = frame.shape[:2]
    small = max(1, int(width * share)), max(1, int(height * share))
    picture = Image.fromarray(frame).resize(small, Image.Resampling.BOX)
    return np.array(picture.resize((width, height), Image.Resampling.BILINEAR))


FRAME_CORRUPTIONS: Mapping[str, Corrupt] = {
    "noise": add_noise,
    "blur": blur,
    "jpeg": compress,
    "resolution": reduce_resolution,
}
