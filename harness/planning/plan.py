"""A request turned into a plan: every name resolved, every file checked, the cache key computed; nothing run yet."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, cast

from harness.api.contracts import Benchmark, Method, Rule
from harness.api.dataclass import dataclass
from harness.api.errors import DataError, PluginError, UsageError
from harness.api.execution import ClusterExecutor
from harness.api.foreign import blame
from harness.api.providers import ProviderSpec
from harness.api.records import Conditions, PluginInfo, ProviderInfo, WeightsInfo, is_safe_video_name
from harness.api.tasks import TASKS, Task, TaskName
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.files import digest_of
from harness.guarded import open_guarded
from harness.machine import machine_name, torch_threads
from harness.planning.config import configure
from harness.planning.places import config_file, find_data_root
from harness.planning.provenance import choose_weights, code_digest, method_info, plugin_info
from harness.planning.providers import describe_config, describe_providers, describe_supervision, resolve_providers
from harness.planning.request import Request
from harness.planning.rules import choose_rule
from harness.version import __version__

MOST_AT_ONCE = 4096
"""Threads and processes of one machine."""


def key_of_video(key: str, video: str, digest: str) -> str:
    """The key of a video's result, made of the key of its run."""
    return digest_of([key, video, digest])


@dataclass(frozen=True)
class Elsewhere:
    """A method in another environment: its card without its code, and what its clocks run on there."""

    python: Path
    method: Method
    plugin: PluginInfo
    entry_point: str
    module: str
    torch: str
    harness: str
    conditions: Conditions


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is put to the test, and by which rule: all that a record needs to know of it.

    ``samples`` are the videos it is tested on, in the benchmark's order; ``plugin`` is whose masks they are.
    """

    request: Request
    plugin: PluginInfo
    benchmark: Benchmark
    task: Task
    rule: Rule
    config: Any
    weights: WeightsInfo
    providers: Mapping[str, ProviderSpec] = field(default_factory=dict)
    samples: Sequence[Sample]
    videos_expected: int
    partial_reason: str
    tree: str = ""
    """Which tree the videos are of, where the benchmark takes any: SHA-256 over what lies in it."""
    elsewhere: Elsewhere | None = None
    made_on: Mapping[str, Any] = field(default_factory=dict)
    """Of ``key_parts``, what the machine decided that made the results, where that is not this one."""

    @functools.cached_property
    def provider_infos(self) -> dict[str, ProviderInfo]:
        """What the providers are, by constant; their files are read once."""
        return describe_providers(self.providers)

    @property
    def described_config(self) -> dict[str, Any]:
        """The config as the record shows it."""
        return describe_config(self.config, self.providers)

    @functools.cached_property
    def key_parts(self) -> dict[str, Any]:
        """What a result, clocks included, depends on beside its video; equal parts, equal results.

        Taken once: code that changes on disk while a run goes on is not the code that runs.
        """
        on = self.elsewhere.conditions if self.elsewhere else None
        parts = {
            "harness": __version__,
            "harness_code": code_digest("harness"),
            "plugin": asdict(self.plugin),
            "config": self.described_config,
            "weights": self.weights.sha256 or self.weights.name,
            "bench": self.benchmark.name,
            "task": self.task.name,
            "scoring": self.rule.version,
            "device": self.request.device,
            "machine": self._machine(on),
            "threads": self._threads(on),
            "precision": self.request.precision,
            "seed": self.request.seed,
            "torch": self.elsewhere.torch if self.elsewhere else version("torch"),
        }
        if self.tree:
            parts["tree"] = self.tree
        if self.request.workers > 1:
            parts["workers"] = self.request.workers
        if self.providers:
            parts["providers"] = {name: asdict(info) for name, info in self.provider_infos.items()}
        if self.elsewhere:
            parts["harness_elsewhere"] = self.elsewhere.harness
        return {**parts, **self.made_on}

    def _machine(self, on: Conditions | None) -> str:
        if "machine" in self.made_on:  # this one may lack the device
            return str(self.made_on["machine"])
        return on.device if on else machine_name(self.request.devices)

    def _threads(self, on: Conditions | None) -> int | None:
        if "threads" in self.made_on:
            return int(self.made_on["threads"])
        return self.request.threads or (on.threads if on else torch_threads(self.request.device))

    @property
    def key(self) -> str:
        """SHA-256 of ``key_parts``."""
        return digest_of(self.key_parts)

    def video_key(self, sample: Sample, digest: str) -> str:
        """SHA-256 of ``key_parts`` and the video's own digest."""
        return key_of_video(self.key, sample.name, digest)


@dataclass(frozen=True, kw_only=True)
class Plan(Trial):
    """A trial of a method, with everything that running it takes."""

    method: Method
    weights_path: Path | None
    entry_point: str
    module: str
    """Where the card comes from: what a worker process loads."""


