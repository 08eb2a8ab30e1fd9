"""A plugin with a planted loss, for ``benchmarks.claims.ab_gate``: another method, slower, or with eroded masks.

Its spinning processes are children of the worker, so that they share its session, and with it the share of the machine
that the system gives to it: they keep the method from the cores, and leave those of other sessions alone.
"""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from harness import BuildContext, Method, OneShotVOS, Prompts, Video, hookimpl


@dataclass(frozen=True)
class Config:
    """What is planted; the default is nothing."""

    slower: float = 0.0
    """By which share of its own CPU time each frame takes longer."""
    erode_every: int = 0
    """The masks of each so-manieth frame lose their outermost pixels; 0: none."""
    spinners: int = 0
    """Processes that take whatever they get of a core, from the first frame on."""


class Planted:
    """The method underneath, frame by frame."""

    def __init__(self, inner: OneShotVOS, config: Config) -> None:
        self._inner = inner
        self._config = config
        self._spinners: list[subprocess.Popen[bytes]] = []

    def propagate(self, video: Video, prompts: Prompts) -> Iterator[torch.Tensor]:
        """Its masks, later or smaller as the config says."""
        while len(self._spinners) < self._config.spinners:
            self._spinners.append(subprocess.Popen(["sh", "-c", "while :; do :; done"]))
        masks = iter(self._inner.propagate(video, prompts))
        for frame in range(len(video)):
            began = time.process_time()
            mask = next(masks)
            until = began + (1 + self._config.slower) * (time.process_time() - began)
            while time.process_time() < until:
                pass
            is_eroded = self._config.erode_every and frame and frame % self._config.erode_every == 0
            yield erode(mask) if is_eroded else mask


def erode(mask: torch.Tensor) -> torch.Tensor:
    """The (H, W) id map without each object's outermost pixels."""
    ids = mask.float()[None, None]
    least = -functional.max_pool2d(-ids, 3, stride=1, padding=1)
    most = functional.max_pool2d(ids, 3, stride=1, padding=1)
    return torch.where(least == most, ids, 0)[0, 0].to(mask.dtype)


def build(context: BuildContext) -> OneShotVOS:
    """Build what lies underneath: the method of ``harness new-plugin trial --task one-shot``."""
    import vos_trial

    return Planted(vos_trial.build(replace(context, config=vos_trial.Config())), context.config)


@hookimpl
def harness_methods() -> list[Method]:
    """Offer the one method."""
    return [Method(name="planted", tasks=("one-shot",), build=build, config=Config, licence="Apache-2.0")]
