"""Shards are shares of one run, and together they are that run: the same masks, figures and rows."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import harness
from harness.api.errors import DataError, UsageError
from harness.planning.plan import take_shard
from harness.planning.request import Request

ASKED = {"plugin": "copyfirst", "bench": "mini-small", "task": "one-shot", "threads": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The whole run, and the same in three shards."""
    base = tmp_path_factory.mktemp("shards")
    whole = harness.run(**ASKED, out=base / "whole")
    for part in (1, 2, 3):
        harness.run(**ASKED, shard=(part, 3), out=base / f"{part}")
    return base, whole


@pytest.fixture
def shards(runs, tmp_path):
    """Copies of the three, to be spoilt."""
    return [shutil.copytree(runs[0] / f"{part}", tmp_path / f"{part}") for part in (1, 2, 3)]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def test_together_they_are_the_run_that_was_never_dealt(runs, tmp_path):
    base, whole = runs
    merged = harness.merge([base / "3", base / "1", base / "2"], tmp_path / "all").record
    assert files_of(tmp_path / "all" / "masks") == files_of(base / "whole" / "masks")
    for part in ("plugin", "config", "weights", "benchmark", "scores", "partial", "failures", "seed"):
        assert getattr(merged, part) == getattr(whole.record, part), part
    assert [row.objects for row in merged.videos] == [row.objects for row in whole.record.videos]
    assert merged.conditions.group == whole.record.conditions.group
    assert not merged.partial
    again = harness.run(**ASKED, out=tmp_path / "all").record  # and the run itself takes it for its own
    assert sorted(again.reused) == sorted(row.video for row in whole.record.videos)


def test_a_shard_is_partial_and_says_which_it_is(runs):
    record = json.loads((runs[0] / "2" / "record.json").read_text())
    assert record["partial"]
    assert "shard 2 of 3" in record["partial_reason"]


def test_a_merge_that_was_killed_goes_on(runs, tmp_path):
    base, whole = runs
    folders = [base / f"{part}" for part in (1, 2, 3)]
    harness.merge(folders, tmp_path / "all")
    (tmp_path / "all" / "record.json").unlink()
    first = next((tmp_path / "all" / "videos").iterdir())
    first.unlink()
    assert harness.merge(folders, tmp_path / "all").record.scores == whole.record.scores


def test_a_run_of_fewer_videos_does_not_take_the_place_of_one_of_more(runs, tmp_path):
    out = shutil.copytree(runs[0] / "whole", tmp_path / "whole")
    before = (out / "record.json").read_bytes()
    with pytest.raises(
        UsageError, match=r"holds the record of a run with .* more, which this one leaves out"
    ) as refused:
        harness.run(**ASKED, limit=1, out=out)
    assert "--resume never" in refused.value.hint
    assert (out / "record.json").read_bytes() == before
    plan = (out / "plan.json").read_bytes()
    with pytest.raises(UsageError, match="leaves out"):  # before clocks are dropped
        harness.run(**{**ASKED, "threads": 2}, limit=1, out=out, resume="elsewhere")
    assert (out / "plan.json").read_bytes() == plan
    (out / "record.json").unlink()  # one that was killed holds no record yet
    part = harness.run(**ASKED, limit=1, out=out).record
    assert [row.video for row in part.videos] == part.reused
    assert len(part.reused) == 1
    for path in (out / "videos").iterdir():
        if path.stem not in part.reused:
            path.unlink()
    assert len(harness.run(**ASKED, limit=2, out=out).record.videos) == 2  # more of the same run: it goes on


def test_a_shard_is_not_merged_into_its_own_folder(shards):
    before = files_of(shards[1])
    with pytest.raises(UsageError, match="is the folder of a shard"):
        harness.merge(shards, shards[1].parent / "." / shards[1].name)
    assert files_of(shards[1]) == before


def test_long_videos_are_dealt_out_evenly_and_each_once(tests_tools):
    samples = [tests_tools.tiny_sample(f"v{length}", length=length) for length in (5, 90, 7, 80, 70, 6, 8)]
    parts = [[sample.length for sample in take_shard(samples, part, 3)] for part in (1, 2, 3)]
    assert parts == [[5, 90, 8], [7, 80], [70, 6]]
    assert Request(plugin="p", bench="b").shard is None


