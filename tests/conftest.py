"""What many tests build on: a tiny benchmark in memory, a catalog of test-made things, the real data where it is."""

import gc
import hashlib
import importlib.util
import os
import sys
from collections.abc import Generator
from importlib.metadata import EntryPoint, version
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from harness.api.contracts import DAVIS_2017, Benchmark, Column, Method
from harness.api.hookspecs import hookimpl
from harness.api.records import (
    BenchmarkInfo,
    Conditions,
    Latency,
    PluginInfo,
    RunRecord,
    Throughput,
    Timing,
    VideoScores,
    VideoSummary,
    WeightsInfo,
)
from harness.api.video import Sample
from harness.catalog import Catalog, Source
from harness.executors.inline import Inline
from harness.ranking.intervals import clustered_interval

SHARED = Path(__file__).resolve().parents[2] / "shared"
EXAMPLE = Path(__file__).parent / "third_party" / "vos-colours"


# Our tensors are small: a second thread of torch costs more than it does. And byte code of the harness is kept where
# the environment says no as well: without it, each command that a test starts takes a CPU second or two longer.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.pop("COLUMNS", None)  # a shell may export it, and xdist tells it to its workers: tables would be cut
sys.dont_write_bytecode = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import and list all tests without looking for garbage: all of it is kept."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="module", autouse=True)
def _short_walks_of_the_collector() -> None:
    """Take what is alive by now out of the garbage collector's walks: building a method, and the kit, collect often."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_config_of_ours() -> None:
    """Leave out the config file of whoever runs the tests, here and in the commands that tests start."""
    os.environ["HARNESS_CONFIG"] = ""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the project; skips where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real data at {SHARED / 'data'}")
    return SHARED


@pytest.fixture
def triton_interpreter() -> dict[str, str]:
    """An environment in which Triton interprets its kernels; skips where it is absent, or cannot with this NumPy."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed (extra gpu-dev)")
    found = version("triton")
    if (int(found.split(".")[0]), int(found.split(".")[1])) < (3, 7) and np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        pytest.skip(f"the interpreter of Triton {found} cannot work with NumPy {np.__version__}; that of 3.7.1 can")
    return {**os.environ, "TRITON_INTERPRET": "1"}


@pytest.fixture
def third_party_path(tmp_path: Path) -> str:
    """A PYTHONPATH on which vos-colours is installed beside the harness, without touching the environment."""
    site = tmp_path / "third-party-site"
    info = site / "vos_colours-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "vos_colours").symlink_to(EXAMPLE / "vos_colours")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vos-colours\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\ncolours = vos_colours\n")
    return str(site)


def moving_square(frame: int, height: int = 8, width: int = 8) -> np.ndarray:
    """An id map with object 1, a 3 x 3 square that moves one pixel a frame."""
    mask = np.zeros((height, width), np.uint8)
    mask[2:5, 1 + frame : 4 + frame] = 1
    return mask


def tiny_sample(name: str = "square", length: int = 5, **changes) -> Sample:
    """Five frames of 8 x 8 with one moving square."""
    given = {
        "name": name,
        "length": length,
        "height": 8,
        "width": 8,
        "frame_names": tuple(f"{t:05d}" for t in range(length)),
        "read_frame": lambda t: np.repeat(moving_square(t)[..., None] * 200, 3, axis=2),
        "read_truth": moving_square,
        "read_prompt": moving_square,
        "prompt_frames": (0,),
        "digest": lambda: hashlib.sha256(name.encode()).hexdigest(),
    }
    return Sample(**{**given, **changes})


class ShareRight:
    """A metric for tests: the share of pixels whose id is right, over all frames."""

    name = "share_right"
    columns = (Column("share", "share of right pixels"),)

    def start(self, sample, rule):
        return _Shares()

    def summarise(self, videos, rule):
        values = [v for video in videos for v in video.series["share"]["1"]]
        return {"share": float(np.mean(values))}


class _Shares:
    def __init__(self):
        self.values = []

    def add(self, frame, prediction, truth):
        self.values.append(float(np.mean(prediction == truth)))

    def finish(self):
        mean = float(np.mean(self.values))
        return VideoScores(
            metric="share_right",
            frames=list(range(len(self.values))),
            series={"share": {"1": self.values}},
            summary={"1": {"share": mean}},
        )


def tiny_benchmark(samples=None, **changes) -> Benchmark:
    """A benchmark named ``tiny`` over samples in memory, scored by ``share_right``."""
    from dataclasses import replace

    samples = [tiny_sample("first"), tiny_sample("second")] if samples is None else samples
    rule = replace(DAVIS_2017, metrics=("share_right",), version="tiny/1")
    given = {
        "name": "tiny",
        "title": "Tiny",
        "rules": {"one-shot": rule, "object-zvos": rule, "instance-zvos": rule},
        "open": lambda root, partial: samples,
        "needs_root": False,
    }
    return Benchmark(**{**given, **changes})


def catalog_of(*methods: Method, benchmark: Benchmark | None = None) -> Catalog:
    """A catalog that holds these methods, the tiny benchmark and its metric, and the inline executor."""
    catalog = Catalog()
    source = Source("tests", "conftest", "tests", "0")
    for method in methods:
        catalog.methods._add(method.name, method, source)
    bench = benchmark or tiny_benchmark()
    catalog.benchmarks._add(bench.name, bench, source)
    catalog.metrics._add("share_right", ShareRight(), source)
    catalog.executors._add("inline", Inline(), source)
    return catalog


