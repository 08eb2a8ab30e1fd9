"""What a video gives that no record can hold costs the video, never the run."""

from harness.api.contracts import Method
from harness.api.timing import stage
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
