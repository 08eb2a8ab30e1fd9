"""The batches of a training as torch's loader takes them, in this process or in others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from harness.api.learning import Learner
from harness.training.plan import seed_of


class Batches(Dataset[Any]):
    """The batches of the iterations from ``first`` on."""

    def __init__(self, learner: Learner, seed: Sequence[int | str], rank: int, first: int) -> None:
        self._learner = learner
        self._seed = seed
        self._rank = rank
        self._first = first

    def __len__(self) -> int:
        return self._learner.iterations - self._first

    def __getitem__(self, index: int) -> Any:
        iteration = self._first + index
        torch.manual_seed(seed_of(*self._seed, iteration, self._rank, "batch"))  # what forgot a generator of its own
        return self._learner.batch(iteration)


def as_it_is(batch: Any) -> Any:
    """The batch as the learner made it."""
    return batch
