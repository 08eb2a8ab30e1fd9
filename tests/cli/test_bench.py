"""``harness bench``: what is printed, what is written, exit codes."""

import json

import pytest
import torch

from harness.api.contracts import Method
from harness.api.timing import Example, kernel, stage
from harness.benching import kernels as benching
from harness.benching.methods import MethodReport
from harness.benching.precision import PrecisionReport
from harness.benching.report import KernelReport, Limits
from harness.catalog import Catalog
from harness.cli import main


def square(x):
    return x * x


def numbers(device):
    return [Example("three", (torch.tensor([1.0, 2.0, 3.0]),)), Example("four", (torch.ones(4),))]


class Copy:
    """Shows the first mask; in bf16 one pixel less of it on frame 2; breaks in fp16."""

    def __init__(self, context):
        self.context = context

    def propagate(self, video, prompts):
        for frame in range(len(video)):
            mask = prompts[0].clone()
            if self.context.precision == "bf16" and frame == 2:
                mask[mask.nonzero()[0][0], mask.nonzero()[0][1]] = 0
            if self.context.precision == "fp16":
                raise RuntimeError("no halves here")
            with stage("copy"):
                yield mask


RIGHT = kernel(example=numbers, reference=square, name="right", flops=lambda x: 1e6, bytes=lambda x: 1e6)(square)
WRONG = kernel(example=numbers, reference=square, name="wrong")(lambda x: x + x)


@pytest.fixture
def place(tmp_path, monkeypatch, tests_tools):
    """A folder in which commands run with a method of two kernels, on a machine of 100 GFLOP/s and 10 GB/s."""
    method = Method(name="toy", tasks=("one-shot",), build=Copy, kernels=lambda: (RIGHT, WRONG))
    monkeypatch.chdir(tmp_path)
    catalog = tests_tools.catalog_of(method)
    monkeypatch.setattr(Catalog, "load", classmethod(lambda cls: catalog))
    limits = Limits(gflop_a_second={"fp32": 100.0}, copy_gb_a_second=10.0)
    monkeypatch.setattr(benching, "measure_limits", lambda device, precision: limits)
    return tmp_path


def run(*arguments):
    """The exit code of ``harness bench ...``."""
    with pytest.raises(SystemExit) as end:
        main(["bench", *map(str, arguments)])
    return end.value.code


def test_tables_show_limits_conditions_and_both_forms(place, capsys):
    assert run("kernels", "--plugin", "toy", "--kernel", "right", "--rounds", 2) == 0
    told = capsys.readouterr()
    assert "matrix product fp32 100 GFLOP/s; copy 10.0 GB/s" in told.out
    assert "load average before" in told.out
    lines = [line.split() for line in told.out.splitlines() if line.startswith("toy ")]
    assert [line[2:4] for line in lines] == [["three", "2"], ["four", "2"]]
    assert lines[0][-2] == "10.0"  # one operation a byte, 10 GB/s: 10 GFLOP/s attainable
    assert "toy right: three" in told.err


def test_a_kernel_that_fails_is_named_and_the_exit_code_is_1(place, capsys):
    assert run("kernels", "--plugin", "toy", "--limit-size", "small", "--rounds", 1) == 1
    out = capsys.readouterr().out
    assert "wrong, three: FAIL the forms differ by 3, expected at most 0.0001" in out
    assert "right, three: FAIL" not in out


def test_json_is_the_report_and_out_holds_the_same(place, capsys):
    assert run("kernels", "--kernel", "right", "--rounds", 1, "--json", "--out", "report.json") == 0
    text = capsys.readouterr().out
    assert (place / "report.json").read_text() == text
    assert json.loads(text)["schema"] == "harness.bench-kernels/1"
    assert [row.example for row in KernelReport.model_validate_json(text).rows] == ["three", "four"]


@pytest.mark.parametrize(
    "what", [("kernels",), ("methods", "--plugin", "toy"), ("precision", "--plugin", "toy", "--bench", "tiny")]
)
def test_a_report_that_could_not_be_written_is_refused_before_anything_is_measured(place, capsys, what):
    (place / "file").write_text("")
    assert run(*what, "--out", "file/report.json") == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: --out: file is no folder; nothing was begun")


def test_names_that_are_not_there_are_refused(place, capsys):
    assert run("kernels", "--plugin", "tvoz") == 4
    assert run("kernels", "--kernel", "rihgt") == 2
    assert "known: refine, right, wrong" in capsys.readouterr().err
    assert run("kernels", "--device", "cuda:7") == 6
    assert run("kernels", "--rounds", 0) == 2


def test_methods_are_timed_on_a_clip_of_the_size_asked_for(place, capsys):
    size = ["--height", 32, "--width", 48, "--frames", 6, "--objects", 2]
    assert run("methods", "--plugin", "toy", *size, "--out", "report.json") == 0
    out = capsys.readouterr().out
    assert "generated clip 48x32x6, 2 objects; model clock" in out
    assert any(line.split()[:4] == ["toy", "one-shot", "none", "3"] for line in out.splitlines())  # 6 less warm-up
    report = MethodReport.model_validate_json((place / "report.json").read_text())
    assert report.rows[0].timing.stages["copy"].calls == 6
    assert report.conditions.resolutions == ["48x32"]


def test_a_method_that_fails_on_the_clip_is_told_with_its_exit_code(place, capsys):
    size = ["--height", 32, "--width", 48, "--frames", 2]
    assert run("methods", *size, "--precision", "fp16") == 5
    assert "toy: crashed: toy, video clip: RuntimeError: no halves here" in capsys.readouterr().out
    assert run("methods", *size, "--task", "vis") == 2


