"""Proposals made elsewhere: a JSON file a frame, masks as COCO's run-length codes or polygons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from harness.api.errors import DataError
from harness.api.track_json import read_json, score_from_json, segmentation_from_json
from harness.models.frame_files import Frame, FrameFiles, Place
from harness.models.proposals.proposal import MOST, Proposal, choose

ENTRY = '{"score": number, "segmentation": COCO mask}'
EXPECTED = f"a list of {ENTRY}"


class ProposalFiles:
    """``DIR/VIDEO/FRAME.json``: as a detector writes them for COCO, of one frame; ``[]`` for none."""

    def __init__(self, folder: Path) -> None:
        self.name = "files"
        self.files = FrameFiles(folder, (".json",))

    def propose(
        self,
        frame: Frame,
        foreground: Shaped[Tensor, "H W"] | None = None,
        place: Place | None = None,
        *,
        most: int = MOST,
    ) -> list[Proposal]:
        path = self.files.find((frame,), None if place is None else (place,))
        found = read_proposals(path, (frame.shape[0], frame.shape[1]))
        return choose([(torch.from_numpy(mask).to(frame.device), score) for mask, score in found], most)

    def fingerprint(self, video: str) -> str:
        return f"{self.name}-{self.files.fingerprint(video)}"


def read_proposals(path: Path, size: tuple[int, int]) -> list[tuple[Bool[np.ndarray, "H W"], float]]:
    """The masks and scores of one frame of ``size`` (rows, columns); DataError names the entry that is malformed."""
    entries = read_json(path, EXPECTED)
    if not isinstance(entries, list):
        raise DataError.at(path, found=type(entries).__name__, expected=EXPECTED)
    return [_read_entry(entry, size, f"{path}, entry {number}") for number, entry in enumerate(entries)]


def _read_entry(entry: Any, size: tuple[int, int], where: str) -> tuple[Bool[np.ndarray, "H W"], float]:
    if not isinstance(entry, dict) or not {"score", "segmentation"} <= entry.keys():
        raise DataError.at(where, found=f"{entry!r:.80}", expected=ENTRY)
    try:
        code = segmentation_from_json(entry["segmentation"], size)
    except DataError as error:
        raise DataError(f"{where}: {error.message}") from error
    mask = np.zeros(size, bool) if code is None else code.decode().astype(bool)
    return mask, score_from_json(entry["score"], where)
