"""A dataset's readers are checked like a method's masks; what they raise is the dataset's own failure."""

from dataclasses import replace

import numpy as np
import pytest

from harness.api.contracts import Method
from harness.api.errors import DataError, DataProblems, MethodFailed, PluginError
from harness.data.inspection import read_everything
from harness.guarded import guard, open_guarded
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.runner import run


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (np.zeros((5, 8, 3), np.uint8), r"\(5, 8, 3\) of uint8"),
        (np.zeros((8, 8, 3)), r"\(8, 8, 3\) of float64"),
        (np.zeros((8, 8), np.uint8), r"\(8, 8\) of uint8"),
        ([[0]], "a list"),
        (None, "a NoneType"),
    ],
)
def test_a_frame_that_is_none_of_the_videos_is_refused_and_named(tests_tools, frame, found):
    sample = guard(replace(tests_tools.tiny_sample("first"), read_frame=lambda t: frame), "benchmark tiny")
    with pytest.raises(DataError, match=rf"benchmark tiny, video 'first', frame of frame 3: read_frame gave {found}"):
        sample.read_frame(3)


def test_a_truth_may_be_missing_but_not_of_another_size(tests_tools):
    truths = {0: None, 1: np.zeros((4, 4), np.uint8)}
    sample = guard(replace(tests_tools.tiny_sample("first"), read_truth=truths.__getitem__), "benchmark tiny")
    assert sample.read_truth(0) is None
    with pytest.raises(DataError, match=r"truth of frame 1: read_truth gave \(4, 4\)"):
        sample.read_truth(1)


def test_exact_flow_is_looked_at_too(tests_tools):
    tiny = tests_tools.tiny_sample("first")
    flows = [np.zeros((tiny.height, tiny.width, 2), kind) for kind in (np.float32, np.float64)]
    sample = guard(replace(tiny, read_flow=flows.__getitem__), "benchmark tiny")
    assert sample.read_flow(0) is flows[0]
    with pytest.raises(DataError, match=r"flow of frame 1: read_flow gave .* of float64, expected .* of float32"):
        sample.read_flow(1)


@pytest.mark.parametrize("changes", [{"length": 0}, {"height": 8.0}, {"frame_names": ("0",)}, {"prompt_frames": (9,)}])
def test_a_sample_that_contradicts_itself_is_refused(tests_tools, changes):
    with pytest.raises(DataError, match="benchmark tiny, video 'first'"):
        guard(replace(tests_tools.tiny_sample("first"), **changes), "benchmark tiny")


@pytest.mark.parametrize("digest", ["F" * 64, "sha256:" + "f" * 64, "f" * 63, b"f" * 64, None])
def test_a_digest_that_no_record_takes_is_refused_and_named(tests_tools, digest):
    sample = guard(tests_tools.tiny_sample("first", digest=lambda: digest), "benchmark tiny")
    with pytest.raises(DataError, match=r"benchmark tiny, video 'first': digest gave .* expected the 64 hexadecimal"):
        sample.digest()


def test_what_is_no_sample_is_a_broken_plugin(tests_tools):
    with pytest.raises(PluginError, match="opened a dict"):
        open_guarded(tests_tools.tiny_benchmark([{}]), None, partial=False)


def test_sys_exit_while_opening_is_the_benchmarks_failure(tests_tools):
    def leave(root, partial):
        raise SystemExit(0)

    with pytest.raises(MethodFailed, match="benchmark tiny could not be opened: SystemExit: 0"):
        open_guarded(replace(tests_tools.tiny_benchmark(), open=leave), None, partial=False)


def test_what_is_usable_of_a_broken_dataset_is_guarded_too(tests_tools):
    def problems(root, partial):
        bad = replace(tests_tools.tiny_sample("first"), read_frame=lambda t: None)
        raise DataProblems([DataError("one is missing")], [bad])

    with pytest.raises(DataProblems) as raised:
        open_guarded(replace(tests_tools.tiny_benchmark(), open=problems), None, partial=False)
    with pytest.raises(DataError, match="gave a NoneType"):
        raised.value.usable[0].read_frame(0)


def read_badly(frame):
    if frame == 2:
        raise SystemExit(0)
    return np.zeros((5, 8, 3) if frame == 3 else (8, 8, 3), np.uint8)


def test_data_check_lists_crashes_and_wrong_frames(tests_tools):
    sample = replace(tests_tools.tiny_sample("first"), read_frame=read_badly)
    found = read_everything(tests_tools.tiny_benchmark([sample]), None, partial=False, on_video=lambda video: None)
    assert found.frames == 3
    crash, wrong = (problem.message for problem in found.problems)
    assert crash.endswith("frame of frame 2: SystemExit: 0")
    assert "frame of frame 3: read_frame gave (5, 8, 3) of uint8" in wrong


def test_a_dataset_that_leaves_costs_its_video_and_not_the_run(tests_tools, tmp_path):
    class Copy:
        def propagate(self, video, prompts):
            return (prompts[0] for frame in video)

    method = Method(name="copy", tasks=("one-shot",), build=lambda context: Copy())
    bad = replace(tests_tools.tiny_sample("first"), read_frame=read_badly)
    catalog = tests_tools.catalog_of(
        method, benchmark=tests_tools.tiny_benchmark([bad, tests_tools.tiny_sample("second")])
    )
    record = run(resolve(Request(plugin="copy", bench="tiny"), catalog), tmp_path / "run", catalog)
    assert [(failure.video, failure.kind) for failure in record.failures] == [("first", "crashed")]
    assert "benchmark tiny, video 'first', frame of frame 2: SystemExit: 0" in record.failures[0].message
    assert [video.video for video in record.videos] == ["second"]
