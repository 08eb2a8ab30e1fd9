"""How good the weights are by now: they are scored as a user would score them, by a run of the method."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from harness.api.dataclass import dataclass
from harness.api.errors import MethodFailed
from harness.api.records import RunRecord
from harness.catalog import Catalog
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.runner import run
from harness.training.checkpoint import write_weights


@dataclass(frozen=True)
class Validation:
    """What one validation measured."""

    benchmark: str
    metric: str
    score: float | None
    scores: Mapping[str, float | None]
    videos: int

    def line(self, iteration: int, seconds: float, *, chooses: bool = True) -> dict[str, object]:
        """The line of the log; one that chooses no weights says so."""
        return {
            "kind": "validation",
            "iteration": iteration,
            "benchmark": self.benchmark,
            "metric": self.metric,
            "score": self.score,
            "scores": dict(self.scores),
            "videos": self.videos,
            "seconds": round(seconds, 3),
            **({} if chooses else {"chooses": "nothing"}),
        }


def validate(asked: Request, metric: str, weights: Mapping[str, Tensor], scratch: Path, catalog: Catalog) -> Validation:
    """Run the method with ``weights`` as ``asked`` and return its scores; nothing of the run stays on disk.

    A video that fails is a MethodFailed: weights cannot be compared by different videos.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        file = scratch / "weights.safetensors"
        write_weights(file, weights, {})
        record = run(resolve(replace(asked, weights=str(file)), catalog), scratch / "run", catalog)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if record.failures:
        first = record.failures[0]
        raise MethodFailed(
            f"validation on {asked.bench}: {len(record.failures)} videos failed; {first.message}",
            hint="mend the method and give the same command again, or go on with --validate none",
        )
    scores = _scores_of(record)
    return Validation(asked.bench, metric, scores.get(metric), scores, record.benchmark.videos_done)


def _scores_of(record: RunRecord) -> dict[str, float | None]:
    columns = [item for columns in record.scores.values() for item in columns.items()]
    return {name: interval.value for name, interval in columns}


@contextmanager
def leave_undisturbed(networks: Mapping[str, nn.Module]) -> Iterator[None]:
    """Put torch's generators, its threads and the networks' train modes back afterwards."""
    threads = torch.get_num_threads()
    modes = [(module, module.training) for network in networks.values() for module in network.modules()]
    places = {p.device for network in networks.values() for p in network.parameters() if p.is_cuda}
    with torch.random.fork_rng(devices=sorted(place.index for place in places)):
        try:
            yield
        finally:
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            for module, mode in modes:
                module.training = mode
