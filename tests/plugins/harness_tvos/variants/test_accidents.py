"""The accidents of the released code, each by itself."""

import torch

from harness_tvos.memory import Memory
from harness_tvos.variants.accidents import skip_third, write_merged


def test_the_third_prompt_is_lost_wherever_it_comes():
    prompt = torch.ones(2, 2, dtype=torch.uint8)
    given = [(0, prompt), (1, None), (2, prompt), (3, None), (4, prompt), (5, prompt)]
    assert [frame for frame, kept in skip_third(given) if kept is not None] == [0, 2, 5]


def test_objects_of_a_later_prompt_come_under_the_highest_id_and_nothing_else_is_cleared():
    first = torch.zeros(8, 16, dtype=torch.uint8)
    first[:, 8:] = 1
    memory = Memory(2, (1, 2), torch.zeros(2, 3))
    memory.add_objects(first)
    memory.write(0, torch.zeros(2, 3), torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]))
    later = torch.zeros(8, 16, dtype=torch.uint8)
    later[:4, :8], later[4:, :8] = 2, 3
    memory.add_objects(later)
    write_merged(memory, 0, later)
    # background, 1, 2, 3: the left cell is all 3, and 1 stays where it was
    assert memory.labels_at(0).tolist() == [[[0.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]], [[1.0, 0.0]]]
