"""The held-out check of the recipe: J by hand, the method's own masks, and a folder that is not whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from harness import DataError
from harness_selfsup import SHIPPED, WEIGHTS
from harness_selfsup.config import CORRECT
from harness_selfsup.network import build_encoder, load_checkpoint
from harness_selfsup.recipe.held_out import HELD_OUT, main, propagate_masks, read_video, similarity


def write_video(root: Path, name: str, frames: int = 4) -> None:
    """A square of 8 x 8 that moves right by 4 pixels a frame, on 16 x 32."""
    for t in range(frames):
        mask = np.zeros((16, 32), np.uint8)
        mask[4:12, 4 + 4 * t : 12 + 4 * t] = 255
        for part, image, ending in (("JPEGImages", np.dstack([mask] * 3), "jpg"), ("Annotations", mask, "png")):
            folder = root / part / "240p" / name
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{t:05d}.{ending}"), image)


def test_copying_the_first_mask_scores_as_by_hand(tmp_path: Path) -> None:
    """Inner frames are 1 and 2: the square has moved by 4 (4 of 12 columns shared) and by 8 (none)."""
    write_video(tmp_path, "motorbike")
    frames, truth = read_video(tmp_path, "motorbike", 4, 1)
    assert frames.shape == (4, 16, 32, 3)
    assert similarity("copy", CORRECT, frames, truth) == pytest.approx((4 / 12 + 0) / 2)


def test_masks_come_from_the_weights_given(tmp_path: Path) -> None:
    write_video(tmp_path, "surf")
    frames, truth = read_video(tmp_path, "surf", 4, 1)
    save_file(build_encoder(0).state_dict(), tmp_path / "zero.safetensors")
    by_file = propagate_masks(str(tmp_path / "zero.safetensors"), CORRECT, frames, truth[0])
    assert by_file.shape == truth.shape
    assert np.array_equal(by_file[0], truth[0])
    assert np.array_equal(by_file, propagate_masks("untrained", CORRECT, frames, truth[0]))  # also of seed 0
    assert torch.equal(frames, read_video(tmp_path, "surf", 4, 1)[0])


def test_every_file_has_a_line_and_few_frames_are_refused(tmp_path: Path) -> None:
    for name in HELD_OUT:
        write_video(tmp_path, name)
    done = CliRunner().invoke(main, ["--data", str(tmp_path), "--frames", "3", "--every", "1", "copy", "untrained"])
    assert done.exit_code == 0, done.output
    lines = [line.split("\t") for line in done.output.splitlines()]
    assert lines[0] == ["weights", "temperature", *HELD_OUT, "mean"]
    assert lines[1] == ["copy", "1", "0.333", "0.333", "0.333", "0.333"]
    assert [line[0] for line in lines[2:]] == ["untrained"]
    with pytest.raises(DataError, match="is 2 frames and 2 masks"):
        read_video(tmp_path, "surf", 4, 2)


def test_the_shipped_weights_are_those_of_the_card() -> None:
    shipped = next(entry for entry in WEIGHTS if entry.name == SHIPPED)
    assert shipped.path is not None
    content = shipped.path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == shipped.sha256
    assert len(content) < 14e6
    assert load_checkpoint(shipped.path).memory is None  # one encoder for both


def test_the_shipped_weights_follow_what_an_untrained_encoder_loses() -> None:
    """A textured disc over a texture that moves the other way, 64 x 96, by 3 and 2 pixels a frame."""
    rng = np.random.default_rng(0)
    ground, skin = (cv2.GaussianBlur(rng.integers(0, 255, (64, 160, 3)).astype(np.uint8), (0, 0), 2) for _ in range(2))
    rows, columns = np.mgrid[:64, :96]
    truth = np.stack([(rows - 32) ** 2 + (columns - 26 - 3 * t) ** 2 < 15**2 for t in range(6)]).astype(np.uint8)
    frames = [
        np.where(mask[..., None] == 1, np.roll(skin // 2 + 90, 3 * t, 1)[:, :96], ground[:, 2 * t : 2 * t + 96])
        for t, mask in enumerate(truth)
    ]
    video = torch.from_numpy(np.stack(frames).astype(np.uint8))
    path = str(next(entry for entry in WEIGHTS if entry.name == SHIPPED).path)
    trained, untrained = (similarity(file, CORRECT, video, truth) for file in (path, "untrained"))
    assert trained > untrained + 0.1
