"""Do 95 % intervals of few videos hold the truth, and verdicts: python -m benchmarks.claims.interval_coverage.

Figures and differences are drawn from populations whose mean is known. The percentile bootstrap and the t interval are
the harness's own, BCa is scipy's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click
import numpy as np
import numpy.typing as npt
from scipy.stats import bootstrap

from harness.api.records import Average, Detections, Interval, Matches
from harness.ranking.intervals import clustered_interval
from harness.ranking.precision import pool
from harness.ranking.significance import Shares, assess, quantile

Floats = npt.NDArray[np.float64]
COUNTS = (4, 6, 8, 10, 15, 20, 30)


@dataclass(frozen=True)
class Population:
    """Videos of one kind: ``draw(generator, count)`` gives a figure, or a difference, a video, of known ``mean``."""

    name: str
    draw: Callable[[np.random.Generator, int], Floats]
    mean: float


def _mostly_alike(draw: np.random.Generator, count: int) -> Floats:
    """Differences of two versions of a method: small on four videos of five, large on the fifth."""
    return np.where(draw.random(count) < 0.8, draw.normal(0.0, 0.01, count), draw.normal(0.0, 0.1, count))


def _rare_losses(draw: np.random.Generator, count: int) -> Floats:
    """A small gain on most videos, and an object lost in one of ten: mean 0."""
    return np.where(draw.random(count) < 0.9, 0.03, -0.27) + draw.normal(0.0, 0.02, count)


POPULATIONS = (
    Population("J of videos, long tail to the left", lambda draw, count: draw.beta(4.0, 1.5, count), 4.0 / 5.5),
    Population("J of videos, found or lost", lambda draw, count: draw.beta(0.8, 0.5, count), 0.8 / 1.3),
    Population("differences, mostly alike", _mostly_alike, 0.0),
    Population("differences, rare losses", _rare_losses, 0.0),
    Population("differences, normal", lambda draw, count: draw.normal(0.0, 0.05, count), 0.0),
)


def cover(population: Population, count: int, trials: int, draw: np.random.Generator) -> dict[str, tuple[float, float]]:
    """The share of intervals that hold the mean and their mean width, for each kind of interval."""
    samples = np.stack([population.draw(draw, count) for _ in range(trials)])
    ends: dict[str, Floats] = {}
    rows = [{f"v{place:02}": [value] for place, value in enumerate(sample)} for sample in samples]
    for name, find in (("percentile", clustered_interval), ("t", _find_t)):
        found = [find(of, average="objects") for of in rows]
        ends[name] = np.array([[interval.low, interval.high] for interval in found])
    options = {"n_resamples": 2000, "method": "BCa", "axis": 1, "batch": 200, "vectorized": True}
    parts = [
        bootstrap((part,), np.mean, rng=draw, **options) for part in np.array_split(samples, max(1, trials // 250))
    ]
    limits = [part.confidence_interval for part in parts]
    ends["BCa"] = np.stack([np.concatenate([limit[end] for limit in limits]) for end in (0, 1)], axis=1)
    return {
        name: (float(((low <= population.mean) & (population.mean <= high)).mean()), float((high - low).mean()))
        for name, (low, high) in ((name, pair.T) for name, pair in ends.items())
    }


def _find_t(rows: dict[str, list[float]], *, average: Average) -> Interval:
    shares = Shares.of_rows(rows, average=average)
    assert shares is not None
    return shares.interval()


def draw_tracks(draw: np.random.Generator) -> Detections:
    """Ten tracks of a video: the surer the more often true, more so in easy videos, each up to some overlap."""
    scores = np.sort(draw.random(10))[::-1]
    is_true = draw.random(10) < draw.beta(3.0, 2.0) * np.sqrt(scores)
    letters = ["t" * good + "f" * (10 - good) for good in np.where(is_true, draw.integers(3, 11, 10), 0)]
    missed = int(draw.integers(0, 3))
    group = Matches(
        category=-1,
        scores=scores.tolist(),
        ranks=list(range(10)),
        outcomes=["".join(letters)] * 4,
        truths=[max(1, int(is_true.sum()) + missed)] * 4,
    )
    return Detections(groups=[group])


def cover_precision(count: int, trials: int, truth: float, draw: np.random.Generator) -> float:
    """The share of t intervals of AP, by what leaving each video out changes, that hold the AP of very many videos."""
    held = 0
    for _ in range(trials):
        shares = Shares.of_detections({f"v{place}": draw_tracks(draw) for place in range(count)}, "AP")
        interval = None if shares is None else shares.interval()
        held += interval is not None and interval.low is not None and interval.low <= truth <= (interval.high or 0.0)
    return held / trials


def judge(population: Population, count: int, trials: int, draw: np.random.Generator) -> dict[str, float]:
    """How often a verdict is given where there is no difference, and where there is as much as is called detectable."""
    found: dict[str, list[bool]] = {"false, interval alone": [], "false, both": [], "seen": []}
    deviation = population.draw(draw, 200_000).std()
    detectable = (quantile(0.975, count) + quantile(0.8, count)) * float(deviation) / count**0.5
    for trial in range(2 * trials):
        shift = detectable if trial >= trials else 0.0
        result = assess(*_sides(population.draw(draw, count) - population.mean + shift), average="objects")
        assert result.low is not None
        assert result.high is not None
        if trial < trials:
            found["false, interval alone"].append(result.low > 0 or result.high < 0)
            found["false, both"].append(result.is_shown)
        else:
            found["seen"].append(result.is_shown and result.low > 0)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _sides(differences: Floats) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    names = [f"v{place:04}" for place in range(len(differences))]
    return {name: [0.0] for name in names}, {name: [by] for name, by in zip(names, differences, strict=True)}


@click.command()
@click.option("--trials", type=int, default=2000, show_default=True, help="Draws of videos a cell.")
@click.option("--seed", type=int, default=0, show_default=True)
def main(trials: int, seed: int) -> None:
    """Print both tables."""
    click.echo(_line(["population", "videos", "percentile", "BCa", "t", "width: percentile", "BCa", "t"]))
    click.echo(_line(["---"] * 8))
    for population in POPULATIONS:
        for count in COUNTS:
            found = cover(population, count, trials, np.random.default_rng([seed, count]))
            figures = [found[name][place] for place in (0, 1) for name in ("percentile", "BCa", "t")]
            click.echo(_line([population.name, count, *(f"{figure:.3f}" for figure in figures)]))
    click.echo()
    click.echo(_line(["population", "videos", "false, interval alone", "false, both", "detectable one seen"]))
    click.echo(_line(["---"] * 5))
    for population in POPULATIONS[2:]:
        for count in COUNTS:
            told = judge(population, count, trials, np.random.default_rng([seed, count]))
            click.echo(_line([population.name, count, *(f"{share:.3f}" for share in told.values())]))
    click.echo()
    click.echo(_line(["AP of tracks, videos", "t of shares"]))
    click.echo(_line(["---"] * 2))
    draw = np.random.default_rng(seed)
    truth = float(pool([draw_tracks(draw) for _ in range(4000)], np.ones((1, 4000)))["AP"][0])
    for count in COUNTS:
        click.echo(_line([count, f"{cover_precision(count, max(1, trials // 2), truth, draw):.3f}"]))


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