def plugin_module(name: str, **hooks) -> ModuleType:
    """A plugin module whose hooks return what is given: ``plugin_module("p", harness_methods=lambda: [...])``."""
    module = ModuleType(name)
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    return module


class PointTo(EntryPoint):
    """An entry point that loads a given object, or raises it."""

    def load(self):
        found = _LOADABLE[self.value]
        if isinstance(found, BaseException):
            raise found
        return found


_LOADABLE: dict[str, object] = {}


def point(name: str, loads: object) -> EntryPoint:
    """An entry point of group ``harness`` that gives ``loads``; an exception is raised instead."""
    value = f"{name}_{len(_LOADABLE)}"
    _LOADABLE[value] = loads
    return PointTo(name, value, "harness")


@pytest.fixture(scope="session")
def tests_tools():
    """The builders above, for tests that cannot import a conftest."""
    return SimpleNamespace(
        catalog_of=catalog_of,
        moving_square=moving_square,
        plugin_module=plugin_module,
        point=point,
        tiny_benchmark=tiny_benchmark,
        tiny_sample=tiny_sample,
    )


def latency(fps: float, frames: int = 20) -> Latency:
    ms = 1000 / fps
    return Latency(frames=frames, fps=1000 / ms, mean_ms=ms, p50_ms=ms, p90_ms=ms, p99_ms=ms)


def record_with(
    videos,
    *,
    method: str = "ours",
    bench: str = "toy-val",
    expected: int | None = None,
    average: str = "objects",
    created: str = "2026-01-02T03:04:05+00:00",
    fps: float | None = 10.0,
    device: str = "Toy CPU",
    replays: bool = False,
    causality: str = "online",
    throughput: float | None = None,
    **fields: object,
) -> RunRecord:
    """A record of ``videos``: name -> (J, F) of each object; ``fields`` replace fields of the record."""
    rows = [
        VideoSummary(
            video=name,
            frames=8,
            objects={
                str(number): {"J&F": (j + f) / 2, "J-mean": j, "F-mean": f} for number, (j, f) in enumerate(objects, 1)
            },
        )
        for name, objects in videos.items()
    ]
    scores = {
        column: clustered_interval(
            {row.video: [figures[column] for figures in row.objects.values()] for row in rows}, average=average
        )
        for column in ("J&F", "J-mean", "F-mean")
    }
    expected = len(rows) if expected is None else expected
    made = {
        "id": hashlib.sha256(repr((method, created, device, videos)).encode()).hexdigest(),
        "created": created,
        "harness_version": "0.1.0",
        "plugin": PluginInfo(
            name=method,
            distribution="toys",
            version="1",
            code_sha256="0" * 64,
            causality=causality,
            supervision="self-supervised",
            replays=replays,
        ),
        "weights": WeightsInfo(name="default", sha256="1" * 64, trained_on="toys"),
        "benchmark": BenchmarkInfo(
            name=bench,
            task="one-shot",
            fingerprint="2" * 64,
            scoring="davis2017-semi/1",
            average=average,
            scored=True,
            videos_expected=expected,
            videos_done=len(rows),
        ),
        "partial": len(rows) < expected,
        "seed": 0,
        "conditions": Conditions(
            device=device, device_type="cpu", torch="2.13.0", python="3.11", platform="Linux", precision="fp32"
        ),
        "scores": {"j_and_f": scores},
        "videos": rows,
        "timing": None
        if fps is None
        else Timing(
            model=latency(fps),
            model_first_frame=latency(fps / 2, frames=len(rows)),
            e2e=latency(fps * 0.8),
            e2e_first_frame=latency(fps * 0.4, frames=len(rows)),
            warm_up_frames=2,
            throughput=None
            if throughput is None
            else Throughput(
                videos=2,
                frames=16,
                is_warm=True,
                model_seconds=16 / throughput,
                model_fps=throughput,
                e2e_fps=throughput * 0.8,
            ),
            added_memory_mib=100.0,
        ),
    }
    return RunRecord(**{**made, **fields})


@pytest.fixture
def make_record():
    """``make_record({"a": [(J, F), ...]}, method=..., fps=...)``: a record that verifies."""
    return record_with


@pytest.fixture
def toy_catalog():
    """A catalog with benchmark ``toy-val`` (videos a, b, c), the columns of J and F, the reporters of the harness."""
    metric = ShareRight()
    metric.name = "j_and_f"
    metric.columns = tuple(Column(name, "stands for the figure of that name") for name in ("J&F", "J-mean", "F-mean"))
    bench = tiny_benchmark(name="toy-val", rules={"one-shot": DAVIS_2017}, expected=("a", "b", "c"))
    toys = plugin_module("toys", harness_benchmarks=lambda: [bench], harness_metrics=lambda: [metric])
    reporters = [EntryPoint(name, f"harness.reporters.{name}", "harness") for name in ("markdown", "json", "site")]
    catalog = Catalog.load([point("toys", toys), *reporters])
    assert not catalog.broken, catalog.broken
    return catalog