@pytest.mark.parametrize(("part", "parts"), [(0, 3), (4, 3), (1, 0), (8, 9)])
def test_a_share_that_is_none_is_named(tests_tools, part, parts):
    with pytest.raises(UsageError, match=f"--shard {part}/{parts}"):
        take_shard([tests_tools.tiny_sample()] * 7, part, parts)


def test_a_missing_shard_and_one_twice_are_named(runs, tmp_path):
    base, _ = runs
    with pytest.raises(UsageError, match="1/3 twice, 2/3 not"):
        harness.merge([base / "3", base / "1", base / "1"], tmp_path / "all")
    with pytest.raises(UsageError, match=r"found no shard\.json"):
        harness.merge([base / "whole"], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def spoil_plan(folder):
    plan = json.loads((folder / "plan.json").read_text()) | {"torch": "0.1"}
    (folder / "plan.json").write_text(json.dumps(plan))


def spoil_request(folder):
    asked = json.loads((folder / "shard.json").read_text()) | {"limit": 3}
    (folder / "shard.json").write_text(json.dumps(asked))


def spoil_mask(folder):
    next(folder.rglob("*.png")).write_bytes(b"no mask")


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (spoil_plan, UsageError, "another run .* torch differ"),
        (spoil_request, UsageError, "dealt from other videos"),
        (spoil_mask, DataError, "missing or damaged"),
        (lambda folder: (folder / "record.json").unlink(), DataError, "is not finished"),
        (lambda folder: (folder / "shard.json").write_text("{"), DataError, "shard.json"),
    ],
)
def test_what_does_not_belong_together_is_refused_and_no_record_written(shards, tmp_path, spoil, error, words):
    spoil(shards[1])
    with pytest.raises(error, match=words):
        harness.merge(shards, tmp_path / "all")
    assert not (tmp_path / "all" / "record.json").exists()


def test_shards_of_other_code_are_not_merged_here(shards, tmp_path):
    for folder in shards:
        plan = json.loads((folder / "plan.json").read_text()) | {"harness_code": "0" * 64}
        (folder / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(UsageError, match="other code, weights or data than lie here: harness_code"):
        harness.merge(shards, tmp_path / "all")


def test_shards_of_a_gpu_are_merged_where_there_is_none(shards, tmp_path):
    """The machine is part of the key of every result, so these are damaged results, and not a missing device."""
    for folder in shards:
        plan = json.loads((folder / "plan.json").read_text()) | {"device": "cuda:0", "machine": "NVIDIA H200"}
        asked = json.loads((folder / "shard.json").read_text()) | {"device": "cuda:0"}
        (folder / "plan.json").write_text(json.dumps(plan))
        (folder / "shard.json").write_text(json.dumps(asked))
    with pytest.raises(DataError, match="was made of other data"):
        harness.merge(shards, tmp_path / "all")


def test_shards_with_a_file_of_weights_are_merged_from_another_folder_and_after_it_moved(tmp_path, monkeypatch):
    torch.save({"w": torch.zeros(2)}, tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    for part in (1, 2):
        harness.run(**ASKED, weights="w.pt", limit=2, shard=(part, 2), out=tmp_path / f"{part}")
    folders = [tmp_path / "1", tmp_path / "2"]
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    first = harness.merge(folders, tmp_path / "first").record
    (tmp_path / "w.pt").rename(tmp_path / "moved.pt")
    with pytest.raises(DataError, match=r"w[.]pt are not there\n.*--weights FILE"):
        harness.merge(folders, tmp_path / "second")
    merged = harness.merge(folders, tmp_path / "second", weights="../moved.pt").record
    assert merged.weights == first.weights
    (tmp_path / "moved.pt").write_bytes(b"others")
    with pytest.raises(UsageError, match=r"moved[.]pt has SHA-256 .*, the weights of .*1 have"):
        harness.merge(folders, tmp_path / "third", weights="../moved.pt")
