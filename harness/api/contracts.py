"""What a plugin declares: the card of a method, a benchmark and its rules, a metric, an executor, a reporter.

Everything here is light: no torch at import. A card is read by ``harness ls``; only ``build`` may import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from harness.api.dataclass import dataclass
from harness.api.earlier_names import take_earlier_fields
from harness.api.execution import Executor as Executor
from harness.api.execution import Session as Session
from harness.api.execution import Sessions as Sessions
from harness.api.learning import NoConfig, Training, check_provider_fields
from harness.api.providers import ProviderKind, ProviderSpec
from harness.api.records import Average, Precision, RunRecord, VideoScores
from harness.api.tasks import TASKS, TaskName
from harness.api.video import Sample
from harness.api.weights_facts import read_facts

if TYPE_CHECKING:
    import numpy as np

    from harness.api.published import PublishedPaper
    from harness.api.timing import Kernel

Causality = Literal["online", "window", "offline"]


@dataclass(frozen=True)
class Citation:
    """Where a method was published."""

    title: str
    authors: str
    year: int
    url: str = ""


@dataclass(frozen=True)
class Weights:
    """One checkpoint a method can use.

    ``path`` is a file inside the plugin's package (shipped); ``url`` is where a published file is. ``sha256`` is
    checked whenever it is known. ``preset`` is the config preset these weights were made for. ``default_for`` names the
    tasks in which they are used without ``--weights``, where that is not ``Method.default_weights``.
    """

    name: str
    licence: str
    path: Path | None = None
    url: str = ""
    sha256: str = ""
    trained_on: str = ""
    preset: str = ""
    note: str = ""
    default_for: tuple[TaskName, ...] = ()


@dataclass(frozen=True)
class BuildContext:
    """What ``Method.build`` is given: the config, the device, the precision, the weights file and the task."""

    task: TaskName
    config: Any
    device: str
    precision: Precision
    weights: Path | None
    """A file the harness has checked (exists, sha256 where known), or None: no weights, random initialisation."""
    seed: int
    providers: Mapping[str, ProviderSpec] = field(default_factory=dict)
    """The constants that ``Method.providers`` names, resolved and looked for; one that is empty is not in it."""

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """What the training that made the weights says beside them (``Learner.facts``); nothing where it says nothing.

        From a file that anybody may have written: short texts, which a method checks as it would an option.
        """
        return {} if self.weights is None else read_facts(self.weights)


@dataclass(frozen=True)
class Method:
    """The card of a method: cheap to import, read by every listing.

    ``build(context)`` returns the object that implements the protocols of ``tasks``. ``config`` is a frozen dataclass
    whose defaults are the default preset; ``presets`` maps a name to the whole config. ``default_weights`` names the
    entry of ``weights`` used without ``--weights`` (empty: random initialisation), but for the tasks that an entry is
    ``default_for``. A method with ``replays=True``
    shows masks made elsewhere: it is told real names, and its speed is never ranked.
    """

    name: str
    tasks: tuple[TaskName, ...]
    build: Callable[[BuildContext], Any]
    summary: str = ""
    causality: Causality = "online"
    lookahead: int = 0
    config: type = NoConfig
    presets: Mapping[str, Any] = field(default_factory=dict)
    kernels: Callable[[], Sequence[Kernel]] = tuple
    weights: tuple[Weights, ...] = ()
    default_weights: str = ""
    supervision: str = ""
    paper: Citation | None = None
    licence: str = "Apache-2.0"
    replays: bool = False
    training: Training | None = None
    """How ``harness train`` trains it, where it can."""
    providers: Mapping[str, ProviderKind] = field(default_factory=dict)
    """Which constants of ``config`` name a provider (``dis``, ``files:DIR``), and of what; an empty one names none."""

    def __post_init__(self) -> None:
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown or not self.tasks:
            raise ValueError(f"method {self.name!r} names tasks {unknown or 'none'}; known: {', '.join(TASKS)}")
        if self.lookahead and self.causality != "window":
            raise ValueError(f"method {self.name!r} has lookahead {self.lookahead}; that needs causality='window'")
        check_provider_fields(f"method {self.name!r}", self.config, self.providers)

    def default_weights_for(self, task: TaskName) -> str:
        """The name of the entry of ``weights`` used in this task without ``--weights``; empty: none."""
        return next((entry.name for entry in self.weights if task in entry.default_for), self.default_weights)

    def weights_named(self, name: str) -> Weights | None:
        """The entry of ``weights`` of that name."""
        return next((entry for entry in self.weights if entry.name == name), None)


@dataclass(frozen=True)
class Rule:
    """How one task on one benchmark is scored: which frames, which objects, matched how, averaged how.

    ``version`` is part of every record and of the cache key: change a rule, change the version.
    """

    version: str
    metrics: tuple[str, ...] = ("j_and_f",)
    frames: Literal["inner", "all", "annotated", "prompted"] = "inner"
    """inner: all but the first and last (DAVIS one-shot); annotated: those after an object's first; prompted: after its
    prompt."""
    objects: Literal["first-frame-max", "single", "seen"] = "first-frame-max"
    """first-frame-max: ids 1..max of frame 0 (DAVIS 2017); single: mask != 0 (2016); seen: every id in the truth, from
    the first frame on which truth or prediction hold it (vos-benchmark), or as ``frames`` says (YouTube-VOS)."""
    matching: Literal["ids", "hungarian", "none"] = "ids"
    void: Literal["background", "ignore", "object"] = "background"
    """What id 255 of the truth is: background, left out of truth and prediction, or an ordinary id."""
    average: Average = "objects"
    """What weighs the same: every object (2017), every video (2016), or every scored frame of an object, pooled."""
    both_empty: Literal["one", "left-out"] = "one"
    """What a frame counts on which neither truth nor prediction hold the object: J and F of 1, or not at all."""
    decay: Literal["official", "fixed"] = "official"
    max_proposals: int = 20
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


DAVIS_2016 = Rule(version="davis2016/1", metrics=("j_and_f", "stability"), objects="single", average="sequences")
DAVIS_2016_ZERO_SHOT = replace(DAVIS_2016, version="davis2016-zvos/1")
DAVIS_2017 = Rule(version="davis2017-semi/1")
DAVIS_2017_UNSUPERVISED = Rule(version="davis2017-unsup/1", frames="all", matching="hungarian", void="ignore")
VOS_BENCHMARK = Rule(
    version="vos-benchmark/1",
    objects="seen",
    void="object",
    note="hkchengrex/vos-benchmark: ids and frames as that toolkit counts them; fractions, not per cent",
)
VOS_BENCHMARK_ALL_FRAMES = Rule(
    version="vos-benchmark-all-frames/1",
    frames="all",
    objects="seen",
    void="object",
    note="hkchengrex/vos-benchmark -d: first and last frame are scored too; fractions, not per cent",
)
YOUTUBE_VOS = Rule(
    version="youtube-vos/1",
    metrics=("youtube_vos",),
    frames="annotated",
    objects="seen",
    note="by the published definition; the server's evaluator is not public, so not verified against it",
)
YOUTUBE_VOS_OBJECTS = replace(
    YOUTUBE_VOS, version="youtube-vos-objects/1", metrics=("j_and_f",), note="seen and unseen categories as one"
)
YOUTUBE_VIS = Rule(
    version="youtube-vis/1", metrics=("track_ap",), frames="all", objects="seen", matching="none", average="objects"
)
COCO_CLASS_AGNOSTIC = replace(
    YOUTUBE_VIS,
    version="coco-class-agnostic/1",
    metrics=("image_ap",),
    note="every frame taken as an image: COCOeval with iouType segm and useCats = 0",
)
DAVIS_2016_FRAME_MEAN = Rule(
    version="davis2016-frame-mean/1",
    frames="all",
    objects="single",
    average="frames",
    note="J and F pooled over all frames of all videos, first and last included, as CIS, AMD, RCF, GWM and IMAS print",
)
MERGED_FRAME_MEAN = replace(
    DAVIS_2016_FRAME_MEAN,
    version="merged-frame-mean/1",
    both_empty="left-out",
    note="all objects of a video are one; J and F pooled over all annotated frames, those without object in truth and "
    "prediction left out, as AMD, RCF, GWM and IMAS print for SegTrack v2 and FBMS-59",
)
RULES: dict[str, Rule] = {
    "davis-2016": DAVIS_2016,
    "davis-2017": DAVIS_2017,
    "davis-2017-unsupervised": DAVIS_2017_UNSUPERVISED,
    "davis-2017-fixed-decay": replace(
        DAVIS_2017,
        version="davis2017-semi-fixed-decay/1",
        decay="fixed",
        note="decay bins that do not overflow at 257 and more scored frames, where the official toolkit gives NaN",
    ),
    "vos-benchmark": VOS_BENCHMARK,
    "vos-benchmark-all-frames": VOS_BENCHMARK_ALL_FRAMES,
    "youtube-vos": YOUTUBE_VOS,
    "youtube-vos-objects": YOUTUBE_VOS_OBJECTS,
    "from-prompt": replace(
        YOUTUBE_VOS_OBJECTS, version="from-prompt/1", frames="prompted", note="nothing before an object's prompt counts"
    ),
    "youtube-vis": YOUTUBE_VIS,
    "youtube-vis-class-agnostic": replace(
        YOUTUBE_VIS,
        version="youtube-vis-class-agnostic/1",
        options={"use_categories": False},
        note="every category taken as one, useCats = 0 of the official toolkit",
    ),
    "coco-class-agnostic": COCO_CLASS_AGNOSTIC,
    "davis-2016-frame-mean": DAVIS_2016_FRAME_MEAN,
    "merged-frame-mean": MERGED_FRAME_MEAN,
}
"""The rules a user can pick by name (``harness score`` and ``harness run --protocol``)."""


@dataclass(frozen=True)
class Archive:
    """One file a benchmark's data come in; ``strip`` is a top folder inside it that is left out when unpacking."""

    url: str
    checksum: str = ""
    """``sha256:...`` or ``md5:...``, where it is known."""
    strip: str = ""


