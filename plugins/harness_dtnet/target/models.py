"""The models of all targets of a video: begun from their first masks, asked in each frame, fitted on.

Zhou et al. 2021, section 3.2, with the constants of FRTM (Robinson et al. 2020), whose target model theirs is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from harness_dtnet.kernels import fit_targets
from harness_dtnet.target.bilinear import Bilinear, gather
from harness_dtnet.target.gauss_newton import Penalty, refit
from harness_dtnet.target.importance import FEWEST, pixel_importance
from harness_dtnet.target.memory import SampleMemory, Shares
from harness_dtnet.target.normal_equations import normal_equations, solve


@dataclass(frozen=True)
class Learning:
    """Constants of the models; ``Config`` says where each comes from."""

    channels: int
    first_iterations: tuple[int, ...]
    later_iterations: int
    gamma: float
    slots: int
    solver: Literal["cg", "normal"]
    penalty: Penalty


class TargetModels:
    """Two filters a target, in the order in which targets were added, and what they go on learning from."""

    def __init__(self, learning: Learning, size: tuple[int, int], like: Float[Tensor, "D h w"]) -> None:
        self.learning = learning
        self.grid = (like.shape[1], like.shape[2])
        self.bilinear = Bilinear(self.grid, size, like)
        self.w1 = like.new_zeros(0, learning.channels, like.shape[0])
        self.w2 = like.new_zeros(0, learning.channels, 9)
        self.shares: list[Shares] = []
        self.memory = SampleMemory(learning.channels, self.grid, like, learning.slots)
        unknowns = 9 * learning.channels if learning.solver == "normal" else 0
        self.matrix = like.new_zeros(0, unknowns, unknowns)
        self.right = like.new_zeros(0, unknowns)

    def __len__(self) -> int:
        return len(self.w1)

    def add(
        self,
        features: Float[Tensor, "N K D h w"],
        labels: Float[Tensor, "N K H W"],
        generator: torch.Generator,
    ) -> None:
        """Begin N targets from K samples each, the true first one first."""
        count, samples = labels.shape[:2]
        first = Shares.of_first(samples)
        shares = torch.tensor(first.by_slot, dtype=labels.dtype).to(labels.device)[:, None, None]
        x = features.transpose(1, 2).contiguous()  # (N, D, K, h, w)
        importance = pixel_importance(labels)
        w1, w2 = fit_targets(
            x,
            labels,
            importance * shares,
            *self._draw(count, generator, x),
            iterations=self.learning.first_iterations,
            penalty=self.learning.penalty,
        )
        self.w1, self.w2 = torch.cat([self.w1, w1]), torch.cat([self.w2, w2])
        self.shares += [Shares(list(first.by_slot)) for _ in range(count)]
        projected = (w1 @ x.flatten(2)).unflatten(2, x.shape[2:])  # (N, C, K, h, w)
        stencils = self.bilinear.stencil(importance).transpose(1, 2)  # (N, 9, K, h, w)
        targets = self.bilinear.down(importance * labels)  # (N, K, h, w)
        if self.learning.solver == "cg":
            self.memory.add_targets(projected, stencils, targets)
        else:
            matrix, right = normal_equations(projected, stencils * shares, targets * shares)
            self.matrix, self.right = torch.cat([self.matrix, matrix]), torch.cat([self.right, right])

    def _draw(self, count: int, generator: torch.Generator, like: Tensor) -> tuple[Tensor, Tensor]:
        """Untrained filters, as FRTM draws them: normal, of the deviation that keeps the scale."""
        channels, depth = self.learning.channels, like.shape[1]
        w1 = torch.randn(count, channels, depth, generator=generator) / depth**0.5
        w2 = torch.randn(count, channels, 9, generator=generator) / (9 * channels) ** 0.5
        return w1.to(like), w2.to(like)

    def scores(self, features: Float[Tensor, "D h w"]) -> Float[Tensor, "N h w"]:
        """Eq. 8 for every target: about 1 inside and 0 outside."""
        projected = self.w1 @ features.flatten(1)  # (N, C, h*w)
        return gather((self.w2.mT @ projected).unflatten(2, self.grid))

    def remember(
        self,
        targets: Sequence[int],
        features: Float[Tensor, "D h w"],
        labels: Float[Tensor, "N H W"],
        is_reliable: Sequence[bool],
    ) -> None:
        """Keep a frame as a sample of these targets, with the labels of each; their masks have pixels enough."""
        projected = (self.w1[list(targets)] @ features.flatten(1)).unflatten(2, self.grid)  # (N, C, h, w)
        importance = pixel_importance(labels)
        stencils, values = self.bilinear.stencil(importance), self.bilinear.down(importance * labels)
        learning = self.learning
        for place, target in enumerate(targets):
            slot, share = self.shares[target].add(learning.gamma, learning.slots, is_doubled=is_reliable[place])
            if learning.solver == "cg":
                self.memory.write(target, slot, projected[place], stencils[place], values[place])
                continue
            matrix, right = normal_equations(
                projected[place, None, :, None], stencils[place, None, :, None], values[place, None, None]
            )
            self.matrix[target] = self.matrix[target].lerp(matrix[0], share)
            self.right[target] = self.right[target].lerp(right[0], share)

    def refit(self, targets: Sequence[int]) -> None:
        """Fit the second filters of these targets to their samples."""
        chosen = list(targets)
        penalty = self.learning.penalty
        if self.learning.solver == "normal":
            found = solve(self.matrix[chosen], self.right[chosen], penalty.factors[1], self.w2[chosen])
        else:
            memory = self.memory
            shares = memory.weigh([self.shares[target].by_slot for target in chosen])
            found = refit(
                memory.features[chosen],
                memory.stencils[chosen] * shares[:, None],
                memory.targets[chosen] * shares,
                self.w2[chosen],
                self.learning.later_iterations,
                penalty,
            )
        self.w2[chosen] = found


def has_enough(labels: Float[Tensor, "N H W"]) -> list[bool]:
    """Whether each label has pixels enough to learn from (FRTM: 10)."""
    return [count >= FEWEST for count in (labels > 0.5).flatten(1).sum(1).tolist()]
