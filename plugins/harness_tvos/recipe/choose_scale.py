"""Choose the features' scale on the held-out videos: python -m harness_tvos.recipe.choose_scale --data DIR WEIGHTS OUT.

Training sees some hundred references in a softmax, the test some ten thousand, so the scale that training ends with is
too soft for the test. ``--data`` holds the held-out videos at the size of the test (480 lines).
"""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

import click
import safetensors
from safetensors.torch import save_file

from harness_tvos.network import load_checkpoint, network_for
from harness_tvos.recipe.held_out import held_out_similarity
from harness_tvos.recipe.train_default import HELD_OUT, in_halves
from harness_tvos.training import rescale_features


@click.command()
@click.argument("weights", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--temperature", "temperatures", type=float, multiple=True, default=(1.0, 2.0, 4.0), show_default=True)
@click.option("--frames", type=int, default=9, show_default=True, help="of each video, every fourth")
def main(weights: Path, out: Path, data: Path, temperatures: tuple[float, ...], frames: int) -> None:
    """Print J by temperature as JSON lines; write the weights with the best one folded into them."""
    network = network_for(load_checkpoint(weights)).eval()
    means = {}
    for temperature in temperatures:
        scores = held_out_similarity(network, data, list(HELD_OUT), frames=frames, every=4, temperature=temperature)
        means[temperature] = statistics.mean(scores.values())
        rounded = {name: round(value, 4) for name, value in scores.items()}
        click.echo(json.dumps({"temperature": temperature, "mean": round(means[temperature], 4), **rounded}))
    best = max(means, key=lambda temperature: means[temperature])
    rescale_features(network, math.sqrt(best))  # a dot product has two features
    with safetensors.safe_open(weights, "pt") as file:
        metadata = {**(file.metadata() or {}), "folded_temperature": str(best)}
    save_file(in_halves(network), out, metadata)


if __name__ == "__main__":
    main()
