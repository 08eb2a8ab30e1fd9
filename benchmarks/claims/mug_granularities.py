"""Leave one granularity of MuG out, over seeds: python -m benchmarks.claims.mug_granularities --data DAVIS --out DIR.

One round of preset ``small`` each, at equal steps, in one process: initial maps and what the frozen trunk makes of the
frames are the same for all of them, and are computed once. Then J on the videos that were held out and on a benchmark,
without the CRF. Killed, the same command goes on with what is missing. Truth is read when masks are scored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks.claims.paired import Scores, average, compare, judge, mean_of
from harness import BuildContext, Sample, TrainingContext, Video
from harness.api.providers import parse_spec
from harness.api.video import without_truth
from harness.catalog import Catalog
from harness.planning.provenance import code_digest
from harness_mug.config import OBJECT_PRESETS
from harness_mug.method import foreground_of
from harness_mug.training.config import PRESETS, TrainingConfig
from harness_mug.training.stages import build_round, name_of, prepare_round

GRANULARITIES = ("frame", "short", "long", "video")
WHOLE = "whole"
HELD_OUT = "held out"
ROWS = (WHOLE, *GRANULARITIES)
BEGUN = PRESETS["small-one-round"]
EVERY = 6
"""Of the frames of a video that are scored, one in so many: neighbours are alike."""


@click.command()
@click.option("--train-data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--held-out", default="elephant,motorbike,train", show_default=True, help="Not learnt from, by commas.")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--iterations", type=click.IntRange(min=1), default=60, show_default=True)
@click.option(
    "--frozen-stages",
    type=click.IntRange(0, 5),
    default=BEGUN.frozen_stages,
    show_default=True,
    help="Of the trunk, that do not learn; all five: no loss reaches anything but the heads.",
)
def main(
    train_data: Path, held_out: str, data: Path, out: Path, seeds: int, iterations: int, frozen_stages: int
) -> None:
    """Train and score what is missing, then print the table."""
    keeps = BEGUN.keep_maps and frozen_stages == BEGUN.frozen_stages
    config = replace(BEGUN, iterations=iterations, frozen_stages=frozen_stages, keep_maps=keeps)
    for where, rows in measure(train_data, held_out.split(","), data, "davis16-val", out, seeds, config).items():
        click.echo("\n".join(table(where, rows)))


def measure(
    train_data: Path, held_out: Sequence[str], data: Path, bench: str, out: Path, seeds: int, config: TrainingConfig
) -> dict[str, dict[str, list[Scores]]]:
    """J of each video by row and seed, on the videos held out and on a benchmark; what is missing is trained."""
    benchmarks = Catalog.load().benchmarks
    samples = benchmarks.get("davis16-train").open(train_data, True)
    kept = [without_truth(sample) for sample in samples if sample.name not in held_out]
    scored = {
        HELD_OUT: [sample for sample in samples if sample.name in held_out],
        bench: list(benchmarks.get(bench).open(data, True)),
    }
    found: dict[str, dict[str, list[Scores]]] = {where: {} for where in scored}
    for seed in range(seeds):
        for row in ROWS:
            weights = train(row, leave_out(row, config), seed, kept, out)
            for where, videos in scored.items():
                path = out / f"{weights.stem}-{where.replace(' ', '-')}.json"
                if not path.exists():
                    path.write_text(json.dumps(score(weights, videos)))
                found[where].setdefault(row, []).append(json.loads(path.read_text()))
            told = ", ".join(f"{where} {mean_of(found[where][row][-1]):.3f}" for where in found)
            click.echo(f"seed {seed}, {row}: {told}", err=True)
    return found


def leave_out(row: str, config: TrainingConfig) -> TrainingConfig:
    """The round of a row."""
    return config if row == WHOLE else replace(config, **{row: False})  # type: ignore[arg-type]


def train(row: str, config: TrainingConfig, seed: int, samples: Sequence[Sample], out: Path) -> Path:
    """The weights after a round, from the file where it is there; its name holds what they depend on."""
    videos = sorted(sample.name for sample in samples)
    key = digest_of(config, videos, code_digest("harness_mug"))
    weights = out / f"{row}-{seed}-{key}.safetensors"
    if weights.exists():
        return weights
    looks = (config.saliency, config.size, config.architecture, config.frozen_stages, config.keep_maps)
    shared = out / f"shared-{digest_of(looks, videos)}" / name_of(1)
    shared.mkdir(parents=True, exist_ok=True)
    context = TrainingContext(
        samples=samples,
        config=config,
        device="cpu",
        precision="fp32",
        weights=None,
        seed=seed,
        stage=name_of(1),
        artefacts=shared,
        providers={"saliency": parse_spec("saliency", config.saliency)},
    )
    prepare_round(context, lambda done, total: None, turn=1)
    torch.manual_seed(seed)
    learner = build_round(context, turn=1)
    optimizer = learner.optimizer()
    for iteration in range(learner.iterations):
        for group in optimizer.param_groups:
            group["lr"] = learner.learning_rate(iteration) * group.get("lr_scale", 1.0)
        loss, _ = learner.loss(learner.batch(iteration), iteration)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_file(dict(learner.weights()), weights)
    return weights


def digest_of(*facts: object) -> str:
    """A few letters that tell these from others."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:10]


@torch.inference_mode()
def score(weights: Path, samples: Sequence[Sample]) -> Scores:
    """J of each video, without the CRF."""
    context = BuildContext("object-zvos", OBJECT_PRESETS["small-no-crf"], "cpu", "fp32", weights, 0)
    foreground = foreground_of(context)
    found = {}
    for sample in samples:
        video = Video(name="v", length=sample.length, height=sample.height, width=sample.width, read=reader_of(sample))
        begun, values = foreground.source.begin(video), []
        for t in range(1, sample.length - 1, EVERY):
            mask = foreground.decide(video[t], foreground.source.rate(video[t], t, begun)).numpy()
            truth = np.asarray(sample.read_truth(t)) > 0  # type: ignore[misc]
            union = int((mask | truth).sum())
            values.append(float((mask & truth).sum() / union) if union else 1.0)
        found[sample.name] = float(np.mean(values))
    return found


def reader_of(sample: Sample) -> Callable[[int], torch.Tensor]:
    """The frames of a sample as tensors."""
    return lambda t: torch.from_numpy(np.ascontiguousarray(sample.read_frame(t)))


def table(where: str, found: dict[str, list[Scores]]) -> list[str]:
    """A row a granularity: J, and the difference to all four, paired by video, each video's the mean over seeds."""
    seeds = len(found[WHOLE])
    head = f"| {where}, {len(found[WHOLE][0])} videos | J, mean over {seeds} seeds ± deviation | less than whole | |"
    lines = ["", head, "| --- | --- | --- | --- |"]
    whole = average(found[WHOLE])
    for row, of_seeds in found.items():
        means = [mean_of(each) for each in of_seeds]
        deviation = f" ± {np.std(means, ddof=1):.3f}" if seeds > 1 else ""
        if row == WHOLE:
            lines.append(f"| all four | {np.mean(means):.3f}{deviation} | | |")
            continue
        mean, low, high = compare(average(of_seeds), whole)
        told = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
        lines.append(f"| without {row} | {np.mean(means):.3f}{deviation} | {told} | {judge(low, high)} |")
    return lines


if __name__ == "__main__":
    main()