def resolve(request: Request, catalog: Catalog, elsewhere: Elsewhere | None = None) -> Plan:
    """Resolve every name in ``request``; a HarnessError says what is wrong before anything runs.

    ``elsewhere`` is the method where it lives in another environment; its config is settled there.
    """
    _refuse_contradictions(request, catalog)
    method = elsewhere.method if elsewhere else catalog.methods.get(request.plugin)
    source = elsewhere or catalog.methods.source(method.name)
    benchmark = catalog.benchmarks.get(request.bench)
    task = _task(request, method, benchmark, catalog)
    rule = choose_rule(request.rule, benchmark, task, catalog)
    config = configure(method, request.preset, () if elsewhere else request.overrides)
    weights, weights_path = choose_weights(method, task.name, request.weights)
    providers = resolve_providers(method.name, method.providers, config)
    plugin = elsewhere.plugin if elsewhere else plugin_info(catalog, method)
    plugin = plugin.model_copy(update={"supervision": describe_supervision(plugin.supervision, providers)})
    with blame(f"the card of {method.name} holds what no record can", PluginError):
        for told in (plugin, weights, method_info(method)):
            told.check()  # not when hours of running are to be written down
    videos = open_videos(benchmark, request, catalog)
    return Plan(
        request=request,
        method=method,
        plugin=plugin,
        benchmark=videos.benchmark,
        task=task,
        rule=rule,
        config=config,
        weights=weights,
        weights_path=weights_path,
        providers=providers,
        samples=videos.samples,
        videos_expected=videos.expected,
        partial_reason=videos.partial_reason,
        tree=videos.tree,
        entry_point=source.entry_point,
        module=source.module,
        elsewhere=elsewhere,
    )


def _refuse_contradictions(request: Request, catalog: Catalog) -> None:
    """UsageError where workers, devices and limits cannot be."""
    if request.workers < 1:
        raise UsageError(f"--workers {request.workers} would do nothing; expected 1 or more")
    gives_gpus = request.device != "cpu" and isinstance(catalog.executors.get(request.executor), ClusterExecutor)
    if gives_gpus and request.device != "cuda:0":
        raise UsageError(
            f"--device {request.device} with --executor {request.executor}: found GPUs by name, expected cuda:0",
            hint="--device cuda:0 --workers N: each worker has a GPU to itself, and sees it as cuda:0",
        )
    if request.workers > 1 and request.device != "cpu" and not gives_gpus:
        raise UsageError(
            f"--workers {request.workers} on {request.device}: GPUs get one worker each",
            hint="name several devices: --device cuda:0,cuda:1",
        )
    if len(set(request.devices)) < len(request.devices) and request.device != "cpu" and not gives_gpus:
        raise UsageError(f"--device {request.device} names a device twice")
    if "cpu" in request.devices and request.device != "cpu":
        raise UsageError(f"--device {request.device} mixes CPU and GPU: their speeds cannot stand in one record")
    if request.threads is not None and request.threads < 1:
        raise UsageError(f"--threads {request.threads} leaves nothing to compute with; expected 1 or more")
    if max(request.workers, request.threads or 1) > MOST_AT_ONCE:
        raise UsageError(f"more than {MOST_AT_ONCE} threads or workers; no machine has as many")
    if not -(2**63) <= request.seed < 2**64:
        raise UsageError(f"--seed {request.seed:.3g} is none that torch takes; expected -2**63 to 2**64 - 1")
    if not (request.first_frame_seconds > 0 and request.frame_seconds > 0):  # NaN is neither
        raise UsageError("--first-frame-seconds and --frame-seconds must be more than 0")


def _task(request: Request, method: Method, benchmark: Benchmark, catalog: Catalog) -> Task:
    common = [name for name in benchmark.tasks if name in method.tasks]
    if request.task is not None:
        if request.task not in TASKS:
            raise UsageError.unknown("task", request.task, TASKS)
        common = [name for name in common if name == request.task]
    if not common:
        raise UsageError(
            f"{method.name} offers {', '.join(method.tasks)}; {benchmark.name} scores {', '.join(benchmark.tasks)}"
            + (f"; --task {request.task} is not in both" if request.task else "; they have no task in common"),
            hint=_name_sisters(request, method, benchmark, catalog) or "harness ls benches",
        )
    return TASKS[cast(TaskName, common[0])]


