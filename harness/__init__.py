"""The face of the harness: what plugins are written with; ``run``, ``merge``, ``score``. Nothing is defined here.

Importing it imports no torch: they stand floors above and are looked up when they are asked for.
"""

from typing import TYPE_CHECKING, Any

from harness.api.contracts import (
    DAVIS_2016,
    DAVIS_2016_ZERO_SHOT,
    DAVIS_2017,
    DAVIS_2017_UNSUPERVISED,
    Benchmark,
    BuildContext,
    Citation,
    Column,
    Method,
    Rule,
    Weights,
)
from harness.api.errors import CausalityError, ContractError, DataError, HarnessError, IncompletePredictions
from harness.api.file_names import natural_key
from harness.api.hookspecs import hookimpl
from harness.api.learning import Learner, Snapshot, Stage, StatesFacts, Training, TrainingContext
from harness.api.oddities import Oddity
from harness.api.providers import ProviderSpec
from harness.api.records import RunRecord, VideoScores
from harness.api.tasks import TASKS, VIS, InstanceZVOS, ObjectZVOS, OneShotVOS
from harness.api.timing import Example, Kernel, Stopwatch, kernel, stage, untimed
from harness.api.true_tracks import read_tracks
from harness.api.video import Prompts, Sample, Track, Tracks, Video
from harness.api.weights_facts import read_facts
from harness.api.whole_files import whole_file

if TYPE_CHECKING:
    from harness.evaluation import Outcome, merge, run, score

__all__ = [
    "DAVIS_2016",
    "DAVIS_2016_ZERO_SHOT",
    "DAVIS_2017",
    "DAVIS_2017_UNSUPERVISED",
    "TASKS",
    "VIS",
    "Benchmark",
    "BuildContext",
    "CausalityError",
    "Citation",
    "Column",
    "ContractError",
    "DataError",
    "Example",
    "HarnessError",
    "IncompletePredictions",
    "InstanceZVOS",
    "Kernel",
    "Learner",
    "Method",
    "ObjectZVOS",
    "Oddity",
    "OneShotVOS",
    "Outcome",
    "Prompts",
    "ProviderSpec",
    "Rule",
    "RunRecord",
    "Sample",
    "Snapshot",
    "Stage",
    "StatesFacts",
    "Stopwatch",
    "Track",
    "Tracks",
    "Training",
    "TrainingContext",
    "Video",
    "VideoScores",
    "Weights",
    "hookimpl",
    "kernel",
    "merge",
    "natural_key",
    "read_facts",
    "read_tracks",
    "run",
    "score",
    "stage",
    "untimed",
    "whole_file",
]


def __getattr__(name: str) -> Any:
    if name in ("Outcome", "merge", "run", "score"):
        import harness.evaluation

        return getattr(harness.evaluation, name)
    if name == "Scoring":
        import harness.api.earlier_names

        harness.api.earlier_names.warn_of("harness.Scoring", "harness.Rule")
        return Rule
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
