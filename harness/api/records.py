"""What a run leaves behind: records with a schema version, plain JSON on disk, no pickle anywhere.

A record is untrusted input wherever it is read: unknown fields, non-finite numbers and overlong strings are refused.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Final, Literal

from harness.api.dataclass import dataclass
from harness.api.schemas import CheckedBy, Limits, Record, take_plain_json

Precision = Literal["fp32", "bf16", "fp16"]
"""What a method computes in; sums may be wider."""
Average = Literal["objects", "sequences", "frames"]
"""What weighs the same in an overall figure."""
RUN_SCHEMA: Final = "harness.run/1"
VIDEO_SCHEMA: Final = "harness.video/1"

Text = Annotated[str, Limits(max_length=2000)]
Name = Annotated[str, Limits(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")]
Sha256 = Annotated[str, Limits(pattern=r"^([0-9a-f]{64})?$")]
LARGEST_NUMBER: Final = 1e100
"""Sums of so large ones stay finite."""
LARGEST_WHOLE: Final = 2**64
Number = Annotated[float, Limits(allow_inf_nan=False, ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
Whole = Annotated[int, Limits(ge=-LARGEST_WHOLE, le=LARGEST_WHOLE)]
Outcomes = Annotated[str, Limits(pattern=r"^[tfi]*$", max_length=4_000_000)]
LONGEST_VIDEO_NAME = 200
"""Bytes of UTF-8; file systems take 255, and endings are added."""


def is_safe_video_name(name: str) -> bool:
    """Whether a video's name can be a file's name and be shown.

    No separators, no leading dot, nothing unprintable: control characters, reordering signs, halves of characters.
    """
    is_plain = name.isprintable() and not name.startswith(".") and "/" not in name and "\\" not in name
    return is_plain and 0 < len(name.encode()) <= LONGEST_VIDEO_NAME


Json = Annotated[Any, CheckedBy(take_plain_json)]


@dataclass(frozen=True, kw_only=True)
class Matches(Record):
    """The detections of one category of one video and what they turned out to be: what average precision is made of.

    In the order in which they were found, frame by frame where each frame is matched alone.
    """

    category: Whole
    """-1: all categories as one."""
    scores: list[Number]
    ranks: list[Whole]
    """Place of each among those it was matched with, the best is 0; the 10 best have ranks below 10."""
    outcomes: list[Outcomes]
    """One text a range of areas: of each detection a letter an overlap threshold, true, false or ignored."""
    truths: list[Whole]
    """How many truths count, for each range of areas."""


@dataclass(frozen=True, kw_only=True)
class Detections(Record):
    """Every detection of one video, matched."""

    order: Whole | None = None
    """Where the video stands among others, which decides between equal scores; None: as in the record."""
    groups: list[Matches] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class VideoScores(Record):
    """What one metric measured on one video.

    ``series`` maps a quantity (``"J"``) to an object's id as text, to one value a scored frame (None: undefined); a
    figure of the summary called ``J-mean`` is the mean of its values.
    ``summary`` maps an object's id to its figures (``{"1": {"J-mean": 0.9, ...}}``). ``evidence`` is what a metric
    that cannot be averaged over videos (AP) needs to put them together; plain JSON.
    """

    metric: Name
    frames: list[Whole] = field(default_factory=list)
    series: dict[str, dict[str, list[Number | None]]] = field(default_factory=dict)
    summary: dict[str, dict[str, Number | None]] = field(default_factory=dict)
    matched: dict[str, Whole] = field(default_factory=dict)
    """Object id as text -> id of the proposal matched to it, where the scoring matches."""
    evidence: Json = None
    detections: Detections | None = None
    """Of a metric of average precision: enough to compute it over any choice of videos, without a mask."""


@dataclass(frozen=True, kw_only=True)
class StageTime(Record):
    """Time spent in one named stage or kernel."""

    calls: Whole
    seconds: Number


@dataclass(frozen=True, kw_only=True)
class VideoTiming(Record):
    """Clocks of one video, all in seconds; see docs/timing.md for what each includes."""

    model: list[Number] = field(default_factory=list)
    """One value a yielded mask: from frame on device to mask on device."""
    model_cpu: list[Number] = field(default_factory=list)
    """One value a yielded mask: CPU time of ``model``, all threads but those that decode; none on CUDA."""
    e2e: list[Number] = field(default_factory=list)
    """One value a yielded mask: decode + transfer + model + mask to host memory, nothing hidden by overlap."""
    warm_up: Whole = 0
    """How many leading values are warm-up (the first frame counts apart in any case)."""
    stages: dict[str, StageTime] = field(default_factory=dict)
    kernels: dict[str, StageTime] = field(default_factory=dict)
    added_memory_mib: Number | None = None
    """The most memory the method took at once, its weights included; CUDA: allocated on the device (docs/timing.md)."""
    peak_memory_mib: Number | None = None
    """Growth of the whole process, in results written before ``added_memory_mib`` was measured; shown nowhere."""


@dataclass(frozen=True, kw_only=True)
class VideoResult(Record):
    """Everything about one finished video; its masks lie beside it."""

    schema_: Literal["harness.video/1"] = field(default=VIDEO_SCHEMA, metadata={"alias": "schema"})
    video: Text
    key: Sha256
    """Cache key: the run's key and the video's own digest."""
    digest: Sha256
    length: Whole
    height: Whole
    width: Whole
    objects: list[Whole] = field(default_factory=list)
    scores: dict[str, VideoScores] = field(default_factory=dict)
    timing: VideoTiming = field(default_factory=VideoTiming)
    masks: Text = ""
    """Folder of the masks, relative to the run's folder."""
    seal: Sha256 = ""
    """SHA-256 over everything else here and the files of the masks: what is reused is what was written."""