def _name_sisters(request: Request, method: Method, benchmark: Benchmark, catalog: Catalog) -> str:
    """Which other cards of the same plugin do what this one does not; empty where none does."""
    if method.name not in catalog.methods.names():  # one of another environment
        return ""
    plugin = catalog.methods.source(method.name).entry_point
    wanted = benchmark.tasks if request.task is None else (request.task,)
    sisters = [
        f"{card.name} offers {', '.join(both)}"
        for card in catalog.methods
        if catalog.methods.source(card.name).entry_point == plugin
        and (both := [task for task in card.tasks if task in wanted and task in benchmark.tasks])
    ]
    return f"of the same plugin, {'; '.join(sisters)}" if sisters else ""


class Videos(NamedTuple):
    """The videos that were asked for, how many the whole benchmark has, and why these are not all of them.

    ``benchmark`` is the one that was opened: a tree of somebody's own may turn out to have no truth. ``tree`` says
    which tree that was.
    """

    benchmark: Benchmark
    samples: Sequence[Sample]
    expected: int
    partial_reason: str
    tree: str = ""


def open_videos(benchmark: Benchmark, request: Request, catalog: Catalog) -> Videos:
    """Open the benchmark's data and choose the videos; DataError or UsageError where they are not there."""
    command = f"harness run --bench {benchmark.full_name}"
    root = find_data_root(benchmark, request.data_root, catalog)
    everything = open_data(benchmark, root, allow_partial=request.allow_partial, command=command)
    samples, subset_reason = _choose(everything, request)
    expected = max(benchmark.videos_expected, len(everything))
    missing = expected - len(everything)
    reasons = [f"{missing} of {expected} videos are not in the data"] if missing else []
    tree = ""
    if benchmark.choose is not None:
        tree = digest_of([[sample.name, sample.length, sample.height, sample.width] for sample in everything])
        benchmark = replace(benchmark, scored=benchmark.scored and any(map(_has_truth, everything)))
    return Videos(benchmark, samples, expected, "; ".join([*reasons, *subset_reason]), tree)


def _has_truth(sample: Sample) -> bool:
    return sample.read_truth is not None or "tracks" in sample.extra


def open_data(benchmark: Benchmark, root: Path | None, *, allow_partial: bool, command: str) -> Sequence[Sample]:
    """Open the benchmark's data; DataError where they are not there, or not what can be told apart and written.

    ``command`` is what a root is given to, as typed.
    """
    if benchmark.needs_root and root is None:
        raise DataError(
            f"benchmark {benchmark.full_name} needs its data: no --data-root was given. Expected: {benchmark.layout}",
            hint=f"{command} --data-root DIR, or set HARNESS_DATA, or name it once in {config_file()}",
        )
    samples = open_guarded(benchmark, root, partial=allow_partial)
    names = [sample.name for sample in samples]
    for sample in samples:
        odd = next((name for name in (sample.name, *sample.frame_names) if not is_safe_video_name(name)), None)
        if odd is not None:
            raise DataError(f"{benchmark.name}, video {sample.name!r}: the name {odd!r:.300} cannot be a file name")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{benchmark.name}: found two videos named {twice!r}, expected each name once")
    if not samples:
        raise DataError(f"{benchmark.name} has no videos in {root}")
    return samples


def _choose(samples: Sequence[Sample], request: Request) -> tuple[Sequence[Sample], list[str]]:
    chosen = samples
    if request.videos:
        known = {sample.name: sample for sample in samples}
        unknown = [name for name in request.videos if name not in known]
        if unknown:
            raise UsageError.unknown("video", unknown, known, of=request.bench)
        chosen = [sample for sample in samples if sample.name in request.videos]
    if request.limit is not None:
        if request.limit < 1:
            raise UsageError(f"--limit {request.limit} leaves nothing to run; expected 1 or more")
        chosen = chosen[: request.limit]
    reasons = [f"{len(chosen)} of {len(samples)} videos were chosen"] if len(chosen) < len(samples) else []
    if request.shard is None:
        return chosen, reasons
    part, parts = request.shard
    return take_shard(chosen, part, parts), [*reasons, f"shard {part} of {parts}"]


def take_shard(samples: Sequence[Sample], part: int, parts: int) -> Sequence[Sample]:
    """The ``part``-th of ``parts`` shares of the videos, from 1 on, in their own order; UsageError where it is empty.

    Dealt like cards by falling length, so that no share has all the long ones; every machine deals alike.
    """
    if not 1 <= part <= parts:
        raise UsageError(f"--shard {part}/{parts}: found part {part} of {parts}, expected 1/{parts} to {parts}/{parts}")
    if part > len(samples):
        raise UsageError(
            f"--shard {part}/{parts} has no video: there are {len(samples)}", hint=f"at most --shard .../{len(samples)}"
        )
    by_length = sorted(range(len(samples)), key=lambda place: -samples[place].length)  # equal ones keep their order
    return [samples[place] for place in sorted(by_length[part - 1 :: parts])]
