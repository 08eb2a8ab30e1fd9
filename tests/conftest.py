"""What several tests build: a sound record, a catalog with one toy benchmark, an installed third-party plugin."""

import hashlib
import os
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from harness import DAVIS_2017, Benchmark, Column, RunRecord, hookimpl
from harness.api.records import BenchmarkInfo, Conditions, Latency, PluginInfo, Timing, VideoSummary, WeightsInfo
from harness.catalog import Catalog
from harness.intervals import clustered_interval

Videos = Mapping[str, Sequence[tuple[float, float]]]


def latency(fps: float, frames: int = 20) -> Latency:
    ms = 1000 / fps
    return Latency(frames=frames, fps=1000 / ms, mean_ms=ms, p50_ms=ms, p90_ms=ms, p99_ms=ms)


def record_with(
    videos: Videos,
    *,
    method: str = "ours",
    bench: str = "toy-val",
    expected: int | None = None,
    average: str = "objects",
    created: str = "2026-01-02T03:04:05+00:00",
    fps: float | None = 10.0,
    device: str = "Toy CPU",
    replays: bool = False,
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
            causality="online",
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
            peak_memory_mib=100.0,
        ),
    }
    return RunRecord(**{**made, **fields})


@pytest.fixture
def make_record() -> Callable[..., RunRecord]:
    """``make_record({"a": [(J, F), ...]}, method=..., fps=...)``: a record that verifies."""
    return record_with


class ToyMetric:
    """Stands for J and F where nothing is measured."""

    name = "j_and_f"
    columns = (
        Column("J&F", "mean of J and F"),
        Column("J-mean", "region similarity"),
        Column("F-mean", "boundary accuracy"),
    )

    def start(self, sample: object, scoring: object) -> None:
        raise NotImplementedError("toy metric")

    def summarise(self, videos: object, scoring: object) -> None:
        raise NotImplementedError("toy metric")


@pytest.fixture
def toy_catalog(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """A catalog with benchmark ``toy-val`` (videos a, b, c), its metric and the reporters of the harness."""
    plugin = ModuleType("toy_plugin")
    plugin.harness_benchmarks = hookimpl(harness_benchmarks)
    plugin.harness_metrics = hookimpl(harness_metrics)
    monkeypatch.setitem(sys.modules, "toy_plugin", plugin)
    modules = ("toy_plugin", "harness.reporters.markdown", "harness.reporters.json")
    catalog = Catalog.load([EntryPoint(module, module, "harness") for module in modules])
    assert not catalog.broken, catalog.broken
    return catalog


def harness_benchmarks() -> list[Benchmark]:
    return [
        Benchmark(
            name="toy-val",
            title="Toys, validation",
            scorings={"one-shot": DAVIS_2017},
            open=lambda root, partial: [],
            expected=("a", "b", "c"),
        )
    ]


def harness_metrics() -> list[ToyMetric]:
    return [ToyMetric()]


@pytest.fixture(scope="session")
def third_party_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PYTHONPATH on which third_party/vos-colours counts as installed: its sources and what pip writes beside."""
    source = Path(__file__).parent / "third_party" / "vos-colours"
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    site = tmp_path_factory.mktemp("site")
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    points = "".join(f"{name} = {module}\n" for name, module in project["entry-points"]["harness"].items())
    (metadata / "entry_points.txt").write_text(f"[harness]\n{points}", encoding="utf-8")
    return os.pathsep.join([str(site), str(source)])
