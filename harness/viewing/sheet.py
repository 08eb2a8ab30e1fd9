"""A contact sheet: a row a video and run, frames from its first to its last with the masks over them, as one PNG."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harness.api.video import Sample
from harness.overlays.draw import draw_mask
from harness.pages import words
from harness.ranking.figures import main_column
from harness.viewing.footage_pages import read_names, score_frames
from harness.viewing.gather import Footage, Viewed, check_size
from harness.viewing.layers import IdMap, read_prediction_of
from harness.viewing.run_pages import mean_on

WIDTH = 240
"""Columns of one picture."""
GAP, CAPTION, TEXT = 6, 22, 14
GROUND, INK = (255, 255, 255), (30, 36, 42)


def make_sheet(runs: Sequence[Viewed], footage: Footage, videos: Sequence[str], columns: int) -> bytes:
    """The PNG; where a video's frames are not here its masks stand on black.

    The first row of a video with a truth is the truth. Below each picture stands its frame, and J and F where scored.
    """
    rows = [row for video in videos for row in _rows_of(video, runs, footage, columns)]
    height = sum(row.height for row in rows) + GAP
    sheet = Image.new("RGB", (max((row.width for row in rows), default=WIDTH), max(height, GAP)), GROUND)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    file = io.BytesIO()
    sheet.save(file, format="PNG", optimize=True)
    return file.getvalue()


def _rows_of(video: str, runs: Sequence[Viewed], footage: Footage, columns: int) -> Iterator[Image.Image]:
    sample = footage.samples.get(video)
    here = [run for run in runs if video in run.results and run.folder is not None and run.results[video].masks]
    if not here:
        return
    first = here[0].results[video]
    if sample is not None:
        check_size(sample, first)
    chosen = [round(frame) for frame in np.linspace(0, first.length - 1, min(columns, first.length))]
    if sample is not None and sample.read_truth is not None:
        truths = [sample.read_truth(frame) for frame in chosen]
        blank = np.zeros((first.height, first.width), np.uint8)
        masks = [blank if truth is None else np.where(truth == 255, 0, truth) for truth in truths]
        yield _row(f"{video}: truth", chosen, masks, sample, ["" if truth is not None else "none" for truth in truths])
    for run in here:
        result = run.results[video]
        assert run.folder is not None
        names = sample.frame_names if sample else read_names(run.folder, result)
        read: IdMap = read_prediction_of(run.folder, result, names)
        scores = score_frames(result)
        told = [" ".join(f"{name} {100 * value:.0f}" for name, value in scores.get(f, {}).items()) for f in chosen]
        figure = mean_on(run.record, video)
        main = main_column(run.record.benchmark.task)
        head = f"{video}: {run.label}" + (f", {main} {100 * figure:.1f}" if figure is not None else "")
        yield _row(head, chosen, [read(frame) for frame in chosen], sample, told)


def _row(
    head: str, frames: Sequence[int], masks: Sequence[np.ndarray], sample: Sample | None, told: Sequence[str]
) -> Image.Image:
    """One line of text, and below it the pictures with their captions."""
    tall = round(WIDTH * masks[0].shape[0] / masks[0].shape[1])
    row = Image.new("RGB", (GAP + len(frames) * (WIDTH + GAP), GAP + CAPTION + tall + CAPTION), GROUND)
    draw, font = ImageDraw.Draw(row), ImageFont.load_default(TEXT)
    draw.text((GAP, GAP), words.plain(head, 200), fill=INK, font=font)
    for place, (frame, mask, words_) in enumerate(zip(frames, masks, told, strict=True)):
        photo = sample.read_frame(frame) if sample else np.zeros((*mask.shape, 3), np.uint8)
        left = GAP + place * (WIDTH + GAP)
        row.paste(Image.fromarray(draw_mask(photo, mask)).resize((WIDTH, tall)), (left, GAP + CAPTION))
        draw.text((left, GAP + CAPTION + tall + 2), f"{frame}  {words_}".strip(), fill=INK, font=font)
    return row
