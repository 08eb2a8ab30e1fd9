"""What no record can hold is refused when it comes: of a video it costs the video, of an executor the run at once."""

import pytest

from harness.api.contracts import Method
from harness.api.errors import MethodFailed
from harness.api.records import VideoFailure
from harness.api.timing import stage
from harness.catalog import Source
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.runner import run


class NamesItsStageByNumber:
    """Copies the first mask; every second video has a stage that is called 5."""

    videos = 0

    def propagate(self, video, prompts):
        self.videos += 1
        for _ in range(len(video)):
            with stage(5 if self.videos == 2 else "copy"):
                yield prompts[0].clone()


def test_a_stage_without_a_name_costs_its_video_and_not_the_run(tmp_path, tests_tools):
    method = Method(name="copy", tasks=("one-shot",), build=lambda context: NamesItsStageByNumber())
    catalog = tests_tools.catalog_of(method)
    record = run(resolve(Request(plugin="copy", bench="tiny"), catalog), tmp_path / "run", catalog)
    assert [video.video for video in record.videos] == ["first"]
    assert [(failure.video, failure.kind) for failure in record.failures] == [("second", "crashed")]
    assert "timing.stages.5" in record.failures[0].message


@pytest.mark.parametrize("odd", [{"kind": "slow"}, {"message": "x" * 20001}, {"message": "half \udc80"}])
def test_a_failure_that_no_record_holds_is_the_executors_before_another_video_is_run(tmp_path, tests_tools, odd):
    class Odd:
        name = "odd"

        def execute(self, sessions, videos):
            yield VideoFailure(**{"video": videos[0], "kind": "crashed", "message": "lost", **odd})
            pytest.fail("the run went on")

    catalog = tests_tools.catalog_of(Method(name="copy", tasks=("one-shot",), build=lambda context: None))
    catalog.executors._add("odd", Odd(), Source("odd", "odd", "tests", "0"))
    plan = resolve(Request(plugin="copy", bench="tiny", executor="odd"), catalog)
    with pytest.raises(MethodFailed, match="executor odd: ValidationError"):
        run(plan, tmp_path / "run", catalog)