def test_a_clip_that_cannot_be_is_refused(place, capsys):
    assert run("methods", "--height", 8) == 2
    assert "found a clip of 8 x 854" in capsys.readouterr().err


def test_precision_shows_the_paired_difference_and_the_pixels_that_changed(place, capsys):
    assert run("precision", "--plugin", "toy", "--bench", "tiny", "--precisions", "fp32,bf16", "--out", "p.json") == 0
    out = capsys.readouterr().out
    report = PrecisionReport.model_validate_json((place / "p.json").read_text())
    base, reduced = report.rows
    assert base.differences == {}
    assert base.pixels_changed is None
    # One pixel of 64 of one frame of five, in both videos. On that frame the square has moved away: it is right now.
    assert reduced.pixels_changed == pytest.approx(1 / (5 * 64))
    assert reduced.changed_by_video == {"first": pytest.approx(1 / 320), "second": pytest.approx(1 / 320)}
    assert reduced.differences["share"].value == pytest.approx(1 / 320)
    assert "0.3125%" in out
    assert "+0.0031 [+0.0031, +0.0031]" in out
    assert report.metric == "share"


def test_a_precision_that_fails_is_told_and_the_others_stand(place, capsys):
    assert run("precision", "--plugin", "toy", "--bench", "tiny", "--precisions", "fp32,fp16,bf16") == 5
    out = capsys.readouterr().out
    assert "fp16: first: crashed" in out
    assert "not compared: 0 videos were done, 2 before" in out
    assert "0.3125%" in out


def test_precision_runs_resume(place, capsys):
    arguments = ["precision", "--plugin", "toy", "--bench", "tiny"]
    assert run(*arguments) == 0
    capsys.readouterr()
    assert run(*arguments) == 0
    assert capsys.readouterr().err.count("(reused)") == 4


@pytest.mark.parametrize("precisions", ["fp32", "fp32,fp32", "fp32,fp8"])
def test_precisions_are_two_or_three_different_ones(place, capsys, precisions):
    assert run("precision", "--plugin", "toy", "--bench", "tiny", "--precisions", precisions) == 2
    assert "expected two or three different ones of fp32, bf16, fp16" in capsys.readouterr().err


@pytest.fixture
def measured(monkeypatch):
    """Points are measured here and not in a process, where the toy is not installed; the clips are listed."""
    from harness.benching import estimate, growth, point

    clips = []

    def measure(request, clip, seconds):
        clips.append((clip.frames, clip.objects, clip.height))
        given = point.Asked(
            request={"plugin": request.plugin, "bench": "clip", "threads": 1},
            clip=(clip.height, clip.width, clip.frames, clip.objects),
        )
        return point.answer_for(given, Catalog.load())

    for story in (growth.measure_growth, estimate.estimate_growth):
        monkeypatch.setattr(story, "__kwdefaults__", {**story.__kwdefaults__, "measure": measure})
    return clips


PROBES = [(12, 1, 120), (12, 1, 270), (12, 2, 120)]


def test_several_frames_objects_or_sizes_are_a_growth_with_pictures(place, capsys, measured):
    from harness.benching.growth import GrowthReport

    words = ("methods", "--plugin", "toy", "--frames", "5,8", "--objects", "1,2", "--size", "16")
    assert run(*words, "--plots", "made", "--json") == 0
    out, err = capsys.readouterr()
    report = GrowthReport.model_validate_json(out)
    assert report.base == (5, 1, 16)
    assert sorted((point.frames, point.objects) for point in report.points) == [(5, 1), (5, 2), (8, 1)]
    assert all(point.estimated_seconds > 0 and point.cpu_seconds > 0 for point in report.points)
    made = sorted(path.name for path in (place / "made").iterdir())
    assert made == ["growth.csv", "growth.json", "points", "toy.png"]
    assert measured[:3] == PROBES
    (line,) = [line.split() for line in err.splitlines() if line.startswith("toy  ")]
    assert line[1:3] == ["3", "0"]  # points, kept


def test_what_is_kept_is_not_measured_again_and_a_dry_run_measures_small_clips_alone(place, capsys, measured):
    words = ("methods", "--plugin", "toy", "--frames", "5,8", "--objects", "1,2", "--size", "16", "--plots", "made")
    assert run(*words, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "frames, objects and size grow one at a time, from 29x16x5, 1 object" in out
    assert "it tells minutes from days" in out
    assert measured == PROBES
    assert run(*words) == 0
    assert len(measured) == 3 + 3
    assert run(*words) == 0
    assert len(measured) == 3 + 3
    assert run(*words, "--again") == 0
    assert len(measured) == 2 * (3 + 3)
    next((place / "made/points").glob("toy-*x16x8-*.json")).write_text("{")  # damaged: measured anew
    assert run(*words, "--frames", "5,8,9") == 0
    assert sorted(measured[12:]) == [(8, 1, 16), (9, 1, 16)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--size", "16", "--height", "20"), "--size and --height"),
        (("--frames", "5", "--seconds", "3"), "belong to several points"),
        (("--frames", "5,0"), "0 is not in the range"),
        (("--frames", "5,x"), "'x' is not a valid integer"),
    ],
)
def test_a_growth_that_cannot_be_is_refused(place, capsys, words, told):
    assert run("methods", "--plugin", "toy", *words) == 2
    assert told in capsys.readouterr().err
