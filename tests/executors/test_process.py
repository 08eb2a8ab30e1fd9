"""The process executor: what a method breaks costs one video, and what it does well is the same as in this process."""

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.api.contracts import DAVIS_2017
from harness.api.errors import MethodFailed, PluginError, UsageError
from harness.api.mask_files import read_mask
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.runner import run

# Trick -> kind of failure, what the message and what the traceback must hold.
BREAKS = {
    "die_by_segfault": ("crashed", "frame 1: the worker process was killed by SIGSEGV", "in die_by_segfault"),
    "leave": ("crashed", "frame 1: the worker process ended with exit code 3", ""),
    "lose_it": ("crashed", "lost it", "in lose_it"),
    "look_ahead": ("contract", "read frame 4 while only frames up to 1", "in look_ahead"),
    "look_ahead_by_force": ("contract", "read frame 4 while only frames up to 1", "in look_ahead_by_force"),
    "yield_small": ("contract", "frame 1: yielded a mask of (4, 4), expected (8, 8); resize", ""),
    "yield_float": ("contract", "yielded dtype torch.float32, expected torch.uint8", ""),
    "yield_array": ("contract", "yielded ndarray, expected a", ""),
    "yield_wrong_id": ("contract", "frame 1: yielded ids [7], expected only 0 and the prompted ids [1]", ""),
}
FRAME_SECONDS = 5.0
"""More than any frame of these takes on a machine that others use too."""
BREAKS_SLOWLY = {
    "leave_politely": ("crashed", "enough", "in leave_politely"),
    "be_killed": ("crashed", "the worker process was killed by SIGKILL", ""),
    "allocate": ("out-of-memory", "DefaultCPUAllocator", "in allocate"),
    "allocate_in_python": ("out-of-memory", "MemoryError", "in allocate_in_python"),
    "hang": ("timed-out", f"frame 1: no answer within {FRAME_SECONDS:g} s", "in hang"),
    "hang_in_native_code": ("timed-out", f"frame 1: no answer within {FRAME_SECONDS:g} s", "in hang_in_native_code"),
    "hang_up": ("crashed", "the worker closed the conversation", ""),
    "babble": ("contract", "the worker spoke no sense", ""),
}


def run_broken(run_planted, tests_tools, out, tricks, **asked):
    """A run whose method does one trick a video, and none in the last."""
    samples = [tests_tools.tiny_sample(name) for name in (*tricks, "well")]
    benchmark = tests_tools.tiny_benchmark(samples)
    overrides = (f"tricks={' '.join(tricks)}",)
    return run_planted("breaks", out, benchmark=benchmark, overrides=overrides, frame_seconds=FRAME_SECONDS, **asked)


def assert_one_video_lost(record, out, trick, expected):
    kind, message, traceback = expected
    failure = next(failure for failure in record.failures if failure.video == trick)
    assert failure.kind == kind
    assert message in failure.message
    assert f"breaks, video {trick}" in failure.message
    assert traceback in failure.traceback
    assert [row.video for row in record.videos] == ["well"]
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["well"]


@pytest.fixture(scope="module")
def broken(run_planted, tests_tools, tmp_path_factory):
    """A run that lost every video but the last, and its folder."""
    out = tmp_path_factory.mktemp("broken")
    return run_broken(run_planted, tests_tools, out, list(BREAKS)), out


@pytest.mark.parametrize("trick", BREAKS)
def test_what_a_method_breaks_costs_one_video(broken, trick):
    assert_one_video_lost(*broken, trick, BREAKS[trick])


def test_what_was_printed_before_a_crash_is_in_the_message_and_the_log(broken):
    record, out = broken
    assert "\n  | about to read address 0" in record.failures[0].message
    assert "about to read address 0" in (out / "logs/worker-0.log").read_text()


@pytest.fixture(scope="module")
def slowly_broken(run_planted, tests_tools, tmp_path_factory):
    """The same for what takes its time."""
    out = tmp_path_factory.mktemp("slowly-broken")
    return run_broken(run_planted, tests_tools, out, list(BREAKS_SLOWLY), workers=2), out


@pytest.mark.slow
@pytest.mark.parametrize("trick", BREAKS_SLOWLY)
def test_what_a_method_breaks_slowly_costs_one_video(slowly_broken, trick):
    assert_one_video_lost(*slowly_broken, trick, BREAKS_SLOWLY[trick])


@pytest.mark.slow
def test_a_method_that_hangs_is_ended_and_says_where(run_planted, tests_tools, tmp_path):
    record = run_broken(run_planted, tests_tools, tmp_path, ["hang"])
    assert_one_video_lost(record, tmp_path, "hang", BREAKS_SLOWLY["hang"])


