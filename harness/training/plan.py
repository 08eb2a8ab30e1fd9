"""A training that was asked for, made into a plan: every name resolved, every file checked, nothing learnt yet."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.api.contracts import Benchmark, Method
from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.api.learning import Stage, Training, TrainingContext
from harness.api.providers import ProviderSpec
from harness.api.records import PluginInfo, Precision, ProviderInfo
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.files import digest_of, digest_of_bytes
from harness.machine import machine_name, torch_threads
from harness.models.kept_frames import keep_frames
from harness.planning.config import make_config
from harness.planning.places import find_data_root
from harness.planning.plan import open_data, resolve
from harness.planning.provenance import NO_WEIGHTS, code_digest, plugin_info
from harness.planning.providers import describe_config, describe_providers, resolve_providers
from harness.planning.request import Request
from harness.training.folder import TrainingFolder
from harness.training.needs import convert_as_needed
from harness.training.stages import find_inits, refuse_unknown, stages_of
from harness.version import __version__

NO_VALIDATION = "none"
KEPT_FRAMES_MIB = 1024
"""What decoded frames may take, in each process with its workers: DAVIS 2016 train at 240 lines has 610."""


@dataclass(frozen=True)
class TrainingRequest:
    """What a user asks for, as typed; ``resolve_training`` checks it."""

    plugin: str
    data: tuple[str, ...]
    data_root: Path | None = None
    allow_partial: bool = False
    videos: tuple[str, ...] = ()
    preset: str = ""
    overrides: tuple[str, ...] = ()
    iterations: int | None = None
    """The constant ``iterations`` of the training's config."""
    init: Path | None = None
    """Weights that the first stage begins from."""
    stage_init: Mapping[str, Path] = field(default_factory=dict)
    """The same for other stages, by name."""
    stop_after: str = ""
    """The stage after which it stops, to go on another time; empty: the last."""
    device: str = "cpu"
    precision: Precision = "fp32"
    seed: int = 0
    workers: int = 0
    """Processes that make batches ahead; 0: this one makes them, one at a time."""
    validate: str | None = None
    """A benchmark, or ``none``; None: the one the card names, where it may choose weights."""
    validate_every: int | None = None
    """Iterations; None: a tenth of all."""
    validate_root: Path | None = None
    validate_limit: int | None = None
    checkpoint_every: int = 200
    log_every: int = 20


@dataclass(frozen=True)
class TrainingPlan:
    """Everything resolved. ``samples`` are the videos to learn from, without their truth where none is needed.

    ``stages`` has one without a name where the training has none. ``inits`` are weights to begin from, by stage.
    """

    request: TrainingRequest
    method: Method
    training: Training
    plugin: PluginInfo
    config: Any
    samples: Sequence[Sample]
    licence: str
    """That of the data: it travels with the weights."""
    validation: Request | None
    stages: tuple[Stage, ...]
    inits: Mapping[str, Path] = field(default_factory=dict)
    providers: Mapping[str, ProviderSpec] = field(default_factory=dict)
    world: int = 1

    @property
    def data(self) -> str:
        """The name of what is learnt from, as a file name may have it."""
        return "+".join(map(_as_file_name, self.request.data))

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """What the weights depend on beside the content of the data and the code."""
        request, first = self.request, self.stages[0].name
        settings = {
            "plugin": self.method.name,
            "config": describe_config(self.config, self.providers),
            "data": list(request.data),
            "videos": list(request.videos),
            "init": digest_of_bytes(self.inits[first]) if first in self.inits else NO_WEIGHTS,
            "seed": request.seed,
            "device": "cuda" if request.device.startswith("cuda") else request.device,
            "precision": request.precision,
            "world": self.world,
        }
        if first:
            settings["stages"] = [stage.name for stage in self.stages]
        if later := {name: digest_of_bytes(file) for name, file in self.inits.items() if name != first}:
            settings["stage_init"] = later
        if self.providers:
            settings["providers"] = {name: info.model_dump() for name, info in self.provider_infos.items()}
        return settings

    @functools.cached_property
    def provider_infos(self) -> dict[str, ProviderInfo]:
        """What the providers are, by constant; their files are read once."""
        return describe_providers(self.providers)

    @functools.cached_property
    def depends_on(self) -> dict[str, Any]:
        """Everything that decides what is learnt, code aside: a folder holds one of these. Reads all of the data."""
        with ThreadPoolExecutor(8) as pool:
            digests = list(pool.map(lambda sample: sample.digest(), self.samples))
        names = [sample.name for sample in self.samples]
        return self.settings | {"samples": digest_of([names, digests]), "sample_count": len(names)}

    @property
    def key(self) -> str:
        """SHA-256 of ``settings``: the name of the default folder."""
        return digest_of(self.settings)

    def list_versions(self) -> dict[str, Any]:
        """Code, versions and machine: recorded, and allowed to change when a training goes on."""
        return {
            "harness": __version__,
            "harness_code": code_digest("harness"),
            "plugin": f"{self.plugin.distribution} {self.plugin.version}".strip(),
            "plugin_code": self.plugin.code_sha256,
            "torch": version("torch"),
            "machine": machine_name([self.request.device]),
            "threads": torch_threads(self.request.device),
        }

    @property
    def truths(self) -> dict[str, list[str]]:
        """Whose truth chooses which weights count, and whose is looked at only."""
        told = [] if self.validation is None else [f"{self.training.metric} on {self.validation.bench}"]
        return {"chosen_by": told, "measured": []} if self.chooses else {"chosen_by": [], "measured": told}

    @property
    def chooses(self) -> bool:
        """Whether validation chooses weights."""
        return self.training.choose == "best"

    def context(self, device: str, rank: int, stage: Stage, folder: TrainingFolder) -> TrainingContext:
        """What one stage is given in one process."""
        before = self.stages[: self.stages.index(stage)]
        return TrainingContext(
            samples=keep_frames(self.samples, limit_mib=KEPT_FRAMES_MIB),
            config=self.config,
            device=device,
            precision=self.request.precision,
            weights=self.inits.get(stage.name),
            seed=self.request.seed,
            rank=rank,
            world=self.world,
            stage=stage.name,
            earlier=folder.weights_of(before[-1].name) if before else None,
            artefacts=folder.artefacts / stage.name if stage.name else None,
            providers=self.providers,
        )


