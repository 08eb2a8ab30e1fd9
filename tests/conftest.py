"""What many tests build on: a tiny benchmark in memory, a catalog of test-made things, the real data where it is."""

import hashlib
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from harness.api.contracts import DAVIS_2017, Benchmark, Column, Method
from harness.api.hookspecs import hookimpl
from harness.api.records import VideoScores
from harness.api.video import Sample
from harness.catalog import Catalog, Source
from harness.executors.inline import Inline

SHARED = Path(__file__).resolve().parents[2] / "shared"
EXAMPLE = Path(__file__).parent / "third_party" / "vos-colours"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the project; skips where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real data at {SHARED / 'data'}")
    return SHARED


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

    def start(self, sample, scoring):
        return _Shares()

    def summarise(self, videos, scoring):
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
    scoring = replace(DAVIS_2017, metrics=("share_right",), version="tiny/1")
    given = {
        "name": "tiny",
        "title": "Tiny",
        "scorings": {"one-shot": scoring, "object-zvos": scoring, "instance-zvos": scoring},
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


@pytest.fixture
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
