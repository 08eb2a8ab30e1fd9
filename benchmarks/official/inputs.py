"""What both sides score: trees made from ten real DAVIS sequences, and tracks of drifting ellipses."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness.api.mask_files import DAVIS_PALETTE, RunLength, read_mask, write_mask

SEQUENCES = [
    "blackswan",
    "bmx-trees",
    "car-shadow",
    "dog",
    "drift-chicane",
    "horsejump-high",
    "kite-surf",
    "libby",
    "motocross-jump",
    "scooter-black",
]
MIXED = ("dog", "car-shadow", "scooter-black")
"""Their masks are joined to scenes of three objects."""
HEIGHT, WIDTH, VIDEOS, FRAMES = 720, 1280, 60, 20
"""Of the tracks."""


class Tree:
    """A DAVIS 2017 tree of some sequences below ``folder/data`` and predictions below ``folder/masks``."""

    def __init__(self, folder: Path, davis: Path, sequences: tuple[str, ...], *, unsupervised: bool = False) -> None:
        self.data, self.masks = folder / "data", folder / "masks"
        self._truths = self.data / ("Annotations_unsupervised" if unsupervised else "Annotations") / "480p"
        for name in sequences:
            shutil.copytree(davis / "JPEGImages" / "480p" / name, self.data / "JPEGImages" / "480p" / name)
            (self._truths / name).mkdir(parents=True)
            (self.masks / name).mkdir(parents=True)
        lists = self.data / "ImageSets" / "2017"
        lists.mkdir(parents=True)
        (lists / "val.txt").write_text("".join(f"{name}\n" for name in sequences))

    def add(self, name: str, frame: int, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Write both masks of a frame."""
        write_as_davis(self._truths / name / f"{frame:05}.png", truth)
        write_mask(self.masks / name / f"{frame:05}.png", prediction)


def write_as_davis(path: Path, mask: np.ndarray) -> None:
    """A palette PNG whose every row holds differences to the left, as those of the official archive do."""
    rows = np.ones((mask.shape[0], mask.shape[1] + 1), np.uint8)
    rows[:, 1], rows[:, 2:] = mask[:, 0], mask[:, 1:] - mask[:, :-1]
    head = struct.pack(">IIBBBBB", mask.shape[1], mask.shape[0], 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", head),
        (b"PLTE", bytes(DAVIS_PALETTE)),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


class Real:
    """The masks of the real sequences, and those that SegFlow predicted."""

    def __init__(self, shared: Path) -> None:
        self.davis = shared / "DAVIS"
        self._folders = {True: self.davis / "Annotations" / "480p", False: shared / "predictions" / "segflow"}

    def read(self, name: str, frame: int, *, is_true: bool) -> np.ndarray:
        """One mask of 0 and 1; beyond the end the sequence begins again."""
        paths = sorted((self._folders[is_true] / name).glob("*.png"))
        return read_mask(paths[frame % len(paths)], binary=True)

    def length(self, name: str) -> int:
        """How many frames a sequence has."""
        return len(list((self._folders[True] / name).glob("*.png")))

    def join(self, first: int, frame: int, *, is_true: bool) -> np.ndarray:
        """Three objects: the masks of three sequences, the one numbered ``first`` in front."""
        ids = np.zeros((480, 854), np.uint8)
        for place in (2, 1, 0):
            ids[self.read(MIXED[(first + place) % 3], frame, is_true=is_true) > 0] = place + 1
        return ids


def one_object(folder: Path, real: Real) -> Tree:
    """Ten real sequences, 514 frames, one object."""
    tree = Tree(folder, real.davis, tuple(SEQUENCES))
    for name in SEQUENCES:
        for frame in range(real.length(name)):
            tree.add(name, frame, *(real.read(name, frame, is_true=is_true) for is_true in (True, False)))
    return tree


def three_objects(folder: Path, real: Real) -> Tree:
    """Three sequences, 143 frames, three objects."""
    tree = Tree(folder, real.davis, MIXED)
    for number, name in enumerate(MIXED):
        for frame in range(real.length(name)):
            tree.add(name, frame, *(real.join(number, frame, is_true=is_true) for is_true in (True, False)))
    return tree


def twenty_proposals(folder: Path, real: Real) -> Tree:
    """One sequence of 40 frames, three objects, twenty proposals: three that were predicted, and drifting blobs."""
    tree = Tree(folder, real.davis, ("car-shadow",), unsupervised=True)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:480, :854].astype(np.float32)
    blobs = [(rng.uniform((40, 40), (440, 810)), rng.uniform(20, 70, 2), rng.normal(0, 2, 2)) for _ in range(20)]
    for frame in range(real.length("car-shadow")):
        proposals = np.zeros((480, 854), np.uint8)
        for number, (centre, radii, speed) in enumerate(blobs):
            (cy, cx), (ry, rx) = centre + speed * frame + rng.normal(0, 1, 2), radii
            angle = np.arctan2(y - cy, x - cx)
            rough = 1 + 0.25 * np.sin((3 + number % 5) * angle) + 0.04 * np.sin(29 * angle)
            proposals[np.hypot((y - cy) / ry, (x - cx) / rx) < rough] = number + 1
        predicted = real.join(0, frame, is_true=False)
        proposals = np.where(predicted > 0, predicted * 5, proposals).astype(np.uint8)
        tree.add("car-shadow", frame, real.join(0, frame, is_true=True), proposals)
    return tree


