"""Which earlier frames labels come from, and how wide the spatial prior of each one is (Zhang et al. 2020, 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.ops.propagation import Sigmas, Slots
from harness_tvos.config import Config


def reference_frames(target: int, config: Config) -> tuple[int, ...]:
    """The frames labels come from, ascending: dense in the near past, sparse in the far (section 3.3, figure 3)."""
    if target <= config.sparse + config.dense:
        return tuple(range(target))
    end = target - 1 - config.dense
    start = max(target - config.reach, 0)
    steps = max(config.sparse - 1, 1)
    spread = [start + k * (end - start) // steps for k in range(config.sparse)]  # truncated linspace(start, end)
    return (*spread, *range(end + 1, target))


def sigmas(target: int, references: int, config: Config) -> tuple[float, ...]:
    """The width of the spatial prior for each reference (section 3.3, "a simple motion prior")."""
    if target < config.far_from:
        return (config.sigma_near,) * references
    near = min(config.near, references)
    return (config.sigma_far,) * (references - near) + (config.sigma_near,) * near


def frames_kept(config: Config) -> int:
    """How far back any target ever looks."""
    return max(config.sparse + config.dense, config.reach if config.sparse else 0)


class Schedule:
    """For each target of a video: the slots of its references, the widths of their priors, and its own slot.

    On a CPU these are numbers. On a GPU, where ``on_device`` asks for it, they are rows of one table, which is made
    once a video: nothing is sent there while it runs. Slots end in -1s then where a target has fewer references than
    most have.
    """

    def __init__(self, config: Config, frames: int, slots: int, device: torch.device, *, on_device: bool) -> None:
        self.config = config
        self.slots = slots
        self.table: Tensor | None = None
        if on_device and frames > 1:
            table = torch.tensor([self._row(target) for target in range(1, frames)], dtype=torch.float64)
            table = table.view(frames - 1, 2, -1)
            packed = torch.stack([table[:, 0].long(), table[:, 1].contiguous().view(torch.int64)], 1)
            self.table = (packed.pin_memory() if device.type == "cuda" else packed).to(device, non_blocking=True)

    def numbers(self, target: int) -> tuple[list[int], tuple[float, ...], int]:
        """Slots, widths and own slot of a target, counted from the first prompted frame."""
        references = reference_frames(target, self.config)
        widths = sigmas(target, len(references), self.config)
        return [reference % self.slots for reference in references], widths, target % self.slots

    def _row(self, target: int) -> list[float]:
        """Two halves of a power of two, so that both begin on 16 bytes: own slot and slots; 1 and widths."""
        slots, widths, own = self.numbers(target)
        most = self.config.sparse + self.config.dense
        half = max(8, 2 ** most.bit_length())
        filling, rest = most - len(slots), half - 1 - most
        row = [*slots, *[-1] * filling, *[0] * rest, own, *widths, *[1] * filling, *[1] * (rest + 1)]
        return [float(number) for number in row]

    def of(self, target: int) -> tuple[Slots, Sigmas, int | Tensor]:
        """The same as `numbers`, on the device where the table is."""
        return self.numbers(target) if self.table is None else self.unpack(self.row(target))

    def row(self, target: int) -> Tensor:
        """The row (2, .) of a target."""
        if self.table is None:
            raise ValueError("this schedule was made without on_device")
        return self.table[target - 1]

    def unpack(self, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Slots, widths and own slot, as views of a row (2, .) of the table."""
        most = self.config.sparse + self.config.dense
        return row[0, :most], row[1, :most].view(torch.float64), row[0, -1:]
