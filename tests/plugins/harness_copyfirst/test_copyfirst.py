"""copyfirst shows the prompts seen so far and nothing else."""

import torch

from harness import Prompts, Video
from harness_copyfirst.method import CopyFirst


def video_of(length):
    frame = torch.zeros(2, 3, 3, dtype=torch.uint8)
    return Video(name="v", length=length, height=2, width=3, read=lambda t: frame)


def test_each_frame_shows_the_first_mask_and_later_objects_over_it():
    first = torch.tensor([[1, 1, 0], [0, 0, 0]], dtype=torch.uint8)
    later = torch.tensor([[0, 2, 2], [0, 0, 255]], dtype=torch.uint8)
    masks = list(CopyFirst().propagate(video_of(4), Prompts({0: first, 2: later})))
    assert [mask.tolist() for mask in masks[:2]] == [first.tolist()] * 2
    assert masks[3].tolist() == [[1, 2, 2], [0, 0, 0]]


def test_without_a_prompt_everything_is_background():
    masks = list(CopyFirst().propagate(video_of(2), Prompts({})))
    assert [int(mask.sum()) for mask in masks] == [0, 0]
