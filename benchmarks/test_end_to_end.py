"""Whole runs on one video of mini-small, for every installed method: what the harness adds beside the model.

Run with ``pytest benchmarks/test_end_to_end.py --benchmark-only``. ``extra_info`` holds the model's share of the wall
time; what is left is decoding, checks, scoring, PNG writing and the record.
"""

import time

import pytest

from harness.catalog import Catalog
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.runner import run

CATALOG = Catalog.load()
BENCH = "mini-small"
PRESETS = {"selfsup-adapted": "smoke", "selfsup-causal": "smoke"}
"""Where the default takes a CPU half an hour a video: it is the harness that is measured here, not the method."""


def methods():
    """Every installed method with a task of the benchmark, replays apart: they need masks."""
    tasks = set(CATALOG.benchmarks.get(BENCH).tasks)
    return [method.name for method in CATALOG.methods if tasks & set(method.tasks) and not method.replays]


@pytest.mark.parametrize("name", methods())
def test_run_of_one_video(benchmark, tmp_path, name):
    plan = resolve(Request(plugin=name, bench=BENCH, preset=PRESETS.get(name, ""), limit=1), CATALOG)
    walls = []

    def whole_run():
        start = time.perf_counter()
        record = run(plan, tmp_path / "run", CATALOG, fresh=True)
        walls.append(time.perf_counter() - start)
        return record

    record = benchmark.pedantic(whole_run, rounds=3, warmup_rounds=1)
    assert record.failures == []
    assert record.benchmark.videos_done == 1
    timing = record.timing
    parts = (timing.model, timing.model_first_frame)
    in_model = sum(part.mean_ms * part.frames for part in parts if part.frames) / 1e3
    benchmark.extra_info["model_share_of_wall"] = round(in_model / walls[-1], 3)
    benchmark.extra_info["frames_a_second_of_wall"] = round(record.videos[0].frames / walls[-1], 1)