@dataclass(frozen=True, kw_only=True)
class VideoFailure(Record):
    """One video that could not be finished, and why."""

    video: Text
    kind: Literal["crashed", "contract", "out-of-memory", "timed-out", "data", "incomplete"]
    message: Annotated[str, Limits(max_length=20000)]
    traceback: Annotated[str, Limits(max_length=200000)] = ""

    @property
    def exit_code(self) -> int:
        """What a command returns for it."""
        return {"data": 3, "contract": 4, "crashed": 5, "out-of-memory": 5, "timed-out": 5, "incomplete": 7}[self.kind]


@dataclass(frozen=True, kw_only=True)
class PluginInfo(Record):
    """Which code ran."""

    name: Name
    distribution: Text
    version: Text
    code_sha256: Sha256
    causality: Literal["online", "window", "offline"]
    lookahead: Whole = 0
    supervision: Text = ""
    replays: bool = False


@dataclass(frozen=True, kw_only=True)
class WeightsInfo(Record):
    """Which weights ran; an empty ``sha256`` means random initialisation."""

    name: Text
    sha256: Sha256 = ""
    licence: Text = ""
    trained_on: Text = ""
    parameters: Whole | None = None
    """Numbers in the file, running means included; None where it does not say without being loaded."""


@dataclass(frozen=True, kw_only=True)
class MethodInfo(Record):
    """What a method's card says beside its code: whose idea it is, and on which terms its code comes.

    Nothing of it changes a result.
    """

    licence: Text = ""
    paper: Text = ""
    """Title, empty where the card names none."""
    authors: Text = ""
    year: Whole | None = None
    url: Text = ""


@dataclass(frozen=True, kw_only=True)
class ProviderInfo(Record):
    """What a method had made by another part: optical flow, proposals, saliency."""

    kind: Name
    name: Text
    """As the config names it, without the path."""
    sha256: Sha256 = ""
    """Of its file, or of all files in its folder; empty where it has none."""
    supervision: Text = ""
    """The labels behind it; empty: none."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkInfo(Record):
    """Which data were used, and by which rule they were scored."""

    name: Name
    choice: Text = ""
    """Of a benchmark over any tree: what was chosen in it, a list or a part, as typed behind ``NAME:``."""
    tree: Sha256 = ""
    """Of such a benchmark: SHA-256 over names, lengths and sizes of all videos of the tree; empty for fixed ones."""
    task: Name
    fingerprint: Sha256
    scoring: Text
    """The version of the rule."""
    own_rule: bool = True
    """Whether that rule is the benchmark's own rule for the task; what another rule gave is ranked apart."""
    average: Average = "objects"
    """How the per-object figures of ``videos`` make the overall ones: every object, or every video, has weight 1, or
    every object as many as ``scored_frames``."""
    scored: bool
    videos_expected: Whole
    videos_done: Whole

    @property
    def full_name(self) -> str:
        """The name with what was chosen, as a command takes it."""
        return f"{self.name}:{self.choice}" if self.choice else self.name


