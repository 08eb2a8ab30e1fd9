"""Fold a temperature into weights: python -m harness_tvos.recipe.fold_temperature WEIGHTS OUT --temperature T.

The rule of test time has temperature 1, so the scale of the features is what sets the sharpness of the softmax. Which
temperature is best is found with ``harness run --set temperature=T`` on videos that were not trained on.
"""

from __future__ import annotations

import math
from pathlib import Path

import click
import safetensors
import torch
from safetensors.torch import save_file
from torch import nn

from harness_tvos.network import EmbeddingNetwork, load_checkpoint, network_for


@click.command()
@click.argument("weights", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--temperature", type=click.FloatRange(min=0, min_open=True), required=True)
def main(weights: Path, out: Path, temperature: float) -> None:
    """Write WEIGHTS, a safetensors file, to OUT so that temperature 1 is what the given one was; types stay."""
    network = network_for(load_checkpoint(weights))
    rescale_features(network, math.sqrt(temperature))  # a dot product has two features
    with safetensors.safe_open(weights, "pt") as file:
        types = {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
        metadata = {**(file.metadata() or {}), "folded_temperature": str(temperature)}
    state = {name: value.to(types.get(name, value.dtype)) for name, value in network.state_dict().items()}
    save_file(state, out, metadata)


def rescale_features(network: EmbeddingNetwork, scale: float) -> None:
    """Multiply the features of a network in evaluation mode by ``scale``, exactly, by its weights alone.

    The last layers of r18 are residual: there every addend from layer 3 on is scaled, and every input scaled back.
    """
    with torch.no_grad():
        if isinstance(network.bn256, nn.BatchNorm2d):
            _scale_norm(network.bn256, scale)
            return
        blocks = [*network.backbone[6].children(), *network.backbone[7].children()]
        _scale_norm(blocks[0].get_submodule("downsample.1"), scale)
        for index, block in enumerate(blocks):
            _scale_norm(block.get_submodule("bn2"), scale)
            if index > 0:
                block.get_parameter("conv1.weight").div_(scale)


def _scale_norm(norm: nn.Module, scale: float) -> None:
    for name in ("weight", "bias"):
        norm.get_parameter(name).mul_(scale)


if __name__ == "__main__":
    main()