@pytest.mark.slow
def test_megabytes_of_output_neither_block_nor_fill_the_disk(tmp_path, run_planted):
    assert not run_planted("shouts", tmp_path).failures
    size = (tmp_path / "logs/worker-0.log").stat().st_size
    assert 8 << 20 <= size < 9 << 20  # of 50 MiB


def everything_but_clocks(record):
    found = record.model_dump(exclude={"id", "created", "conditions", "timing"})
    return found, {name: calls["calls"] for name, calls in record.model_dump()["timing"]["stages"].items()}


def masks_in(folder):
    return {str(path.relative_to(folder)): read_mask(path).tolist() for path in sorted(folder.rglob("*.png"))}


def test_masks_scores_and_stages_are_those_of_the_inline_executor(tmp_path, run_planted, inline):
    record = run_planted("shifts", tmp_path / "process")
    assert 0.5 < record.scores["share_right"]["share"].value < 1
    assert everything_but_clocks(record) == everything_but_clocks(inline)
    assert masks_in(tmp_path / "process/masks") == masks_in(tmp_path / "inline/masks")
    assert record.timing.kernels["roll"].calls == record.timing.stages["think"].calls == 10
    assert record.timing.model.frames == inline.timing.model.frames == 5 - 3 + 4
    assert record.conditions.executor == "process"
    assert record.conditions.threads == inline.conditions.threads


def test_two_workers_at_once_make_the_same_record(tmp_path, run_planted, inline):
    record = run_planted("shifts", tmp_path / "process", workers=2)
    assert everything_but_clocks(record)[0] == everything_but_clocks(inline)[0]
    assert record.conditions.workers == 2
    assert record.conditions.group != inline.conditions.group
    assert len(list((tmp_path / "process/logs").iterdir())) == 2


@pytest.mark.slow
def test_work_done_when_the_method_is_called_lies_inside_the_first_lap(tmp_path, run_planted):
    for executor in ("inline", "process"):
        record = run_planted("at_once", tmp_path / executor, executor=executor)
        assert not record.failures
        assert record.timing.stages["all at once"].calls == 2


@pytest.mark.parametrize("name", ["window", pytest.param("offline", marks=pytest.mark.slow)])
def test_a_declared_lookahead_is_allowed(tmp_path, run_planted, name):
    assert not run_planted(name, tmp_path).failures


@pytest.mark.slow
def test_frames_that_left_the_worker_s_memory_are_asked_for_again(tmp_path, run_planted, tests_tools):
    def square(t):
        return tests_tools.moving_square(t, 8, 24)

    samples = [
        tests_tools.tiny_sample(
            "long", 12, width=24, read_frame=lambda t: np.stack([square(t)] * 3, 2), read_prompt=square, read_truth=None
        )
    ]
    benchmark = tests_tools.tiny_benchmark(samples, scored=False)
    assert not run_planted("looks_back", tmp_path, benchmark=benchmark).failures


def test_a_worker_is_told_no_real_name_no_path_and_later_prompts_late(tmp_path, run_planted, tests_tools, monkeypatch):
    monkeypatch.setenv("HARNESS_DATA", "/data/secret-root")
    samples = [tests_tools.tiny_sample("secret", prompt_frames=(0, 3), frame_names=tuple("abcde"))]
    benchmark = tests_tools.tiny_benchmark(samples)
    overrides = (f"folder={tmp_path}",)
    record = run_planted("spies", tmp_path / "run", benchmark=benchmark, overrides=overrides)
    assert not record.failures
    seen = (tmp_path / "video-0000.txt").read_text().splitlines()
    assert seen[:6] == ["video-0000", "00000", "00001", "00002", "00003", "00004"]
    assert not [line for line in seen if "secret" in line]


@pytest.mark.slow
def test_code_that_changed_since_the_run_was_planned_is_not_run(tmp_path, planted):
    catalog = planted("shifts")
    plan = resolve(Request(plugin="shifts", bench="tiny", executor="process"), catalog)
    plan = replace(plan, plugin=plan.plugin.model_copy(update={"code_sha256": "0" * 64}))
    with pytest.raises(PluginError, match="the code of planted is not what the run was planned with"):
        run(plan, tmp_path, catalog)


@pytest.mark.gpu
def test_a_worker_on_a_gpu_makes_the_same_masks(tmp_path, run_planted, inline):
    record = run_planted("shifts", tmp_path / "process", device="cuda:0")
    assert record.scores == inline.scores
    assert masks_in(tmp_path / "process/masks") == masks_in(tmp_path / "inline/masks")
    assert record.conditions.device_type == "cuda"