def resolve_training(request: TrainingRequest, catalog: Catalog, *, world: int = 1) -> TrainingPlan:
    """Resolve every name in ``request``; a HarnessError says what is wrong before anything is learnt."""
    method = catalog.methods.get(request.plugin)
    training = _training_of(method, catalog)
    _refuse_wrong_numbers(request)
    benchmarks = [catalog.benchmarks.get(name) for name in request.data]
    overrides = (*request.overrides, *_iterations(request, training))
    config = make_config(f"the training of {method.name}", training.config, training.presets, request.preset, overrides)
    stages = stages_of(method.name, training, config)
    inits = find_inits(method.name, stages, request.init, request.stage_init)
    if request.stop_after:
        refuse_unknown(method.name, stages, request.stop_after)
    providers = resolve_providers(f"the training of {method.name}", training.providers, config)
    validation = _validation(request, method, training, catalog)
    samples = _choose([sample for benchmark in benchmarks for sample in _open(benchmark, request, catalog)], request)
    return TrainingPlan(
        request=request,
        method=method,
        training=training,
        plugin=plugin_info(catalog, method),
        config=config,
        samples=convert_as_needed(samples, training.needs, method.name, " and ".join(request.data), providers.values()),
        licence="; ".join(dict.fromkeys(benchmark.licence for benchmark in benchmarks if benchmark.licence)),
        validation=validation,
        stages=stages,
        inits=inits,
        providers=providers,
        world=world,
    )


def _training_of(method: Method, catalog: Catalog) -> Training:
    if method.training is None:
        trained = [other.name for other in catalog.methods if other.training is not None]
        raise UsageError(
            f"{method.name} declares no training; methods that do: {', '.join(trained) or 'none'}",
            hint="docs/train.md says how a method is made trainable",
        )
    return method.training


def _refuse_wrong_numbers(request: TrainingRequest) -> None:
    smallest = {"iterations": 1, "validate_every": 1, "validate_limit": 1, "checkpoint_every": 1, "log_every": 1}
    for name, least in (smallest | {"workers": 0, "seed": 0}).items():
        value = getattr(request, name)
        if value is not None and value < least:
            raise UsageError(f"--{name.replace('_', '-')} {value} is too small; expected {least} or more")
    if not request.data:
        raise UsageError("--data names nothing to learn from", hint="harness ls benches")
    if len(set(request.data)) < len(request.data):
        raise UsageError(f"--data {','.join(request.data)} names one set twice")


def _iterations(request: TrainingRequest, training: Training) -> tuple[str, ...]:
    if request.iterations is None:
        return ()
    if "iterations" not in {constant.name for constant in dataclasses.fields(training.config)}:
        raise UsageError(
            f"the training of {request.plugin} has no constant 'iterations'; --iterations has nothing to set",
            hint="set what decides its length with --set",
        )
    return (f"iterations={request.iterations}",)


def _validation(request: TrainingRequest, method: Method, training: Training, catalog: Catalog) -> Request | None:
    """The run that scores weights while training, checked now as far as it can be without weights."""
    by_itself = training.validation if training.choose == "best" else NO_VALIDATION
    bench = by_itself if request.validate is None else request.validate
    if bench == NO_VALIDATION:
        return None
    asked = Request(
        plugin=method.name,
        bench=bench,
        preset=training.inference_preset,
        weights=NO_WEIGHTS,
        device=request.device,
        data_root=request.validate_root or request.data_root,
        allow_partial=True,
        limit=request.validate_limit,
        seed=request.seed,
    )
    plan = resolve(asked, catalog)
    columns = [column.name for name in plan.rule.metrics for column in catalog.metrics.get(name).columns]
    if not plan.benchmark.scored or training.metric not in columns:
        found = f"{', '.join(columns)}" if plan.benchmark.scored else "no public truth"
        raise UsageError(
            f"{bench} cannot tell which weights of {method.name} are best: found {found}, expected {training.metric}",
            hint="choose another benchmark, or --validate none",
        )
    return asked


def _open(benchmark: Benchmark, request: TrainingRequest, catalog: Catalog) -> Sequence[Sample]:
    command = f"harness train --data {benchmark.name}"
    root = find_data_root(benchmark, request.data_root, catalog)
    samples = open_data(benchmark, root, allow_partial=request.allow_partial, command=command)
    return (
        samples
        if len(request.data) == 1
        else [_rename(sample, _as_file_name(benchmark.full_name)) for sample in samples]
    )


def _as_file_name(bench: str) -> str:
    """``davis17-layout:lists/mine.txt`` as a file name may have it."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", bench)


def _rename(sample: Sample, data: str) -> Sample:
    """Of several sets, two may have a video of one name."""
    return replace(sample, name=f"{data}.{sample.name}")


def _choose(samples: list[Sample], request: TrainingRequest) -> list[Sample]:
    known = [sample.name for sample in samples]
    unknown = [name for name in request.videos if name not in known]
    if unknown:
        raise UsageError.unknown("video", unknown, known, of=" + ".join(request.data))
    return [sample for sample in samples if sample.name in request.videos] if request.videos else samples


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed made of numbers and words: equal parts, equal seed, on any machine."""
    content = ",".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 1
