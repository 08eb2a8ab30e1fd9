"""A run from plan to record: masks stored, promises held, failures contained, interruptions resumed."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.api.contracts import DAVIS_2017, Method
from harness.api.errors import CannotWrite, MethodFailed, PluginError, UsageError
from harness.api.foreign import hear_interrupts
from harness.api.mask_files import read_mask
from harness.catalog import Source
from harness.leaderboard.verification import read_record
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.folder import RunFolder
from harness.running.runner import run


class CopyFirst:
    def propagate(self, video, prompts):
        for t in range(len(video)):
            assert video[t].shape == (8, 8, 3)
            yield prompts[0].clone()


def card(build=lambda context: CopyFirst(), **changes):
    return Method(**{"name": "copy", "tasks": ("one-shot",), "build": build, **changes})


def run_tiny(tmp_path, tools, method, *, benchmark=None, fresh=False, elsewhere=False, **asked):
    catalog = tools.catalog_of(method, benchmark=benchmark)
    plan = resolve(Request(plugin=method.name, bench="tiny", **asked), catalog)
    return run(plan, tmp_path / "run", catalog, fresh=fresh, elsewhere=elsewhere)


def method_that(propagate, **changes):
    return card(lambda context: type("M", (), {"propagate": propagate})(), **changes)


def test_a_run_stores_masks_scores_clocks_and_record(tmp_path, tests_tools):
    record = run_tiny(tmp_path, tests_tools, card())
    assert not record.partial
    assert record.benchmark.videos_done == 2
    wrong = [0, 6, 12, 18, 18]  # a 3 x 3 square moved by t: two columns of 3 pixels a step, until it is clear of itself
    assert record.scores["share_right"]["share"].value == pytest.approx(1 - np.mean(wrong) / 64)
    assert record.timing.model.frames == 5 - 3 + 4  # warm-up: 3 frames of the first video, the first frame of the other
    assert record.timing.model_first_frame.frames == 2
    assert np.array_equal(read_mask(tmp_path / "run/masks/first/00004.png"), tests_tools.moving_square(0))
    assert read_record(tmp_path / "run/record.json") == record


def test_finished_videos_are_reused_and_named(tmp_path, tests_tools):
    first = run_tiny(tmp_path, tests_tools, card())
    again = run_tiny(tmp_path, tests_tools, card(lambda context: pytest.fail("built although nothing is to do")))
    assert again.reused == ["first", "second"]
    assert again.scores == first.scores


def test_a_video_whose_result_is_missing_or_torn_is_run_again(tmp_path, tests_tools):
    run_tiny(tmp_path, tests_tools, card())
    (tmp_path / "run/videos/first.json").write_text('{"schema": "harness.vid')
    (tmp_path / "run/masks/second/00002.png").unlink()
    again = run_tiny(tmp_path, tests_tools, card())
    assert again.reused == []
    assert again.benchmark.videos_done == 2


def test_a_record_of_a_run_that_went_on_elsewhere_has_the_clocks_of_here_alone(tmp_path, tests_tools):
    whole = run_tiny(tmp_path, tests_tools, card(), threads=1)
    (tmp_path / "run/videos/second.json").unlink()
    record = run_tiny(tmp_path, tests_tools, card(), threads=2, elsewhere=True)
    assert record.reused == ["first"]
    assert record.scores == whole.scores
    assert (whole.timing.model_first_frame.frames, record.timing.model_first_frame.frames) == (2, 1)
    assert run_tiny(tmp_path, tests_tools, card(), threads=2).reused == ["first", "second"]


def test_a_method_that_changes_the_working_directory_moves_no_result(tmp_path, tests_tools, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "away").mkdir()

    def build(context):
        os.chdir(tmp_path / "away")
        return CopyFirst()

    run_tiny(Path(), tests_tools, card(build))
    assert (tmp_path / "run/record.json").is_file()
    assert (tmp_path / "run/masks/second/00004.png").is_file()
    assert list((tmp_path / "away").iterdir()) == []


def test_changed_data_are_not_reused(tmp_path, tests_tools):
    run_tiny(tmp_path, tests_tools, card())
    samples = [tests_tools.tiny_sample("first", digest=lambda: "f" * 64), tests_tools.tiny_sample("second")]
    again = run_tiny(tmp_path, tests_tools, card(), benchmark=tests_tools.tiny_benchmark(samples))
    assert again.reused == ["second"]


def test_another_config_in_the_same_folder_is_refused_until_fresh(tmp_path, tests_tools):
    run_tiny(tmp_path, tests_tools, card())
    with pytest.raises(UsageError, match=r"holds another run: seed differ .*there 0, now 1"):
        run_tiny(tmp_path, tests_tools, card(), seed=1)
    assert run_tiny(tmp_path, tests_tools, card(), seed=1, fresh=True).reused == []


def test_a_folder_with_other_things_in_it_is_refused(tmp_path, tests_tools):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="is not empty and is no run folder"):
        run_tiny(tmp_path, tests_tools, card(), fresh=True)
    assert (tmp_path / "run/thesis.tex").read_text() == "precious"


def test_two_runs_into_one_folder_refuse_each_other(tmp_path, tests_tools):
    with RunFolder(tmp_path / "run"), pytest.raises(UsageError, match=r"another run .process \d+. is writing"):
        run_tiny(tmp_path, tests_tools, card())


def test_a_video_that_raises_costs_only_itself(tmp_path, tests_tools):
    def propagate(self, video, prompts):
        if video.name.endswith("0000"):
            raise RuntimeError("lost it")
        yield from CopyFirst().propagate(video, prompts)

    record = run_tiny(tmp_path, tests_tools, method_that(propagate))
    assert [(failure.video, failure.kind) for failure in record.failures] == [("first", "crashed")]
    assert "lost it" in record.failures[0].message
    assert "in propagate" in record.failures[0].traceback
    assert record.partial
    assert record.benchmark.videos_done == 1
    assert not list((tmp_path / "run/masks").glob(".*"))


def test_out_of_memory_is_its_own_kind(tmp_path, tests_tools):
    def propagate(self, video, prompts):
        raise torch.OutOfMemoryError("9 TiB")
        yield

    assert {f.kind for f in run_tiny(tmp_path, tests_tools, method_that(propagate)).failures} == {"out-of-memory"}


def masks_of(make):
    def propagate(self, video, prompts):
        for t in range(len(video)):
            yield make(t, prompts)

    return propagate


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t, p: p[0][::2, ::2], r"frame 0: yielded a mask of \(4, 4\), expected \(8, 8\)"),
        (lambda t, p: p[0].float(), "yielded dtype torch.float32, expected torch.uint8"),
        (lambda t, p: p[0].numpy(), "yielded ndarray, expected a"),
        (lambda t, p: p[0] * (7 if t == 2 else 1), r"frame 2: yielded ids \[7\], expected only 0 and the prompted ids"),
        (lambda t, p: p[0] * 255, r"yielded ids \[255\]"),
    ],
)
def test_masks_that_break_the_contract_are_named(tmp_path, tests_tools, make, message):
    record = run_tiny(tmp_path, tests_tools, method_that(masks_of(make)))
    assert {failure.kind for failure in record.failures} == {"contract"}
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(record.failures[0].message)
    assert "copy, video first" in record.failures[0].message


def test_too_few_and_too_many_masks_are_refused(tmp_path, tests_tools):
    def few(self, video, prompts):
        yield prompts[0]

    def many(self, video, prompts):
        for _ in range(len(video) + 1):
            yield prompts[0]

    record = run_tiny(tmp_path, tests_tools, method_that(few))
    assert "stopped after 1 of 5 frames" in record.failures[0].message
    record = run_tiny(tmp_path, tests_tools, method_that(many), fresh=True)
    assert "more masks than the 5 frames" in record.failures[0].message


def looks_ahead(steps):
    def propagate(self, video, prompts):
        for t in range(len(video)):
            video[min(t + steps, len(video) - 1)]
            yield prompts[0]

    return propagate


def test_an_online_method_that_looks_ahead_is_stopped(tmp_path, tests_tools):
    record = run_tiny(tmp_path, tests_tools, method_that(looks_ahead(1)))
    assert {failure.kind for failure in record.failures} == {"contract"}
    assert "read frame 1 while only frames up to 0" in record.failures[0].message


@pytest.mark.parametrize("causality", [{"causality": "window", "lookahead": 2}, {"causality": "offline"}])
def test_a_declared_lookahead_is_allowed(tmp_path, tests_tools, causality):
    record = run_tiny(tmp_path, tests_tools, method_that(looks_ahead(2), **causality))
    assert not record.failures
    assert record.plugin.causality == causality["causality"]


def test_a_later_prompt_is_hidden_until_its_frame(tmp_path, tests_tools):
    def propagate(self, video, prompts):
        for t in range(len(video)):
            assert list(prompts) == ([0] if t < 3 else [0, 3])
            yield prompts[0]

    samples = [tests_tools.tiny_sample("late", prompt_frames=(0, 3))]
    record = run_tiny(tmp_path, tests_tools, method_that(propagate), benchmark=tests_tools.tiny_benchmark(samples))
    assert not record.failures


def test_a_method_sees_no_real_name_and_no_truth(tmp_path, tests_tools):
    seen = []

    def propagate(self, video, prompts):
        seen.append((video.name, video.frame_names[0], sorted(vars(video))))
        yield from CopyFirst().propagate(video, prompts)

    samples = [tests_tools.tiny_sample("secret", frame_names=tuple("abcde"))]
    run_tiny(tmp_path, tests_tools, method_that(propagate), benchmark=tests_tools.tiny_benchmark(samples))
    name, frame_name, attributes = seen[0]
    assert "secret" not in name
    assert frame_name == "00000"
    assert not [attribute for attribute in attributes if "truth" in attribute]


def test_data_that_break_half_way_are_a_data_failure(tmp_path, tests_tools):
    from harness.api.errors import DataError

    def read_frame(t):
        if t == 3:
            raise DataError("00003.jpg is truncated")
        return np.zeros((8, 8, 3), np.uint8)

    samples = [tests_tools.tiny_sample("torn", read_frame=read_frame), tests_tools.tiny_sample("whole")]
    record = run_tiny(tmp_path, tests_tools, card(), benchmark=tests_tools.tiny_benchmark(samples))
    assert [(failure.video, failure.kind) for failure in record.failures] == [("torn", "data")]
    assert "00003.jpg is truncated" in record.failures[0].message


def test_a_subset_is_partial_and_a_full_run_goes_on_from_it(tmp_path, tests_tools):
    subset = run_tiny(tmp_path, tests_tools, card(), limit=1)
    assert subset.partial
    assert subset.partial_reason == "1 of 2 videos were chosen"
    whole = run_tiny(tmp_path, tests_tools, card())
    assert whole.reused == ["first"]
    assert not whole.partial


def test_an_incomplete_tree_is_partial(tmp_path, tests_tools):
    benchmark = tests_tools.tiny_benchmark(expected=("first", "second", "third"))
    record = run_tiny(tmp_path, tests_tools, card(), benchmark=benchmark)
    assert (record.partial, record.benchmark.videos_expected) == (True, 3)


def test_a_split_without_truth_writes_masks_and_scores_nothing(tmp_path, tests_tools):
    samples = [tests_tools.tiny_sample("hidden", read_truth=None)]
    record = run_tiny(tmp_path, tests_tools, card(), benchmark=tests_tools.tiny_benchmark(samples, scored=False))
    assert record.scores == {}
    assert len(list((tmp_path / "run/masks/hidden").glob("*.png"))) == 5


def test_a_method_that_does_not_build_stops_the_run(tmp_path, tests_tools):
    def build(context):
        raise KeyError("layer7")

    with pytest.raises(PluginError, match="copy did not build: KeyError: 'layer7'"):
        run_tiny(tmp_path, tests_tools, card(build))
    with pytest.raises(PluginError, match=r"but has no propagate\(\)"):
        run_tiny(tmp_path, tests_tools, card(lambda context: object()))


def test_an_interrupted_run_keeps_what_is_finished(tmp_path, tests_tools):
    def propagate(self, video, prompts):
        if video.name.endswith("0001"):
            raise KeyboardInterrupt
        yield from CopyFirst().propagate(video, prompts)

    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, tests_tools, method_that(propagate))
    assert json.loads((tmp_path / "run/videos/first.json").read_text())["video"] == "first"
    assert run_tiny(tmp_path, tests_tools, card()).reused == ["first"]


def test_stages_and_kernels_are_in_the_record(tmp_path, tests_tools):
    from harness import stage

    def propagate(self, video, prompts):
        for _ in range(len(video)):
            with stage("think"):
                mask = prompts[0].clone()
            yield mask

    timing = run_tiny(tmp_path, tests_tools, method_that(propagate)).timing
    assert timing.stages["think"].calls == 10
    total = sum(latency.mean_ms * latency.frames for latency in (timing.model, timing.model_first_frame))
    assert 0 < timing.stages["think"].seconds * 1e3 < total + 1e3  # a stage lies inside its lap


def test_vis_tracks_are_checked_and_stored(tmp_path, tests_tools):
    from harness import Track, Tracks
    from harness.api.contracts import Benchmark

    mask = torch.zeros(8, 8, dtype=torch.bool)

    class Finder:
        def segment_tracks(self, video):
            assert video[4] is not None
            return Tracks([Track(3, 0.5, [mask, None, mask, None, mask])])

    rule = replace(DAVIS_2017, metrics=(), version="vis/1")
    benchmark = tests_tools.tiny_benchmark(rules={"vis": rule})
    assert isinstance(benchmark, Benchmark)
    record = run_tiny(tmp_path, tests_tools, card(lambda c: Finder(), tasks=("vis",)), benchmark=benchmark)
    assert not record.failures
    stored = json.loads((tmp_path / "run/tracks/first.json").read_text())
    assert stored[0]["category_id"] == 3
    assert stored[0]["segmentations"][1] is None
    assert stored[0]["segmentations"][0]["size"] == [8, 8]


def test_work_done_before_the_first_mask_is_asked_for_lies_inside_a_lap(tmp_path, tests_tools):
    """A method that is no generator works when it is called: the clock must run then."""
    from harness import stage

    def propagate(self, video, prompts):
        with stage("all at once"):
            masks = [prompts[0].clone() for _ in range(len(video))]
        return iter(masks)

    timing = run_tiny(tmp_path, tests_tools, method_that(propagate)).timing
    assert timing.stages["all at once"].calls == 2


class Panic(BaseException):
    def __str__(self):
        raise ValueError("no words")


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), KeyboardInterrupt(), Panic(), ValueError("\udc80")])
def test_whatever_a_method_raises_costs_its_video_only(tmp_path, tests_tools, error):
    def propagate(self, video, prompts):
        for t in range(len(video)):
            if video.name.endswith("0") and t == 2:
                raise error
            yield prompts[0]

    with hear_interrupts():
        record = run_tiny(tmp_path, tests_tools, method_that(propagate))
    assert [(failure.video, failure.kind) for failure in record.failures] == [("first", "crashed")]
    assert type(error).__name__ in record.failures[0].message
    assert read_record(tmp_path / "run/record.json") == record


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_stops_the_run_and_is_no_crash_of_the_method(tmp_path, tests_tools, monkeypatch, number):
    def full(path, content):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(CannotWrite, match=r"00000[.]png cannot be written"):
        run_tiny(tmp_path, tests_tools, card())
    monkeypatch.undo()
    assert run_tiny(tmp_path, tests_tools, card()).failures == []


def test_a_disk_that_is_full_for_the_method_is_full_for_the_run(tmp_path, tests_tools):
    def propagate(self, video, prompts):
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    with pytest.raises(CannotWrite, match="No space left"):
        run_tiny(tmp_path, tests_tools, method_that(propagate))


def test_an_executor_that_leaves_is_its_own_failure(tmp_path, tests_tools):
    class Leaves:
        name = "leaves"

        def execute(self, sessions, videos):
            raise SystemExit(0)

    method = card()
    catalog = tests_tools.catalog_of(method)
    catalog.executors._add("leaves", Leaves(), Source("leaves", "leaves", "tests", "0"))
    plan = resolve(Request(plugin="copy", bench="tiny", executor="leaves"), catalog)
    with pytest.raises(MethodFailed, match="executor leaves: SystemExit: 0"):
        run(plan, tmp_path / "run", catalog)