@pytest.mark.slow
def test_a_config_reaches_the_worker(tmp_path, run_planted):
    still = run_planted("shifts", tmp_path / "still", overrides=("shift=0",))
    moving = run_planted("shifts", tmp_path / "moving")
    assert still.config["shift"] == 0
    assert still.scores["share_right"]["share"].value < moving.scores["share_right"]["share"].value


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", "process"])
def test_providers_and_facts_reach_the_method_and_the_record_where_it_lives(tmp_path, run_planted, executor):
    flows, weights = tmp_path / "flows", tmp_path / "w.safetensors"
    flows.mkdir()
    (flows / "0.flo").write_bytes(b"flow")
    save_file({"a": torch.zeros(2)}, weights, {"fact.channel": "3"})
    given = (f"folder={tmp_path}", f"flow=files:{flows}")
    record = run_planted("provided", tmp_path / "run", executor=executor, overrides=given, weights=str(weights))
    assert not record.failures
    assert (tmp_path / "told.txt").read_text() == repr({"flow": f"files:{flows}", "channel": "3"})
    assert record.config["flow"] == record.providers["flow"].name == "files"
    assert len(record.providers["flow"].sha256) == 64


def vis_benchmark(tests_tools):
    return tests_tools.tiny_benchmark(rules={"vis": replace(DAVIS_2017, metrics=(), version="vis/1")})


def test_tracks_are_those_of_the_inline_executor(tmp_path, run_planted, tests_tools):
    for executor in ("inline", "process"):
        benchmark = vis_benchmark(tests_tools)
        record = run_planted("tracks", tmp_path / executor, benchmark=benchmark, executor=executor)
        assert not record.failures
        assert record.timing.stages["find"].calls == 2
    here, apart = ((tmp_path / executor / "tracks/first.json").read_text() for executor in ("inline", "process"))
    assert here == apart
    assert [track["category_id"] for track in json.loads(apart)] == [3, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong_tracks", "category 'cat'"),
        pytest.param("list", "returned list, expected harness.Tracks", marks=pytest.mark.slow),
    ],
)
def test_wrong_tracks_are_refused_with_the_same_words(tmp_path, run_planted, tests_tools, name, message):
    messages = []
    for executor in ("inline", "process"):
        benchmark = vis_benchmark(tests_tools)
        record = run_planted(name, tmp_path / executor, benchmark=benchmark, executor=executor)
        messages.append([failure.message for failure in record.failures])
        assert {failure.kind for failure in record.failures} == {"contract"}
    assert messages[0] == messages[1]
    assert message in messages[1][0]


@pytest.mark.slow
def test_a_method_that_does_not_build_stops_the_run(tmp_path, run_planted):
    with pytest.raises(PluginError, match="unbuilt did not build: KeyError: 'layer7'"):
        run_planted("unbuilt", tmp_path / "a")
    with pytest.raises(MethodFailed, match="dies_in_build build: the worker process was killed by SIGSEGV"):
        run_planted("dies_in_build", tmp_path / "b")


def test_replays_need_real_names_and_run_inline(tmp_path, run_planted):
    with pytest.raises(UsageError, match="real names, which a worker is not told"):
        run_planted("replays", tmp_path)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"workers": 0}, "would do nothing"),
        ({"workers": 2, "device": "cuda:0"}, "GPUs get one worker each"),
        ({"device": "cuda:0,cuda:0"}, "names a device twice"),
        ({"device": "cpu,cpu"}, "names a device twice"),
        ({"device": "cpu,cuda:0"}, "mixes CPU and GPU"),
        ({"frame_seconds": 0}, "must be more than 0"),
        ({"workers": 2, "executor": "inline"}, "executor inline cannot do 2 videos at a time"),
    ],
)
def test_contradictions_are_refused(tmp_path, run_planted, asked, message):
    with pytest.raises(UsageError, match=message):
        run_planted("shifts", tmp_path, **asked)


@pytest.mark.slow
def test_an_interrupt_keeps_what_is_finished_and_ends_the_worker(tmp_path, planted):
    catalog = planted("shifts")
    plan = resolve(Request(plugin="shifts", bench="tiny", executor="process"), catalog)

    def interrupt(outcome, reused):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, tmp_path, catalog, on_video=interrupt)
    assert children_of(os.getpid()) == []
    assert "first" in run(plan, tmp_path, catalog).reused


def children_of(parent):
    """Live worker processes of this parent."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _, _, rest = status.read_text().rpartition(") ")
            command = (status.parent / "cmdline").read_text()
            if int(rest.split()[1]) == parent and rest[0] != "Z" and "start.py" in command:
                found.append(int(status.parent.name))
    return found