@dataclass(frozen=True, kw_only=True)
class Conditions(Record):
    """What every speed figure depends on. Runs under different conditions are never ranked against each other."""

    device: Text
    device_type: Literal["cpu", "cuda"]
    threads: Whole | None = None
    driver: Text = ""
    cuda: Text = ""
    torch: Text
    python: Text
    platform: Text
    precision: Precision
    tf32: bool = False
    compiled: bool = False
    batch: Whole = 1
    resolutions: list[Text] = field(default_factory=list)
    objects: list[Whole] = field(default_factory=list)
    power_watts: Number | None = None
    clock_mhz: Number | None = None
    load_average: Number | None = None
    """Of the minute before."""
    cores: Whole | None = None
    """Of the machine; None in records of before it was told."""
    executor: Name = "inline"
    workers: Whole = 1
    """How many videos were worked through at the same time."""

    @property
    def group(self) -> tuple[Any, ...]:
        """Speeds may be compared only where these are equal."""
        return (
            self.device,
            self.threads,
            self.precision,
            self.tf32,
            self.compiled,
            self.batch,
            tuple(self.resolutions),
            self.workers,
        )


@dataclass(frozen=True, kw_only=True)
class Latency(Record):
    """Distribution of one clock over frames; milliseconds, and frames a second of the mean."""

    frames: Whole
    fps: Number | None
    mean_ms: Number | None
    p50_ms: Number | None
    p90_ms: Number | None
    p99_ms: Number | None


@dataclass(frozen=True, kw_only=True)
class Throughput(Record):
    """The speed of a method that works by whole videos: their frames over all of their time, first frames included."""

    videos: Whole
    frames: Whole
    is_warm: bool
    """Whether the videos that warmed up are left out; False where there were no others, and then it is not ranked."""
    model_seconds: Number
    model_fps: Number | None
    e2e_fps: Number | None


@dataclass(frozen=True, kw_only=True)
class Timing(Record):
    """Clocks of the whole run: steady frames and first frames apart."""

    model: Latency
    model_first_frame: Latency
    e2e: Latency
    e2e_first_frame: Latency
    model_cpu_ms: Number | None = None
    """CPU milliseconds a frame, of steady frames or, with a throughput, of all; None on CUDA and in older records."""
    warm_up_frames: Whole
    stages: dict[str, StageTime] = field(default_factory=dict)
    kernels: dict[str, StageTime] = field(default_factory=dict)
    throughput: Throughput | None = None
    """For offline methods and task ``vis``: steady frames are not their speed."""
    added_memory_mib: Number | None = None
    """The largest over the videos, the one that warmed up apart where whole videos are worked through."""
    peak_memory_mib: Number | None = None
    """Growth of the whole process, in records made before ``added_memory_mib`` was measured; shown nowhere."""


@dataclass(frozen=True, kw_only=True)
class Interval(Record):
    """A figure with its 95 % bootstrap interval, clustered by video (None with fewer than two videos)."""

    value: Number | None
    low: Number | None = None
    high: Number | None = None


@dataclass(frozen=True, kw_only=True)
class VideoSummary(Record):
    """One row of the per-video table: figures per object id as text."""

    video: Text
    frames: Whole
    """Scored frames of the object that has most of them."""
    scored_frames: dict[str, Whole] = field(default_factory=dict)
    """Object id as text -> frames on which it has a value by the rule's first metric; empty in older records."""
    attributes: list[Text] = field(default_factory=list)
    """What a dataset says of the video (DAVIS: OCC, FM, ...), for tables by attribute."""
    objects: dict[str, dict[str, Number | None]]
    detections: dict[Name, Detections] = field(default_factory=dict)
    """Metric -> detections, where it measured some (AP); empty in older records."""


@dataclass(frozen=True, kw_only=True)
class RunRecord(Record):
    """One run, complete enough to be ranked, compared and checked; also the file contributed to the leaderboard."""

    schema_: Literal["harness.run/1"] = field(default=RUN_SCHEMA, metadata={"alias": "schema"})
    id: Sha256
    created: Text
    """UTC, ISO 8601."""
    harness_version: Text
    plugin: PluginInfo
    about: MethodInfo = field(default_factory=MethodInfo)
    preset: Text = ""
    config: dict[str, Json] = field(default_factory=dict)
    weights: WeightsInfo
    providers: dict[Name, ProviderInfo] = field(default_factory=dict)
    """By the constant of the config that names them."""
    benchmark: BenchmarkInfo
    partial: bool
    partial_reason: Text = ""
    seed: Whole
    conditions: Conditions
    scores: dict[str, dict[str, Interval]] = field(default_factory=dict)
    """Metric -> column -> figure."""
    videos: list[VideoSummary] = field(default_factory=list)
    timing: Timing | None = None
    reused: list[Text] = field(default_factory=list)
    """Videos taken from an earlier, interrupted run into the same folder."""
    failures: list[VideoFailure] = field(default_factory=list)

    def to_json(self) -> str:
        """The record as it is written to disk: sorted by field, two spaces, one newline at the end."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"
