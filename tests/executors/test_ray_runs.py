"""Whole runs through the Ray executor, its actors in this process in place of a cluster: what one inline run makes."""

import contextlib
import hashlib
import json
from types import SimpleNamespace

import pytest

import harness
from harness.executors import ray as executor

ASKED = {"plugin": "copyfirst", "bench": "mini-small", "task": "one-shot", "threads": 1}
COMPARED = ("plugin", "config", "weights", "benchmark", "scores", "videos", "failures", "partial", "seed")
"""Of a record; the rest is when, where and how fast."""


class RayHere:
    """The few calls of Ray that the crew makes; an actor is an object, and works when it is waited for."""

    exceptions = SimpleNamespace(RayError=ZeroDivisionError)

    def remote(self, **needs):
        return lambda actor: SimpleNamespace(remote=lambda: self._begin(actor()))

    def _begin(self, actor):
        calls = ("describe_place", "open", "work_through")
        return SimpleNamespace(**{call: SimpleNamespace(remote=self._later(getattr(actor, call))) for call in calls})

    def _later(self, work):
        return lambda *given: (work, given)

    def wait(self, refs, *, num_returns, timeout):
        return refs[:1], refs[1:]

    def get(self, ref):
        work, given = ref
        return work(*given)

    def kill(self, actor, *, no_restart):
        pass


@pytest.fixture
def by_ray(monkeypatch):
    """``by_ray(out, ...)``: the run of that folder, through the executor."""

    @contextlib.contextmanager
    def cluster(recipe, workers):
        yield RayHere()

    monkeypatch.setattr(executor, "_cluster", cluster)
    return lambda out, **asked: harness.run(**{**ASKED, **asked}, executor="ray", workers=2, out=out)


def read_made(run):
    """What a run says of everything but times, and digests of its masks."""
    record = json.loads((run / "record.json").read_text())
    masks = {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((run / "masks").rglob("*.png"))
    }
    return [{part: record[part] for part in COMPARED}, masks]


def test_frames_that_a_seed_makes_worse_and_frames_that_are_dropped_are_the_same_there(by_ray, tmp_path):
    for bench in ("mini-small+noise-2", "mini-small+drop-3"):
        asked = {"bench": bench, "videos": ["small-cross"]}
        harness.run(**{**ASKED, **asked}, out=tmp_path / bench / "inline")
        by_ray(tmp_path / bench / "ray", **asked)
        assert read_made(tmp_path / bench / "ray") == read_made(tmp_path / bench / "inline")


def test_shards_that_ran_there_are_together_the_run_that_was_never_dealt(by_ray, tmp_path):
    videos = ["small-cross", "small-deform"]
    harness.run(**ASKED, videos=videos, out=tmp_path / "whole")
    for part in (1, 2):
        by_ray(tmp_path / f"{part}", videos=videos, shard=(part, 2))
    merged = harness.merge([tmp_path / "2", tmp_path / "1"], tmp_path / "all").record
    assert read_made(tmp_path / "all") == read_made(tmp_path / "whole")
    assert (merged.conditions.executor, merged.conditions.workers, merged.timing) == ("ray", 2, None)
