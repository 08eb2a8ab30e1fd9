"""What is kept of a target's samples, and what each weighs: Zhou et al. 2021, adaptive memory updating."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


@dataclass
class Shares:
    """The weights of one target's samples, which sum to 1, by slot; ``own`` is the newest one's before doubling.

    alpha_j = alpha_{j-1} / (1 - gamma) with alpha_0 = gamma, doubled for a reliable sample, all renormalised. The chain
    goes on from the weight before doubling: from the doubled one, two frames would soon be the whole memory.
    """

    by_slot: list[float]
    own: float = 0.0

    @classmethod
    def of_first(cls, samples: int) -> Shares:
        """The first frame counts twice as much as each of its copies (FRTM)."""
        total = samples + 1.0
        return cls([2 / total, *([1 / total] * (samples - 1))])

    def add(self, gamma: float, most: int, *, is_doubled: bool) -> tuple[int, float]:
        """The slot of a new sample, and the share it takes; at most ``most`` slots, and slot 0 is never given away."""
        own = self.own / (1 - gamma) if self.own else gamma * (1 - gamma)
        given = 2 * own if is_doubled else own
        if len(self.by_slot) < most:
            slot = len(self.by_slot)
            self.by_slot.append(0.0)
        else:
            slot = min(range(1, most), key=self.by_slot.__getitem__)
            self.by_slot[slot] = 0.0
        kept = sum(self.by_slot)
        total = kept + given
        self.by_slot = [share / total for share in self.by_slot]
        self.by_slot[slot] = given / total
        self.own = own / total
        return slot, given / total


class SampleMemory:
    """Projected features, stencils and targets of every target's samples, (N, ..., S, h, w), S growing in doubles."""

    def __init__(self, channels: int, grid: tuple[int, int], like: Tensor, slots: int) -> None:
        self.slots = slots
        self.features = like.new_zeros(0, channels, 1, *grid)
        self.stencils = like.new_zeros(0, 9, 1, *grid)
        self.targets = like.new_zeros(0, 1, *grid)

    def add_targets(self, features: Tensor, stencils: Tensor, targets: Tensor) -> None:
        """Keep the first samples of new targets."""
        self._grow(targets.shape[1])
        missing = self.targets.shape[1] - targets.shape[1]
        room = (0, 0, 0, 0, 0, missing)
        self.features = torch.cat([self.features, functional.pad(features, room)])
        self.stencils = torch.cat([self.stencils, functional.pad(stencils, room)])
        self.targets = torch.cat([self.targets, functional.pad(targets, room)])

    def write(self, target: int, slot: int, features: Tensor, stencil: Tensor, values: Tensor) -> None:
        """Keep one sample: (C, h, w), (9, h, w) and (h, w)."""
        self._grow(slot + 1)
        self.features[target, :, slot] = features
        self.stencils[target, :, slot] = stencil
        self.targets[target, slot] = values

    def _grow(self, needed: int) -> None:
        have = self.targets.shape[1]
        if needed <= have:
            return
        room = (0, 0, 0, 0, 0, min(max(needed, 2 * have), max(self.slots, needed)) - have)
        self.features = functional.pad(self.features, room)
        self.stencils = functional.pad(self.stencils, room)
        self.targets = functional.pad(self.targets, room)

    def weigh(self, shares: list[list[float]]) -> Float[Tensor, "N S 1 1"]:
        """The shares of these targets' slots, 0 where there is no sample."""
        full = [row + [0.0] * (self.targets.shape[1] - len(row)) for row in shares]
        return torch.tensor(full, dtype=self.targets.dtype).to(self.targets.device)[..., None, None]
