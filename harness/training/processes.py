"""The processes of one training: one alone, or several started by torchrun that step as one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.machine import resolve_device

PATIENCE = timedelta(days=1)
"""How long processes wait for the first one, which validates alone."""


@dataclass(frozen=True)
class Processes:
    """This process among those of a training; ``rank`` 0 writes and validates.

    Messages between the processes themselves go by gloo, so that no GPU is waited for; gradients and weights go by
    NCCL where they lie on GPUs.
    """

    device: str
    rank: int = 0
    world: int = 1
    control: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this one writes and validates."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.world > 1:
            dist.monitored_barrier(self.control, timeout=PATIENCE)

    def share_states(self, networks: Mapping[str, nn.Module]) -> None:
        """Give every process the parameters and buffers of the first."""
        if self.world == 1:
            return
        with torch.no_grad():
            for network in networks.values():
                for tensor in [*network.parameters(), *network.buffers()]:
                    whole = tensor.detach().contiguous()
                    dist.broadcast(whole, src=0)
                    tensor.detach().copy_(whole)

    def average_gradients(self, parameters: Sequence[Tensor], *, stop: bool) -> bool:
        """Replace each gradient by its mean over the processes; returns whether any of them wants to ``stop``.

        One message for all gradients of one type. A parameter that got a gradient in some processes counts as zero in
        the others; one that got none anywhere keeps none.
        """
        if self.world == 1:
            return stop
        told = torch.tensor([stop, *(p.grad is not None for p in parameters)], dtype=torch.int32)
        dist.all_reduce(told, group=self.control)
        learning = [p for p, count in zip(parameters, told[1:].tolist(), strict=True) if count]
        for dtype in dict.fromkeys(p.dtype for p in learning):
            self._average([p for p in learning if p.dtype == dtype])
        return bool(told[0])

    def _average(self, parameters: Sequence[Tensor]) -> None:
        for p in parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def gather(self, told: Any) -> list[Any]:
        """What every process tells, plain values, in the order of ranks."""
        if self.world == 1:
            return [told]
        answers: list[Any] = [None] * self.world
        dist.all_gather_object(answers, told, group=self.control)
        return answers


def world_of_environment() -> int:
    """How many processes a launcher such as torchrun started; 1 without one."""
    try:
        world = int(os.environ.get("WORLD_SIZE", "1"))
    except ValueError:
        world = 0
    if world < 1:
        raise UsageError(f"WORLD_SIZE is {os.environ['WORLD_SIZE']!r}; expected a number from 1", hint="use torchrun")
    return world


@contextmanager
def join(device: str) -> Iterator[Processes]:
    """This process joined with the others that torchrun started; each has the CPU, or the GPU of its local rank."""
    world, on_gpus = world_of_environment(), device.startswith("cuda")
    if world == 1:
        device = resolve_device(device)
        if on_gpus:
            torch.cuda.set_device(device)
        yield Processes(device)
        return
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UsageError(f"WORLD_SIZE is {world}, but {', '.join(missing)} not set", hint="use torchrun")
    device = resolve_device(f"cuda:{os.environ['LOCAL_RANK']}" if on_gpus else device)
    if on_gpus:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpus else "gloo", timeout=timedelta(minutes=30) if on_gpus else PATIENCE)
    try:
        yield Processes(device, dist.get_rank(), world, dist.new_group(backend="gloo", timeout=PATIENCE))
    finally:
        dist.destroy_process_group()


def parameters_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The parameters that learn, in the optimiser's order."""
    groups: Iterable[dict[str, Any]] = optimizer.param_groups
    return [p for group in groups for p in group["params"]]
