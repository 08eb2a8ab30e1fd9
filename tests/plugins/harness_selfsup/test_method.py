"""Propagation from prompt to masks, on tiny videos whose objects are told apart by their colours."""

import dataclasses

import pytest
import torch
from torch import nn

from harness import CausalityError, DataError, Prompts, Video
from harness.api.video import Horizon
from harness_selfsup.config import CORRECT, MAST, PRESETS, Config
from harness_selfsup.frames.lab import to_lab
from harness_selfsup.method import SelfSup, slip

COLOURS = torch.tensor([[120 * (i % 3), 120 * (i // 3 % 3), 120 * (i // 9)] for i in range(27)], dtype=torch.uint8)
PALETTE = to_lab(COLOURS[None, None])[0, :, 0]  # (3, 27)
NEAR = dataclasses.replace(CORRECT, radius=2)


class ColourEncoder(nn.Module):
    """Channel k says how much pixel 4 i looks like colour k; like products are 25, others 0. Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        pixels = images[:, :, ::4, ::4, None]
        squared = (pixels - PALETTE[None, :, None, None]).square().sum(1)  # (1, h, w, 27)
        return 5 * (-80 * squared).softmax(-1)


def selfsup(config: Config = NEAR) -> SelfSup:
    return SelfSup(ColourEncoder(), None, config)


def paint(mask: torch.Tensor) -> torch.Tensor:
    """A (H, W, 3) frame that shows each id in its own colour."""
    return COLOURS[mask.long() % len(COLOURS)]


def video_of(frames: list[torch.Tensor], horizon: Horizon | None = None) -> Video:
    height, width, _ = frames[0].shape
    return Video(name="v", length=len(frames), height=height, width=width, read=frames.__getitem__, horizon=horizon)


def squares(ids: list[int], height: int = 32, width: int = 48) -> torch.Tensor:
    """Objects of 8 x 8 pixels side by side, each around 2 x 2 cells: those on pixels 4 and 8, 12 and 16, ..."""
    mask = torch.zeros(height, width, dtype=torch.uint8)
    for place, value in enumerate(ids):
        row, column = divmod(place, width // 8)
        mask[8 * row + 3 : 8 * row + 11, 8 * column + 3 : 8 * column + 11] = value
    return mask


def masks_of(model: SelfSup, frames: list[torch.Tensor], prompts: dict[int, torch.Tensor]) -> list[torch.Tensor]:
    return list(model.propagate(video_of(frames), Prompts(prompts)))


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


def centre(mask: torch.Tensor) -> torch.Tensor:
    return mask.nonzero().float().mean(0)


BLOCK = torch.zeros(32, 48, dtype=torch.uint8)
BLOCK[7:22, 11:30] = 1  # around the cells of rows 8..20 and columns 12..28: half a cell more on each side


def test_a_static_video_returns_the_first_mask_and_with_mast_a_pixel_and_a_half_late():
    correct = masks_of(selfsup(), [paint(BLOCK)] * 20, {0: BLOCK})
    mast = masks_of(selfsup(dataclasses.replace(MAST, radius=2)), [paint(BLOCK)] * 20, {0: BLOCK})
    assert torch.equal(correct[0], BLOCK)
    assert torch.equal(mast[0], BLOCK)
    for t in range(1, 20):
        assert (centre(correct[t]) - centre(BLOCK)).abs().max() < 0.3
        assert overlap(correct[t] == 1, BLOCK == 1) > 0.8
        assert (centre(mast[t]) - centre(BLOCK) - 1.5).abs().max() < 0.3
    assert torch.equal(mast[19], mast[1])  # the shift does not grow


@pytest.mark.parametrize("preset", sorted(PRESETS.keys() - {"mast", "refs-5"}))
def test_an_object_is_followed(preset):
    def at(frame: int) -> torch.Tensor:
        return torch.roll(squares([1, 2]), (4, 4 * (frame // 4)), (0, 1))

    config = dataclasses.replace(PRESETS[preset], radius=2)
    masks = masks_of(selfsup(config), [paint(at(frame)) for frame in range(24)], {0: at(0)})
    assert all(overlap(masks[23] == value, at(23) == value) > 0.6 for value in (1, 2))


def test_with_mast_the_shift_wears_small_objects_away():
    """The pixel of a corner's cell has .625 of the cell each way, .39 in all: background wins, frame after frame."""
    mask = squares([0, 1])
    frames = [paint(mask)] * 12
    worn = masks_of(selfsup(dataclasses.replace(MAST, radius=2)), frames, {0: mask})
    kept = masks_of(selfsup(), frames, {0: mask})
    assert int(worn[11].sum()) < 0.8 * int(worn[1].sum())
    assert torch.equal(kept[11], kept[1])


def test_a_long_term_reference_is_found_outside_its_window():
    near, far = squares([0, 0, 0, 1]), squares([1])
    blank = torch.zeros_like(near)
    shown = [near, *[blank] * 21, far, far]
    frames = [paint(mask) for mask in shown]
    config = dataclasses.replace(CORRECT, radius=3, max_dilation=4)
    with_roi = masks_of(selfsup(config), frames, {0: near})[22]
    without = masks_of(selfsup(dataclasses.replace(config, roi=False)), frames, {0: near})[22]
    assert overlap(with_roi == 1, far == 1) > 0.6
    assert not without.any()


def test_masks_are_uint8_of_the_videos_size_even_when_odd():
    mask = squares([1], 37, 51)
    masks = masks_of(selfsup(), [paint(mask)] * 3, {0: mask})
    assert [(found.shape, found.dtype) for found in masks] == [((37, 51), torch.uint8)] * 3
    assert overlap(masks[2], mask) > 0.6


def test_masks_come_back_at_the_videos_size_from_another_one():
    mask = squares([0, 0, 0, 1], 64, 96).repeat_interleave(2, 0).repeat_interleave(2, 1)
    config = dataclasses.replace(NEAR, short_side=64)
    masks = masks_of(selfsup(config), [paint(mask)] * 3, {0: mask})
    assert [found.shape for found in masks] == [(128, 192)] * 3
    assert overlap(masks[2], mask) > 0.7


def test_mean_labels_keep_a_static_object_too():
    masks = masks_of(selfsup(dataclasses.replace(NEAR, labels="mean")), [paint(BLOCK)] * 9, {0: BLOCK})
    assert overlap(masks[8], BLOCK) > 0.8


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 9)])
def test_the_smallest_videos(size):
    mask = torch.ones(size, dtype=torch.uint8)
    masks = masks_of(selfsup(CORRECT), [paint(mask)] * 18, {0: mask})
    assert all(torch.equal(found, mask) for found in masks)


@pytest.mark.parametrize("length", [1, 2])
def test_the_shortest_videos(length):
    mask = squares([1])
    assert len(masks_of(selfsup(), [paint(mask)] * length, {0: mask})) == length


def test_an_object_of_one_pixel_that_no_cell_sees_is_lost_without_trouble():
    mask = torch.zeros(32, 48, dtype=torch.uint8)
    mask[9, 10] = 1  # cells lie on pixels 8 and 12
    masks = masks_of(selfsup(), [paint(mask)] * 3, {0: mask})
    assert [int(found.sum()) for found in masks] == [1, 0, 0]


def test_twenty_objects_at_once():
    mask = squares(list(range(1, 21)))
    masks = masks_of(selfsup(), [paint(mask)] * 3, {0: mask})
    assert all(overlap(masks[2] == value, mask == value) > 0.5 for value in range(1, 21))


def test_mast_has_seven_classes():
    mask = squares([1, 7])
    with pytest.raises(DataError, match=r"found object id 7 in the prompt of frame 0; expected ids below 7"):
        masks_of(selfsup(MAST), [paint(mask)] * 2, {0: mask})


def test_ids_with_gaps_are_kept():
    mask = squares([0, 9, 0, 200])
    masks = masks_of(selfsup(), [paint(mask)] * 3, {0: mask})
    assert masks[2].unique().tolist() == [0, 9, 200]


def test_void_in_a_prompt_is_background_even_with_mast():
    mask = squares([1, 0, 255])
    masks = masks_of(selfsup(MAST), [paint(mask)] * 2, {0: mask})
    assert [found.unique().tolist() for found in masks] == [[0, 1], [0, 1]]


def test_an_empty_prompt_gives_background_without_looking():
    empty = torch.zeros(32, 48, dtype=torch.uint8)
    model = selfsup()
    masks = masks_of(model, [paint(squares([1]))] * 3, {0: empty})
    assert all(torch.equal(found, empty) for found in masks)
    assert model.phi_q.calls == 0


def test_background_before_the_first_prompt():
    mask = squares([0, 1])
    masks = masks_of(selfsup(), [paint(mask)] * 5, {2: mask})
    assert [int(found.any()) for found in masks] == [0, 0, 1, 1, 1]
    assert overlap(masks[4], mask) > 0.6


def test_a_later_object_joins_those_followed():
    both = squares([1, 0, 2])
    frames = [paint(squares([1]))] * 3 + [paint(both)] * 3
    masks = masks_of(selfsup(), frames, {0: squares([1]), 3: squares([0, 0, 2])})
    assert 2 not in masks[2]
    assert torch.equal(masks[3] == 2, both == 2)
    assert all(overlap(masks[5] == value, both == value) > 0.6 for value in (1, 2))


def test_an_object_prompted_again_is_taken_as_prompted():
    moved = squares([0, 0, 0, 0, 1])
    frames = [paint(squares([1]))] * 2 + [paint(squares([1]) + moved)] * 3
    masks = masks_of(selfsup(), frames, {0: squares([1]), 2: moved})
    assert torch.equal(masks[2], moved)


def test_each_frame_is_encoded_once_and_with_a_memory_encoder_once_by_each():
    mask = squares([1])
    shared, query, memory = selfsup(), ColourEncoder(), ColourEncoder()
    masks_of(shared, [paint(mask)] * 8, {0: mask})
    masks_of(SelfSup(query, memory, NEAR), [paint(mask)] * 8, {0: mask})
    assert (shared.phi_q.calls, query.calls, memory.calls) == (8, 8, 8)


def test_references_are_encoded_by_the_memory_encoder():
    """With a memory encoder that calls colour 1 colour 0 and the other way round, labels change places."""

    class Swapped(ColourEncoder):
        def forward(self, images):
            return super().forward(images)[..., [1, 0, *range(2, 27)]]

    mask = squares([1])
    (_, found) = masks_of(SelfSup(ColourEncoder(), Swapped(), NEAR), [paint(mask)] * 2, {0: mask})
    assert found[6, 6] == 0
    assert found[6, 15] == 1


def test_no_frame_beyond_the_one_asked_for_is_read():
    horizon = Horizon(last=0)
    video = video_of([paint(squares([1]))] * 3, horizon)
    masks = selfsup().propagate(video, Prompts({0: squares([1])}, horizon=horizon))
    next(masks)
    with pytest.raises(CausalityError):
        next(masks)


def test_labels_of_every_long_term_reference_take_the_last_ones_offsets_only_with_the_slip():
    first, second = torch.zeros(1, 1, 2), torch.ones(1, 1, 2)
    assert [found is second for found in slip([first, second, None])] == [True, True, False]
    assert slip([None, None]) == [None, None]