@take_earlier_fields(scorings="rules")
@dataclass(frozen=True)
class Benchmark:
    """A dataset, a split, and how each task on it is scored.

    ``open(root, partial)`` returns the samples in official order; it raises DataError for anything missing, unless
    ``partial`` (a bool) allows videos to be absent. ``expected`` holds the official video names where they are known
    before any data is read: fewer than these make a record partial. ``needs_root`` is False for embedded data.
    ``size`` is the official number of videos where only the data name them. ``scored`` is False where the truth is not
    public (masks are written for a server).

    With ``choose`` it takes any tree of a layout; ``NAME:CHOICE`` is ``choose(CHOICE)`` (a list, a part, a first mask).
    """

    name: str
    title: str
    rules: Mapping[TaskName, Rule]
    open: Callable[[Path | None, bool], Sequence[Sample]]
    expected: tuple[str, ...] = ()
    size: int = 0
    needs_root: bool = True
    scored: bool = True
    licence: str = ""
    homepage: str = ""
    layout: str = ""
    """The folder layout in words, shown when data is missing."""
    archives: tuple[Archive, ...] = ()
    """What ``harness data fetch`` downloads; empty where a person has to register first (``manual`` says how)."""
    manual: str = ""
    choose: Callable[[str], Benchmark] | None = None
    choice: str = ""
    """What was chosen, as typed."""

    @property
    def full_name(self) -> str:
        """The name with what was chosen, as a command takes it."""
        return f"{self.name}:{self.choice}" if self.choice else self.name

    @property
    def videos_expected(self) -> int:
        """How many videos the whole benchmark has; 0 where only the data know."""
        return max(self.size, len(self.expected))

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """The tasks this benchmark can score, its main task first."""
        return tuple(self.rules)