def tracks(folder: Path) -> Path:
    """A YouTube-VIS tree with ``train.json`` and ``results.json``: 5 truths and 20 detections a video."""
    rng = np.random.default_rng(0)
    pool = [_ellipse(rng) for _ in range(VIDEOS)]
    videos: list[dict[str, Any]] = []
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number in range(VIDEOS):
        names = [f"v{number:03}/{t:05}.jpg" for t in range(FRAMES)]
        (folder / "train" / "JPEGImages" / f"v{number:03}").mkdir(parents=True)
        for name in names:
            Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "train" / "JPEGImages" / name)
        size = {"height": HEIGHT, "width": WIDTH}
        videos.append({"id": number + 1, **size, "length": FRAMES, "file_names": names})
        shown = [(int(rng.integers(len(pool))), int(rng.integers(1, 9))) for _ in range(5)]
        for place, category in shown:
            areas = [code.area for code in pool[place]]
            entry = {
                "id": len(truths) + 1,
                "iscrowd": 0,
                **size,
                "length": 1,
                "areas": areas,
                "bboxes": [None] * FRAMES,
            }
            truths.append(entry | _track(number, category, pool[place]))
        for n in range(20):
            place, category = (
                shown[rng.integers(5)] if n < 10 else (int(rng.integers(len(pool))), int(rng.integers(1, 9)))
            )
            found.append(_track(number, category, pool[place]) | {"score": float(rng.random())})
    categories = [{"id": n, "name": f"c{n}", "supercategory": "object"} for n in range(1, 9)]
    table = {"info": {}, "licenses": [], "videos": videos, "categories": categories, "annotations": truths}
    (folder / "train.json").write_text(json.dumps(table))
    (folder / "results.json").write_text(json.dumps(found))
    return folder


def _ellipse(rng: np.random.Generator) -> list[RunLength]:
    """A small rough ellipse that drifts."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    (cy, cx), (ry, rx) = rng.uniform(0.2, 0.8, 2) * (HEIGHT, WIDTH), rng.uniform(0.01, 0.05, 2) * (HEIGHT, WIDTH)
    codes = []
    for t in range(FRAMES):
        dy, dx = (y - cy - 2 * t) / ry, (x - cx - 3 * t) / rx
        codes.append(RunLength.encode(np.hypot(dy, dx) < 1 + 0.05 * np.sin(17 * np.arctan2(dy, dx) + t)))
    return codes


def _track(video: int, category: int, codes: list[RunLength]) -> dict[str, Any]:
    shown = [{"size": list(code.size), "counts": code.counts.decode("ascii")} for code in codes]
    return {"video_id": video + 1, "category_id": category, "segmentations": shown}
