"""The presets: references and priors of Table 2, and what the YouTube-VOS branch does, with and without accidents."""

import dataclasses

import pytest
import torch
from torch import nn

from harness import Prompts, Video
from harness_tvos.config import OFFICIAL, PRESETS, YOUTUBE_VOS, Config
from harness_tvos.frames.references import reference_frames, sigmas
from harness_tvos.method import TVOS
from harness_tvos.network import IMAGENET_MEAN, IMAGENET_STD

COLOURS = torch.tensor([[120 * (i % 3), 120 * (i // 3 % 3), 120 * (i // 9)] for i in range(13)], dtype=torch.uint8)


class ColourNetwork(nn.Module):
    """Channel k of the features says how much 8 x 8 pixels look like colour k; like products are 25, others 0."""

    def forward(self, images):
        palette = (COLOURS / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
        colours = nn.functional.avg_pool2d(images, 8, ceil_mode=True)
        return 5 * (-20 * (colours[:, None] - palette[None, :, :, None, None]).square().sum(2)).softmax(1)


def tvos(config: Config) -> TVOS:
    return TVOS(ColourNetwork(), config, "cpu")


def paint(mask: torch.Tensor) -> torch.Tensor:
    """A (H, W, 3) frame that shows each id in its own colour."""
    return COLOURS[mask.long() % len(COLOURS)]


def squares(ids: list[int], height: int, width: int) -> torch.Tensor:
    """Objects of 16 x 16 pixels on the 8-pixel grid, side by side."""
    mask = torch.zeros(height, width, dtype=torch.uint8)
    for place, value in enumerate(ids):
        row, column = divmod(place, width // 16)
        mask[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = value
    return mask


def masks_of(model: TVOS, frames: list[torch.Tensor], prompts: dict[int, torch.Tensor]) -> list[torch.Tensor]:
    height, width, _ = frames[0].shape
    video = Video(name="v", length=len(frames), height=height, width=width, read=frames.__getitem__)
    return list(model.propagate(video, Prompts(prompts)))


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


# On frames of 64 x 64 as on larger ones: the shorter side is that of the frames, so an object is followed on the grid.
BRANCH = dataclasses.replace(YOUTUBE_VOS, short_side=64)
BUGS = dataclasses.replace(BRANCH, official_bugs=True)


@pytest.mark.parametrize(
    ("preset", "references", "widths"),
    [
        ("table2-1", (59,), (8,)),
        ("table2-3", (57, 58, 59), (8, 8, 8)),
        ("table2-9", tuple(range(51, 60)), (8,) * 9),
        ("table2-uniform", (20, 24, 29, 34, 39, 44, 49, 54, 59), (8,) * 9),
        ("table2-sparse", (16, 24, 32, 40, 48, 56, 57, 58, 59), (8,) * 9),
        ("table2-sparse-motion", (16, 24, 32, 40, 48, 56, 57, 58, 59), (21,) * 5 + (8,) * 4),
        ("youtube-vos", (16, 24, 32, 40, 48, 56, 57, 58, 59), (15,) * 9),
        ("youtube-vos-official", (16, 24, 32, 40, 48, 56, 57, 58, 59), (15,) * 9),
    ],
)
def test_references_and_priors_of_frame_60(preset, references, widths):
    config = PRESETS[preset]
    assert reference_frames(60, config) == references
    assert sigmas(60, len(references), config) == widths


def test_the_last_column_of_table_2_is_the_official_method():
    assert PRESETS["table2-sparse-motion"] == PRESETS["official"] == OFFICIAL == Config()


def late(frames: int, prompts: dict[int, list[int]], config: Config) -> list[torch.Tensor]:
    """Masks of a video whose objects stand still from the frame on that prompts them."""
    every = squares(sorted({value for ids in prompts.values() for value in ids}), 64, 64)

    def only(ids: list[int]) -> torch.Tensor:
        return torch.where(torch.isin(every, torch.tensor(ids, dtype=torch.uint8)), every, 0)

    shown = [only([value for t, ids in prompts.items() if t <= frame for value in ids]) for frame in range(frames)]
    return masks_of(tvos(config), [paint(mask) for mask in shown], {t: only(ids) for t, ids in prompts.items()})


def ids_of(mask: torch.Tensor) -> list[int]:
    return mask.unique().tolist()


def test_objects_that_enter_together_stay_apart():
    masks = late(5, {0: [1], 2: [2, 3]}, BRANCH)
    assert [ids_of(mask) for mask in masks] == [[0, 1], [0, 1], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]


def test_the_released_branch_merges_them_and_shows_them_a_frame_late():
    masks = late(5, {0: [1], 2: [2, 3]}, BUGS)
    assert [ids_of(mask) for mask in masks] == [[0, 1], [0, 1], [0, 1], [0, 1, 3], [0, 1, 3]]
    both = (squares([1, 2, 3], 64, 64) > 1) & (squares([1, 2, 3], 64, 64) < 4)
    assert overlap(masks[4] == 3, both) > 0.8


def test_the_released_branch_skips_the_third_annotation_and_takes_the_fourth():
    fixed, released = (late(8, {0: [1], 2: [2], 4: [3], 6: [4]}, config) for config in (BRANCH, BUGS))
    assert ids_of(fixed[7]) == [0, 1, 2, 3, 4]
    assert ids_of(released[7]) == [0, 1, 2, 4]


def test_annotations_are_counted_with_the_first_that_shows_an_object_wherever_it_is():
    masks = late(7, {1: [1], 2: [2], 4: [3]}, BUGS)
    assert [ids_of(mask) for mask in masks[:3]] == [[0], [0, 1], [0, 1]]
    assert ids_of(masks[6]) == [0, 1, 2]


def test_prompted_labels_are_hard_on_the_branch_and_shares_otherwise():
    mask = torch.zeros(64, 64, dtype=torch.uint8)
    mask[:44, :20] = 1  # through the middle of blocks: shares of a half, and of a quarter at the corner
    branch, code = (tvos(config).begin(paint(mask), mask, 2).labels[0].unique() for config in (BRANCH, OFFICIAL))
    assert branch.tolist() == [0, 1]
    assert code.tolist() == [0, 1 / 4, 1 / 2, 3 / 4, 1]


def test_masks_of_the_branch_are_nearest_pixels_of_the_working_size():
    mask = squares([1, 2], 48, 64)
    config = dataclasses.replace(BRANCH, short_side=24)
    (_, found) = masks_of(tvos(config), [paint(mask)] * 2, {0: mask})
    assert found.shape == (48, 64)
    assert torch.equal(found, found[::2, ::2].repeat_interleave(2, 0).repeat_interleave(2, 1))
    (_, direct) = masks_of(tvos(dataclasses.replace(config, upsample="direct")), [paint(mask)] * 2, {0: mask})
    assert not torch.equal(direct, direct[::2, ::2].repeat_interleave(2, 0).repeat_interleave(2, 1))