@dataclass(frozen=True)
class Column:
    """One figure a metric reports; ``name`` is its key in every summary and its heading in every table."""

    name: str
    meaning: str
    higher_is_better: bool = True
    unit: Literal["fraction", "count", ""] = "fraction"
    averaged: bool = True
    """The overall figure is the mean of the per-object figures of the same name, as the rule's ``average`` says."""


class Measurement(Protocol):
    """One video being measured, frame by frame; holds a few frames at most."""

    def add(self, frame: int, prediction: np.ndarray, truth: np.ndarray | None) -> None:
        """Take the (H, W) uint8 id maps of the next frame, in order; ``truth`` is None where not annotated.

        A metric with ``takes_runs = True`` is given either as ``harness.api.mask_runs.MaskRuns`` where that is quicker.
        """
        ...

    def finish(self) -> VideoScores:
        """Return what was measured."""
        ...


@runtime_checkable
class Metric(Protocol):
    """A measure of agreement (or of stability) with the figures it reports."""

    name: str
    columns: tuple[Column, ...]

    def start(self, sample: Sample, rule: Rule) -> Measurement:
        """Begin one video. ``sample`` gives length, size and, for DAVIS ids, the first truth."""
        ...

    def summarise(self, videos: Sequence[VideoScores], rule: Rule) -> dict[str, float | None]:
        """Put videos together into the overall figures, one a column; None where undefined."""
        ...


@runtime_checkable
class TrackMetric(Protocol):
    """A metric over tracks (video instance segmentation): one call a video."""

    name: str
    columns: tuple[Column, ...]

    def measure(self, sample: Sample, tracks: Any, rule: Rule) -> VideoScores:
        """Measure one video's tracks against ``sample.extra['tracks']``."""
        ...

    def summarise(self, videos: Sequence[VideoScores], rule: Rule) -> dict[str, float | None]:
        """Put videos together into the overall figures, one a column; None where undefined."""
        ...


@runtime_checkable
class Reporter(Protocol):
    """Writes something for people or machines from a set of records."""

    name: str

    def report(
        self, records: Sequence[RunRecord], out: Path, published: Sequence[PublishedPaper] = ()
    ) -> Sequence[Path]:
        """Write into the folder ``out``; return the files written. ``published``: what papers print, never mixed."""
        ...
