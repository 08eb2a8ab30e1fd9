"""The networks of dtnet, how they begin, how their weights are read, and what they are at test time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn

from harness import BuildContext, DataError
from harness.api.errors import UsageError
from harness.models.checkpoints import load_strictly, read_state
from harness.models.efficientnet_lite import EfficientNetLite0, with_imagenet
from harness.models.memory_layout import fastest_layout
from harness.models.precision import DTYPES
from harness_dtnet.config import Config, DiscoveryConfig
from harness_dtnet.discovery.categories import Categories, read_categories
from harness_dtnet.discovery.frames import Normalise
from harness_dtnet.discovery.network import PAPER, SMALL, DNet, Guidance
from harness_dtnet.target.features import TargetFeatures
from harness_dtnet.target.refiner import Refiner

LAYOUTS = {"paper": PAPER, "small": SMALL}
REFINER_WIDTHS = {"r50": 64, "lite0": 32}
"""Channels of the refiner. FRTM: 64; small: ours."""
GUIDANCE = "guidance"
"""The fact beside weights of how the gates squeeze, or that there is no guidance: task, printed, off."""
GUIDING = ("mask_stem.", "guidance_encoder.", "guidance_pyramid.", "salient_gate.", "instance_gate.")
"""Beginnings of the names of what only the guidance has."""


class Networks(nn.Module):
    """D-Net as ``discovery``, the trunk of T-Net as ``target``, perhaps its ``refiner``: the names in a file."""

    def __init__(self, discovery: DNet) -> None:
        super().__init__()
        self.discovery = discovery
        self.target = TargetFeatures("lite0" if discovery.layout.trunk == "lite0" else "r101")
        self.refiner: Refiner | None = None

    def add_refiner(self, seed: int) -> Refiner:
        """A decoder of T-Net's scores, untrained, drawn by the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.refiner = Refiner(self.target.channels, REFINER_WIDTHS[self.discovery.layout.trunk])
            draw(self.refiner)
        return self.refiner


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
    if any(name.startswith("refiner.") for name in state):
        networks.add_refiner(0)
    missing = networks.state_dict().keys() - state.keys()
    lacks_guidance = bool(missing) and all(is_guiding(name) for name in missing)
    hint = "they were trained without guidance: --set guidance=off" if lacks_guidance else ""
    load_strictly(networks, state, f"the weights in {path}", names_hint=hint)
    return networks


def state_to_store(networks: nn.Module, *, is_half: bool) -> dict[str, Tensor]:
    """The networks as a file holds them; load_networks reads both types."""
    return {
        name: (value.half() if is_half and value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in networks.state_dict().items()
    }


def is_guiding(name: str) -> bool:
    """Whether a tensor belongs to the guidance alone."""
    return name.removeprefix("discovery.").startswith(GUIDING)


def networks_of(context: BuildContext) -> Networks:
    """The networks of the context's weights; without weights, untrained ones."""
    config: DiscoveryConfig = context.config
    refiner = config.refiner if isinstance(config, Config) else "none"
    networks = _networks_of(context, config)
    if refiner == "none":
        networks.refiner = None
    elif refiner == "decoder" and networks.refiner is None:
        if context.weights is not None:
            raise DataError(
                f"the weights in {context.weights} have no refiner, and refiner=decoder asks for one",
                hint="--set refiner=none, or harness train --plugin dtnet with refiner_iterations above 0",
            )
        networks.add_refiner(context.seed)
    return networks


def _networks_of(context: BuildContext, config: DiscoveryConfig) -> Networks:
    if context.weights is not None:
        return load_networks(context.weights, guidance_of(config.guidance, context.facts))
    return build_networks(
        config.untrained_architecture,
        categories=config.categories,
        guidance=config.guidance,
        seed=context.seed,
        imagenet=config.imagenet,
    )


def categories_of(context: BuildContext, networks: Networks) -> Categories:
    """What the foreground head tells apart."""
    config: DiscoveryConfig = context.config
    channels = networks.discovery.categories
    return read_categories(context.facts, channels, expected=config.categories, wanted=config.wanted)


def guidance_of(wanted: Guidance, facts: Mapping[str, str]) -> Guidance:
    """The guidance that weights were trained with, where they say so; none where none is wanted."""
    told = facts.get(GUIDANCE, wanted)
    if told not in get_args(Guidance):
        raise DataError(
            f"the fact {GUIDANCE!r} of the weights is {told[:80]!r}; expected one of {', '.join(get_args(Guidance))}",
            hint="fetch the weights again, or train them anew",
        )
    return wanted if wanted == "off" else cast(Guidance, told)


def refiner_for_inference(networks: Networks, context: BuildContext) -> Refiner | None:
    """The refiner for test time on the context's device, where there is one."""
    if networks.refiner is None:
        return None
    dtype = DTYPES[context.precision]
    layout = fastest_layout(context.device, dtype, tf32=False)
    folded = networks.refiner.eval().requires_grad_(False)
    folded.fold()
    return folded.to(device=context.device, dtype=dtype, memory_format=layout)  # type: ignore[call-overload,no-any-return]


def for_inference(network: Any, context: BuildContext) -> tuple[Any, Normalise]:
    """A network for test time on the context's device (batch norms folded), and what its images go through."""
    dtype = DTYPES[context.precision]
    layout = fastest_layout(context.device, dtype, tf32=False)
    folded = network.eval().requires_grad_(False)
    folded.fold()
    folded = folded.to(device=context.device, dtype=dtype, memory_format=layout)
    return folded, Normalise(network.mean, network.std, context.device, dtype, layout)
