"""The networks of dtnet, how they begin, how their weights are read, and what they are at test time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from harness import BuildContext, DataError
from harness.api.errors import UsageError
from harness.models.checkpoints import read_state
from harness.models.efficientnet_lite import EfficientNetLite0, with_imagenet
from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES
from harness_dtnet.config import DiscoveryConfig
from harness_dtnet.discovery.frames import Normalise
from harness_dtnet.discovery.network import PAPER, SMALL, DNet, Guidance
from harness_dtnet.target.features import TargetFeatures

LAYOUTS = {"paper": PAPER, "small": SMALL}
GUIDING = ("mask_stem.", "guidance_encoder.", "guidance_pyramid.", "salient_gate.", "instance_gate.")
"""Beginnings of the names of what only the guidance has."""


class Networks(nn.Module):
    """D-Net as ``discovery`` and the trunk of T-Net as ``target``: the names weights have in a file."""

    def __init__(self, discovery: DNet) -> None:
        super().__init__()
        self.discovery = discovery
        self.target = TargetFeatures("lite0" if discovery.layout.trunk == "lite0" else "r101")


def build_networks(
    architecture: str, *, categories: int = 0, guidance: Guidance = "task", seed: int = 0, imagenet: bool = False
) -> Networks:
    """Untrained networks, drawn by the seed; with ``imagenet`` the trunks of ``small`` are those of ImageNet."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = Networks(DNet(LAYOUTS[architecture], categories=categories, guidance=guidance))
        draw(networks)
    if not imagenet:
        return networks
    if architecture != "small":
        raise UsageError(
            f"found imagenet=true with the untrained architecture {architecture!r}; only 'small' has such weights here",
            hint="use --preset small-imagenet",
        )
    for trunk in (networks.discovery.encoder.trunk, networks.target.trunk):
        with_imagenet(cast(EfficientNetLite0, trunk))
    return networks


def draw(networks: nn.Module) -> None:
    """He's initialisation for convolutions, so that maps keep their scale; what begins closed stays so."""
    for name, module in networks.named_modules():
        if isinstance(module, nn.Conv2d) and not name.endswith("mask_stem"):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")  # by its inputs: those of a group are few


def load_networks(path: str | Path, guidance: Guidance) -> Networks:
    """The networks a file holds; its names and shapes decide architecture and categories. DataError for all else."""
    state = {name: value.float() if value.is_floating_point() else value for name, value in read_state(path).items()}
    answer = state.get("discovery.foreground_head.answer.weight")
    if answer is None:
        raise DataError(
            f"the weights in {path} are of no D-Net: found {len(state)} tensors, such as {next(iter(state), 'none')!r}",
            hint="expected names discovery.encoder.trunk..., discovery.foreground_head... and target.trunk..., as "
            "harness train --plugin dtnet writes them",
        )
    architecture = "small" if "discovery.encoder.trunk._conv_stem.weight" in state else "paper"
    if guidance == "off":
        state = {name: value for name, value in state.items() if not is_guiding(name)}
    networks = build_networks(architecture, categories=max(len(answer) - 1, 0), guidance=guidance)
    load_strictly(networks, state, path)
    return networks


def is_guiding(name: str) -> bool:
    """Whether a tensor belongs to the guidance alone."""
    return name.removeprefix("discovery.").startswith(GUIDING)


def load_strictly(networks: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    """Load a state that has every name and shape; batch counters may be missing."""
    own = networks.state_dict()
    full = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")} | state
    missing, surplus = sorted(own.keys() - full.keys()), sorted(full.keys() - own.keys())
    if missing or surplus:
        lacks_guidance = missing and not surplus and all(is_guiding(name) for name in missing)
        raise DataError(
            f"the weights in {path} lack {len(missing)} tensors ({', '.join(missing[:3]) or 'none'}) and have "
            f"{len(surplus)} unknown ({', '.join(surplus[:3]) or 'none'})",
            hint="they were trained without guidance: --set guidance=off" if lacks_guidance else "",
        )
    misfits = [name for name in own if own[name].shape != full[name].shape]
    if misfits:
        raise DataError.at(
            Path(path),
            found=f"{misfits[0]} of {tuple(full[misfits[0]].shape)}",
            expected=f"{tuple(own[misfits[0]].shape)}",
        )
    networks.load_state_dict(full)


def networks_of(context: BuildContext) -> Networks:
    """The networks of the context's weights; without weights, untrained ones."""
    config: DiscoveryConfig = context.config
    if context.weights is not None:
        return load_networks(context.weights, config.guidance)
    return build_networks(
        config.untrained_architecture,
        categories=config.categories,
        guidance=config.guidance,
        seed=context.seed,
        imagenet=config.imagenet,
    )


def for_inference(network: Any, context: BuildContext) -> tuple[Any, Normalise]:
    """A network for test time on the context's device (batch norms folded), and what its images go through."""
    dtype = DTYPES[context.precision]
    layout = fastest_layout(context.device, dtype, tf32=False)
    folded = network.eval().requires_grad_(False)
    folded.fold()
    folded = folded.to(device=context.device, dtype=dtype, memory_format=layout)
    return folded, Normalise(network.mean, network.std, context.device, dtype, layout)
